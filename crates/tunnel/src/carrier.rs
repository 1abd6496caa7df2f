//! What carries a connection's streams.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use access::EndReason;
use quinn::{ConnectionError, VarInt};
use tokio::time::{Instant, timeout};

use crate::carried::{Counted, Stream, StreamError};
use crate::closed::Closed;
use crate::endpoint::{FIRST_STREAMS, MAX_STREAMS};
use crate::mux::Mux;
use crate::stream::QuicStream;
use crate::window::SendWindow;

/// By which way a connection's bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// QUIC over UDP.
    Quic,
    /// TLS over TCP.
    Tls,
    /// TLS inside a WebSocket, which crosses what takes nothing but HTTP.
    WebSocket,
}

impl Transport {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::Tls => "tls",
            Self::WebSocket => "websocket",
        }
    }
}

/// A word that is no transport's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not quic, tls or websocket")]
pub struct TransportError;

impl FromStr for Transport {
    type Err = TransportError;

    fn from_str(text: &str) -> Result<Self, TransportError> {
        [Self::Quic, Self::Tls, Self::WebSocket]
            .into_iter()
            .find(|transport| transport.as_str() == text)
            .ok_or(TransportError)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One carrier. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Carrier {
    Quic(Quic),
    Mux(Mux),
}

/// A QUIC connection, and how many streams its peer may open.
#[derive(Clone)]
pub(crate) struct Quic {
    quic: quinn::Connection,
    /// The dialling side's own socket.
    endpoint: Option<quinn::Endpoint>,
    limit: Arc<AtomicU32>,
}

impl Carrier {
    pub(crate) fn quic(quic: quinn::Connection, endpoint: Option<quinn::Endpoint>) -> Self {
        Self::Quic(Quic { quic, endpoint, limit: Arc::new(AtomicU32::new(FIRST_STREAMS)) })
    }

    pub(crate) fn transport(&self) -> Transport {
        match self {
            Self::Quic(_) => Transport::Quic,
            Self::Mux(mux) => mux.transport(),
        }
    }

    /// Opens a stream, which counts among `streams` from now on.
    pub(crate) async fn open(&self, streams: &Arc<AtomicUsize>) -> io::Result<Stream> {
        let counted = Counted::new(streams);
        match self {
            Self::Quic(carrier) => carrier.open(counted).await,
            Self::Mux(mux) => mux.open(counted).await,
        }
    }

    /// The next stream the peer opens. Cancel-safe.
    pub(crate) async fn accept(&self, streams: &Arc<AtomicUsize>) -> Result<Stream, Closed> {
        match self {
            Self::Quic(carrier) => Ok(carrier.accept(streams).await?),
            Self::Mux(mux) => mux.accept(streams).await,
        }
    }

    /// Completes when the connection is over.
    pub(crate) async fn closed(&self) -> Closed {
        match self {
            Self::Quic(carrier) => carrier.quic.closed().await.into(),
            Self::Mux(mux) => mux.closed().await,
        }
    }

    /// Why it is over, where it is.
    pub(crate) fn close_reason(&self) -> Option<Closed> {
        match self {
            Self::Quic(carrier) => carrier.quic.close_reason().map(Closed::from),
            Self::Mux(mux) => mux.close_reason(),
        }
    }

    pub(crate) fn close(&self, reason: EndReason, why: &str) {
        match self {
            Self::Quic(carrier) => {
                carrier.quic.close(VarInt::from_u32(reason.number()), why.as_bytes());
            }
            Self::Mux(mux) => mux.close(reason, why),
        }
    }

    /// Waits until the peer of a closed connection has heard it, for a moment.
    pub(crate) async fn farewell(&self) {
        match self {
            Self::Quic(Quic { endpoint: Some(endpoint), .. }) => {
                drop(timeout(GOODBYE, endpoint.wait_idle()).await);
            }
            Self::Quic(_) => {}
            Self::Mux(mux) => mux.farewell().await,
        }
    }

    pub(crate) fn remote_address(&self) -> SocketAddr {
        match self {
            Self::Quic(carrier) => carrier.quic.remote_address(),
            Self::Mux(mux) => mux.remote_address(),
        }
    }

    /// The latest estimate of the round trip.
    pub(crate) fn rtt(&self) -> Duration {
        match self {
            Self::Quic(carrier) => carrier.quic.rtt(),
            Self::Mux(mux) => mux.rtt(),
        }
    }

    /// The largest packet that is known to get through, without the heads of UDP and IP.
    pub(crate) fn largest_packet(&self) -> Option<u16> {
        match self {
            Self::Quic(carrier) => Some(carrier.quic.stats().path.current_mtu),
            // TCP finds that out by itself, and tells nobody.
            Self::Mux(_) => None,
        }
    }

    /// Takes a round trip as the greeting or a ping measured it, where the carrier does not measure.
    pub(crate) fn measured(&self, rtt: Duration) {
        match self {
            Self::Quic(_) => {}
            Self::Mux(mux) => mux.measured(rtt),
        }
    }

    /// How much has been received, whatever it was: bytes, or packets.
    pub(crate) fn received(&self) -> u64 {
        match self {
            Self::Quic(carrier) => carrier.quic.stats().udp_rx.datagrams,
            Self::Mux(mux) => mux.received(),
        }
    }

    /// When the last byte came, where a peer's answer may stand in line behind other bytes, so that
    /// its life shows by those.
    pub(crate) fn heard_at(&self) -> Option<Instant> {
        match self {
            Self::Quic(_) => None,
            Self::Mux(mux) => Some(mux.heard_at()),
        }
    }

    /// Fits what may be under way to the path as it is measured now.
    pub(crate) fn fit(&self, window: &mut SendWindow) {
        match self {
            Self::Quic(Quic { quic, .. }) => {
                if let Some(bytes) = window.measured(quic.remote_address(), quic.rtt()) {
                    quic.set_send_window(bytes);
                }
            }
            // TCP sees to that itself.
            Self::Mux(_) => {}
        }
    }
}

impl From<Mux> for Carrier {
    fn from(mux: Mux) -> Self {
        Self::Mux(mux)
    }
}

impl Quic {
    async fn open(&self, counted: Counted) -> io::Result<Stream> {
        match self.quic.open_bi().await {
            Ok((send, recv)) => Ok(Stream::Quic(QuicStream::new(send, recv, counted))),
            Err(source) => Err(StreamError::Lost { source: source.into() }.io_error()),
        }
    }

    async fn accept(&self, streams: &Arc<AtomicUsize>) -> Result<Stream, ConnectionError> {
        let (send, recv) = self.quic.accept_bi().await?;
        let stream = QuicStream::new(send, recv, Counted::new(streams));
        self.allow_more_streams(streams);
        Ok(Stream::Quic(stream))
    }

    /// Doubles what the peer may open once half of it is in use.
    fn allow_more_streams(&self, streams: &AtomicUsize) {
        let limit = self.limit.load(Relaxed);
        let half_used = streams.load(Relaxed) >= limit as usize / 2;
        if half_used && limit < MAX_STREAMS {
            let limit = (limit * 2).min(MAX_STREAMS);
            self.limit.store(limit, Relaxed);
            self.quic.set_max_concurrent_bi_streams(VarInt::from_u32(limit));
        }
    }
}

/// How long a closing process waits for its last packet to go out.
const GOODBYE: Duration = Duration::from_secs(1);
