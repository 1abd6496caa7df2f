//! One destination: claim it, send what follows, note what it has taken.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use store::{Delivery, Head, StoreError};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, SendError};
use super::{Deliveries, Standing, file, syslog, webhook};
use crate::config::{Destination, To};

pub(super) struct Worker {
    deliveries: Arc<Deliveries>,
    destination: Destination,
    standing: Arc<Standing>,
    /// `None`: it is not ours.
    place: Option<Place>,
    /// How many records the next batch may have: fewer after one that was not taken.
    size: u32,
    /// Failures since something was taken.
    failures: u32,
}

/// The last record that was taken, and when the claim was last renewed.
#[derive(Clone, Copy)]
struct Place {
    at: Head,
    renewed: Instant,
}

impl Worker {
    pub(super) fn new(
        deliveries: Arc<Deliveries>,
        destination: Destination,
        standing: Arc<Standing>,
    ) -> Self {
        Self { deliveries, destination, standing, place: None, size: FULL, failures: 0 }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let wait = match self.destination.to {
                // The disk goes on with what it was given: it is waited for.
                To::File(_) => self.turn().await,
                To::Syslog(_) | To::Webhook(_) => tokio::select! {
                    biased;
                    () = stop.cancelled() => break,
                    wait = self.turn() => wait,
                },
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = sleep(wait) => {}
            }
        }
        if let Err(error) = self.deliveries.store.release_delivery(self.delivery()).await {
            tracing::debug!(%error, "Could not release a destination");
        }
    }

    /// Does one thing, and says how long to wait before the next.
    async fn turn(&mut self) -> Duration {
        match self.step().await {
            Ok(wait) => wait,
            Err(error) => self.failed(&error).await,
        }
    }

    async fn step(&mut self) -> Result<Duration, SendError> {
        let Some(place) = self.place().await? else { return Ok(LEASE / 3) };
        let rows = self.deliveries.store.audit_after(place.at.seq, self.size).await?;
        let found = rows.len();
        let Some(batch) = Batch::of(rows)? else { return Ok(POLL) };
        self.send(&batch).await?;
        // Of a batch that was cut short there are more.
        let more = found == self.size as usize || batch.records.len() < found;
        self.taken(batch.last).await?;
        Ok(if more { Duration::ZERO } else { POLL })
    }

    /// Where the destination stands, if it is ours for long enough to send a batch.
    async fn place(&mut self) -> Result<Option<Place>, StoreError> {
        let (store, now) = (&self.deliveries.store, SystemTime::now());
        let renewed = Instant::now();
        if let Some(place) = self.place {
            if place.renewed.elapsed() < LEASE / 3 {
                return Ok(Some(place));
            }
            let ours = store.renew_delivery(self.delivery(), now).await?;
            self.place = ours.then_some(Place { renewed, ..place });
            return Ok(self.place);
        }
        let claimed = store.claim_delivery(self.delivery(), self.destination.from_now, now).await?;
        let Some(claimed) = claimed else { return Ok(None) };
        if claimed.anew {
            let name = &self.destination.name;
            tracing::error!(destination = %name, "Not the audit log that was delivered; sending it anew");
        }
        self.standing.seq.store(claimed.at.seq, Relaxed);
        self.place = Some(Place { at: claimed.at, renewed });
        Ok(self.place)
    }

    async fn send(&self, batch: &Batch) -> Result<(), SendError> {
        let sent = async {
            match &self.destination.to {
                To::File(to) => file::append(to, batch).await,
                To::Syslog(to) => syslog::send(to, &self.deliveries.origin, batch).await,
                To::Webhook(to) => webhook::post(to, batch).await,
            }
        };
        match self.destination.to {
            // What a disk was given can not be taken back from it.
            To::File(_) => sent.await,
            To::Syslog(_) | To::Webhook(_) => {
                timeout(DEADLINE, sent).await.unwrap_or(Err(SendError::TimedOut))
            }
        }
    }

    async fn taken(&mut self, last: Head) -> Result<(), StoreError> {
        let renewed = Instant::now();
        let store = &self.deliveries.store;
        let ours = store.acknowledge(self.delivery(), last, SystemTime::now()).await?;
        self.place = ours.then_some(Place { at: last, renewed });
        self.standing.seq.store(last.seq, Relaxed);
        if self.failures > 0 {
            let name = &self.destination.name;
            tracing::info!(destination = %name, "The destination takes records again");
        }
        (self.failures, self.size) = (0, self.size.saturating_mul(2).min(FULL));
        Ok(())
    }

    /// Notes a failure where an admin finds it, and says how long to wait.
    async fn failed(&mut self, error: &SendError) -> Duration {
        self.standing.failures.fetch_add(1, Relaxed);
        if self.failures == 0 {
            let (name, error) = (&self.destination.name, error as &dyn Error);
            tracing::warn!(destination = %name, error, "The destination takes no records; they are kept");
        }
        let wait = backoff(self.failures, rand::random());
        self.failures = self.failures.saturating_add(1);
        self.size = (self.size / 2).max(1);
        if self.place.is_some() {
            let (store, text) = (&self.deliveries.store, told(error));
            let noted = store.delivery_failed(self.delivery(), &text, SystemTime::now()).await;
            // Where even that can not be stored, the claim is looked at again.
            self.place = self.place.filter(|_| noted.is_ok_and(|ours| ours));
            self.place = self.place.map(|place| Place { renewed: Instant::now(), ..place });
        }
        wait
    }

    fn delivery(&self) -> Delivery<'_> {
        Delivery {
            name: self.destination.name.as_str(),
            kind: self.destination.to.kind(),
            holder: &self.deliveries.holder,
            lease: LEASE,
        }
    }
}

/// The error and its causes, in one line that an admin's terminal can show.
fn told(error: &SendError) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    let text = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
    access::text::visible(&text).chars().take(LONGEST_ERROR).collect()
}

/// Doubles with each failure; half of it is drawn, so that those who wait for one receiver do not
/// come back together.
fn backoff(failures: u32, random: f64) -> Duration {
    let full = FIRST_WAIT.saturating_mul(1 << failures.min(16)).min(LONGEST_WAIT);
    full / 2 + (full / 2).mul_f64(random.clamp(0.0, 1.0))
}

/// Records of a batch at most.
const FULL: u32 = 500;
/// How often the log is looked at for what is new.
const POLL: Duration = Duration::from_millis(500);
/// For a batch to be taken. With the longest wait it fits what is left of a lease that was renewed
/// a third of it ago, so that nobody sends on a claim that is over.
const DEADLINE: Duration = Duration::from_secs(20);
const LEASE: Duration = Duration::from_secs(90);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_ERROR: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_cap_and_fit_a_claim() {
        let waits: Vec<_> = (0..7).map(|n| backoff(n, 1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff(u32::MAX, 0.0), LONGEST_WAIT / 2);
        assert!(LEASE / 3 + LONGEST_WAIT + DEADLINE <= LEASE);
    }
}
