//! Browsers: people who show a cookie instead of a token.
//!
//! The relay's host knows who is signed in. Each application's host has a cookie of its own, which
//! a browser gets by way of the relay's:
//!
//! 1. `https://wiki-hq.domain/x?y` without a cookie → a nonce for this host, and on to
//!    `https://domain/go?to=wiki-hq.domain&path=/x?y&state=<hash of the nonce>`;
//! 2. there, signed in and allowed → a code, good once and for half a minute, for this application
//!    and this nonce → `https://wiki-hq.domain/.adit/enter?code=…`;
//! 3. there, with the nonce → the cookie, and on to `/x?y`.
//!
//! Nobody can be led elsewhere: hosts are those of applications, and what else is carried is a path.
//! Nobody can be signed in as somebody else: a code is worth nothing without the nonce it was made
//! for.

mod cookies;
mod origin;
mod page;

use access::{Code, sha256};
use data_encoding::BASE64URL_NOPAD;
use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION, REFERRER_POLICY, SET_COOKIE,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};

pub(crate) use cookies::{Cookies, refuse_ours, spare_ours};
pub use origin::is_own;
pub use page::{Asset, DENIED, Html, asset, document, security};

use crate::answer::WebBody;
use crate::problem::Refusal;

/// Where the relay's own pages are, at every application's host. Nothing there reaches an origin.
const OWN: &str = "/.adit";

/// What a request for a page of the relay's own asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// To be let in, with this code.
    Enter {
        code: String,
    },
    SignOut,
    Asset(&'static Asset),
    Nothing,
}

/// Which of the relay's own pages is asked for; `None`: it is for the application.
pub(crate) fn own(target: &PathAndQuery) -> Option<Own> {
    let rest = target.path().strip_prefix(OWN)?;
    if !rest.is_empty() && !rest.starts_with('/') {
        return None;
    }
    Some(match rest {
        "/enter" => Own::Enter { code: parameter(target, "code").unwrap_or_default().to_owned() },
        "/sign-out" => Own::SignOut,
        _ => asset(target.path()).map_or(Own::Nothing, Own::Asset),
    })
}

/// Whether a person looks at what is answered: then they are shown a page, and led to the sign-in.
pub fn navigates<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    let html = headers.get_all(ACCEPT).iter().any(|accept| {
        accept.to_str().is_ok_and(|accept| accept.to_ascii_lowercase().contains("text/html"))
    });
    let mode = headers.get("sec-fetch-mode").is_none_or(|mode| mode == "navigate");
    reads && html && mode
}

/// On to the relay's host, which knows who is signed in.
pub(crate) fn to_relay(
    relay: &str,
    host: &str,
    target: &PathAndQuery,
    held: Option<&SecretString>,
) -> Response<WebBody> {
    let fresh = held.is_none().then(cookies::fresh_nonce);
    let nonce = held.or(fresh.as_ref()).map(|nonce| sha256(nonce.expose_secret().as_bytes()));
    let state = BASE64URL_NOPAD.encode(&nonce.unwrap_or_default());
    let path = match target.as_str() {
        path if path.len() <= LONGEST_PATH => path,
        _ => "/",
    };
    let link =
        format!("https://{relay}/go?to={}&state={state}&path={}", encoded(host), encoded(path));
    let mut answer = redirect(StatusCode::FOUND, &link);
    if let Some(fresh) = &fresh {
        set(&mut answer, cookies::nonce(fresh));
    }
    answer
}

/// Into the application, with its cookie.
pub(crate) fn let_in(host: &str, path: &str, cookie: &SecretString) -> Response<WebBody> {
    // The whole address: a path alone could be read as another host's.
    let path = if path.starts_with('/') { path } else { "/" };
    let mut answer = redirect(StatusCode::SEE_OTHER, &format!("https://{host}{path}"));
    set(&mut answer, cookies::visitor(cookie));
    answer
}

