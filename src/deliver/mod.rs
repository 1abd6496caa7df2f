//! Sending the audit log's records to other places: each record to each destination at least once,
//! and in order.
//!
//! INVARIANT: a record counts as delivered when its destination has taken it. Nobody who opens a
//! session or writes a record waits for any of this.

mod batch;
mod file;
mod net;
mod syslog;
#[cfg(test)]
pub(crate) mod tests;
mod webhook;
mod worker;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access::Name;
use api::AuditDestination;
use store::{Store, StoreError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use batch::SendError;
pub(crate) use net::{connect, read, secure};
pub(crate) use webhook::{Post, post_one as post};

use crate::config::Destination;
use worker::Worker;

/// The destinations there are, and how far each has come.
pub struct Deliveries {
    store: Store,
    /// What records say they come from: the relay's domain.
    origin: String,
    /// This process, as a holder of destinations.
    holder: String,
    wanted: watch::Sender<Vec<Destination>>,
    standings: Mutex<BTreeMap<Name, Arc<Standing>>>,
    /// The number of the log's last record.
    end: AtomicU64,
}

/// How far one destination has come, for who counts.
#[derive(Debug, Default)]
struct Standing {
    seq: AtomicU64,
    failures: AtomicU64,
}

/// What is counted of one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) destination: String,
    /// The last record it has taken.
    pub(crate) seq: u64,
    /// How many it has not.
    pub(crate) lag: u64,
    pub(crate) failures: u64,
}

impl Deliveries {
    pub(crate) fn new(store: Store, origin: &str, wanted: Vec<Destination>) -> Arc<Self> {
        Arc::new(Self {
            store,
            origin: origin.to_owned(),
            holder: Uuid::new_v4().to_string(),
            wanted: watch::Sender::new(wanted),
            standings: Mutex::default(),
            end: AtomicU64::new(0),
        })
    }

    /// Sends to these from now on. What a destination has taken is remembered by its name.
    pub(crate) fn want(&self, destinations: Vec<Destination>) {
        self.wanted.send_replace(destinations);
    }

    /// Sends until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let (mut wanted, mut running) = (self.wanted.subscribe(), BTreeMap::new());
        loop {
            let destinations = wanted.borrow_and_update().clone();
            self.follow(&mut running, destinations).await;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = wanted.changed() => {}
                () = sleep(EVERY) => if !running.is_empty() { self.look().await },
            }
        }
        for one in running.into_values() {
            one.end().await;
        }
    }

    /// Where each destination stands.
    pub(crate) async fn list(&self) -> Result<Vec<AuditDestination>, StoreError> {
        let (rows, end) = (self.store.deliveries().await?, self.store.audit_end().await?.seq);
        let wanted = self.wanted.borrow().clone();
        let each = wanted.into_iter().map(|Destination { name, to, .. }| {
            let row = rows.iter().find(|row| row.name == name.as_str());
            let seq = row.map_or(0, |row| row.seq);
            let error = row.and_then(|row| row.error.clone());
            AuditDestination {
                kind: to.kind().to_owned(),
                to: to.to_string(),
                seq,
                lag: end.saturating_sub(seq),
                delivered_ms: row.and_then(|row| row.delivered_ms),
                failed_ms: row.and_then(|row| row.failed_ms),
                failures: row.map_or(0, |row| row.failures),
                error,
                name,
            }
        });
        Ok(each.collect())
    }

    /// What is counted, without asking the store.
    pub(crate) fn counts(&self) -> Vec<Count> {
        let (end, standings) = (self.end.load(Relaxed), self.standings());
        let each = standings.iter().map(|(name, standing)| {
            let seq = standing.seq.load(Relaxed);
            Count {
                destination: name.to_string(),
                seq,
                lag: end.saturating_sub(seq),
                failures: standing.failures.load(Relaxed),
            }
        });
        each.collect()
    }

    /// Ends what is not wanted any more, or not as it was, and begins what is.
    async fn follow(
        self: &Arc<Self>,
        running: &mut BTreeMap<Name, Running>,
        wanted: Vec<Destination>,
    ) {
        let mut gone: Vec<_> = running.extract_if(.., |_, one| !one.goes_on(&wanted)).collect();
        for (name, one) in gone.drain(..) {
            // Before another begins under this name: no two send to one destination.
            one.end().await;
            self.standings().remove(&name);
        }
        for destination in wanted {
            let name = destination.name.clone();
            let begin = || Running::begin(self, destination);
            running.entry(name).or_insert_with(begin);
        }
    }

    /// Sees how long the log is.
    async fn look(&self) {
        match self.store.audit_end().await {
            Ok(end) => self.end.store(end.seq, Relaxed),
            Err(error) => tracing::debug!(%error, "Could not see the end of the audit log"),
        }
    }

    fn standings(&self) -> std::sync::MutexGuard<'_, BTreeMap<Name, Arc<Standing>>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A destination that is being sent to.
struct Running {
    destination: Destination,
    stop: CancellationToken,
    task: JoinSet<()>,
}

impl Running {
    fn begin(deliveries: &Arc<Deliveries>, destination: Destination) -> Self {
        let (stop, mut task) = (CancellationToken::new(), JoinSet::new());
        let standing = Arc::new(Standing::default());
        deliveries.standings().insert(destination.name.clone(), standing.clone());
        let worker = Worker::new(deliveries.clone(), destination.clone(), standing);
        task.spawn(worker.run(stop.clone()));
        Self { destination, stop, task }
    }

    fn goes_on(&mut self, wanted: &[Destination]) -> bool {
        if let Some(ended) = self.task.try_join_next() {
            let name = &self.destination.name;
            tracing::error!(destination = %name, panicked = ended.is_err(), "A destination's task ended");
            return false;
        }
        wanted.contains(&self.destination)
    }

    async fn end(mut self) {
        self.stop.cancel();
        let ended = async { while self.task.join_next().await.is_some() {} };
        // What hangs is aborted with the set.
        drop(timeout(LAST_WORDS, ended).await);
    }
}

/// How often the log's end and the tasks are looked at.
const EVERY: Duration = Duration::from_secs(1);
const LAST_WORDS: Duration = Duration::from_secs(1);
