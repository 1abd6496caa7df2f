//! Bodies on their way from client to origin.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::leftover::Watched;

/// A request's body as the origin's connection takes it.
pub(crate) struct Upload {
    body: Option<Watched>,
    flow: Arc<Flow>,
    /// It is not read before this.
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// How far a request's body has come.
pub(crate) struct Flow {
    bytes: AtomicU64,
    /// When it last moved.
    moved: Mutex<Instant>,
    /// Whether nobody reads it any more.
    over: AtomicBool,
}

impl Upload {
    pub(crate) fn new(body: Watched) -> Self {
        let body = (!body.is_end_stream()).then_some(body);
        let (bytes, moved) = (AtomicU64::new(0), Mutex::new(Instant::now()));
        let flow = Flow { bytes, moved, over: AtomicBool::new(false) };
        Self { body, flow: Arc::new(flow), wait: None }
    }

    /// The same request again, which has no body.
    pub(crate) fn none(flow: Arc<Flow>) -> Self {
        Self { body: None, flow, wait: None }
    }

    /// Reads nothing of the body until the origin wants it, or says nothing for a moment: the client
    /// waits for that as well (RFC 9110, section 10.1.1).
    pub(crate) fn await_continue(&mut self, wanted: CancellationToken) {
        let wait = async move { drop(timeout(EXPECTED, wanted.cancelled()).await) };
        self.wait = Some(Box::pin(wait));
    }

    /// Waits for nothing any more.
    pub(crate) fn begin(&mut self) {
        self.wait = None;
    }

    pub(crate) fn is_none(&self) -> bool {
        self.body.is_none()
    }

    pub(crate) fn flow(&self) -> Arc<Flow> {
        self.flow.clone()
    }
}

impl Flow {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    pub(crate) fn moved(&self) -> Instant {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    fn move_on(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.flow.over.store(true, Relaxed);
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(wait) = &mut self.wait {
            ready!(wait.as_mut().poll(cx));
            self.wait = None;
        }
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        self.flow.move_on(bytes.map_or(0, Bytes::len));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// As long as clients wait by themselves.
const EXPECTED: Duration = Duration::from_secs(1);
