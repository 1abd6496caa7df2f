//! How a web application's origin is spoken to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::HostName;
use crate::web_service::{self, WebService};

/// The options of a web application. Each has a default, and none makes it less safe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct WebOptions {
    /// Names that lead to it besides `<app>-<site>.<domain>`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub host_names: Vec<HostName>,
    /// Absent: https at port 443, http at every other one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// The version of HTTP; absent: what the origin picks in the TLS handshake, 1 where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Version>,
    /// The CAs that sign the origin's certificate (PEM); absent: those the relay's machine trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The SHA-256 of the origin's one good certificate (hex), whoever signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// The name in the TLS handshake; absent: the address's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// The Host the origin is sent; absent: the application's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The path at the origin that clients see as `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_path: Option<String>,
    /// Seconds until a connection stands, TLS included; absent: 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<u32>,
    /// Seconds without a byte of a request's body moving until the answer's head; absent: 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_timeout: Option<u32>,
    /// Headers that each request gets, in place of what the client sent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set_headers: BTreeMap<String, String>,
    /// Headers that no request brings to the origin.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove_headers: Vec<String>,
    /// The methods that are let through; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// The paths that are let through, with all below them; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Origins of their own for some paths or host names.
    #[serde(rename = "service", skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<WebService>,
}

/// What an origin speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    Http,
    Https,
}

/// Which HTTP an origin is spoken to in: `"1"` is HTTP/1.1, `"2"` HTTP/2, without TLS as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Version {
    #[serde(rename = "1")]
    One,
    #[serde(rename = "2")]
    Two,
}

impl WebOptions {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a request may go on: its method and path are let through.
    ///
    /// A path with dot segments, or with escapes that could hide some, is let through by no prefix:
    /// two servers read it differently. One that could leave a base path or a service's is let through
    /// by nothing.
    pub fn lets_through(&self, method: &str, path: &str) -> bool {
        let method = self.methods.is_empty() || self.methods.iter().any(|named| named == method);
        let stays = !self.has_places() || !may_climb(path);
        method && stays && (self.paths.is_empty() || (is_plain(path) && self.holds(path)))
    }

    /// Whether paths mean a place at an origin, which some could be read as leaving.
    fn has_places(&self) -> bool {
        let placed = |s: &WebService| s.path.is_some() || s.base_path.is_some();
        self.base_path.is_some() || self.services.iter().any(placed)
    }

    /// The service whose a request is, by its place among them; `None`: the application's own address
    /// is asked.
    pub fn service(&self, host: &str, path: &str) -> Option<usize> {
        web_service::chosen(&self.services, host, path)
    }

    /// What is not valid, one sentence each.
    pub fn faults(&self) -> Vec<String> {
        let checks = [
            ("host_names: 32 are enough", self.host_names.len() <= MOST_HOST_NAMES),
            ("host_names: one stands there twice", !has_twice(&self.host_names)),
            ("ca is no certificate in PEM form", self.ca.as_deref().is_none_or(is_pem)),
            ("pin is no SHA-256 in hex", self.pin.as_deref().is_none_or(is_sha256)),
            ("pin and ca: one is enough", self.pin.is_none() || self.ca.is_none()),
            ("sni is no host name", self.sni.as_deref().is_none_or(is_host)),
            (
                "host is no host name, with or without a port",
                self.host.as_deref().is_none_or(is_host),
            ),
            (
                "base_path begins with / and has no dot segments, query or blank",
                self.base_path.as_deref().is_none_or(|p| is_plain(p) && is_bare(p)),
            ),
            (
                "connect_timeout is from 1 to 10 seconds",
                self.connect_timeout.is_none_or(|s| (1..=10).contains(&s)),
            ),
            (
                "answer_timeout is from 1 to 3600 seconds",
                self.answer_timeout.is_none_or(|s| (1..=3600).contains(&s)),
            ),
            ("a method is a word in capitals", self.methods.iter().all(|m| is_method(m))),
            (
                "a path begins with / and has no dot segments",
                self.paths.iter().all(|p| is_plain(p)),
            ),
            (
                "a header's name is not one that can be removed",
                self.remove_headers.iter().all(|n| is_free(n)),
            ),
            (
                "a header that is set has a name that is the relay's or none",
                self.set_headers.keys().all(|n| is_free(n)),
            ),
            (
                "a header's value has one line",
                self.set_headers.values().all(|v| !v.chars().any(char::is_control)),
            ),
        ];
        let own = checks.into_iter().filter(|(_, good)| !good).map(|(fault, _)| fault.to_owned());
        own.chain(web_service::faults(&self.services, &self.host_names)).collect()
    }

