//! Bodies on their way from origin to client.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::grpc;
use crate::log::Entry;
use crate::origin::Carrier;
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

/// Where a body comes from.
pub(crate) struct Source {
    pub(crate) body: Incoming,
    pub(crate) carrier: Carrier,
    /// It answers a call of gRPC.
    pub(crate) call: bool,
}

/// A body that is read from an origin as its client takes it, for as long as the session lasts.
struct Streaming {
    body: Incoming,
    /// What it comes over; goes back to its session's pool at the end.
    carrier: Option<Carrier>,
    call: bool,
    /// The session was over before the body.
    cut: bool,
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

    pub(crate) fn streaming(source: Source, visit: Visit, entry: Entry) -> Self {
        let Source { body, carrier, call } = source;
        let over = Box::pin(visit.over().cancelled_owned());
        let carrier = Some(carrier);
        let mut streaming = Streaming { body, carrier, call, cut: false, visit, over, entry };
        if streaming.body.is_end_stream() {
            streaming.release();
        }
        Self(Inner::Streaming(Box::new(streaming)))
    }
}

impl Streaming {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.cut {
            return Poll::Ready(None);
        }
        if self.over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(self.cut()));
        }
        let frame = ready!(self.poll_body(cx));
        match &frame {
            Some(Ok(frame)) => {
                self.entry.count_down(frame.data_ref().map_or(0, Bytes::len));
                if self.body.is_end_stream() {
                    self.release();
                }
            }
            Some(Err(_)) => self.carrier = None,
            None => self.release(),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
    }

    /// The last of a body whose session is over: an error, but for clients that read why.
    fn cut(&mut self) -> Result<Frame<Bytes>, BodyError> {
        self.carrier = None;
        if !self.call {
            return Err(BodyError::Over);
        }
        self.cut = true;
        Ok(Frame::trailers(grpc::ended(self.visit.reason())))
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        // Asked for before the connection reads, so that it reads for somebody.
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        if let Some(carrier) = &mut self.carrier {
            carrier.drive(cx);
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn release(&mut self) {
        if let Some(carrier) = self.carrier.take() {
            self.visit.pool().put(carrier);
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
            Inner::Streaming(streaming) => streaming.cut || streaming.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Inner::Streaming(streaming) => streaming.body.size_hint(),
        }
    }
}
