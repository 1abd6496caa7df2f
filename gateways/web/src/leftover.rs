//! What an answer leaves unread of its request's body.
//!
//! A server reads the whole body or closes the connection after its answer, and says so (RFC 9112,
//! section 9.3). A refusal that needs no body is otherwise followed by a close that the client has
//! not been told of, and its next request breaks.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, EXPECT, HeaderValue};
use hyper::{Request, Response, Version};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A request's body, which is handed back when it is dropped before its end.
pub struct Watched {
    body: Option<Incoming>,
    back: Option<oneshot::Sender<Incoming>>,
}

/// Where the unread rest of a body comes back.
pub struct Leftover {
    rest: oneshot::Receiver<Incoming>,
    /// The client sends nothing of it before it is told to: reading would be telling it.
    awaited: bool,
}

/// Watches what is left of a request's body. HTTP/2 ends a stream without ending its connection:
/// nothing has to be read there.
pub fn watch(request: Request<Incoming>) -> (Request<Watched>, Option<Leftover>) {
    if request.version() >= Version::HTTP_2 || request.body().is_end_stream() {
        return (request.map(|body| Watched { body: Some(body), back: None }), None);
    }
    let awaited = request.headers().contains_key(EXPECT);
    let (back, rest) = oneshot::channel();
    let watched = request.map(|body| Watched { body: Some(body), back: Some(back) });
    (watched, Some(Leftover { rest, awaited }))
}

impl Leftover {
    /// The answer, which says that the connection ends with it where the body was not read and is
    /// not soon at its end.
    pub async fn settle<B>(mut self, mut response: Response<B>) -> Response<B> {
        // Gone: read to its end. Not there: the answer goes on reading it.
        let Ok(rest) = self.rest.try_recv() else { return response };
        let read = !self.awaited && matches!(timeout(SOON, read_off(rest)).await, Ok(true));
        if !read {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Whether a body ended before it became too much.
async fn read_off(mut body: Incoming) -> bool {
    let mut read = 0;
    while read <= MOST {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) => return false,
            None => return true,
        }
    }
    false
}

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(rest), Some(back)) = (rest, self.back.take()) {
            // Whoever waited for it may have left.
            drop(back.send(rest));
        }
    }
}

/// For what is on its way already, not for what a client means to send some time.
const SOON: Duration = Duration::from_secs(1);
const MOST: usize = 64 * 1024;
