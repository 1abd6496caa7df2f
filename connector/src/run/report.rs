//! Keeps `status.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tunnel::{Connection, Transport};

use crate::SOFTWARE;
use crate::serve::Site;
use crate::status::{RelayStatus, State, Status, unix};

/// What all of a connector's connections tell; each writes its own place.
pub(super) struct Report {
    directory: PathBuf,
    site: Arc<Site>,
    /// All but what stands of each relay.
    status: Mutex<Status>,
    relays: Mutex<BTreeMap<usize, RelayStatus>>,
    /// One writes at a time, so that the file never goes back.
    turn: tokio::sync::Mutex<()>,
}

impl Report {
    /// `relay` is the first that is dialled, and `worked` by which way it was reached the last time.
    pub(super) fn new(
        directory: &Path,
        relay: &str,
        worked: Option<Transport>,
        certificate_expires: SystemTime,
        site: Arc<Site>,
    ) -> Self {
        let now = unix(SystemTime::now());
        let status = Status {
            pid: std::process::id(),
            software: SOFTWARE.to_owned(),
            relay: relay.to_owned(),
            state: State::Connecting,
            since: now,
            relay_software: None,
            rtt_micros: None,
            transport: worked.map(|transport| transport.to_string()),
            sessions: 0,
            opened: 0,
            refused: 0,
            last_error: None,
            certificate_expires: unix(certificate_expires),
            written: now,
            relays: Vec::new(),
        };
        let (status, turn) = (Mutex::new(status), tokio::sync::Mutex::default());
        Self { directory: directory.to_owned(), site, status, relays: Mutex::default(), turn }
    }

    /// One more relay is dialled.
    pub(super) fn begin(&self, place: usize, relay: &str, told: bool, worked: Option<Transport>) {
        self.relays().insert(place, connecting(relay, told, worked));
    }

    /// A relay is dialled no more, and its last session has ended.
    pub(super) async fn end(&self, place: usize) {
        self.relays().remove(&place);
        self.write().await;
    }

    /// Why the connection to a relay ended, or did not come about.
    pub(super) fn failed(&self, place: usize, error: String) {
        if let Some(relay) = self.relays().get_mut(&place) {
            relay.last_error = Some(error.clone());
        }
        self.status().last_error = Some(error);
    }

    pub(super) fn certificate_expires(&self, at: SystemTime) {
        self.status().certificate_expires = unix(at);
    }

    /// Notes how it stands with one relay, and writes what is so now.
    pub(super) async fn note(&self, place: usize, state: State, connection: Option<&Connection>) {
        if let Some(relay) = self.relays().get_mut(&place) {
            relay.update(state, connection);
        }
        self.write().await;
    }

    /// Writes that the connector has stopped.
    pub(super) async fn stopped(&self) {
        self.relays().values_mut().for_each(|relay| relay.update(State::Stopped, None));
        self.write().await;
    }

    /// Off the reactor. A file that can not be written stops no session.
    async fn write(&self) {
        let _turn = self.turn.lock().await;
        let (status, directory) = (self.gather(), self.directory.clone());
        let written = tokio::task::spawn_blocking(move || status.write(&directory)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "Could not write the status"),
            Err(error) => tracing::warn!(%error, "Could not write the status"),
        }
    }

    /// The whole of it, of which what stands first is the relay that is reached best.
    fn gather(&self) -> Status {
        let relays = self.relays().values().cloned().collect();
        let mut status = self.status();
        status.relays = relays;
        let now = unix(SystemTime::now());
        let best = status.relays.iter().min_by_key(|relay| rank(relay.state)).cloned();
        if let Some(best) = best {
            let draining = self.site.orders.now().is_drain() && best.state == State::Connected;
            let state = if draining { State::Draining } else { best.state };
            if status.state != state {
                (status.state, status.since) = (state, now);
            }
            status.relay = best.relay;
            status.relay_software = best.relay_software;
            status.rtt_micros = best.rtt_micros;
            status.transport = best.transport.or_else(|| status.transport.take());
        }
        let counts = &self.site.counts;
        status.opened = counts.opened.load(Relaxed);
        status.refused = counts.refused.load(Relaxed);
        status.sessions = status.opened.saturating_sub(counts.ended.load(Relaxed));
        status.written = now;
        status.clone()
    }

    fn relays(&self) -> MutexGuard<'_, BTreeMap<usize, RelayStatus>> {
        self.relays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RelayStatus {
    fn update(&mut self, state: State, connection: Option<&Connection>) {
        self.state = state;
        self.relay_software = connection.map(|connection| connection.peer().software.clone());
        self.rtt_micros = connection
            .map(|connection| u64::try_from(connection.rtt().as_micros()).unwrap_or(u64::MAX));
        if let Some(connection) = connection {
            self.transport = Some(connection.transport().to_string());
        }
    }
}

fn connecting(relay: &str, told: bool, worked: Option<Transport>) -> RelayStatus {
    RelayStatus {
        relay: relay.to_owned(),
        told,
        state: State::Connecting,
        relay_software: None,
        rtt_micros: None,
        transport: worked.map(|transport| transport.to_string()),
        last_error: None,
    }
}

/// The best first.
fn rank(state: State) -> u8 {
    match state {
        State::Connected => 0,
        State::Draining => 1,
        State::Connecting => 2,
        State::Stopped => 3,
    }
}
