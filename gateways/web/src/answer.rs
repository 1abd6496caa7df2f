//! Bodies on their way from origin to client.

use std::future::poll_fn;
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
    /// Read already.
    first: Option<hyper::Result<Frame<Bytes>>>,
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

    /// A body that is read as its client takes it. One that is here as a whole already, and small,
    /// keeps neither its session nor what it came over.
    pub(crate) async fn of(mut source: Source, visit: Visit, mut entry: Entry) -> Self {
        let first = source.ahead().await;
        let ended = source.body.is_end_stream();
        match first {
            None if ended => {
                give_back(source.carrier, &visit, &entry);
                Self::empty()
            }
            Some(Ok(frame)) if ended && is_small(&frame) => {
                let data = frame.into_data().unwrap_or_default();
                entry.count_down(data.len());
                give_back(source.carrier, &visit, &entry);
                Self::full(data)
            }
            first => Self::streaming(source, first, visit, entry),
        }
    }

    fn streaming(
        source: Source,
        first: Option<hyper::Result<Frame<Bytes>>>,
        visit: Visit,
        entry: Entry,
    ) -> Self {
        let Source { body, carrier, call } = source;
        let over = Box::pin(visit.over().cancelled_owned());
        let carrier = Some(carrier);
        let streaming = Streaming { body, first, carrier, call, cut: false, visit, over, entry };
        Self(Inner::Streaming(Box::new(streaming)))
    }
}

impl Source {
    /// What of the body is here without waiting.
    async fn ahead(&mut self) -> Option<hyper::Result<Frame<Bytes>>> {
        if self.body.is_end_stream() {
            return None;
        }
        poll_fn(|cx| match poll_body(&mut self.body, Some(&mut self.carrier), cx) {
            Poll::Ready(frame) => Poll::Ready(frame),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }
}

/// Keeps what a whole answer came over for the next request, unless this one's body is still read for it:
/// nobody would read on, and its client would wait to send the rest.
fn give_back(carrier: Carrier, visit: &Visit, entry: &Entry) {
    if entry.is_uploaded() {
        visit.pool().put(carrier);
    }
}

fn is_small(frame: &Frame<Bytes>) -> bool {
    frame.data_ref().is_some_and(|data| data.len() <= SMALL)
}

fn poll_body(
    body: &mut Incoming,
    carrier: Option<&mut Carrier>,
    cx: &mut Context<'_>,
) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
    match carrier {
        // Asked for before the connection reads, so that it reads for somebody.
        Some(carrier) => carrier.poll(cx, |cx| Pin::new(&mut *body).poll_frame(cx)),
        None => Pin::new(body).poll_frame(cx),
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
        let frame = match self.first.take() {
            Some(first) => Some(first),
            None => ready!(poll_body(&mut self.body, self.carrier.as_mut(), cx)),
        };
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

    fn is_over(&self) -> bool {
        self.cut || (self.first.is_none() && self.body.is_end_stream())
    }

    fn release(&mut self) {
        if let Some(carrier) = self.carrier.take() {
            give_back(carrier, &self.visit, &self.entry);
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
            Inner::Streaming(streaming) => streaming.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            // What was read already is of unknown length to the rest.
            Inner::Streaming(streaming) if streaming.first.is_some() => SizeHint::default(),
            Inner::Streaming(streaming) => streaming.body.size_hint(),
        }
    }
}

/// What is handed over as a whole. It waits for its client without a session that could end it.
const SMALL: usize = 16 * 1024;
