//! Bodies on their way from origin to client.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::log::Entry;
use crate::origin::Origin;
use crate::sessions::Visit;

/// The body of an answer of the web door.
pub struct WebBody(Inner);

enum Inner {
    Full(Option<Bytes>),
    Streaming(Box<Streaming>),
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the session is over")]
    Over,
    #[error("the origin's answer broke off")]
    Origin(#[from] hyper::Error),
}

/// A body that is read from an origin as its client takes it, for as long as the session lasts.
struct Streaming {
    body: Incoming,
    /// Where it comes from; goes back to its session's pool at the end.
    origin: Option<Origin>,
    visit: Visit,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    entry: Entry,
}

impl WebBody {
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self(Inner::Full(Some(bytes)))
    }

    pub(crate) fn empty() -> Self {
        Self(Inner::Full(None))
    }

    pub(crate) fn streaming(body: Incoming, origin: Origin, visit: Visit, entry: Entry) -> Self {
        let over = Box::pin(visit.over().cancelled_owned());
        let mut streaming = Streaming { body, origin: Some(origin), visit, over, entry };
        if streaming.body.is_end_stream() {
            streaming.release();
        }
        Self(Inner::Streaming(Box::new(streaming)))
    }
}

impl Streaming {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.over.as_mut().poll(cx).is_ready() {
            self.origin = None;
            return Poll::Ready(Some(Err(BodyError::Over)));
        }
        let frame = ready!(self.poll_body(cx));
        match &frame {
            Some(Ok(frame)) => {
                self.entry.count_down(frame.data_ref().map_or(0, Bytes::len));
                if self.body.is_end_stream() {
                    self.release();
                }
            }
            Some(Err(_)) => self.origin = None,
            None => self.release(),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        // Asked for before the connection reads, so that it reads for somebody.
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        if let Some(origin) = &mut self.origin {
            origin.drive(cx);
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn release(&mut self) {
        if let Some(origin) = self.origin.take() {
            self.visit.pool().put(origin);
        }
    }
}

impl Body for WebBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Inner::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Inner::Streaming(streaming) => streaming.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Full(bytes) => bytes.is_none(),
            Inner::Streaming(streaming) => streaming.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Inner::Streaming(streaming) => streaming.body.size_hint(),
        }
    }
}
