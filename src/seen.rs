//! When users, agents and connectors were last there.
//!
//! Signing in must cost no write: what is seen is kept in memory, the last of each, and stored once a
//! minute and when the relay stops. A relay that is killed loses a minute of it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use access::{AgentId, ConnectorId, UserId};
use session::Door;
use store::{Known, Seen, Store, StoreError};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::AppState;

/// What was seen and is not stored yet. Whoever is in it is enrolled, so that they bound it.
pub struct Sightings {
    store: Store,
    waiting: Mutex<HashMap<Known, Seen>>,
}

impl Sightings {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, waiting: Mutex::default() }
    }

    /// A user was vouched for.
    pub(crate) fn user(&self, id: UserId, from: IpAddr, door: Door) {
        self.note(Known::User(id), from, Some(door.as_str().to_owned()));
    }

    /// An agent was there.
    pub(crate) fn agent(&self, id: AgentId, from: IpAddr) {
        self.note(Known::Agent(id), from, None);
    }

    /// A connector was connected.
    pub(crate) fn connector(&self, id: ConnectorId, from: IpAddr, software: &str) {
        self.note(Known::Connector(id), from, Some(software.to_owned()));
    }

    /// When each of them was last seen, of those who ever were.
    pub(crate) async fn all(&self) -> Result<HashMap<Known, Seen>, StoreError> {
        // In this order: what is stored meanwhile is in both.
        let waiting = self.waiting().clone();
        let mut seen = self.store.seen().await?;
        seen.extend(waiting);
        Ok(seen)
    }

    /// Stores what was seen once a minute until `stop`, and then the rest.
    pub(crate) async fn follow(state: AppState, stop: CancellationToken) {
        let sightings = state.authn.sightings();
        loop {
            let stopping = tokio::select! {
                biased;
                () = stop.cancelled() => true,
                () = sleep(EVERY) => false,
            };
            // Who is connected is seen, however long ago they came.
            state.connectors.see(sightings);
            state.agents.see(sightings);
            sightings.flush().await;
            if stopping {
                return;
            }
        }
    }

    /// Stores what waits. What can't be stored, and who is seen again meanwhile, waits on.
    pub(crate) async fn flush(&self) {
        let known: HashMap<_, _> = self.waiting().clone();
        let seen: Vec<_> = known.iter().map(|(who, seen)| (*who, seen.clone())).collect();
        match self.store.note_seen(&seen).await {
            Ok(()) => self.waiting().retain(|who, seen| known.get(who) != Some(seen)),
            Err(error) => {
                tracing::warn!(%error, "Could not store who was seen; trying again in a minute");
            }
        }
    }

    fn note(&self, who: Known, from: IpAddr, by: Option<String>) {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seen = Seen { at: at.as_secs(), from: Some(from.to_canonical()), by };
        self.waiting().insert(who, seen);
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Known, Seen>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const EVERY: Duration = Duration::from_secs(60);
