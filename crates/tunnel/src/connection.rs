//! A connection whose two sides have greeted each other.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use access::{EndReason, SessionId};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use wire::{Header, Mode, RelayAt, Reply};

use crate::carried::Stream;
use crate::carrier::{Carrier, Transport};
use crate::closed::{Closed, OpenError};
use crate::control::ControlLoop;
use crate::words::Words;

/// A live connection between a relay and an agent or connector. Cheap to clone; closes when the
/// last clone is dropped, and its streams with it.
#[derive(Clone)]
pub struct Connection(Arc<Inner>);

/// The other side, as it described itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub version: u16,
    /// Program and version, for people.
    pub software: String,
    pub capabilities: Vec<String>,
    /// Which process of the machine it is; `None` where it does not say.
    pub instance: Option<String>,
}

/// What stands at the other end of an opened stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub session: Option<SessionId>,
    pub mode: Mode,
    /// Of a door: the relay's own SSH host keys, as OpenSSH lines.
    pub host_keys: Vec<String>,
}

impl Connection {
    pub(crate) fn start(link: Link, peer: Peer, control: ControlLoop) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(control.run());
        Self(Arc::new(Inner { link, peer, _control: tasks }))
    }

    /// Opens a stream: the header, and then the peer's one answer. The caller's deadline stands
    /// around it; dropping the future gives the stream up.
    pub async fn open(&self, header: &Header) -> Result<(Stream, Opened), OpenError> {
        self.ready().await;
        let broken = |source| OpenError::Broken { source };
        let link = &self.0.link;
        let mut stream = link.carrier.open(&link.shared.streams).await.map_err(broken)?;
        stream.send_frame(header).await.map_err(broken)?;
        match stream.recv_frame().await.map_err(broken)? {
            Reply::Opened { session, mode, host_keys } => {
                Ok((stream, Opened { session, mode, host_keys }))
            }
            Reply::Refused(source) => Err(OpenError::Refused { source }),
            Reply::Unknown => Err(OpenError::Unknown),
        }
    }

    /// The next stream the peer opens. Cancel-safe.
    pub async fn accept(&self) -> Result<Stream, Closed> {
        self.ready().await;
        let link = &self.0.link;
        let accepted = link.carrier.accept(&link.shared.streams).await;
        accepted.map_err(|closed| link.ended(closed))
    }

    /// Completes once the connection may carry sessions: at once, or when an expired certificate
    /// has been renewed, or when the connection is over. [`open`](Self::open) and
    /// [`accept`](Self::accept) wait for it.
    pub async fn ready(&self) {
        let mut ready = self.0.link.shared.ready.subscribe();
        if *ready.borrow_and_update() {
            return;
        }
        tokio::select! {
            _ = ready.wait_for(|ready| *ready) => {}
            _ = self.0.link.carrier.closed() => {}
        }
    }

    /// Completes when the connection is over, and says why.
    pub async fn closed(&self) -> Closed {
        self.0.link.ended(self.0.link.carrier.closed().await)
    }

    pub fn is_open(&self) -> bool {
        self.0.link.carrier.close_reason().is_none()
    }

    /// Completes when the peer takes no more sessions; those under way go on.
    pub async fn draining(&self) {
        let mut draining = self.0.link.shared.draining.subscribe();
        // An error would mean that the connection is gone, but this handle holds it.
        drop(draining.wait_for(|draining| *draining).await);
    }

    /// Whether the peer has said that it takes no more sessions.
    pub fn is_draining(&self) -> bool {
        *self.0.link.shared.draining.borrow()
    }

    /// Completes when the peer has not answered for so long that another way to it should be sought.
    pub async fn doubted(&self) {
        let mut doubted = self.0.link.shared.doubted.subscribe();
        // As above.
        drop(doubted.wait_for(|doubted| *doubted).await);
    }

    /// Whether the peer has not answered for a while.
    pub fn is_doubted(&self) -> bool {
        *self.0.link.shared.doubted.borrow()
    }

    /// Tells the peer that this side takes no more sessions.
    pub fn drain(&self) {
        self.0.link.shared.drain.notify_one();
    }

    /// Tells the peer, where that is a connector, of all relays that it may connect to. Once more does
    /// nothing where nothing has changed.
    pub fn tell_relays(&self, relays: Arc<[RelayAt]>) {
        let relays = Some(relays);
        self.0.link.shared.telling.send_if_modified(|telling| {
            let is_new = *telling != relays;
            if is_new {
                *telling = relays;
            }
            is_new
        });
    }

    /// Which relays the peer, where that is a relay, has told of; `None` until it has.
    pub fn relays(&self) -> watch::Receiver<Option<Arc<[RelayAt]>>> {
        self.0.link.shared.told.subscribe()
    }

    /// Tells the peer, where that is an agent, that an admin has ended one of its sessions, and what they
    /// had to say to its user, which may be nothing.
    pub fn tell_killed(&self, session: SessionId, words: Arc<str>) {
        self.0.link.shared.farewells.add((session, words));
    }

    /// What the admin who ended a session had to say. Waits for the relay to tell: put a deadline
    /// around it.
    pub async fn last_words(&self, session: SessionId) -> Option<Arc<str>> {
        self.0.link.shared.heard.of(session).await.filter(|words| !words.is_empty())
    }

    /// Ends the connection and every stream on it, and tells the peer why.
    pub fn close(&self, reason: EndReason, why: &str) {
        self.0.link.close(Closed::Here, reason, why);
    }

    /// Closes, and waits a moment so that the peer hears it before this process ends.
    pub async fn goodbye(&self, reason: EndReason, why: &str) {
        self.close(reason, why);
        self.0.link.carrier.farewell().await;
    }

    /// Whether both are the same connection.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub fn peer(&self) -> &Peer {
        &self.0.peer
    }

    pub fn remote_address(&self) -> SocketAddr {
        self.0.link.carrier.remote_address()
    }

    /// The latest estimate of the round trip.
    pub fn rtt(&self) -> Duration {
        self.0.link.carrier.rtt()
    }

    /// Streams that are open or being opened, in both directions.
    pub fn streams(&self) -> usize {
        self.0.link.shared.streams.load(Relaxed)
    }

    /// What carries it.
    pub fn transport(&self) -> Transport {
        self.0.link.carrier.transport()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.remote_address())
    }
}

