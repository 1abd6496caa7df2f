//! The connectors that are connected, and dialling through them.

mod check;
mod clones;
mod dial;
mod examine;
mod link;
mod reach;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use access::{ConnectorId, EndReason, Name, SiteId};
use serde::Serialize;
use session::{AuditEvent, AuditLog, DialError, DialRequest};
use tokio::sync::Semaphore;
use tunnel::Transport;

use crate::seen::Sightings;

pub use check::{Checked, Hop};
use clones::Clones;
pub(crate) use dial::DIAL_TIMEOUT;
pub use examine::{Examined, Finding};
pub use link::Link;
pub(crate) use link::dial_error;
use reach::Reach;
pub use reach::{Dialled, Measured};

/// The directory of live connectors, by site.
///
/// A connection is known by its epoch, never by its connector's id alone: a connector that comes
/// back before its old connection was noticed dead has two for a moment, and the old one's end must
/// not remove the new one. A connector that has found a better way has two for as long as the old one
/// carries sessions: the newest that is open takes new ones, and is the one that lists show.
pub struct Connectors {
    sites: Mutex<HashMap<SiteId, Vec<Arc<Member>>>>,
    /// What dials through each came to; it outlives a connection, not an enrolment.
    reach: Mutex<HashMap<ConnectorId, Reach>>,
    clones: Mutex<Clones>,
    /// What each said last of its ways; it outlives a connection, not an enrolment.
    examined: Mutex<HashMap<ConnectorId, Examined>>,
    examining: Semaphore,
    epochs: AtomicU64,
    /// The relay is stopping.
    stopping: AtomicBool,
    audit: Arc<dyn AuditLog>,
}

/// One connection of a connector.
pub struct Member {
    epoch: u64,
    pub connector: ConnectorIdentity,
    pub shown: Shown,
    pub since: SystemTime,
    link: Arc<dyn Link>,
}

/// What a connector's connection shows.
#[derive(Clone, Debug)]
pub struct Shown {
    pub address: SocketAddr,
    /// By which way its bytes come.
    pub transport: Transport,
    /// Which process of the connector it is, as it said itself.
    pub instance: Option<String>,
    /// The connector's software, as it said itself.
    pub version: String,
    pub certificate: Arc<CertificateEnd>,
}

/// When the certificate of a connection's machine expires; later after each renewal.
#[derive(Debug, Default)]
pub struct CertificateEnd(AtomicU64);

impl CertificateEnd {
    pub(crate) fn set(&self, at: SystemTime) {
        self.0.store(seconds(at), Relaxed);
    }

    /// Unix seconds.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A connector as its registered key says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorIdentity {
    pub id: ConnectorId,
    pub name: String,
    pub site: SiteId,
    pub site_name: Name,
}

/// A connector that is connected, as lists show it.
#[derive(Clone, Debug, Serialize)]
pub struct LiveConnector {
    pub id: ConnectorId,
    pub name: String,
    pub site: Name,
    #[serde(skip)]
    pub site_id: SiteId,
    pub address: SocketAddr,
    pub transport: &'static str,
    /// Unix seconds.
    pub since: u64,
    pub version: String,
    /// When its certificate expires, in Unix seconds.
    pub certificate_expires: u64,
    pub sessions: usize,
    /// Whether it takes no more sessions.
    pub draining: bool,
    /// Since when it is known that two machines have its key, in Unix seconds.
    pub cloned: Option<u64>,
}

/// A connection's place in the directory. Dropping it gives up this place and no other.
pub struct Membership {
    connectors: Arc<Connectors>,
    member: Arc<Member>,
}

impl Connectors {
    pub fn new(audit: Arc<dyn AuditLog>) -> Arc<Self> {
        let (sites, reach, clones) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (examined, examining) = (Mutex::default(), Semaphore::new(examine::AT_ONCE));
        let epochs = AtomicU64::new(1);
        let stopping = AtomicBool::new(false);
        Arc::new(Self { sites, reach, clones, examined, examining, epochs, stopping, audit })
    }