pub(crate) fn redirect(status: StatusCode, link: &str) -> Response<WebBody> {
    let mut answer = Response::new(WebBody::empty());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    // Everything in it is plain text, or was encoded.
    let link = HeaderValue::from_str(link).unwrap_or(HeaderValue::from_static("/"));
    headers.insert(LOCATION, link);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

pub(crate) fn send(asset: &'static Asset) -> Response<WebBody> {
    let mut answer = Response::new(WebBody::full(asset.text.as_bytes().into()));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// A refusal as a page, for a person.
pub(crate) fn show(refusal: Refusal, id: uuid::Uuid, next: &Next<'_>) -> Response<WebBody> {
    let text = page::refusal(&refusal, &id.to_string(), next);
    let mut answer = refusal.into_response(id);
    *answer.body_mut() = WebBody::full(text.into_bytes().into());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    // Browsers ask for a password where they are told of a scheme they know.
    headers.remove(WWW_AUTHENTICATE);
    for (name, value) in security() {
        headers.insert(name, value);
    }
    answer
}

/// Where a person can go from a refusal.
pub(crate) struct Next<'a> {
    /// Host, port where it is not 443, and path of the relay's pages.
    pub(crate) relay: &'a str,
    /// The host of the application that was asked for.
    pub(crate) host: &'a str,
}

pub(crate) fn foreign() -> Refusal {
    let detail = "another site asks for this in your name";
    Refusal::new(StatusCode::FORBIDDEN, Code("web.cross_origin"), detail)
        .hint("open the application itself; programs show a token")
}

pub(crate) fn stray() -> Refusal {
    let detail = "this way in was used already, is too old, or is for another browser";
    Refusal::new(StatusCode::FORBIDDEN, Code("sign_in.handover"), detail)
        .hint("open the application again")
}

pub(crate) fn nothing() -> Refusal {
    let detail = "the relay has no such page here";
    Refusal::new(StatusCode::NOT_FOUND, Code("request.not_found"), detail)
}

fn set(answer: &mut Response<WebBody>, cookie: String) {
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
}

fn parameter<'a>(target: &'a PathAndQuery, name: &str) -> Option<&'a str> {
    let pairs = target.query()?.split('&');
    pairs
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// As one value of a query.
fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~/".contains(&b);
    let each = text.bytes();
    each.map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// A longer one is forgotten on the way.
const LONGEST_PATH: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_relays_own_is_never_an_applications() {
        let cases = [
            ("/.adit", Some(Own::Nothing)),
            ("/.adit/", Some(Own::Nothing)),
            ("/.adit/other?x", Some(Own::Nothing)),
            ("/.adit/enter?a=b&code=C&c=d", Some(Own::Enter { code: "C".to_owned() })),
            ("/.adit/enter", Some(Own::Enter { code: String::new() })),
            ("/.adit/sign-out", Some(Own::SignOut)),
            ("/.aditx", None),
            ("/x/.adit/enter", None),
            ("/", None),
        ];
        for (path, expected) in cases {
            assert_eq!(own(&path.parse().unwrap()), expected, "{path}");
        }
    }

    #[test]
    fn only_what_a_person_looks_at_leads_to_a_page() {
        let navigated = |method: &str, headers: &[(&str, &str)]| {
            let mut request = Request::builder().method(method);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            navigates(&request.body(()).unwrap())
        };
        let html = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        assert!(navigated("GET", &[html]));
        assert!(navigated("HEAD", &[html, ("sec-fetch-mode", "navigate")]));
        assert!(!navigated("GET", &[html, ("sec-fetch-mode", "cors")]));
        assert!(!navigated("POST", &[html]));
        assert!(!navigated("GET", &[("accept", "*/*")]));
        assert!(!navigated("GET", &[]));
    }

    #[test]
    fn nobody_is_led_to_another_host() {
        let cookie = SecretString::from("c".to_owned());
        for path in
            ["//evil.example/", "/\\evil.example", "https://evil.example/", "@evil.example", ""]
        {
            let answer = let_in("wiki-hq.x", path, &cookie);
            let link = answer.headers()[LOCATION].to_str().unwrap();
            assert!(link.starts_with("https://wiki-hq.x/"), "{path}: {link}");
        }
        let answer =
            to_relay("x:8443", "wiki-hq.x:8443", &"//evil/?a&to=b#".parse().unwrap(), None);
        let link = answer.headers()[LOCATION].to_str().unwrap();
        assert!(link.starts_with("https://x:8443/go?to=wiki-hq.x%3A8443&state="), "{link}");
        assert!(link.ends_with("&path=//evil/%3Fa%26to%3Db"), "{link}");
    }
}
