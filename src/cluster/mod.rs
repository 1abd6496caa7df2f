//! One of several relays that serve one database: what it tells the others, what it hears from them,
//! and the ways between them.
//!
//! The database is where relays meet: who is there, which connector is where, which session is open
//! at which of them, what one withdraws. `LISTEN/NOTIFY` says only that there is something new; each
//! looks by itself several times a second, so a notification that is lost costs a moment. Bytes go
//! from relay to relay by the wire, and only when a connector is not here.

mod follow;
mod forward;
mod peers;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access::{Code, ConnectorId, Name, SessionId, SiteId};
use serde::{Deserialize, Serialize};
use session::DialError;
use store::{NewRelay, Outside, RelayRow, Store, StoreError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tunnel::Connection;
use tunnel::identity::{IdentityError, Key};
use wire::{Control, RelayAt};

use crate::ca::{Ca, CaError};
use crate::config;
use crate::connectors::LiveConnector;

pub(crate) use forward::Forwarding;

/// This relay among the others.
pub struct Cluster {
    name: Name,
    host: String,
    /// Where connectors are told that they reach this relay.
    outside: Option<config::OutsideUrl>,
    domain: String,
    epoch: i64,
    store: Store,
    ca: Arc<Ca>,
    /// By which the others know it; it never leaves this process.
    key: Key,
    others: Mutex<Arc<Others>>,
    /// What connectors are told; `None` until it was looked which relays there are.
    outsides: watch::Sender<Option<Arc<[RelayAt]>>>,
    /// Connections made to other relays, by their epochs, the one that takes sessions last.
    links: tokio::sync::Mutex<HashMap<i64, Vec<Connection>>>,
    /// Connections that other relays made, by their epochs.
    guests: Mutex<HashMap<i64, Vec<Connection>>>,
    /// When the store last answered.
    answered: Mutex<Instant>,
}

/// The other relays as they were a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Others {
    pub(crate) relays: Vec<RelayRow>,
    pub(crate) places: Vec<Placed>,
}

/// A connector at another relay.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) relay: i64,
    pub(crate) connector: ConnectorId,
    pub(crate) site: SiteId,
    pub(crate) shown: ShownElsewhere,
}

/// What lists show of it there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ShownElsewhere {
    pub(crate) site: String,
    pub(crate) address: String,
    pub(crate) transport: String,
    /// Unix seconds, as is `certificate_expires`.
    pub(crate) since: u64,
    pub(crate) version: String,
    pub(crate) certificate_expires: u64,
    pub(crate) sessions: usize,
    pub(crate) draining: bool,
    pub(crate) cloned: Option<u64>,
}

