//! The relay's own cookies at an application's host: never the application's to see, set or shadow.
//!
//! Their names begin with `__Host-`: browsers then take them only from this very host, over TLS and
//! for all of it, so that no sibling below the same domain can set one here.

use aws_lc_rs::rand;
use data_encoding::BASE64URL_NOPAD;
use hyper::HeaderMap;
use hyper::header::{COOKIE, HeaderName, HeaderValue, SET_COOKIE};
use secrecy::{ExposeSecret, SecretString};

/// What a browser holds for this host.
#[derive(Debug, Default)]
pub(crate) struct Cookies {
    /// Of somebody who was let in.
    pub(crate) visitor: Option<SecretString>,
    /// Of a browser that was sent to the relay's host.
    pub(crate) nonce: Option<SecretString>,
}

impl Cookies {
    /// Takes the relay's own out of a request, in whatever spelling, and leaves the application's.
    /// One that is there twice is none: nobody knows which of them is the relay's.
    pub(crate) fn take(headers: &mut HeaderMap) -> Self {
        let mut all = Vec::new();
        for value in headers.get_all(COOKIE) {
            all.extend(value.as_bytes().split(|byte| *byte == b';').map(trimmed));
        }
        let (ours, theirs): (Vec<&[u8]>, Vec<&[u8]>) =
            all.into_iter().partition(|one| is_ours(one));
        let cookies =
            Self { visitor: only(&ours, VISITOR), nonce: only(&ours, NONCE).filter(is_nonce) };
        if !ours.is_empty() {
            let left = HeaderValue::from_bytes(&theirs.join(b"; ".as_slice()));
            headers.remove(COOKIE);
            if let Ok(left) = left
                && !left.is_empty()
            {
                headers.insert(COOKIE, left);
            }
        }
        cookies
    }
}

/// Takes what an origin must not set out of its answer.
pub(crate) fn refuse_ours(headers: &mut HeaderMap) {
    let values: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().cloned().collect();
    if !values.iter().any(|value| is_ours(value.as_bytes())) {
        return;
    }
    headers.remove(SET_COOKIE);
    for value in values.into_iter().filter(|value| !is_ours(value.as_bytes())) {
        headers.append(SET_COOKIE, value);
    }
}

/// Keeps an origin from having browsers forget their cookies: they would forget those of the relay
/// and of every other application below its domain.
pub(crate) fn spare_ours(headers: &mut HeaderMap) {
    let Some(value) = headers.remove(CLEAR_SITE_DATA) else { return };
    let text = value.to_str().unwrap_or_default();
    let all = text.split(',').map(str::trim).collect::<Vec<_>>();
    let kept = KEPT.iter().filter(|kept| all.contains(kept) || all.contains(&"\"*\""));
    let kept: Vec<&str> = kept.copied().collect();
    if let Ok(value) = HeaderValue::from_str(&kept.join(", "))
        && !value.is_empty()
    {
        headers.insert(CLEAR_SITE_DATA, value);
    }
}

pub(super) fn visitor(value: &SecretString) -> String {
    format!("{VISITOR}={}; {ATTRIBUTES}", value.expose_secret())
}

pub(super) fn nonce(value: &SecretString) -> String {
    format!("{NONCE}={}; {ATTRIBUTES}", value.expose_secret())
}

pub(super) fn fresh_nonce() -> SecretString {
    let mut bytes = [0; 32];
    // Never fails where there is TLS; zeros would let nobody in, for they are no nonce.
    let _ = rand::fill(&mut bytes);
    BASE64URL_NOPAD.encode(&bytes).into()
}

fn is_nonce(text: &SecretString) -> bool {
    let bytes = BASE64URL_NOPAD.decode(text.expose_secret().as_bytes());
    bytes.is_ok_and(|bytes| bytes.len() == 32 && bytes != [0; 32])
}

fn only(ours: &[&[u8]], name: &str) -> Option<SecretString> {
    let mut found = ours.iter().filter_map(|pair| {
        let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        std::str::from_utf8(value).ok()
    });
    let first = found.next()?;
    found.next().is_none().then(|| first.to_owned().into())
}