    /// Enters a connection. An older one of the same connector is told to go, unless the same process
    /// holds both: then it goes by itself, when its sessions have.
    pub fn join(
        self: &Arc<Self>,
        connector: ConnectorIdentity,
        shown: Shown,
        link: Arc<dyn Link>,
    ) -> Membership {
        let (epoch, since) = (self.epochs.fetch_add(1, Relaxed), SystemTime::now());
        let member = Arc::new(Member { epoch, connector, shown, since, link });
        let replaced = self.enter(&member);
        for old in &replaced {
            old.link
                .close(EndReason::Closed, "replaced by a newer connection of the same connector");
        }
        self.note(&member, "connected");
        let others = replaced.iter().filter(|old| !old.is_same_process(&member));
        let others = others.filter_map(|old| old.shown.instance.clone());
        let (id, process) = (member.connector.id, member.shown.instance.as_deref());
        if self.clones().note(id, process, others, since) {
            tracing::warn!(connector = %id, "Two machines have this connector's key");
            self.note(&member, "cloned");
        }
        Membership { connectors: self.clone(), member }
    }

    /// The connectors connected now, by site and name.
    pub fn list(&self) -> Vec<LiveConnector> {
        let sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        let mut streams: HashMap<ConnectorId, usize> = HashMap::new();
        for member in sites.values().flatten() {
            *streams.entry(member.connector.id).or_default() += member.link.streams();
        }
        let newest = sites.values().flat_map(|members| newest(members));
        let mut list: Vec<_> =
            newest.map(|member| member.show(streams[&member.connector.id])).collect();
        let clones = self.clones();
        for live in &mut list {
            live.cloned = clones.since(live.id).map(seconds);
        }
        list.sort_by(|a, b| (&a.site, &a.name, a.since).cmp(&(&b.site, &b.name, b.since)));
        list
    }

    /// Notes that those who are connected are there.
    pub(crate) fn see(&self, sightings: &Sightings) {
        for live in self.list() {
            sightings.connector(live.id, live.address.ip(), &live.version);
        }
    }

    fn clones(&self) -> MutexGuard<'_, Clones> {
        self.clones.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What dials through a connector came to since the relay started, by application and address.
    pub fn reach(&self, id: ConnectorId) -> Vec<(Dialled, Measured)> {
        let reach = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        reach.get(&id).map(|reach| reach.all().collect()).unwrap_or_default()
    }

    /// Cuts the connections of a connector that was removed. Whether it had any.
    pub fn disconnect(&self, id: ConnectorId) -> bool {
        self.reach.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        self.clones().forget(id);
        self.examined.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        let own = sites.values().flatten().filter(|member| member.connector.id == id);
        own.map(|member| member.link.close(EndReason::Revoked, "the connector was removed")).count()
            > 0
    }

    /// Asks every connector to take its sessions elsewhere, as the relay is stopping. Their connections
    /// to this one still carry what its sessions leave to be done.
    pub(crate) fn drain(&self) {
        self.stopping.store(true, Relaxed);
        let sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        sites.values().flatten().for_each(|member| member.link.drain());
    }

    /// The connection of the request's site that should carry it, but none of `tried`: the one with the
    /// fewest streams, where a connector that takes long to dial counts as one with more, and one that
    /// has just failed to reach this target comes last.
    fn choose(&self, request: &DialRequest, tried: &[u64], now: SystemTime) -> Option<Arc<Member>> {
        let members = self.of_site(request.application.site.id);
        let reach = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        let fit = members.into_iter().filter(|member| !tried.contains(&member.epoch));
        fit.min_by_key(|member| {
            let known = reach.get(&member.connector.id);
            let measured = known.and_then(|reach| reach.of(request)).unwrap_or_default();
            measured.cost(member.link.streams(), now)
        })
    }

    /// The connection of a connector that takes sessions, where it has one.
    fn newest_of(&self, id: ConnectorId) -> Option<Arc<Member>> {
        let sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        let own = sites.values().flatten().filter(|member| member.connector.id == id);
        own.filter(|member| member.link.is_open()).max_by_key(|member| member.epoch).cloned()
    }

