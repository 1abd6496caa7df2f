//! The handshake of a WebSocket of the portal's pages: RFC 6455, and RFC 8441 over HTTP/2.

use std::net::SocketAddr;

use access::{Code, Credential};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use axum::extract::FromRequestParts;
use axum::http::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use hyper::ext::Protocol;

use super::browser;
use super::caller::Caller;
use super::error::ApiError;
use super::openapi::{Answer, Input, Operation, Schemas};
use crate::Peer;
use crate::lines::Seat;
use crate::listen::afterwards::{Afterwards, Line};

/// The place of a browser that is signed in. Anybody else is told that this is for those, and `hint`.
pub(super) fn seat(
    caller: Caller,
    peer: SocketAddr,
    (detail, hint): (&'static str, &'static str),
) -> Result<Seat, ApiError> {
    let Credential::SignIn { id: sign_in } = *caller.who.credential() else {
        let error = ApiError::new(StatusCode::FORBIDDEN, Code("token.wrong_kind"), detail);
        return Err(error.hint(hint));
    };
    Ok(Seat { who: caller.who, sign_in, peer })
}

/// A request for a WebSocket, of a page of the relay's own host.
pub(super) struct Handshake {
    /// The answer to the key that HTTP/1.1 has; `None`: it is a stream of HTTP/2.
    accept: Option<HeaderValue>,
    afterwards: Afterwards,
    pub(super) peer: Peer,
}

/// The answer: the protocol changes.
pub(super) struct Changed {
    accept: Option<HeaderValue>,
}

impl Handshake {
    /// The answer; `speak` speaks on the line that the connection is then.
    pub(super) fn then<F>(self, speak: impl FnOnce(Line) -> F + Send + 'static) -> Changed
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.afterwards.set(speak);
        Changed { accept: self.accept }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Handshake {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let accept = match parts.method == Method::CONNECT {
            true => match parts.extensions.get::<Protocol>().map(Protocol::as_str) {
                Some("websocket") => None,
                Some(_) | None => return Err(no_socket()),
            },
            false => Some(accepted(&parts.headers).ok_or_else(no_socket)?),
        };
        // Sockets are open to every page, whatever it may fetch, and to the browser all applications
        // are the same site.
        if !browser::is_of(&parts.uri, &parts.headers) {
            return Err(browser::foreign());
        }
        let missing = || ApiError::internal("a request without its connection");
        let afterwards = parts.extensions.get::<Afterwards>().cloned().ok_or_else(missing)?;
        let peer = parts.extensions.get::<Peer>().cloned().ok_or_else(missing)?;
        Ok(Self { accept, afterwards, peer })
    }
}

/// What proves that the request was read, of one that is for a WebSocket.
fn accepted(headers: &HeaderMap) -> Option<HeaderValue> {
    let has = |name, word: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
    };
    let asks = has(CONNECTION, "upgrade") && has(UPGRADE, "websocket");
    let version = headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| asks && version)?;
    let sum = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID].concat());
    HeaderValue::try_from(BASE64.encode(sum.as_ref())).ok()
}

fn no_socket() -> ApiError {
    let detail = "this path is for WebSockets, version 13";
    ApiError::new(StatusCode::UPGRADE_REQUIRED, Code("request.upgrade"), detail)
        .hint("open the terminal in the portal")
}

impl IntoResponse for Changed {
    fn into_response(self) -> Response {
        let Some(accept) = self.accept else { return StatusCode::OK.into_response() };
        let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        response
    }
}

impl Input for Handshake {
    fn describe(_: &mut Operation, _: &mut Schemas) {}
}

impl Answer for Changed {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.answer(101, "", serde_json::Value::Null);
    }
}

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
