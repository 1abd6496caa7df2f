//! Which headers go on: none that is for the next hop only, and none that says who somebody is
//! unless the relay says so.

use std::borrow::Cow;
use std::net::IpAddr;

use access::WebOptions;
use hyper::HeaderMap;
use hyper::header::{
    CONNECTION, FORWARDED, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};

/// What an origin is told of who asks. It is the same for many requests.
pub(crate) struct Told {
    /// Host, and port where it is not the scheme's own, as the client wrote it.
    host: String,
    said: Vec<(HeaderName, HeaderValue)>,
}

impl Told {
    pub(crate) fn new(user: &str, from: IpAddr, host: &str) -> Self {
        let forwarded = format!("for={};host=\"{host}\";proto=https", node(from));
        let said = [
            (USER, user),
            (FORWARDED, &forwarded),
            (HeaderName::from_static("x-forwarded-for"), &from.to_string()),
            (HeaderName::from_static("x-forwarded-host"), host),
            (HeaderName::from_static("x-forwarded-proto"), "https"),
        ];
        let value = |(name, text)| Some((name, HeaderValue::from_str(text).ok()?));
        Self { host: host.to_owned(), said: said.into_iter().filter_map(value).collect() }
    }

    /// Whether it is what an origin is told of a request for this host.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        self.host == host
    }
}

/// Makes a client's headers fit to go to an origin. `upgrade` is what an upgrade asks for, when it
/// goes on; `statement` the signed one, where the relay signs one.
pub(crate) fn toward_origin(
    headers: &mut HeaderMap,
    upgrade: Option<HeaderValue>,
    told: &Told,
    statement: Option<HeaderValue>,
) {
    let trailers = headers.get_all(TE).iter().any(wants_trailers);
    drop_hop_by_hop(headers);
    drop_forged(headers);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
    for (name, value) in &told.said {
        headers.insert(name, value.clone());
    }
    if let Some(statement) = statement {
        headers.insert(STATEMENT, statement);
    }
}

/// Makes an origin's headers fit to go to a client.
pub(crate) fn toward_client(headers: &mut HeaderMap, upgraded: bool) {
    let protocol = upgraded.then(|| headers.get(UPGRADE).cloned()).flatten();
    drop_hop_by_hop(headers);
    headers.remove(STATEMENT);
    if let Some(protocol) = protocol {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

/// Takes away and sets what the application's options say.
pub(crate) fn adjust(headers: &mut HeaderMap, options: &WebOptions) {
    for name in &options.remove_headers {
        headers.remove(name);
    }
    for (name, value) in &options.set_headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
}

/// The protocol that a request asks to change to; HTTP/2 in the clear is none.
pub(crate) fn asked_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let options = headers.get_all(CONNECTION).iter().flat_map(words);
    if !options.into_iter().any(|option| option == "upgrade") {
        return None;
    }
    let mut protocols: Vec<String> = headers.get_all(UPGRADE).iter().flat_map(words).collect();
    protocols.retain(|protocol| protocol != "h2c");
    (!protocols.is_empty()).then(|| HeaderValue::from_str(&protocols.join(", ")).ok()).flatten()
}

/// RFC 9110, section 7.6.1.
fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let options: Vec<HeaderValue> = headers.get_all(CONNECTION).iter().cloned().collect();
    for option in options.iter().flat_map(|option| option.as_bytes().split(|byte| *byte == b',')) {
        let option = option.trim_ascii();
        // The usual one, whose header goes anyway.
        if option.eq_ignore_ascii_case(b"keep-alive") {
            continue;
        }
        if let Ok(name) = HeaderName::from_bytes(option) {
            headers.remove(name);
        }
    }
    while let Some(name) = headers.keys().find(|name| HOP_BY_HOP.contains(name)).cloned() {
        headers.remove(name);
    }
}

/// Takes away what only the relay may say. Applications that map names to variables take `_` for
/// `-`, so both count as one.
fn drop_forged(headers: &mut HeaderMap) {
    let forged: Vec<HeaderName> =
        headers.keys().filter(|name| is_forged(name.as_str())).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
}

fn is_forged(name: &str) -> bool {
    let plain = match name.contains('_') {
        true => Cow::Owned(name.replace('_', "-")),
        false => Cow::Borrowed(name),
    };
    let plain = plain.as_ref();
    let framing = plain != name && FRAMING.contains(&plain);
    framing || PREFIXES.iter().any(|prefix| plain.starts_with(prefix)) || IDENTITY.contains(&plain)
}

