//! The relay's own words to gRPC clients: they look for a status in trailers, not for HTTP's.

use std::fmt::Write as _;

use access::{EndReason, Explain};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use crate::answer::WebBody;
use crate::problem::http;

/// Whether a request is a call of gRPC.
pub(crate) fn is_call(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let rest = kind.to_ascii_lowercase();
    let rest = rest.strip_prefix("application/grpc");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';', ' ']))
}

/// An answer of nothing but trailers, which say why the call is refused.
pub(crate) fn refusal(status: StatusCode, message: &str) -> Response<WebBody> {
    let mut response = Response::new(WebBody::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.extend(trailers(Status::of(status), message));
    response
}

/// The trailers of a call whose session is over.
pub(crate) fn ended(reason: EndReason) -> HeaderMap {
    trailers(Status::of(http(reason.http_status())), &reason.public())
}

/// A status of gRPC, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Status(u16);

impl Status {
    /// As gRPC's own table has it (doc/http-grpc-status-mapping.md), but for those of which the
    /// relay knows more.
    fn of(status: StatusCode) -> Self {
        Self(match status {
            StatusCode::GATEWAY_TIMEOUT => DEADLINE_EXCEEDED,
            StatusCode::FORBIDDEN => PERMISSION_DENIED,
            StatusCode::TOO_MANY_REQUESTS => RESOURCE_EXHAUSTED,
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => UNAVAILABLE,
            StatusCode::UNAUTHORIZED => UNAUTHENTICATED,
            StatusCode::NOT_FOUND | StatusCode::MISDIRECTED_REQUEST => UNIMPLEMENTED,
            _ => INTERNAL,
        })
    }
}

fn trailers(Status(status): Status, message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from(status));
    if let Ok(message) = HeaderValue::from_str(&encoded(message)) {
        trailers.insert(MESSAGE, message);
    }
    trailers
}

/// Percent-encoded as gRPC asks.
fn encoded(message: &str) -> String {
    message.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b'%' | 0..b' ' | 0x7f.. => drop(write!(text, "%{byte:02X}")),
            _ => text.push(char::from(byte)),
        }
        text
    })
}

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

const DEADLINE_EXCEEDED: u16 = 4;
const PERMISSION_DENIED: u16 = 7;
const RESOURCE_EXHAUSTED: u16 = 8;
const UNIMPLEMENTED: u16 = 12;
const INTERNAL: u16 = 13;
const UNAVAILABLE: u16 = 14;
const UNAUTHENTICATED: u16 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_by_its_content_type() {
        let cases = [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC; charset=x", true),
            ("application/grpc-web+proto", false),
            ("application/json", false),
        ];
        for (kind, call) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(is_call(&headers), call, "{kind}");
        }
        assert!(!is_call(&HeaderMap::new()));
    }

    #[test]
    fn a_refusal_is_a_status_and_words_in_a_successful_answer() {
        let response = refusal(StatusCode::UNAUTHORIZED, "100 % no\nentry: ü");
        assert_eq!(response.status(), StatusCode::OK);
        let headers = response.headers();
        assert_eq!(headers[CONTENT_TYPE], "application/grpc");
        assert_eq!(headers[STATUS], "16");
        assert_eq!(headers[MESSAGE], "100 %25 no%0Aentry: %C3%BC");
        assert_eq!(ended(EndReason::Killed)[STATUS], "7");
        assert_eq!(ended(EndReason::Drained)[STATUS], "14");
    }
}