/// Why a relay is not one of several.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("the store refused it")]
    Store(#[from] StoreError),
    #[error("its key could not be made")]
    Key(#[from] IdentityError),
    #[error("its certificate could not be made")]
    Ca(#[from] CaError),
}

/// How sessions elsewhere have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EndedElsewhere {
    pub(crate) ended: u64,
    pub(crate) took: Duration,
}

impl Cluster {
    /// Claims the database beside other relays, and says how many sessions were closed that had been
    /// left open.
    pub(crate) async fn join(
        config: &config::Config,
        own: &config::Cluster,
        store: &Store,
        ca: Arc<Ca>,
        now: std::time::SystemTime,
    ) -> Result<(Arc<Self>, u64), ClusterError> {
        let key = Key::generate()?;
        let version = env!("CARGO_PKG_VERSION");
        let (_, spki) = ca.sign_client(&key.csr_pem()?, &machine(&own.name))?;
        let new = NewRelay { name: &own.name, spki, version };
        let joined = store.join_relays(new, now).await?;
        let cluster = Self {
            name: own.name.clone(),
            host: own.host.clone(),
            outside: own.connectors.clone(),
            domain: config.domain.clone(),
            epoch: joined.epoch,
            store: store.clone(),
            ca,
            key,
            others: Mutex::default(),
            outsides: watch::Sender::new(None),
            links: tokio::sync::Mutex::default(),
            guests: Mutex::default(),
            answered: Mutex::new(Instant::now()),
        };
        Ok((Arc::new(cluster), joined.abandoned))
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Tells the others by which ports they reach this one, and where connectors do.
    pub(crate) async fn announce(&self, quic: u16, https: u16) -> Result<(), StoreError> {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let outside = self
            .outside
            .as_ref()
            .map(|outside| Outside { url: outside.to_string(), quic: outside.quic(quic, https) });
        let (quic, https) = (format!("{host}:{quic}"), format!("{host}:{https}"));
        self.store.announce_relay(&quic, &https, outside.as_ref()).await
    }

    /// Tells a connector of the relays that it may connect to, and again whenever they change.
    pub(crate) async fn tell(&self, connector: &Connection) -> Infallible {
        let mut outsides = self.outsides.subscribe();
        loop {
            if let Some(relays) = outsides.borrow_and_update().clone() {
                connector.tell_relays(relays);
            }
            // The sender lives as long as `self`.
            drop(outsides.changed().await);
        }
    }

    /// Notes where connectors reach which relay.
    fn look_outside(&self, relays: &[RelayRow]) {
        let told = relays.iter().filter_map(|relay| {
            let Outside { url, quic } = relay.outside.clone()?;
            Some(RelayAt { url, quic, here: relay.epoch == self.epoch })
        });
        let told: Arc<[RelayAt]> = told.take(Control::MOST_RELAYS).collect();
        self.outsides.send_if_modified(|before| {
            let is_new = before.as_ref() != Some(&told);
            if is_new {
                *before = Some(told);
            }
            is_new
        });
    }

    /// The other relays as they were a moment ago.
    pub(crate) fn others(&self) -> Arc<Others> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this relay does what one alone must do: who has been here longest.
    pub(crate) fn leads(&self) -> bool {
        self.others().relays.iter().all(|other| other.epoch > self.epoch)
    }

    /// Waits until the others have put a version of the configuration in force, though no longer than
    /// the promise lasts, and says what that has ended.
    pub(crate) async fn in_force(&self, version: u64, start: Instant) -> EndedElsewhere {
        loop {
            let late = start.elapsed() >= PROMISE;
            match self.store.in_force_elsewhere(version).await {
                Ok(relays) if late || relays.iter().all(Option::is_some) => {
                    let silent = relays.iter().filter(|relay| relay.is_none()).count();
                    if silent > 0 {
                        tracing::error!(silent, "Other relays have not yet said that they follow");
                    }
                    let ended = relays.into_iter().flatten().sum();
                    return EndedElsewhere { ended, took: start.elapsed() };
                }
                Err(error) if late => {
                    tracing::error!(%error, "What other relays have ended is not known");
                    return EndedElsewhere::default();
                }
                Ok(_) | Err(_) => sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// Ends a session at whichever relay has it. `None`: none has.
    pub(crate) async fn kill(
        &self,
        session: SessionId,
        words: &str,
        start: Instant,
    ) -> Result<Option<EndedElsewhere>, StoreError> {
        if !self.store.end_elsewhere(session, words).await? {
            return Ok(None);
        }
        while self.store.is_live(session).await? {
            if start.elapsed() >= PROMISE {
                tracing::error!(%session, "A session at another relay has not ended in time");
                return Ok(Some(EndedElsewhere { ended: 0, took: start.elapsed() }));
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(Some(EndedElsewhere { ended: 1, took: start.elapsed() }))
    }

    fn guests(&self) -> MutexGuard<'_, HashMap<i64, Vec<Connection>>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClusterError {
    /// The code of what went wrong, and what to do.
    pub fn advice(&self) -> Option<(Code, &'static str)> {
        match self {
            Self::Store(error) => error.advice(),
            Self::Key(_) | Self::Ca(_) => None,
        }
    }
}

impl Others {
    pub(crate) fn name(&self, epoch: i64) -> Option<&Name> {
        self.relays.iter().find(|relay| relay.epoch == epoch).map(|relay| &relay.name)
    }

    /// Whether a connector of a site is anywhere.
    pub(crate) fn has(&self, site: SiteId) -> bool {
        self.places.iter().any(|place| place.site == site)
    }

    /// Where a connector is.
    pub(crate) fn of(&self, connector: ConnectorId) -> impl Iterator<Item = &Placed> {
        self.places.iter().filter(move |place| place.connector == connector)
    }
}

impl From<&LiveConnector> for ShownElsewhere {
    fn from(live: &LiveConnector) -> Self {
        Self {
            site: live.site.to_string(),
            address: live.address.to_string(),
            transport: live.transport.to_owned(),
            since: live.since,
            version: live.version.clone(),
            certificate_expires: live.certificate_expires,
            sessions: live.sessions,
            draining: live.draining,
            cloned: live.cloned,
        }
    }
}

/// The name in the certificate of a relay towards others.
pub(crate) fn machine(name: &Name) -> String {
    format!("relay:{name}")
}

/// That another relay may have a connector that this one has not.
fn is_here_only(error: &DialError) -> bool {
    matches!(error, DialError::Offline { .. } | DialError::Tunnel { .. })
}

/// Within this long, withdrawn access has ended everywhere.
const PROMISE: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