/// Whether a pair has a name of the relay's; one without a name counts by what it would be read as.
fn is_ours(pair: &[u8]) -> bool {
    let pair = trimmed(pair);
    let start = pair.iter().position(|byte| *byte != b'=' && !byte.is_ascii_whitespace());
    let name = &pair[start.unwrap_or(pair.len())..];
    name.get(..PREFIX.len()).is_some_and(|name| name.eq_ignore_ascii_case(PREFIX.as_bytes()))
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

const PREFIX: &str = "__Host-adit";
const VISITOR: &str = "__Host-adit-app";
const NONCE: &str = "__Host-adit-nonce";
/// Lax: a link from elsewhere opens the application; what another site sends does not count.
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");
const KEPT: [&str; 3] = ["\"cache\"", "\"storage\"", "\"executionContexts\""];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_application_sees_its_own_cookies_and_none_of_the_relays() {
        let cases: [(&[&str], Option<&str>, Option<&str>); 7] = [
            (&["a=1; __Host-adit-app=V; b=2"], Some("V"), Some("a=1; b=2")),
            (&["__Host-adit-app=V"], Some("V"), None),
            // As HTTP/2 sends them.
            (&["a=1", "__Host-adit-app=V", "b=2"], Some("V"), Some("a=1; b=2")),
            (&["__Host-adit-app=V; __Host-adit-app=W"], None, None),
            (&["__HOST-ADIT-APP=V; a=1"], None, Some("a=1")),
            (&["=__Host-adit-app=V; __Host-adit=R; a=1"], None, Some("a=1")),
            (&["a=__Host-adit-app=V"], None, Some("a=__Host-adit-app=V")),
        ];
        for (sent, visitor, left) in cases {
            let mut headers = HeaderMap::new();
            for value in sent {
                headers.append(COOKIE, value.parse().unwrap());
            }
            let cookies = Cookies::take(&mut headers);
            let taken = cookies.visitor.as_ref().map(ExposeSecret::expose_secret);
            assert_eq!(taken, visitor, "{sent:?}");
            let seen: Vec<_> =
                headers.get_all(COOKIE).iter().map(|v| v.to_str().unwrap()).collect();
            match left {
                // Untouched where nothing was ours.
                Some(left) => assert_eq!(seen.join("; "), left, "{sent:?}"),
                None => assert!(seen.is_empty(), "{sent:?}"),
            }
        }
    }

    #[test]
    fn an_application_sets_none_of_the_relays_cookies() {
        let set =
            ["a=1; Path=/", "__Host-adit-app=x", " __host-ADIT-nonce=x", "=__Host-adit=x", "b=2"];
        let mut headers = HeaderMap::new();
        for value in set {
            headers.append(SET_COOKIE, value.parse().unwrap());
        }
        refuse_ours(&mut headers);
        let left: Vec<_> =
            headers.get_all(SET_COOKIE).iter().map(|v| v.to_str().unwrap()).collect();
        assert_eq!(left, ["a=1; Path=/", "b=2"]);
    }

    #[test]
    fn an_application_clears_its_storage_and_nobodys_cookies() {
        let cases = [
            ("\"*\"", Some("\"cache\", \"storage\", \"executionContexts\"")),
            ("\"cookies\"", None),
            ("\"cache\", \"cookies\" , \"storage\"", Some("\"cache\", \"storage\"")),
            ("\"clientHints\"", None),
        ];
        for (sent, left) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(CLEAR_SITE_DATA, sent.parse().unwrap());
            spare_ours(&mut headers);
            let value = headers.get(CLEAR_SITE_DATA).map(|value| value.to_str().unwrap());
            assert_eq!(value, left, "{sent}");
        }
    }

    #[test]
    fn a_nonce_is_long_and_new_each_time() {
        let (one, other) = (fresh_nonce(), fresh_nonce());
        assert!(is_nonce(&one) && one.expose_secret() != other.expose_secret());
        assert!(!is_nonce(&"short".to_owned().into()));
    }
}
