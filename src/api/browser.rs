//! The portal's own pages at the API: they show no token, but the cookie of their browser's sign-in.
//!
//! A browser sends that cookie whatever page asks, and to it all applications below the relay's
//! domain are the same site. So what counts is what it says of the page: `Sec-Fetch-Site`, which no
//! page can set, and in browsers that know it not, `Origin`.

use access::Code;
use axum::http::header::{HOST, HeaderValue, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, Uri};

use super::error::ApiError;

/// Whether a request that shows the cookie comes from a page of this very host.
pub(super) fn is_own(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let reads = [Method::GET, Method::HEAD].contains(method);
    let origin =
        headers.get(ORIGIN).map(|origin| Some(origin.as_bytes()) == own(uri, headers).as_deref());
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        Some(b"same-origin") => true,
        // An address that a person typed: it may read, and no page sees what.
        Some(b"none") => reads && origin != Some(false),
        Some(_) => false,
        // It sends none with what a page of the same host reads.
        None if reads => origin != Some(false),
        None => origin == Some(true),
    }
}

/// Whether a WebSocket is a page's of this very host, which every browser says.
pub(super) fn is_of(uri: &Uri, headers: &HeaderMap) -> bool {
    let origin = headers.get(ORIGIN).map(HeaderValue::as_bytes);
    origin.is_some() && origin == own(uri, headers).as_deref()
}

/// The origin of the host that was asked.
fn own(uri: &Uri, headers: &HeaderMap) -> Option<Vec<u8>> {
    let host = uri.authority().map(Authority::as_str);
    let host = host.or_else(|| headers.get(HOST)?.to_str().ok())?.to_ascii_lowercase();
    let host = host.strip_suffix(":443").unwrap_or(&host);
    Some(format!("https://{host}").into_bytes())
}

pub(super) fn foreign() -> ApiError {
    let detail = "another page than the portal's asks for this in your name";
    ApiError::new(StatusCode::FORBIDDEN, Code("web.cross_origin"), detail)
        .hint("use the portal itself; programs show a token and no cookie")
}

pub(super) fn two_sign_ins() -> ApiError {
    ApiError::invalid(
        "a request signs in by one thing: a token, an agent's certificate or a cookie",
    )
    .hint("send no cookie with it")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[test]
    fn only_pages_of_the_relays_own_host_ask_by_cookie() {
        const OWN: (&str, &str) = ("origin", "https://relay.test:8443");
        const SIBLING: (&str, &str) = ("origin", "https://evil-hq.relay.test:8443");
        let site = |site| ("sec-fetch-site", site);
        // What it says, whether it may read, whether it may change.
        type Case<'a> = (&'a [(&'a str, &'a str)], bool, bool);
        let cases: [Case<'_>; 13] = [
            (&[site("same-origin")], true, true),
            (&[site("same-origin"), OWN], true, true),
            (&[site("none")], true, false),
            (&[site("none"), SIBLING], false, false),
            (&[site("same-site")], false, false),
            (&[site("same-site"), OWN], false, false),
            (&[site("cross-site"), ("sec-fetch-mode", "navigate")], false, false),
            (&[site("cross-site"), ("sec-fetch-mode", "no-cors")], false, false),
            (&[], true, false),
            (&[OWN], true, true),
            (&[SIBLING], false, false),
            (&[("origin", "null")], false, false),
            (&[("origin", "http://relay.test:8443")], false, false),
        ];
        for (said, reads, changes) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "Relay.test:8443".parse().unwrap());
            for (name, value) in said {
                headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            }
            let asked = |method| is_own(&method, &Uri::from_static("/api/v1/me"), &headers);
            assert_eq!((asked(Method::GET), asked(Method::POST)), (reads, changes), "{said:?}");
            assert_eq!(asked(Method::DELETE), changes, "{said:?}");
        }
    }

    #[test]
    fn the_usual_port_stands_in_no_origin() {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, "https://relay.test".parse().unwrap());
        for uri in ["https://relay.test:443/x", "https://relay.test/x"] {
            assert!(is_own(&Method::PUT, &uri.parse().unwrap(), &headers), "{uri}");
        }
        assert!(!is_own(&Method::PUT, &"https://relay.test:8443/x".parse().unwrap(), &headers));
    }
}
