//! What an answer leaves unread of its request's body.
//!
//! A server reads the whole body or closes the connection after its answer, and says so (RFC 9112,
//! section 9.3). A refusal that needs no body is otherwise followed by a close that the client has
//! not been told of, and its next request breaks.
//!
//! HTTP/2 ends a stream without ending its connection, and resets it where the client would send on.
//! There are clients (curl 7.88 is one) to which a reset that comes with the answer is a broken stream,
//! though they may not take it so (RFC 9113, section 8.1): they get time to read first.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, EXPECT, HeaderValue};
use hyper::{Request, Response};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A request's body, which is handed back when it is dropped before its end.
pub struct Watched {
    body: Option<Incoming>,
    /// Whether anybody has asked for a part of it.
    asked: bool,
    back: Option<oneshot::Sender<Rest>>,
}

/// Where the unread rest of a body comes back.
pub struct Leftover {
    rest: oneshot::Receiver<Rest>,
    /// The client sends nothing of it before it is told to.
    expects: bool,
}

/// A body that was dropped before its end.
struct Rest {
    body: Incoming,
    asked: bool,
}

/// Watches what is left of a request's body.
pub fn watch(request: Request<Incoming>) -> (Request<Watched>, Option<Leftover>) {
    if request.body().is_end_stream() {
        return (request.map(|body| Watched { body: Some(body), asked: false, back: None }), None);
    }
    let expects = request.headers().contains_key(EXPECT);
    let (back, rest) = oneshot::channel();
    let watched = request.map(|body| Watched { body: Some(body), asked: false, back: Some(back) });
    (watched, Some(Leftover { rest, expects }))
}

impl Leftover {
    /// The answer over HTTP/1.1, which says that the connection ends with it where the body was not
    /// read and is not soon at its end.
    pub async fn settle<B>(mut self, mut response: Response<B>) -> Response<B> {
        // Gone: read to its end. Not there: the answer goes on reading it.
        let Ok(rest) = self.rest.try_recv() else { return response };
        // To begin with reading is to tell the client that it may send.
        let awaited = self.expects && !rest.asked;
        let mut body = rest.body;
        let read = !awaited
            && matches!(timeout(SOON, read_off(&mut body, MOST)).await, Ok(Reading::Ended));
        if !read {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Keeps a stream of HTTP/2 from being reset for a while, once its answer is sent: reads the body
    /// off, and of a long one nothing more. It ends at once where the client does.
    pub async fn outlast(self) {
        let read = async {
            let Ok(Rest { mut body, .. }) = self.rest.await else { return };
            if read_off(&mut body, MOST_OF_STREAM).await == Reading::TooMuch {
                pending::<()>().await;
            }
        };
        drop(timeout(SOON, read).await);
    }
}

/// Why a body is read no further.
#[derive(PartialEq, Eq)]
enum Reading {
    Ended,
    Broken,
    TooMuch,
}

async fn read_off(body: &mut Incoming, most: usize) -> Reading {
    let mut read = 0;
    while read <= most {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) => return Reading::Broken,
            None => return Reading::Ended,
        }
    }
    Reading::TooMuch
}

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.asked = true;
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
        if let (Some(body), Some(back)) = (rest, self.back.take()) {
            // Whoever waited for it may have left.
            drop(back.send(Rest { body, asked: self.asked }));
        }
    }
}

/// For what is on its way already, not for what a client means to send some time.
const SOON: Duration = Duration::from_secs(1);
const MOST: usize = 64 * 1024;
const MOST_OF_STREAM: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;
    use crate::answer::WebBody;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_was_asked_for_is_on_its_way_and_read_off() {
        assert!(!told_to_close(true).await);
        // To read it off would be to ask for it.
        assert!(told_to_close(false).await);
    }

    /// Whether the answer to a request whose client expects to be asked for its body says that the
    /// connection ends, where some of that was read.
    async fn told_to_close(reads: bool) -> bool {
        let (mut client, server) = duplex(4096);
        let service = service_fn(move |request| async move {
            let (mut request, leftover) = watch(request);
            if reads {
                let mut body = Pin::new(request.body_mut());
                let frame = poll_fn(|cx| body.as_mut().poll_frame(cx)).await.unwrap().unwrap();
                assert_eq!(frame.into_data().unwrap(), "hello");
            }
            drop(request);
            let answer = Response::new(WebBody::empty());
            Ok::<_, Infallible>(leftover.unwrap().settle(answer).await)
        });
        let serve = http1::Builder::new().serve_connection(TokioIo::new(server), service);
        let ask = async {
            let head = "PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n";
            client.write_all(head.as_bytes()).await.unwrap();
            client.write_all(b"Transfer-Encoding: chunked\r\n\r\n").await.unwrap();
            if reads {
                assert_eq!(head_of_answer(&mut client).await, "HTTP/1.1 100 Continue\r\n\r\n");
                client.write_all(b"5\r\nhello\r\n0\r\n\r\n").await.unwrap();
            }
            let answer = head_of_answer(&mut client).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            drop(client);
            answer.contains("connection: close")
        };
        tokio::join!(serve, ask).1
    }

    async fn head_of_answer(client: &mut tokio::io::DuplexStream) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(char::from(client.read_u8().await.unwrap()));
        }
        head
    }
}