/// What [`Connection`] and its control task share.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) carrier: Carrier,
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) drain: Notify,
    pub(crate) draining: watch::Sender<bool>,
    pub(crate) doubted: watch::Sender<bool>,
    pub(crate) ready: watch::Sender<bool>,
    /// Of which relays the peer is to be told, and of which it has.
    pub(crate) telling: watch::Sender<Option<Arc<[RelayAt]>>>,
    pub(crate) told: watch::Sender<Option<Arc<[RelayAt]>>>,
    /// What the peer is to be told of its sessions that admins have ended, and what it has told.
    pub(crate) farewells: Words,
    pub(crate) heard: Words,
    streams: Arc<AtomicUsize>,
    ended: OnceLock<Closed>,
}

impl Link {
    pub(crate) fn new(carrier: Carrier, ready: bool) -> Self {
        let shared = Shared {
            drain: Notify::new(),
            draining: watch::Sender::new(false),
            doubted: watch::Sender::new(false),
            ready: watch::Sender::new(ready),
            telling: watch::Sender::new(None),
            told: watch::Sender::new(None),
            farewells: Words::new(),
            heard: Words::new(),
            streams: Arc::default(),
            ended: OnceLock::new(),
        };
        Self { carrier, shared: Arc::new(shared) }
    }

    /// Closes; what was said first is what [`Connection::closed`] and the streams tell.
    pub(crate) fn close(&self, ended: Closed, reason: EndReason, why: &str) {
        // The peer's reason would be forgotten when this side closes after it.
        if let Some(closed) = self.carrier.close_reason() {
            self.ended(closed);
            return;
        }
        self.shared.ended.get_or_init(|| ended);
        self.carrier.close(reason, why);
    }

    fn ended(&self, closed: Closed) -> Closed {
        self.shared.ended.get_or_init(|| closed).clone()
    }
}

struct Inner {
    link: Link,
    peer: Peer,
    _control: JoinSet<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.link.close(Closed::Here, EndReason::Closed, "goodbye");
    }
}