    fn holds(&self, path: &str) -> bool {
        self.paths.iter().any(|prefix| {
            let bare = prefix.trim_end_matches('/');
            let rest = path.strip_prefix(bare);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

fn has_twice(names: &[HostName]) -> bool {
    names.iter().enumerate().any(|(at, name)| names[..at].contains(name))
}

/// Whether a server could read a path as one with dot segments.
fn may_climb(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    !is_plain(path) && ["..", "%2e", "%252e"].iter().any(|dots| lower.contains(dots))
}

/// Whether every server reads a path alike.
pub(crate) fn is_plain(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let hidden = ["%2e", "%2f", "%5c", "%25", "%00", "\\", "//"].iter().any(|h| lower.contains(h));
    let dots = path.split('/').any(|segment| {
        // A parameter, as in `/a/..;x/b`, is no part of a segment's name.
        let name = segment.split(';').next().unwrap_or_default();
        name == "." || name == ".."
    });
    path.starts_with('/') && !hidden && !dots
}

/// Whether a path is nothing but visible characters of one.
pub(crate) fn is_bare(path: &str) -> bool {
    path.len() <= 255 && path.bytes().all(|b| b.is_ascii_graphic() && !b"?#\"<>".contains(&b))
}

pub(crate) fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN CERTIFICATE-----")
}

pub(crate) fn is_sha256(text: &str) -> bool {
    let digits: Vec<char> = text.chars().filter(|c| *c != ':').collect();
    digits.len() == 64 && digits.iter().all(char::is_ascii_hexdigit)
}

pub(crate) fn is_host(text: &str) -> bool {
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    (1..=255).contains(&text.len()) && text.chars().all(allowed)
}

fn is_method(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
}

/// Whether a header's name is one, and neither framing nor the relay's own.
fn is_free(name: &str) -> bool {
    const TAKEN: [&str; 7] =
        ["host", "connection", "content-length", "transfer-encoding", "upgrade", "forwarded", "te"];
    let lower = name.to_ascii_lowercase().replace('_', "-");
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=64).contains(&name.len())
        && name.bytes().all(token)
        && !TAKEN.contains(&lower.as_str())
        && !["x-adit-", "x-forwarded-"].iter().any(|taken| lower.starts_with(taken))
}

/// Each may be given a certificate of its own.
const MOST_HOST_NAMES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_lets_through_what_is_below_it_and_nothing_else() {
        let options = WebOptions {
            methods: vec!["GET".to_owned()],
            paths: vec!["/api/v1/".to_owned(), "/health".to_owned()],
            ..WebOptions::default()
        };
        for path in ["/api/v1", "/api/v1/", "/api/v1/person/7", "/health", "/api/v1/a.b"] {
            assert!(options.lets_through("GET", path), "{path}");
            assert!(!options.lets_through("POST", path), "{path}");
        }
        let kept = [
            "/",
            "/api/v2",
            "/api/v1x",
            "/healthz",
            "/api/v1/../admin",
            "/api/v1/%2e%2E/admin",
            "/api/v1/..;x/admin",
            "/api/v1/%2e./admin",
            "/api/v1//admin",
            "/api/v1/..%2fadmin",
            "/api/v1/%252e%252e/admin",
            "/api/v1\\..\\admin",
        ];
        for path in kept {
            assert!(!options.lets_through("GET", path), "{path}");
        }
        assert!(WebOptions::default().lets_through("PURGE", "/a/../b"));
    }

    #[test]
    fn nothing_climbs_out_of_a_base_path() {
        let options = WebOptions { base_path: Some("/wiki".to_owned()), ..WebOptions::default() };
        for path in ["/", "/a..b", "/a%2Fb", "/a//b", "/v1.2/x"] {
            assert!(options.lets_through("GET", path), "{path}");
        }
        for path in ["/../a", "/a/%2e%2E/../b", "/..%2fa", "/a/..;x/b", "/%252e%252e/a", "/..\\a"] {
            assert!(!options.lets_through("GET", path), "{path}");
        }
    }

    #[test]
    fn nothing_climbs_out_of_a_services_path() {
        let mut service = WebService::at("10.0.0.8:81".parse().unwrap());
        service.path = Some("/api".to_owned());
        let options = WebOptions { services: vec![service], ..WebOptions::default() };
        for path in ["/", "/api/a..b", "/api/a%2Fb", "/api//b", "/x"] {
            assert!(options.lets_through("GET", path), "{path}");
        }
        for path in ["/api/../a", "/x/%2e%2E/api", "/api/..%2fa", "/api/..;x", "/api\\..\\x"] {
            assert!(!options.lets_through("GET", path), "{path}");
        }
    }

    #[test]
    fn each_fault_is_told() {
        let set = |name: &str, value: &str| WebOptions {
            set_headers: [(name.to_owned(), value.to_owned())].into(),
            ..WebOptions::default()
        };
        let one = |change: fn(&mut WebOptions)| {
            let mut options = WebOptions::default();
            change(&mut options);
            options
        };
        let bad = [
            set("X-Adit-User", "x"),
            set("x_forwarded_for", "x"),
            set("a b", "x"),
            set("a", "x\ny"),
            one(|o| o.host_names = vec!["a.b".parse().unwrap(); 2]),
            one(|o| o.pin = Some("abc".to_owned())),
            one(|o| o.ca = Some("abc".to_owned())),
            one(|o| o.sni = Some("a b".to_owned())),
            one(|o| o.host = Some("a/b".to_owned())),
            one(|o| o.base_path = Some("/a/../b".to_owned())),
            one(|o| o.base_path = Some("/a?b".to_owned())),
            one(|o| o.connect_timeout = Some(0)),
            one(|o| o.connect_timeout = Some(11)),
            one(|o| o.answer_timeout = Some(3601)),
            one(|o| o.methods = vec!["get".to_owned()]),
            one(|o| o.paths = vec!["api".to_owned()]),
            one(|o| o.remove_headers = vec!["Host".to_owned()]),
        ];
        for options in bad {
            assert_eq!(options.faults().len(), 1, "{options:?}");
        }
        let good = WebOptions { pin: Some("ab:".repeat(32)), ..set("Authorization", "Basic eDp5") };
        assert_eq!(good.faults(), Vec::<String>::new());
    }
}
