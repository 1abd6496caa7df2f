//! What a relay hears from the others, and what it tells them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use access::{ConnectorId, SessionId};
use store::{Place, RelayRow, StoreError, Wakes};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Cluster, Others, Placed, ShownElsewhere};
use crate::AppState;
use crate::api;

impl Cluster {
    /// Follows the other relays until `stop`.
    pub(crate) async fn follow(self: Arc<Self>, state: AppState, stop: CancellationToken) {
        let wakes = match self.store.wakes() {
            Ok(wakes) => wakes,
            Err(error) => {
                tracing::error!(%error, "Can not follow other relays");
                return;
            }
        };
        let woken = Notify::new();
        let mut watch = Watch::new(self, state);
        tokio::select! {
            () = stop.cancelled() => {}
            () = listen(wakes, &woken) => {}
            () = watch.run(&woken) => {}
        }
    }
}

async fn listen(mut wakes: Wakes, woken: &Notify) {
    loop {
        wakes.next().await;
        woken.notify_one();
    }
}

struct Watch {
    cluster: Arc<Cluster>,
    state: AppState,
    /// The last version that the others know to be in force here.
    told: Option<u64>,
    killed: HashSet<SessionId>,
    beaten: Option<Instant>,
    /// Since when each relay's beat has stood where it stands.
    still: HashMap<i64, (i64, Instant)>,
    placed: Option<Vec<Place>>,
    /// What others know of how many sessions each connector has, and since when.
    sessions: HashMap<ConnectorId, usize>,
    counted: Option<Instant>,
    asked: Option<Instant>,
}

impl Watch {
    fn new(cluster: Arc<Cluster>, state: AppState) -> Self {
        Self {
            cluster,
            state,
            told: None,
            killed: HashSet::new(),
            beaten: None,
            still: HashMap::new(),
            placed: None,
            sessions: HashMap::new(),
            counted: None,
            asked: None,
        }
    }