/// RFC 7239, section 6.
fn node(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    }
}

fn wants_trailers(value: &HeaderValue) -> bool {
    words(value).any(|word| word == "trailers")
}

fn words(value: &HeaderValue) -> impl Iterator<Item = String> + use<> {
    let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
    let words: Vec<String> = text.split(',').map(|word| word.trim().to_owned()).collect();
    words.into_iter().filter(|word| !word.is_empty())
}

/// The signed statement of who asks.
pub(crate) const STATEMENT: HeaderName = HeaderName::from_static("x-adit-identity");
const USER: HeaderName = HeaderName::from_static("x-adit-user");

const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
];

const FRAMING: [&str; 4] = ["content-length", "transfer-encoding", "content-type", "host"];

/// Names by which proxies and applications agree on who somebody is.
const PREFIXES: [&str; 9] = [
    "x-adit-",
    "x-checkpoint-",
    "x-forwarded",
    "x-remote-",
    "remote-",
    "x-auth-request-",
    "x-authenticated-",
    "x-warpgate-",
    "cf-access-",
];

const IDENTITY: [&str; 13] = [
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-user",
    "x-webauth-user",
    "x-proxy-user",
    "x-authentik-username",
    "x-goog-authenticated-user-email",
    "x-original-url",
    "x-rewrite-url",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_but_the_relay_says_who_asks() {
        let spellings = [
            "X-Adit-User",
            "x-adit-identity",
            "X_Adit_User",
            "X-Adit_User",
            "X-Forwarded-User",
            "x_forwarded_for",
            "X-Forwarded-Host",
            "X-Remote-User",
            "X-Warpgate-Username",
            "X-Auth-Request-User",
            "Remote-User",
            "remote_user",
            "Forwarded",
            "X-Real-IP",
            "Transfer_Encoding",
            "Content_Length",
        ];
        let mut headers: HeaderMap = spellings
            .iter()
            .map(|name| (name.parse().unwrap(), HeaderValue::from_static("admin")))
            .collect();
        headers.insert("x-custom_name", HeaderValue::from_static("kept"));
        toward_origin(&mut headers, None, &told(), None);
        let mut left: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        left.sort();
        let expected = [
            "forwarded: for=\"[2001:db8::1]\";host=\"web-hq.x:8443\";proto=https",
            "x-adit-user: alice",
            "x-custom_name: kept",
            "x-forwarded-for: 2001:db8::1",
            "x-forwarded-host: web-hq.x:8443",
            "x-forwarded-proto: https",
        ];
        assert_eq!(left, expected);
    }

    #[test]
    fn what_is_for_the_next_hop_stays_there() {
        let sent = [
            ("connection", "keep-alive,\tX-Secret ,, x-adit-user"),
            ("keep-alive", "5"),
            ("te", "gzip, trailers"),
            ("transfer-encoding", "chunked"),
            ("proxy-authorization", "x"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("x-secret", "1"),
            ("accept", "*/*"),
        ];
        let mut headers: HeaderMap = sent
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        assert_eq!(asked_upgrade(&headers), None);
        toward_origin(&mut headers, None, &told(), None);
        let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert!(names.contains(&"accept") && headers["te"] == "trailers", "{names:?}");
        assert!(
            ["connection", "keep-alive", "x-secret", "transfer-encoding", "upgrade"]
                .iter()
                .all(|name| !names.contains(name)),
            "{names:?}"
        );
        assert_eq!(headers["x-adit-user"], "alice");
    }

    #[test]
    fn an_upgrade_goes_on_both_ways() {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("h2c, WebSocket"));
        let upgrade = asked_upgrade(&headers);
        assert_eq!(upgrade, Some(HeaderValue::from_static("websocket")));
        toward_origin(&mut headers, upgrade, &told(), None);
        assert_eq!(
            (&headers[CONNECTION], &headers[UPGRADE]),
            (&HeaderValue::from_static("upgrade"), &HeaderValue::from_static("websocket"))
        );
        toward_client(&mut headers, true);
        assert_eq!(headers[UPGRADE], "websocket");
        toward_client(&mut headers, false);
        assert!(!headers.contains_key(UPGRADE));
    }

    fn told() -> Told {
        Told::new("alice", "2001:db8::1".parse().unwrap(), "web-hq.x:8443")
    }
}
