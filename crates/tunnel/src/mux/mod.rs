//! Many streams over one TCP connection: yamux, and what it has no word for.
//!
//! One connection, not several: a lost packet holds up all its streams for a round trip, but this is
//! where a machine is only while UDP does not work, each stream has a window of its own so that a
//! reader who stands still stops nobody else, and one connection is one identity, one greeting and
//! one sign of life.

mod driver;
mod record;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use access::EndReason;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::carried::{Counted, Stream, StreamError};
use crate::carrier::Transport;
use crate::closed::Closed;

use driver::{Driver, Heard};
pub(crate) use stream::MuxStream;

/// A multiplexed connection. Cheap to clone; it is closed when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Mux(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    inbound: Mutex<mpsc::Receiver<yamux::Stream>>,
}

/// Which side of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Dialler,
    Listener,
}

/// What a connection is made of, once its TLS stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) remote: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) side: Side,
}

/// What the connection, its streams and its driver share.
pub(super) struct Shared {
    way: Way,
    opens: mpsc::Sender<oneshot::Sender<yamux::Stream>>,
    last_words: mpsc::Sender<LastWord>,
    /// Streams this side may have open.
    slots: Arc<Semaphore>,
    closed: OnceLock<Closed>,
    /// Set when this side closes; the driver says it to the peer.
    bye: watch::Sender<Option<Bye>>,
    /// Set when the driver has ended.
    over: watch::Sender<bool>,
    received: Arc<Received>,
    rtt_micros: AtomicU64,
}

/// What has come in.
#[derive(Debug)]
struct Received {
    began: Instant,
    bytes: AtomicU64,
    /// When the last of them came, in microseconds since it began.
    last: AtomicU64,
}

/// Why this side closes.
#[derive(Clone, Debug)]
struct Bye {
    reason: EndReason,
    why: String,
}

/// A stream that was given up, with what its peer is still to be told.
struct LastWord {
    yamux: yamux::Stream,
    pending: Bytes,
    record: Bytes,
}

