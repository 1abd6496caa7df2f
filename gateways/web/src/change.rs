//! Requests that change to another protocol: by an `Upgrade` of HTTP/1.1, or for WebSocket by the
//! extended CONNECT of HTTP/2 (RFC 8441). Client and origin have each their own way.

use access::Code;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use data_encoding::BASE64;
use hyper::ext::Protocol;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::http::response;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, StatusCode};
use uuid::Uuid;

use crate::body::Upload;
use crate::headers::asked_upgrade;
use crate::leftover::Watched;
use crate::origin::Carrier;
use crate::problem::Refusal;
use crate::target::Http;

/// Whether a request asks for another protocol, in either way.
pub(crate) fn is_asked(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::CONNECT || asked_upgrade(headers).is_some()
}

/// What a request asks to change to.
pub(crate) struct Change {
    protocol: HeaderValue,
    /// The key that the side with an `Upgrade` has sent, if that is WebSocket's.
    key: Option<HeaderValue>,
    /// The stream of the client that has asked by CONNECT.
    pub(crate) stream: Option<OnUpgrade>,
}

impl Change {
    /// What a request of HTTP/1.1 asks for, where an origin that is spoken to in `http` can do it.
    pub(crate) fn by_upgrade(headers: &HeaderMap, http: Http) -> Option<Self> {
        let protocol = asked_upgrade(headers)?;
        let key = headers.get(SEC_WEBSOCKET_KEY).cloned();
        let can = http != Http::Two || (protocol == WEBSOCKET && key.is_some());
        can.then_some(Self { protocol, key, stream: None })
    }

    /// What a request of HTTP/2 asks for.
    ///
    /// # Errors
    ///
    /// Refuses a CONNECT that is not for WebSocket.
    pub(crate) fn by_connect(request: &mut Request<Watched>) -> Result<Option<Self>, Refusal> {
        if request.method() != Method::CONNECT {
            return Ok(None);
        }
        let protocol = request.extensions().get::<Protocol>().map(Protocol::as_str);
        if protocol != Some(WEBSOCKET) {
            let detail = "CONNECT is taken for WebSocket only";
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, Code("web.protocol"), detail));
        }
        let stream = Some(hyper::upgrade::on(request));
        Ok(Some(Self { protocol: HeaderValue::from_static(WEBSOCKET), key: None, stream }))
    }

    /// What goes into `Upgrade` towards the origin.
    pub(crate) fn upgrade(&self, http: Http) -> Option<HeaderValue> {
        (http != Http::Two).then(|| self.protocol.clone())
    }

    /// Puts the request into the form of the origin's HTTP.
    pub(crate) fn prepare(&mut self, request: &mut Request<Upload>, http: Http) {
        if http == Http::Two {
            *request.method_mut() = Method::CONNECT;
            request.extensions_mut().insert(Protocol::from_static(WEBSOCKET));
            request.headers_mut().remove(SEC_WEBSOCKET_KEY);
        } else if self.stream.is_some() {
            *request.method_mut() = Method::GET;
            let key = HeaderValue::try_from(BASE64.encode(Uuid::new_v4().as_bytes())).ok();
            let headers = request.headers_mut();
            headers.extend(key.clone().map(|key| (SEC_WEBSOCKET_KEY, key)));
            headers.entry(SEC_WEBSOCKET_VERSION).or_insert(HeaderValue::from_static("13"));
            self.key = key;
        }
    }

    /// Whether the origin has changed as it was asked to.
    pub(crate) fn is_made(&self, answer: &response::Parts, carrier: &Carrier) -> bool {
        match carrier {
            Carrier::Lane(_) => answer.status.is_success(),
            Carrier::Single(_) => {
                let accepted = answer.headers.get(SEC_WEBSOCKET_ACCEPT);
                let proven = self.stream.is_none() || accepted == self.accept().as_ref();
                answer.status == StatusCode::SWITCHING_PROTOCOLS && proven
            }
        }
    }

    /// Puts the answer to a change into the form of the client's HTTP.
    pub(crate) fn tell(&self, answer: &mut response::Parts) {
        let headers = &mut answer.headers;
        headers.remove(CONTENT_LENGTH);
        if self.stream.is_some() {
            answer.status = StatusCode::OK;
            headers.remove(SEC_WEBSOCKET_ACCEPT);
            return;
        }
        if answer.status != StatusCode::SWITCHING_PROTOCOLS {
            headers.extend(self.accept().map(|accept| (SEC_WEBSOCKET_ACCEPT, accept)));
        }
        answer.status = StatusCode::SWITCHING_PROTOCOLS;
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.entry(UPGRADE).or_insert(self.protocol.clone());
    }

    /// What proves that somebody has read the key (RFC 6455, section 4.2.2).
    fn accept(&self) -> Option<HeaderValue> {
        let key = self.key.as_ref()?.as_bytes();
        let sum = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
        HeaderValue::try_from(BASE64.encode(sum.as_ref())).ok()
    }
}

const WEBSOCKET: &str = "websocket";
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_accepted_as_the_standard_says() {
        let key = Some(HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        let protocol = HeaderValue::from_static(WEBSOCKET);
        let change = Change { protocol, key, stream: None };
        assert_eq!(change.accept().unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_websocket_goes_to_an_origin_of_http2() {
        let asked = |protocol: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static(protocol));
            headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("x"));
            headers
        };
        for (protocol, http, can) in [
            ("websocket", Http::Two, true),
            ("WebSocket", Http::Either, true),
            ("other", Http::Two, false),
            ("other", Http::One, true),
        ] {
            assert_eq!(Change::by_upgrade(&asked(protocol), http).is_some(), can, "{protocol}");
        }
        assert!(is_asked(&Method::GET, &asked("websocket")));
        assert!(is_asked(&Method::CONNECT, &HeaderMap::new()));
        assert!(!is_asked(&Method::GET, &HeaderMap::new()));
    }
}
