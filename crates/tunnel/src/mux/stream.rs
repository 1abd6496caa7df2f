//! One bidirectional stream of a multiplexed connection.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use access::EndReason;
use bytes::{Buf, Bytes};
use futures_util::{AsyncWrite, Stream as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use splice::Stream as _;
use tokio::sync::OwnedSemaphorePermit;
use wire::Inbox;

use super::Shared;
use super::record::{self, Record, Records};
use crate::carried::{Counted, StreamError, invalid};

/// As [`Stream`](crate::Stream), over a multiplexer.
pub struct MuxStream {
    raw: Raw,
    inbox: Inbox,
    /// Received, and looked at only to see whether the peer is gone.
    ahead: Option<Bytes>,
    failed: Option<Box<StreamError>>,
    finished: bool,
    received_all: bool,
    mux: Arc<Shared>,
    _slot: Option<OwnedSemaphorePermit>,
    _counted: Counted,
}

/// The records of a stream, and what of them is not yet with the multiplexer.
pub(super) struct Raw {
    yamux: Option<yamux::Stream>,
    records: Records,
    pending: Bytes,
}

impl Raw {
    pub(super) fn new(yamux: yamux::Stream) -> Self {
        Self { yamux: Some(yamux), records: Records::default(), pending: Bytes::new() }
    }

    /// The next record; `None` where the stream has been reset, or its connection is gone.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Record>>> {
        loop {
            let record = self.records.next();
            if let Some(record) = record.map_err(|error| io::Error::new(BAD, error))? {
                return Poll::Ready(Ok(Some(record)));
            }
            let Some(yamux) = &mut self.yamux else { return Poll::Ready(Ok(None)) };
            match ready!(Pin::new(yamux).poll_next(cx)) {
                Some(Ok(packet)) => self.records.push(Bytes::from_owner(packet)),
                // What has come in before may still be read; then it is over.
                Some(Err(_)) | None => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// Completes when the multiplexer has taken all that is pending.
    pub(super) fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let Some(yamux) = &mut self.yamux else { return Poll::Ready(Err(gone())) };
            let written = ready!(Pin::new(yamux).poll_write(cx, &self.pending))?;
            self.pending.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Completes when the multiplexer has taken all, and will see to it.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(cx))?;
        match &mut self.yamux {
            Some(yamux) => Pin::new(yamux).poll_flush(cx),
            None => Poll::Ready(Err(gone())),
        }
    }

    /// Sends a record, when what is pending has gone.
    pub(super) async fn send(&mut self, record: Bytes) -> io::Result<()> {
        poll_fn(|cx| self.poll_pending(cx)).await?;
        self.pending = record;
        poll_fn(|cx| self.poll_flush(cx)).await
    }
}

impl MuxStream {
    pub(super) fn new(
        yamux: yamux::Stream,
        mux: Arc<Shared>,
        slot: Option<OwnedSemaphorePermit>,
        counted: Counted,
    ) -> Self {
        Self {
            raw: Raw::new(yamux),
            inbox: Inbox::default(),
            ahead: None,
            failed: None,
            finished: false,
            received_all: false,
            mux,
            _slot: slot,
            _counted: counted,
        }
    }

    pub(crate) async fn send_frame_and<T: Serialize>(
        &mut self,
        message: &T,
        following: Bytes,
    ) -> io::Result<()> {
        let frame = wire::encode(message).map_err(invalid)?;
        for mut data in [frame, following] {
            while !data.is_empty() {
                poll_fn(|cx| self.poll_send(cx, &mut data)).await?;
            }
        }
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    pub(crate) async fn recv_frame<T: DeserializeOwned>(&mut self) -> io::Result<T> {
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

    /// The peer gives the stream up when it has what it waited for.
    pub(crate) async fn deliver(&mut self) {
        if poll_fn(|cx| self.poll_finish(cx)).await.is_ok() {
            while let Ok(Some(_)) = poll_fn(|cx| self.poll_chunk(cx)).await {}
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.check()?;
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(Ok(Some(ahead)));
        }
        if self.received_all {
            return Poll::Ready(Ok(None));
        }
        match ready!(self.raw.poll_next(cx)) {
            Ok(Some(Record::Data(data))) => Poll::Ready(Ok(Some(data))),
            Ok(Some(Record::End)) => {
                self.received_all = true;
                Poll::Ready(Ok(None))
            }
            other => Poll::Ready(Err(self.ended_by(&other))),
        }
    }

    /// Fails where the stream or its connection is over.
    fn check(&mut self) -> io::Result<()> {
        if self.failed.is_none()
            && let Some(source) = self.mux.closed()
        {
            return Err(self.fail(StreamError::Lost { source }));
        }
        match &self.failed {
            Some(failed) => Err(failed.io_error()),
            None => Ok(()),
        }
    }

    /// What a stream ends by, other than in order.
    fn ended_by(&mut self, record: &io::Result<Option<Record>>) -> io::Error {
        let error = match record {
            Ok(Some(Record::Abort { code })) => StreamError::Ended(EndReason::from_number(*code)),
            Ok(Some(Record::Data(_) | Record::End | Record::Close { .. }) | None) | Err(_) => {
                match self.mux.closed() {
                    Some(source) => StreamError::Lost { source },
                    None => StreamError::Ended(EndReason::Broken),
                }
            }
        };
        self.fail(error)
    }

    /// The peer takes nothing more. Why stands in what it has sent, if it has said so.
    fn write_failed(&mut self) -> io::Error {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match self.raw.poll_next(&mut cx) {
                Poll::Ready(Ok(Some(Record::Data(_) | Record::End))) => {}
                Poll::Ready(other) => return self.ended_by(&other),
                Poll::Pending => return self.ended_by(&Ok(None)),
            }
        }
    }

    fn fail(&mut self, error: StreamError) -> io::Error {
        self.failed.get_or_insert_with(|| Box::new(error)).io_error()
    }
}

impl splice::Stream for MuxStream {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let received = self.inbox.rest();
        if !received.is_empty() {
            return Poll::Ready(Ok(Some(received)));
        }
        self.poll_chunk(cx)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>> {
        self.check()?;
        if ready!(self.raw.poll_pending(cx)).is_err() {
            return Poll::Ready(Err(self.write_failed()));
        }
        self.raw.pending = record::data(data);
        match self.raw.poll_pending(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(Err(self.write_failed())),
            // What is left goes with the next bytes, or the flush.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        match ready!(self.raw.poll_flush(cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(_) => Poll::Ready(Err(self.write_failed())),
        }
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.finished {
            ready!(self.poll_flush(cx))?;
            self.finished = true;
            self.raw.pending = record::end();
        }
        self.poll_flush(cx)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.finished || self.ahead.is_some() {
            return Poll::Pending;
        }
        match ready!(self.raw.poll_next(cx)) {
            Ok(Some(Record::Data(data))) if !self.received_all => {
                self.ahead = Some(data);
                Poll::Pending
            }
            Ok(Some(Record::End)) if !self.received_all => {
                self.received_all = true;
                self.poll_gone(cx)
            }
            other => Poll::Ready(self.ended_by(&other)),
        }
    }

    fn abort(&mut self, code: u32) {
        self.fail(StreamError::Aborted);
        (self.finished, self.received_all) = (true, true);
        let Some(yamux) = self.raw.yamux.take() else { return };
        let pending = std::mem::take(&mut self.raw.pending);
        if self.mux.closed().is_some() {
            self.mux.hold(yamux);
            return;
        }
        // A stream that is dropped without a word is taken for broken.
        if code != EndReason::Broken.number() {
            self.mux.last_word(yamux, pending, record::abort(code));
        }
    }
}

impl Drop for MuxStream {
    fn drop(&mut self) {
        if self.mux.closed().is_some()
            && let Some(yamux) = self.raw.yamux.take()
        {
            self.mux.hold(yamux);
        }
    }
}

impl std::fmt::Debug for MuxStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.raw.yamux {
            Some(yamux) => write!(f, "Stream({})", yamux.id()),
            None => f.write_str("Stream(ended)"),
        }
    }
}

fn gone() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

const BAD: io::ErrorKind = io::ErrorKind::InvalidData;