impl Mux {
    /// Starts carrying streams over `io`. Its driver ends with the connection: soon after it was
    /// closed, when the peer is gone, or when nobody holds it any more.
    pub(crate) fn start<T>(io: T, way: Way) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (opens, to_open) = mpsc::channel(OPENING);
        let (last_words, said) = mpsc::channel(LAST_WORDS);
        let (arrived, inbound) = mpsc::channel(UNACCEPTED);
        let (bytes, last) = (AtomicU64::new(0), AtomicU64::new(0));
        let received = Arc::new(Received { began: Instant::now(), bytes, last });
        let shared = Arc::new(Shared {
            way,
            opens,
            last_words,
            slots: Arc::new(Semaphore::new(MAX_OPENED)),
            closed: OnceLock::new(),
            bye: watch::Sender::new(None),
            over: watch::Sender::new(false),
            received: received.clone(),
            rtt_micros: AtomicU64::new(0),
        });
        let io = Heard::new(io, received);
        let driver = Driver::new(io, way.side, (to_open, said), arrived);
        #[expect(
            clippy::disallowed_methods,
            reason = "as quinn's own, it outlives the handle by the moment a goodbye takes"
        )]
        tokio::spawn(driver.run(Arc::clone(&shared)));
        Self(Arc::new(Handle { shared, inbound: Mutex::new(inbound) }))
    }

    pub(crate) fn transport(&self) -> Transport {
        self.0.shared.way.transport
    }

    pub(crate) async fn open(&self, counted: Counted) -> io::Result<Stream> {
        let lost = || {
            let source = self.0.shared.closed().unwrap_or(Closed::Silent);
            StreamError::Lost { source }.io_error()
        };
        let slots = Arc::clone(&self.0.shared.slots);
        let slot = slots.acquire_owned().await.map_err(|_| lost())?;
        let (answer, opened) = oneshot::channel();
        self.0.shared.opens.send(answer).await.map_err(|_| lost())?;
        let yamux = opened.await.map_err(|_| lost())?;
        Ok(self.stream(yamux, Some(slot), counted))
    }

    pub(crate) async fn accept(&self, streams: &Arc<AtomicUsize>) -> Result<Stream, Closed> {
        let next = async { self.0.inbound.lock().await.recv().await };
        tokio::select! {
            biased;
            closed = self.closed() => Err(closed),
            Some(yamux) = next => Ok(self.stream(yamux, None, Counted::new(streams))),
        }
    }

    fn stream(
        &self,
        yamux: yamux::Stream,
        slot: Option<OwnedSemaphorePermit>,
        counted: Counted,
    ) -> Stream {
        let mux = Arc::clone(&self.0.shared);
        Stream::Mux(Box::new(MuxStream::new(yamux, mux, slot, counted)))
    }

    pub(crate) async fn closed(&self) -> Closed {
        let (mut bye, mut over) = (self.0.shared.bye.subscribe(), self.0.shared.over.subscribe());
        tokio::select! {
            _ = bye.wait_for(Option::is_some) => {}
            _ = over.wait_for(|over| *over) => {}
        }
        self.0.shared.closed().unwrap_or(Closed::Silent)
    }

    pub(crate) fn close_reason(&self) -> Option<Closed> {
        self.0.shared.closed()
    }

    pub(crate) fn close(&self, reason: EndReason, why: &str) {
        self.0.shared.close(reason, why);
    }

    /// Waits until the driver has said goodbye, which it does within a moment.
    pub(crate) async fn farewell(&self) {
        let mut over = self.0.shared.over.subscribe();
        drop(timeout(2 * FAREWELL, over.wait_for(|over| *over)).await);
    }

    pub(crate) fn remote_address(&self) -> SocketAddr {
        self.0.shared.way.remote
    }

    pub(crate) fn rtt(&self) -> Duration {
        Duration::from_micros(self.0.shared.rtt_micros.load(Relaxed))
    }

    pub(crate) fn measured(&self, rtt: Duration) {
        self.0.shared.rtt_micros.store(u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn received(&self) -> u64 {
        self.0.shared.received.bytes.load(Relaxed)
    }

    /// When the last byte came.
    pub(crate) fn heard_at(&self) -> Instant {
        let Received { began, last, .. } = &*self.0.shared.received;
        *began + Duration::from_micros(last.load(Relaxed))
    }
}

impl Received {
    fn note(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
        let since = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last.store(since, Relaxed);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close(EndReason::Closed, "goodbye");
    }
}

impl Shared {
    pub(super) fn closed(&self) -> Option<Closed> {
        self.closed.get().cloned()
    }

    fn close(&self, reason: EndReason, why: &str) {
        self.closed.get_or_init(|| Closed::Here);
        self.bye.send_if_modified(|bye| {
            let first = bye.is_none();
            bye.get_or_insert_with(|| Bye { reason, why: why.to_owned() });
            first
        });
    }

    /// Keeps a stream of a connection that closes until it has: it would be reset before the peer
    /// hears that the connection is closed, and why.
    fn hold(&self, yamux: yamux::Stream) {
        self.last_word(yamux, Bytes::new(), Bytes::new());
    }

    /// Has the driver say why a stream was given up. Where too many are, this one's peer takes it for
    /// broken.
    fn last_word(&self, yamux: yamux::Stream, pending: Bytes, record: Bytes) {
        drop(self.last_words.try_send(LastWord { yamux, pending, record }));
    }
}

/// Streams one side opens at most; more wait. The other side counts one until its own session has
/// let go of it, and yamux ends a connection that holds too many, so it allows many more.
const MAX_OPENED: usize = 1024;
const MAX_STREAMS: usize = 4 * MAX_OPENED;
/// What all windows of a connection may grow to; yamux gives each stream 256 KiB at first.
const MAX_WINDOWS: usize = MAX_STREAMS * yamux::DEFAULT_CREDIT as usize;
/// Asked for and not opened yet.
const OPENING: usize = 16;
/// Arrived and not accepted; more are reset.
const UNACCEPTED: usize = 256;
const LAST_WORDS: usize = MAX_OPENED;
/// For the last word to a peer.
const FAREWELL: Duration = Duration::from_millis(500);
/// For a stream's last word. Revoking ends what it should within a second.
const LAST_WORD: Duration = Duration::from_millis(500);
