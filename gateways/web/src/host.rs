//! Whom a request is for, by its Host.

use hyper::Request;
use hyper::header::HOST;
use hyper::http::uri::Authority;

/// What a Host names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Something that could be an application: the label before the relay's domain.
    Application(String),
    /// Nothing that could be an application.
    Elsewhere,
}

impl Place {
    /// What the host of an authority names, below `domain`.
    pub fn of(authority: &str, domain: &str) -> Self {
        let host = without_port(authority).to_ascii_lowercase();
        let label = host.strip_suffix(&domain.to_ascii_lowercase());
        let label = label.and_then(|rest| rest.strip_suffix('.'));
        match label {
            Some(label) if !label.is_empty() && !label.contains('.') => {
                Self::Application(label.to_owned())
            }
            Some(_) | None => Self::Elsewhere,
        }
    }
}

/// The authority a request is for, as the client wrote it. An `:authority` and a `Host` that differ
/// are none.
pub fn authority<B>(request: &Request<B>) -> Option<String> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().map(|host| host.to_str().ok().map(str::to_owned));
    if hosts.next().is_some() {
        return None;
    }
    match (request.uri().authority().map(Authority::as_str), host) {
        (Some(authority), None) => Some(authority.to_owned()),
        (Some(authority), Some(host)) => host.filter(|host| host.eq_ignore_ascii_case(authority)),
        (None, host) => host.flatten(),
    }
}

/// Whether a server name that a client gave at the TLS handshake is that of an authority.
pub(crate) fn is_named(authority: &str, sni: &str) -> bool {
    without_port(authority).eq_ignore_ascii_case(sni)
}

/// The host of an authority.
pub fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_label_below_the_domain_is_an_application() {
        let cases = [
            ("wiki-hq.relay.test", Some("wiki-hq")),
            ("Wiki-HQ.Relay.Test:8443", Some("wiki-hq")),
            ("relay.test", None),
            ("a.b.relay.test", None),
            (".relay.test", None),
            ("wiki-hqrelay.test", None),
            ("wiki-hq.relay.test.evil", None),
            ("[::1]:443", None),
            ("127.0.0.1", None),
        ];
        for (host, label) in cases {
            let expected = label.map_or(Place::Elsewhere, |l| Place::Application(l.to_owned()));
            assert_eq!(Place::of(host, "relay.test"), expected, "{host}");
        }
    }

    #[test]
    fn two_names_for_one_request_are_none() {
        let request = |uri: &str, hosts: &[&str]| {
            let mut request = Request::builder().uri(uri);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            authority(&request.body(()).unwrap())
        };
        assert_eq!(request("/", &["a:1"]).as_deref(), Some("a:1"));
        assert_eq!(request("https://a/", &[]).as_deref(), Some("a"));
        assert_eq!(request("https://a/", &["A"]).as_deref(), Some("A"));
        assert_eq!(request("https://a/", &["b"]), None);
        assert_eq!(request("/", &["a", "a"]), None);
        assert_eq!(request("/", &[]), None);
    }
}