    /// The connections of a site that are worth asking. While the relay stops, connectors say that
    /// these take nothing more, as they have found another relay or look for one; a connection that is
    /// still there does for what has to be stopped and taken back at targets.
    fn of_site(&self, site: SiteId) -> Vec<Arc<Member>> {
        let sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        let members = sites.get(&site).map(Vec::as_slice).unwrap_or_default();
        let stopping = self.stopping.load(Relaxed);
        let fit = |member: &&Arc<Member>| {
            member.link.is_open() || (stopping && member.link.is_draining())
        };
        newest(members).filter(fit).cloned().collect()
    }

    fn measured(
        &self,
        member: &Member,
        request: &DialRequest,
        outcome: Result<Duration, &DialError>,
        now: SystemTime,
    ) {
        let mut reach = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        reach.entry(member.connector.id).or_default().note(request, outcome, now);
    }

    fn enter(&self, member: &Arc<Member>) -> Vec<Arc<Member>> {
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        let id = member.connector.id;
        // By id over all sites: a connector removed and enrolled elsewhere is still one connector.
        let own = sites.values().flatten().filter(|other| other.connector.id == id);
        let mut replaced: Vec<_> =
            own.clone().filter(|other| !member.is_same_process(other)).cloned().collect();
        let kept = own.filter(|other| member.is_same_process(other)).count();
        if kept >= MOST_AT_ONCE {
            let own = sites.values().flatten().filter(|other| other.connector.id == id);
            replaced.extend(own.min_by_key(|other| other.epoch).cloned());
        }
        for members in sites.values_mut() {
            members.retain(|other| !replaced.iter().any(|gone| gone.epoch == other.epoch));
        }
        sites.entry(member.connector.site).or_default().push(member.clone());
        replaced
    }

    /// Whether the directory still held this very connection.
    fn leave(&self, member: &Member) -> bool {
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(members) = sites.get_mut(&member.connector.site) else { return false };
        let before = members.len();
        members.retain(|other| other.epoch != member.epoch);
        let held = members.len() < before;
        if members.is_empty() {
            sites.remove(&member.connector.site);
        }
        held
    }

    fn note(&self, member: &Member, state: &str) {
        let connector = &member.connector;
        let transport = member.shown.transport.as_str();
        tracing::info!(
            connector = %connector.id, site = %connector.site_name, state, transport, "Connector"
        );
        self.audit.note(AuditEvent::ConnectorState {
            site: connector.site_name.clone(),
            connector: connector.name.clone(),
            state: state.to_owned(),
            from: member.shown.address.ip(),
            transport,
        });
    }
}

/// Of each connector the newest connection that is open, or the newest where none is. Each is looked at
/// once: a site may have thousands.
fn newest(members: &[Arc<Member>]) -> impl Iterator<Item = &Arc<Member>> {
    let mut best: HashMap<ConnectorId, (bool, u64)> = HashMap::with_capacity(members.len());
    for member in members {
        let rank = (member.link.is_open(), member.epoch);
        let best = best.entry(member.connector.id).or_insert(rank);
        *best = rank.max(*best);
    }
    members.iter().filter(move |member| best[&member.connector.id].1 == member.epoch)
}

/// Connections that one process of a connector has at once: one that takes sessions, and those whose
/// sessions go on.
const MOST_AT_ONCE: usize = 4;

impl Member {
    fn is_same_process(&self, other: &Self) -> bool {
        self.shown.instance.is_some() && self.shown.instance == other.shown.instance
    }

    /// `sessions` are those of all its connections.
    fn show(&self, sessions: usize) -> LiveConnector {
        LiveConnector {
            id: self.connector.id,
            name: self.connector.name.clone(),
            site: self.connector.site_name.clone(),
            site_id: self.connector.site,
            address: self.shown.address,
            transport: self.shown.transport.as_str(),
            since: seconds(self.since),
            version: self.shown.version.clone(),
            certificate_expires: self.shown.certificate.get(),
            sessions,
            draining: self.link.is_draining(),
            cloned: None,
        }
    }
}

/// Unix seconds.
fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Drop for Membership {
    fn drop(&mut self) {
        let state = match self.connectors.leave(&self.member) {
            true => "disconnected",
            // A newer connection has its place; the site was never without it.
            false => "replaced",
        };
        self.connectors.note(&self.member, state);
    }
}

#[cfg(test)]
mod tests;
