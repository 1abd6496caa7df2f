//! One bidirectional stream of a connection, whatever carries it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use access::EndReason;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::closed::Closed;
use crate::mux::MuxStream;
use crate::stream::QuicStream;

/// One bidirectional stream of a [`Connection`](crate::Connection).
///
/// Dropping it before both sides have ended in order resets it: half of a transfer must never look
/// like the whole.
pub enum Stream {
    Quic(QuicStream),
    /// Boxed: it must not make the others larger.
    Mux(Box<MuxStream>),
}

/// Why a stream broke, inside the [`io::Error`] it gives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    #[error("the peer ended the stream: {}", .0.as_str())]
    Ended(EndReason),
    #[error("the connection is gone")]
    Lost { source: Closed },
    #[error("the stream was ended on this side")]
    Aborted,
}

/// What the peer said when it ended the stream or its connection; `None` when it said nothing.
pub fn end_reason(error: &io::Error) -> Option<EndReason> {
    match error.get_ref()?.downcast_ref::<StreamError>()? {
        StreamError::Ended(reason) | StreamError::Lost { source: Closed::Peer { reason, .. } } => {
            Some(*reason)
        }
        StreamError::Lost { .. } | StreamError::Aborted => None,
    }
}

impl Stream {
    /// Sends one message. Not cancel-safe: a message may be cut.
    pub async fn send_frame<T: Serialize>(&mut self, message: &T) -> io::Result<()> {
        self.send_frame_and(message, Bytes::new()).await
    }

    /// Sends one message and the raw bytes that follow it in one write.
    pub async fn send_frame_and<T: Serialize>(
        &mut self,
        message: &T,
        following: Bytes,
    ) -> io::Result<()> {
        match self {
            Self::Quic(stream) => stream.send_frame_and(message, following).await,
            Self::Mux(stream) => stream.send_frame_and(message, following).await,
        }
    }

    /// Receives one message and not a byte more. Cancel-safe.
    pub async fn recv_frame<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        match self {
            Self::Quic(stream) => stream.recv_frame().await,
            Self::Mux(stream) => stream.recv_frame().await,
        }
    }

    /// Ends our side in order and completes when the peer holds every byte, or never will.
    pub async fn deliver(&mut self) {
        match self {
            Self::Quic(stream) => stream.deliver().await,
            Self::Mux(stream) => stream.deliver().await,
        }
    }

    /// Sends this stream's bytes before those of lower priority; 0 is usual. A multiplexer takes
    /// turns, and knows no priority.
    pub(crate) fn prioritise(&self, priority: i32) {
        match self {
            Self::Quic(stream) => stream.prioritise(priority),
            Self::Mux(_) => {}
        }
    }
}

impl splice::Stream for Stream {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        match self {
            Self::Quic(stream) => stream.poll_recv(cx),
            Self::Mux(stream) => stream.poll_recv(cx),
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>> {
        match self {
            Self::Quic(stream) => stream.poll_send(cx, data),
            Self::Mux(stream) => stream.poll_send(cx, data),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Quic(stream) => stream.poll_flush(cx),
            Self::Mux(stream) => stream.poll_flush(cx),
        }
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Quic(stream) => stream.poll_finish(cx),
            Self::Mux(stream) => stream.poll_finish(cx),
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        match self {
            Self::Quic(stream) => stream.poll_gone(cx),
            Self::Mux(stream) => stream.poll_gone(cx),
        }
    }

    fn abort(&mut self, code: u32) {
        match self {
            Self::Quic(stream) => stream.abort(code),
            Self::Mux(stream) => stream.abort(code),
        }
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Quic(stream) => stream.fmt(f),
            Self::Mux(stream) => stream.fmt(f),
        }
    }
}

impl StreamError {
    pub(crate) fn io_error(&self) -> io::Error {
        let kind = match self {
            Self::Ended(_) => io::ErrorKind::ConnectionReset,
            Self::Lost { .. } => io::ErrorKind::NotConnected,
            Self::Aborted => io::ErrorKind::ConnectionAborted,
        };
        io::Error::new(kind, self.clone())
    }
}

/// A place in a connection's count of streams.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(crate) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

pub(crate) fn invalid(error: wire::FrameError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
