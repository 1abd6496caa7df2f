//! Packets in a WebSocket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    UPGRADE,
};
use hyper::{Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// A WebSocket's binary messages.
pub(crate) struct WebSocket<S>(WebSocketStream<S>);

/// The answer to a request for a WebSocket, of which method it ever is; `None`: it asks for none.
/// Clients send keys that are no base64, so they are taken as they are.
pub(crate) fn answer(headers: &HeaderMap) -> Option<Response<()>> {
    let asked = says(headers, &CONNECTION, "upgrade") && says(headers, &UPGRADE, "websocket");
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| asked)?;
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
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
    /// The server's side, after [`answer`] was given. `early` is what was read behind the request.
    pub(crate) async fn serve(io: S, early: Bytes) -> Self {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE))
            .write_buffer_size(0)
            .max_write_buffer_size(4 * MAX_MESSAGE)
            .read_buffer_size(READ);
        let (role, config) = (Role::Server, Some(config));
        Self(WebSocketStream::from_partially_read(io, early.into(), role, config).await)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> splice::Stream for WebSocket<S> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            match ready!(Pin::new(&mut self.0).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => return Poll::Ready(Ok(Some(bytes))),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(None)),
                Some(Ok(Message::Text(_) | Message::Frame(_))) => {
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
                Some(Err(error)) => return Poll::Ready(ended(error)),
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.0).poll_ready(cx)).map_err(broken)?;
        let message = Message::Binary(std::mem::take(data));
        Poll::Ready(Pin::new(&mut self.0).start_send(message).map_err(broken))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx).map_err(broken)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx).map_err(broken)
    }

    fn abort(&mut self, _code: u32) {}
}

/// Clients end their connection without the frame that says so, and TLS without its own word for it.
fn ended(error: Error) -> io::Result<Option<Bytes>> {
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Ok(None),
        Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        other => Err(broken(other)),
    }
}

fn broken(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

/// The longest message that is taken: one packet.
const MAX_MESSAGE: usize = 128 * 1024;
/// Read at once; what a client sends is small.
const READ: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_no_base64_is_answered_like_any_other() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("connection", "Upgrade"), ("upgrade", "WebSocket")] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        assert!(answer(&headers).is_none());
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("(k)%&!0123456789"));
        let accept = answer(&headers).unwrap().headers()[SEC_WEBSOCKET_ACCEPT].clone();
        assert_eq!(accept.len(), 28);
        headers.remove(UPGRADE);
        assert!(answer(&headers).is_none());
    }
}