    async fn run(&mut self, woken: &Notify) {
        loop {
            match timeout(PATIENCE, self.look()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%error, "Could not look what other relays have");
                    self.doubt().await;
                }
                // A database that vanished says nothing.
                Err(_) => self.doubt().await,
            }
            tokio::select! {
                () = woken.notified() => {}
                () = sleep(LOOK) => {}
            }
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        // What ends sessions comes first.
        self.withdraw().await?;
        self.kill().await?;
        if self.beaten.is_none_or(|at| at.elapsed() >= BEAT) {
            self.cluster.store.beat().await?;
            self.beaten = Some(Instant::now());
        }
        self.meet().await?;
        self.place().await?;
        Ok(())
    }

    /// Puts in force what another relay has changed, and tells what that ended.
    async fn withdraw(&mut self) -> Result<(), StoreError> {
        let stored = self.cluster.store.stored_version().await?;
        self.answered();
        let mut ended = 0;
        if stored > self.state.policy.current().version() {
            let before = self.state.broker.standings();
            self.state.policy.refresh().await;
            ended = api::ended_by_policy(&self.state, &before).await;
            self.follow_connectors().await?;
            self.state.authn.browsers().learn(&self.cluster.store).await?;
        }
        let now = self.state.policy.current().version();
        if self.told.is_none_or(|told| told < now) {
            let first = self.told.map_or(0, |told| told + 1);
            self.cluster.store.put_in_force((first, now), ended).await?;
            self.told = Some(now);
        }
        Ok(())
    }

    /// Cuts connectors that were removed elsewhere.
    async fn follow_connectors(&self) -> Result<(), StoreError> {
        let live = self.state.connectors.list();
        if live.is_empty() {
            return Ok(());
        }
        let known = self.cluster.store.connectors().await?;
        for gone in live.iter().filter(|live| !known.iter().any(|row| row.id == live.id)) {
            self.state.connectors.disconnect(gone.id);
        }
        Ok(())
    }

    /// Ends what somebody at another relay ends here.
    async fn kill(&mut self) -> Result<(), StoreError> {
        let asked = self.cluster.store.ended_elsewhere().await?;
        self.killed.retain(|session| asked.iter().any(|(asked, _)| asked == session));
        for (session, words) in asked {
            if !self.killed.contains(&session) && self.state.policy.kill(session, &words).await {
                self.killed.insert(session);
            }
        }
        Ok(())
    }

    /// Sees who is there, and takes away who is not.
    async fn meet(&mut self) -> Result<(), StoreError> {
        let mut relays = self.cluster.store.relays().await?;
        self.cluster.look_outside(&relays);
        relays.retain(|relay| relay.epoch != self.cluster.epoch);
        let places = self.cluster.store.places_elsewhere().await?.into_iter().map(|place| Placed {
            relay: place.relay,
            connector: place.connector,
            site: place.site,
            // A later version's text is of no harm.
            shown: serde_json::from_str(&place.shown).unwrap_or_default(),
        });
        let others = Arc::new(Others { relays: relays.clone(), places: places.collect() });
        *self.cluster.others.lock().unwrap_or_else(PoisonError::into_inner) = others;
        self.cluster.forget_gone().await;
        for relay in self.still(&relays) {
            self.evict(&relay).await?;
        }
        Ok(())
    }

    /// The relays whose beat has stood still for a lease while this one could see it.
    fn still(&mut self, relays: &[RelayRow]) -> Vec<RelayRow> {
        let now = Instant::now();
        self.still.retain(|epoch, _| relays.iter().any(|relay| relay.epoch == *epoch));
        for relay in relays {
            let seen = self.still.entry(relay.epoch).or_insert((relay.beat, now));
            if seen.0 != relay.beat {
                *seen = (relay.beat, now);
            }
        }
        let over = |relay: &&RelayRow| now - self.still[&relay.epoch].1 >= LEASE;
        relays.iter().filter(over).cloned().collect()
    }

    async fn evict(&self, relay: &RelayRow) -> Result<(), StoreError> {
        if let Some(closed) = self.cluster.store.evict_relay(relay, SystemTime::now()).await? {
            tracing::warn!(relay = %relay.name, closed, "Closed the sessions of a relay that is gone");
        }
        Ok(())
    }

    /// Tells which connectors are here.
    async fn place(&mut self) -> Result<(), StoreError> {
        let live = self.state.connectors.list();
        // How many sessions each has is told with the beat, lest each session wakes everybody.
        let beats = self.counted.is_none_or(|at| at.elapsed() >= BEAT);
        let mut places = Vec::with_capacity(live.len());
        for connector in &live {
            let mut shown = ShownElsewhere::from(connector);
            if !beats && let Some(told) = self.sessions.get(&connector.id) {
                shown.sessions = *told;
            }
            self.sessions.insert(connector.id, shown.sessions);
            let shown = serde_json::to_string(&shown).unwrap_or_default();
            let (relay, site) = (self.cluster.epoch, connector.site_id);
            places.push(Place { relay, connector: connector.id, site, shown });
        }
        if beats {
            self.counted = Some(Instant::now());
            self.sessions.retain(|id, _| live.iter().any(|live| live.id == *id));
        }
        if self.placed.as_ref() != Some(&places) {
            self.cluster.store.place_connectors(&places).await?;
            self.placed = Some(places);
        }
        Ok(())
    }

    /// The store answers: what stood still while it did not is counted anew.
    fn answered(&mut self) {
        let mut answered = self.cluster.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.elapsed() > GAP {
            self.still.clear();
        }
        *answered = Instant::now();
    }

    /// Where the store does not answer here but does elsewhere, the others take this relay for gone:
    /// its sessions end, so that nobody goes on by what it can not hear of.
    async fn doubt(&mut self) {
        let silent = self.cluster.silent();
        if silent < LEASE || self.asked.is_some_and(|at| at.elapsed() < BEAT) {
            return;
        }
        self.asked = Some(Instant::now());
        if self.cluster.is_reached_elsewhere().await {
            tracing::error!("Only this relay does not reach the store: its sessions end");
            self.cluster.store.give_up();
        }
    }
}

impl Cluster {
    /// For how long the store has not answered.
    pub(super) fn silent(&self) -> Duration {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// How often it is looked, without having been told to.
const LOOK: Duration = Duration::from_millis(300);
/// For one look.
const PATIENCE: Duration = paced(5000, 1000);
const BEAT: Duration = paced(2000, 500);
/// A relay that does not beat for so long is gone.
const LEASE: Duration = paced(10_000, 3000);
/// A relay that could not look for so long does not know whether others beat.
pub(super) const GAP: Duration = paced(3000, 1500);

/// In milliseconds; tests of this crate do not wait as long.
const fn paced(usual: u64, in_tests: u64) -> Duration {
    Duration::from_millis(if cfg!(test) { in_tests } else { usual })
}
