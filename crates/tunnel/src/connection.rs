//! A connection whose two sides have greeted each other.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use access::{EndReason, SessionId};
use quinn::{ConnectionError, VarInt};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use wire::{Header, Mode, Reply};

use crate::closed::{Closed, OpenError};
use crate::control::ControlLoop;
use crate::endpoint::{FIRST_STREAMS, MAX_STREAMS};
use crate::stream::{Counted, Stream, StreamError};
use crate::window::SendWindow;

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
        let mut stream = self.0.link.open_stream().await.map_err(broken)?;
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
        match link.quic.accept_bi().await {
            Ok((send, recv)) => {
                let stream = Stream::new(send, recv, Counted::new(&link.shared.streams));
                link.allow_more_streams();
                Ok(stream)
            }
            Err(error) => Err(link.closed_by(error)),
        }
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
            _ = self.0.link.quic.closed() => {}
        }
    }

    /// Completes when the connection is over, and says why.
    pub async fn closed(&self) -> Closed {
        self.0.link.closed_by(self.0.link.quic.closed().await)
    }

    pub fn is_open(&self) -> bool {
        self.0.link.quic.close_reason().is_none()
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

    /// Tells the peer that this side takes no more sessions.
    pub fn drain(&self) {
        self.0.link.shared.drain.notify_one();
    }

    /// Ends the connection and every stream on it, and tells the peer why.
    pub fn close(&self, reason: EndReason, why: &str) {
        self.0.link.close(Closed::Here, reason, why);
    }

    /// Closes, and waits a moment so that the peer hears it before this process ends.
    pub async fn goodbye(&self, reason: EndReason, why: &str) {
        self.close(reason, why);
        if let Some(endpoint) = &self.0.link.endpoint {
            drop(timeout(GOODBYE, endpoint.wait_idle()).await);
        }
    }

    pub fn peer(&self) -> &Peer {
        &self.0.peer
    }

    pub fn remote_address(&self) -> SocketAddr {
        self.0.link.quic.remote_address()
    }

    /// The latest estimate of the round trip.
    pub fn rtt(&self) -> Duration {
        self.0.link.quic.rtt()
    }

    /// Streams that are open or being opened, in both directions.
    pub fn streams(&self) -> usize {
        self.0.link.shared.streams.load(Relaxed)
    }

    /// What the transport counted: bytes, packets, losses.
    pub fn stats(&self) -> quinn::ConnectionStats {
        self.0.link.quic.stats()
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
    pub(crate) quic: quinn::Connection,
    pub(crate) shared: Arc<Shared>,
    /// The dialling side's own socket.
    endpoint: Option<quinn::Endpoint>,
}

pub(crate) struct Shared {
    pub(crate) drain: Notify,
    pub(crate) draining: watch::Sender<bool>,
    pub(crate) ready: watch::Sender<bool>,
    streams: Arc<AtomicUsize>,
    limit: AtomicU32,
    ended: OnceLock<Closed>,
}

impl Link {
    pub(crate) fn new(
        quic: quinn::Connection,
        endpoint: Option<quinn::Endpoint>,
        ready: bool,
    ) -> Self {
        let shared = Shared {
            drain: Notify::new(),
            draining: watch::Sender::new(false),
            ready: watch::Sender::new(ready),
            streams: Arc::default(),
            limit: AtomicU32::new(FIRST_STREAMS),
            ended: OnceLock::new(),
        };
        Self { quic, shared: Arc::new(shared), endpoint }
    }

    /// Closes; what was said first is what [`Connection::closed`] and the streams tell.
    pub(crate) fn close(&self, ended: Closed, reason: EndReason, why: &str) {
        // quinn forgets the peer's reason when this side closes after it.
        if let Some(error) = self.quic.close_reason() {
            self.closed_by(error);
            return;
        }
        self.shared.ended.get_or_init(|| ended);
        self.quic.close(VarInt::from_u32(reason.number()), why.as_bytes());
    }

    fn closed_by(&self, error: ConnectionError) -> Closed {
        self.shared.ended.get_or_init(|| error.into()).clone()
    }

    /// Fits what may be under way to the path as it is measured now.
    pub(crate) fn fit(&self, window: &mut SendWindow) {
        if let Some(bytes) = window.measured(self.quic.remote_address(), self.quic.rtt()) {
            self.quic.set_send_window(bytes);
        }
    }

    async fn open_stream(&self) -> io::Result<Stream> {
        let counted = Counted::new(&self.shared.streams);
        match self.quic.open_bi().await {
            Ok((send, recv)) => Ok(Stream::new(send, recv, counted)),
            Err(source) => {
                Err(io::Error::new(io::ErrorKind::NotConnected, StreamError::Lost { source }))
            }
        }
    }

    /// Doubles what the peer may open once half of it is in use.
    fn allow_more_streams(&self) {
        let limit = self.shared.limit.load(Relaxed);
        let half_used = self.shared.streams.load(Relaxed) >= limit as usize / 2;
        if half_used && limit < MAX_STREAMS {
            let limit = (limit * 2).min(MAX_STREAMS);
            self.shared.limit.store(limit, Relaxed);
            self.quic.set_max_concurrent_bi_streams(VarInt::from_u32(limit));
        }
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

/// How long a closing process waits for its last packet to go out.
const GOODBYE: Duration = Duration::from_secs(1);
