//! One bidirectional QUIC stream.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use access::EndReason;
use bytes::{BufMut, Bytes, BytesMut};
use quinn::{ConnectionError, ReadError, RecvStream, SendStream, StoppedError, WriteError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::Inbox;

use crate::carried::{Counted, StreamError, invalid};
use crate::closed::reason;

/// As [`Stream`](crate::Stream), over QUIC.
pub struct QuicStream {
    send: SendStream,
    recv: RecvStream,
    inbox: Inbox,
    failed: Option<Box<StreamError>>,
    stopped: Option<Stopped>,
    finished: bool,
    received_all: bool,
    _counted: Counted,
}

impl QuicStream {
    pub(crate) fn new(send: SendStream, recv: RecvStream, counted: Counted) -> Self {
        Self {
            send,
            recv,
            inbox: Inbox::default(),
            failed: None,
            stopped: None,
            finished: false,
            received_all: false,
            _counted: counted,
        }
    }

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
        let frame = wire::encode(message).map_err(invalid)?;
        let written = self.send.write_all_chunks(&mut [frame, following]).await;
        written.map_err(|error| self.write_failed(error))
    }

    /// Receives one message and not a byte more. Cancel-safe.
    pub async fn recv_frame<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        loop {
            if let Some(message) = self.inbox.message().map_err(invalid)? {
                return Ok(message);
            }
            match poll_fn(|cx| self.poll_chunk(cx)).await? {
                Some(chunk) => self.inbox.push(chunk),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// Ends our side in order and completes when the peer holds every byte, or never will.
    pub async fn deliver(&mut self) {
        self.finish();
        drop(self.send.stopped().await);
    }

    /// Sends this stream's bytes before those of lower priority; 0 is usual.
    pub(crate) fn prioritise(&self, priority: i32) {
        // Fails only on a stream that is closed, which has nothing to send.
        drop(self.send.set_priority(priority));
    }

    fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            // Fails only where the stream has ended another way, which the next read tells.
            drop(self.send.finish());
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        if let Some(failed) = &self.failed {
            return Poll::Ready(Err(failed.io_error()));
        }
        let first = ready!(pin!(self.recv.read_chunk(usize::MAX, true)).poll(cx));
        match first.map_err(|error| self.read_failed(error))? {
            None => {
                self.received_all = true;
                Poll::Ready(Ok(None))
            }
            Some(chunk) if chunk.bytes.len() < FULL => Poll::Ready(Ok(Some(chunk.bytes))),
            Some(chunk) => Poll::Ready(Ok(Some(self.gather(cx, chunk.bytes)))),
        }
    }

    /// Joins a full packet's bytes with those of the packets behind it that are here already.
    ///
    /// One copy costs less than a system call (towards a socket) or a segment of the send buffer
    /// (towards another stream, which walks its segments for each packet) per packet.
    fn gather(&mut self, cx: &mut Context<'_>, first: Bytes) -> Bytes {
        let mut more = [const { Bytes::new() }; BATCH];
        let polled = pin!(self.recv.read_chunks(&mut more)).poll(cx);
        let count = match polled {
            Poll::Ready(Ok(Some(count))) => count,
            // The end is told again by the next read; an error is told only once.
            Poll::Pending | Poll::Ready(Ok(None)) => 0,
            Poll::Ready(Err(error)) => {
                drop(self.read_failed(error));
                0
            }
        };
        if count == 0 {
            return first;
        }
        let total = more[..count].iter().map(Bytes::len).sum::<usize>() + first.len();
        let mut joined = BytesMut::with_capacity(total);
        joined.put(first);
        joined.extend(more.into_iter().take(count));
        joined.freeze()
    }

    fn read_failed(&mut self, error: ReadError) -> io::Error {
        self.fail(match error {
            ReadError::Reset(code) => StreamError::Ended(reason(code)),
            ReadError::ConnectionLost(source) => lost(source),
            ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => StreamError::Aborted,
        })
    }

    fn write_failed(&mut self, error: WriteError) -> io::Error {
        self.fail(match error {
            WriteError::Stopped(code) => StreamError::Ended(reason(code)),
            WriteError::ConnectionLost(source) => lost(source),
            WriteError::ClosedStream | WriteError::ZeroRttRejected => StreamError::Aborted,
        })
    }

    fn fail(&mut self, error: StreamError) -> io::Error {
        self.failed.get_or_insert_with(|| Box::new(error)).io_error()
    }
}

impl splice::Stream for QuicStream {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let received = self.inbox.rest();
        if !received.is_empty() {
            return Poll::Ready(Ok(Some(received)));
        }
        self.poll_chunk(cx)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>> {
        let mut chunk = [std::mem::take(data)];
        // quinn's write keeps nothing between polls, so a new future each time loses nothing.
        let polled = pin!(self.send.write_chunks(&mut chunk)).poll(cx);
        let [rest] = chunk;
        *data = rest;
        match ready!(polled) {
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(self.write_failed(error))),
        }
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.finished {
            return Poll::Pending;
        }
        let send = &self.send;
        let stopped = self.stopped.get_or_insert_with(|| Stopped(Box::pin(send.stopped())));
        match ready!(stopped.0.as_mut().poll(cx)) {
            Ok(Some(code)) => Poll::Ready(self.fail(StreamError::Ended(reason(code)))),
            Err(StoppedError::ConnectionLost(source)) => Poll::Ready(self.fail(lost(source))),
            Ok(None) | Err(StoppedError::ZeroRttRejected) => {
                Poll::Ready(self.fail(StreamError::Aborted))
            }
        }
    }

    fn abort(&mut self, code: u32) {
        self.fail(StreamError::Aborted);
        drop(self.send.reset(code.into()));
        self.finished = true;
        if !self.received_all {
            drop(self.recv.stop(code.into()));
            self.received_all = true;
        }
    }
}

impl Drop for QuicStream {
    fn drop(&mut self) {
        let code = EndReason::Broken.number().into();
        if !self.finished {
            drop(self.send.reset(code));
        }
        if !self.received_all {
            drop(self.recv.stop(code));
        }
    }
}

impl std::fmt::Debug for QuicStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stream({})", self.send.id())
    }
}

struct Stopped(
    Pin<Box<dyn Future<Output = Result<Option<quinn::VarInt>, StoppedError>> + Send + Sync>>,
);

/// Bytes from which a packet counts as full, so that more of a bulk transfer may stand behind it.
const FULL: usize = 1000;
/// Packets joined at most: with [`FULL`] ones a chunk of about 64 KiB.
const BATCH: usize = 47;

fn lost(source: ConnectionError) -> StreamError {
    StreamError::Lost { source: source.into() }
}
