//! The connections to all relays: those that the configuration names, and those told of meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tunnel::Ladder;
use wire::RelayAt;

use crate::backoff::Backoff;
use crate::config::{Config, ProxyChoiceError, Relay};
use crate::relays::{List, Told, wanted};

use super::uplink::{Shared, Uplink};
use super::{Worked, ways};

/// What the connections hear of further relays, for whoever keeps a connection to each.
pub(super) struct News {
    domain: String,
    told: Mutex<Told>,
    changed: watch::Sender<()>,
}

impl News {
    pub(super) fn new(domain: &str, told: Told) -> Self {
        Self { domain: domain.to_owned(), told: Mutex::new(told), changed: watch::Sender::new(()) }
    }

    pub(super) fn heard(&self, place: usize, relays: &[RelayAt]) {
        self.told().heard(place, List::judge(relays, &self.domain));
        self.changed.send_replace(());
    }

    pub(super) fn left(&self, place: usize) {
        self.told().left(place);
        self.changed.send_replace(());
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a connection to each relay that is wanted.
pub(super) struct Uplinks {
    config: Config,
    shared: Shared,
    instance: String,
    worked: Worked,
    running: JoinSet<usize>,
    standing: BTreeMap<usize, Standing>,
    next: usize,
    /// What is kept for the next start.
    written: Vec<Relay>,
}

/// One that dials, or is connected.
struct Standing {
    https: String,
    named: bool,
    leave: CancellationToken,
}

impl Uplinks {
    pub(super) fn new(config: Config, shared: Shared, instance: String, worked: Worked) -> Self {
        let (running, standing) = (JoinSet::new(), BTreeMap::new());
        let written = shared.news.told().relays().to_vec();
        Self { config, shared, instance, worked, running, standing, next: 0, written }
    }

    /// Dials all that is known of by now. Fails where the configuration's own can not be dialled.
    pub(super) fn begin(&mut self) -> Result<(), ProxyChoiceError> {
        self.fit()
    }

    /// Until all are told to stop, and then until they have.
    pub(super) async fn run(mut self) {
        let mut changed = self.shared.news.changed.subscribe();
        // What was heard before this began.
        changed.mark_changed();
        let stop = self.shared.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(done) = self.running.join_next() => self.note(done),
                // The sender lives as long as what they share.
                Ok(()) = changed.changed() => {
                    self.keep().await;
                    if let Err(error) = self.fit() {
                        tracing::warn!(%error, "Could not dial a relay that another one told of");
                    }
                }
            }
        }
        while let Some(done) = self.running.join_next().await {
            self.note(done);
        }
    }

    /// Begins and ends connections, so that they are those that are wanted.
    fn fit(&mut self) -> Result<(), ProxyChoiceError> {
        let wanted: Vec<Relay> = {
            let told = self.shared.news.told();
            let named = self.standing.iter().filter(|(_, one)| one.named);
            let reached = told.at(named.map(|(place, _)| *place));
            wanted(&self.config, told.relays(), &reached).into_iter().cloned().collect()
        };
        let is_wanted = |one: &Standing| wanted.iter().any(|relay| relay.https == one.https);
        self.standing.retain(|_, one| {
            let stays = is_wanted(one);
            if !stays {
                tracing::info!(relay = one.https, "Leaving a relay that is not told of any more");
                one.leave.cancel();
            }
            stays
        });
        let stands: BTreeSet<String> =
            self.standing.values().map(|one| one.https.clone()).collect();
        for relay in wanted.iter().filter(|relay| !stands.contains(&relay.https)) {
            self.dial(relay)?;
        }
        Ok(())
    }

    fn dial(&mut self, relay: &Relay) -> Result<(), ProxyChoiceError> {
        let worked = self.worked.by(relay);
        let ladder = Ladder::new(ways(&self.config, relay)?, worked).of_process(&self.instance);
        let named = self.config.relays.iter().any(|own| own.https == relay.https);
        if !named {
            tracing::info!(relay = relay.url, "Dialling a relay that another one told of");
        }
        let (place, leave) = (self.next, self.shared.stop.child_token());
        self.next += 1;
        self.shared.report.begin(place, &relay.url, !named, worked);
        let mut uplink = Uplink {
            shared: self.shared.clone(),
            place,
            leave: leave.clone(),
            ladder: Arc::new(ladder),
            backoff: Backoff::default(),
            others_lost: self.shared.lost.subscribe(),
        };
        self.running.spawn(async move {
            Box::pin(uplink.stay_connected()).await;
            place
        });
        let https = relay.https.clone();
        self.standing.insert(place, Standing { https, named, leave });
        Ok(())
    }

    /// Writes what was told for the next start, off the reactor. Where that fails, it is told again.
    async fn keep(&mut self) {
        let told = self.shared.news.told().relays().to_vec();
        if told == self.written || !self.config.learn_relays {
            return;
        }
        let (relays, state) = (told.clone(), self.shared.state.clone());
        match tokio::task::spawn_blocking(move || Told::write(&relays, &state)).await {
            Ok(Ok(())) => self.written = told,
            Ok(Err(error)) => tracing::warn!(%error, "Could not keep which relays there are"),
            Err(error) => tracing::warn!(%error, "Could not keep which relays there are"),
        }
    }

    fn note(&mut self, done: Result<usize, JoinError>) {
        match done {
            Ok(place) => drop(self.standing.remove(&place)),
            // Nothing else would serve these sessions: the process ends, and is started again.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => tracing::error!(%error, "A connection's task failed"),
        }
    }
}
