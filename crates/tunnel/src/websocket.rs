//! A byte stream inside a WebSocket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::{Sink as _, Stream as _};
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::http::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Error};

/// The path at which a relay takes them.
pub const PATH: &str = "/.adit/connect";

/// The bytes of a WebSocket's binary messages.
pub struct WebSocket<S> {
    inner: WebSocketStream<S>,
    rest: Bytes,
}

/// The answer to a request for a WebSocket at [`PATH`]; `None` where it is another request.
pub fn answer<B>(request: &Request<B>) -> Option<Response<()>> {
    let headers = request.headers();
    let asked = request.method() == Method::GET
        && request.uri().path() == PATH
        && says(headers, &CONNECTION, "upgrade")
        && says(headers, &UPGRADE, "websocket")
        && says(headers, &SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| asked)?;
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Some(response)
}

/// Whether a header's list holds a word.
fn says(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(word))
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// The server's side, after [`answer`] was given. `ahead` is what was read behind the request.
    pub async fn serve(io: S, ahead: Bytes) -> Self {
        let (role, config) = (Role::Server, Some(config()));
        let inner = WebSocketStream::from_partially_read(io, ahead.to_vec(), role, config).await;
        Self { inner, rest: Bytes::new() }
    }

    /// Asks the server at `host` for one.
    pub(crate) async fn ask(io: S, host: &str) -> Result<Self, Box<Error>> {
        let uri = format!("wss://{host}{PATH}");
        let asked = tokio_tungstenite::client_async_with_config(uri, io, Some(config())).await;
        let (inner, _) = asked.map_err(Box::new)?;
        Ok(Self { inner, rest: Bytes::new() })
    }
}

fn config() -> WebSocketConfig {
    let most = Some(MAX_MESSAGE);
    WebSocketConfig::default()
        .max_message_size(most)
        .max_frame_size(most)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * MAX_MESSAGE)
        .read_buffer_size(MAX_MESSAGE)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Ok(Message::Text(_) | Message::Frame(_))) => {
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            }
        }
        let length = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest[..length]);
        self.rest.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.inner).poll_ready(cx)).map_err(broken)?;
        let message = Bytes::copy_from_slice(&bytes[..bytes.len().min(MAX_SENT)]);
        let length = message.len();
        Pin::new(&mut self.inner).start_send(Message::Binary(message)).map_err(broken)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx).map_err(broken)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx).map_err(broken)
    }
}

fn broken(error: tungstenite::Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

/// The longest message that is taken.
const MAX_MESSAGE: usize = 128 * 1024;
/// The longest that is sent: a record of TLS with what is around it.
const MAX_SENT: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn request(headers: &[(&str, &str)], path: &str) -> Request<()> {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    const ASKS: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn only_a_request_for_a_websocket_at_its_path_is_answered() {
        let answered = answer(&request(&ASKS, PATH)).unwrap();
        assert_eq!(answered.status(), 101);
        // The example of RFC 6455.
        let accept = &answered.headers()["sec-websocket-accept"];
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(answer(&request(&ASKS, "/")).is_none());
        for (missing, (name, _)) in ASKS.iter().enumerate() {
            let mut some = ASKS.to_vec();
            some.remove(missing);
            assert!(answer(&request(&some, PATH)).is_none(), "{name}");
        }
    }

    #[tokio::test]
    async fn bytes_go_both_ways_whatever_the_messages() {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let socket = |io, role| WebSocketStream::from_raw_socket(io, role, Some(config()));
        let near = WebSocket { inner: socket(near, Role::Client).await, rest: Bytes::new() };
        let far = WebSocket { inner: socket(far, Role::Server).await, rest: Bytes::new() };
        let sent = vec![7; 300_000];
        let one_way = |mut from: WebSocket<_>, mut to: WebSocket<_>| {
            let sent = sent.clone();
            async move {
                let write = async {
                    from.write_all(&sent).await.unwrap();
                    from.flush().await.unwrap();
                };
                let mut got = vec![0; sent.len()];
                let (_, read) = tokio::join!(write, to.read_exact(&mut got));
                read.unwrap();
                assert!(got == sent);
                (from, to)
            }
        };
        let (near, far) = one_way(near, far).await;
        one_way(far, near).await;
    }
}
