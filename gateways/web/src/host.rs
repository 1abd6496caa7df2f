//! Whom a request is for, by its Host.

use access::PolicySnapshot;
use hyper::Request;
use hyper::header::HOST;
use hyper::http::uri::Authority;

/// What a Host names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Something that could be an application: the label before the relay's domain, or that of the
    /// application whose own host name it is.
    Application(String),
    /// Nothing that could be an application.
    Elsewhere,
}

impl Place {
    /// What the host of an authority names: below `domain`, or by `policy`.
    pub(crate) fn of(authority: &str, domain: &str, policy: &PolicySnapshot) -> Self {
        let host = without_port(authority);
        match below(host, domain) {
            Some(label) if !label.is_empty() && !label.contains('.') => {
                Self::Application(label.to_ascii_lowercase())
            }
            Some(_) => Self::Elsewhere,
            None => match policy.hosted(&host.to_ascii_lowercase()) {
                Some(application) => Self::Application(application.label()),
                None => Self::Elsewhere,
            },
        }
    }
}

/// What stands before the dot and a domain, in any case of letters.
fn below<'a>(host: &'a str, domain: &str) -> Option<&'a str> {
    let (rest, end) = host.split_at_checked(host.len().checked_sub(domain.len())?)?;
    if end.eq_ignore_ascii_case(domain) { rest.strip_suffix('.') } else { None }
}

/// The authority a request is for, as the client wrote it. An `:authority` and a `Host` that differ
/// are none.
pub fn authority<B>(request: &Request<B>) -> Option<&str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().map(|host| host.to_str().ok());
    if hosts.next().is_some() {
        return None;
    }
    match (request.uri().authority().map(Authority::as_str), host) {
        (Some(authority), None) => Some(authority),
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
    use access::{Application, ApplicationId, Kind, Login, PolicyData, Site, SiteId, WebOptions};

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
            let policy = PolicySnapshot::default();
            assert_eq!(Place::of(host, "relay.test", &policy), expected, "{host}");
        }
    }

    #[test]
    fn a_host_name_of_its_own_is_the_applications() {
        let policy = PolicySnapshot::new(PolicyData {
            applications: vec![wiki(&["wiki.example.com"])],
            ..PolicyData::default()
        });
        let cases = [
            ("wiki.example.com", Some("wiki-hq")),
            ("Wiki.Example.com:8443", Some("wiki-hq")),
            ("wiki-hq.relay.test", Some("wiki-hq")),
            ("www.wiki.example.com", None),
            ("example.com", None),
        ];
        for (host, label) in cases {
            let expected = label.map_or(Place::Elsewhere, |l| Place::Application(l.to_owned()));
            assert_eq!(Place::of(host, "relay.test", &policy), expected, "{host}");
        }
    }

    fn wiki(hosts: &[&str]) -> Application {
        let host_names = hosts.iter().map(|host| host.parse().unwrap()).collect();
        Application {
            id: ApplicationId(uuid::Uuid::nil()),
            name: "wiki".parse().unwrap(),
            site: Site { id: SiteId(uuid::Uuid::nil()), name: "hq".parse().unwrap() },
            kind: Kind::Web,
            address: "wiki.corp:80".parse().unwrap(),
            login: Login::Transparent,
            host_key: None,
            legacy_algorithms: false,
            allow_api: false,
            require_active_session: false,
            tags: Default::default(),
            web: WebOptions { host_names, ..WebOptions::default() },
            database: Default::default(),
            rdp: Default::default(),
        }
    }

    #[test]
    fn two_names_for_one_request_are_none() {
        let request = |uri: &str, hosts: &[&str]| {
            let mut request = Request::builder().uri(uri);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            authority(&request.body(()).unwrap()).map(str::to_owned)
        };
        assert_eq!(request("/", &["a:1"]).as_deref(), Some("a:1"));
        assert_eq!(request("https://a/", &[]).as_deref(), Some("a"));
        assert_eq!(request("https://a/", &["A"]).as_deref(), Some("A"));
        assert_eq!(request("https://a/", &["b"]), None);
        assert_eq!(request("/", &["a", "a"]), None);
        assert_eq!(request("/", &[]), None);
    }
}
