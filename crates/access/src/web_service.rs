//! The services of a web application: origins besides the one at its own address.

use serde::{Deserialize, Serialize};

use crate::web::{is_bare, is_host, is_plain, is_sha256};
use crate::{Address, HostName, Scheme, Version};

/// An origin of its own for some of a web application's paths, for one of its host names, or both.
/// What it does not say is as usual for its address, not as the application's own is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WebService {
    /// Resolved and checked by the connector, as the application's.
    pub address: Address,
    /// The path that is the service's, with all below it; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The one of the application's host names that is the service's; absent: each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_name: Option<HostName>,
    /// Absent: https at port 443, http at every other one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// The version of HTTP; absent: what the origin picks in the TLS handshake, 1 where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Version>,
    /// The SHA-256 of the origin's one good certificate (hex); absent: the application's `ca` signs it,
    /// or a CA that the relay's machine trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// The name in the TLS handshake; absent: the address's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// The Host the origin is sent; absent: the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The path at the origin that clients see as `path`; absent: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_path: Option<String>,
}

impl WebService {
    /// A service at an address, which nothing leads to yet.
    pub fn at(address: Address) -> Self {
        Self {
            address,
            path: None,
            host_name: None,
            scheme: None,
            http: None,
            pin: None,
            sni: None,
            host: None,
            base_path: None,
        }
    }

    /// What its paths begin with for clients: without a slash at its end, so empty for all.
    pub fn prefix(&self) -> &str {
        bare(self.path.as_deref())
    }

    /// How well it fits a request; `None`: not at all. Its own host name counts most, then the length
    /// of its path.
    fn fit(&self, host: &str, path: &str) -> Option<(bool, usize)> {
        let own = self.host_name.as_ref();
        let named = own.is_none_or(|name| name.as_str().eq_ignore_ascii_case(host));
        let rest = path.strip_prefix(self.prefix())?;
        let whole = self.path.is_none() || rest.is_empty() || rest.starts_with('/');
        (named && whole).then_some((own.is_some(), self.prefix().len()))
    }

    /// What is not valid. `names` are the application's.
    fn faults(&self, names: &[HostName]) -> impl Iterator<Item = &'static str> {
        let is_path = |path: &str| is_plain(path) && is_bare(path);
        let path = self.path.as_deref();
        let own = self.host_name.as_ref();
        let checks = [
            ("it has a path, a host_name or both", path.is_some() || own.is_some()),
            (
                "path begins with /, is more than that, and has no dot segments, query or blank",
                path.is_none_or(|path| is_path(path) && !self.prefix().is_empty()),
            ),
            ("path is the relay's own", !is_ours(self.prefix())),
            (
                "host_name is none of the application's host_names",
                own.is_none_or(|own| names.contains(own)),
            ),
            ("pin is no SHA-256 in hex", self.pin.as_deref().is_none_or(is_sha256)),
            ("sni is no host name", self.sni.as_deref().is_none_or(is_host)),
            (
                "host is no host name, with or without a port",
                self.host.as_deref().is_none_or(is_host),
            ),
            (
                "base_path begins with / and has no dot segments, query or blank",
                self.base_path.as_deref().is_none_or(is_path),
            ),
        ];
        checks.into_iter().filter(|(_, good)| !good).map(|(fault, _)| fault)
    }
}

/// The one whose a request is, by its place in the list; `None`: it is the application's own.
pub(crate) fn chosen(services: &[WebService], host: &str, path: &str) -> Option<usize> {
    let fitting = services.iter().enumerate();
    let fitting = fitting.filter_map(|(at, service)| Some((service.fit(host, path)?, at)));
    fitting.max().map(|(_, at)| at)
}

/// What is not valid of all of them, one sentence each.
pub(crate) fn faults(services: &[WebService], names: &[HostName]) -> Vec<String> {
    let mut faults = Vec::new();
    if services.len() > MOST {
        faults.push(format!("service: {MOST} are enough"));
    }
    for (at, service) in services.iter().take(MOST).enumerate() {
        let what = format!("service {}", service.address);
        faults.extend(service.faults(names).map(|fault| format!("{what}: {fault}")));
        let key = |service: &WebService| (service.prefix().to_owned(), service.host_name.clone());
        if services[..at].iter().any(|other| key(other) == key(service)) {
            faults.push(format!("{what}: another one has its path and host_name"));
        }
    }
    faults
}

/// A path without the slash at its end.
fn bare(path: Option<&str>) -> &str {
    path.unwrap_or_default().trim_end_matches('/')
}

/// Whether requests below a path never reach an origin, or not there.
fn is_ours(prefix: &str) -> bool {
    let first = prefix.trim_start_matches('/').split('/').next();
    first.is_some_and(|first| ["odoapi", "adit-key", ".adit"].contains(&first))
}

/// Each session may keep connections to each of them.
const MOST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_name_counts_first_and_then_the_longest_whole_segments() {
        let services = [
            service(Some("/api"), None),
            service(Some("/api/v2/"), None),
            service(None, Some("docs.example.com")),
            service(Some("/api"), Some("docs.example.com")),
            service(Some("/only"), Some("other.example.com")),
        ];
        let cases = [
            ("wiki.example.com", "/", None),
            ("wiki.example.com", "/apis", None),
            ("wiki.example.com", "/API", None),
            ("wiki.example.com", "/api", Some(0)),
            ("wiki.example.com", "/api/", Some(0)),
            ("wiki.example.com", "/api/v2x", Some(0)),
            ("wiki.example.com", "/api/v2", Some(1)),
            ("wiki.example.com", "/api/v2/a", Some(1)),
            ("wiki.example.com", "*", None),
            ("Docs.Example.com", "/", Some(2)),
            ("docs.example.com", "*", Some(2)),
            ("docs.example.com", "/api/v2/a", Some(3)),
            ("other.example.com", "/only/x", Some(4)),
            ("other.example.com", "/api/x", Some(0)),
        ];
        for (host, path, at) in cases {
            assert_eq!(chosen(&services, host, path), at, "{host} {path}");
        }
    }

    #[test]
    fn each_fault_of_a_service_is_told() {
        let names = ["a.example.com".parse().unwrap()];
        let one = |change: fn(&mut WebService)| {
            let mut one = service(Some("/api"), None);
            change(&mut one);
            vec![one]
        };
        let bad = [
            vec![service(None, None)],
            vec![service(Some("/"), None)],
            vec![service(Some("/a/../b"), None)],
            vec![service(Some("/a?b"), None)],
            vec![service(Some("/adit-key/x"), None)],
            vec![service(Some("/.adit"), None)],
            vec![service(None, Some("b.example.com"))],
            vec![service(Some("/a"), None), service(Some("/a/"), None)],
            one(|s| s.pin = Some("abc".to_owned())),
            one(|s| s.sni = Some("a b".to_owned())),
            one(|s| s.host = Some("a/b".to_owned())),
            one(|s| s.base_path = Some("x".to_owned())),
            (0..=MOST).map(|n| service(Some(&format!("/{n}")), None)).collect(),
        ];
        for services in bad {
            assert_eq!(faults(&services, &names).len(), 1, "{services:?}");
        }
        let mut good = vec![service(Some("/a"), None), service(Some("/a"), Some("a.example.com"))];
        good[0].base_path = Some("/".to_owned());
        assert_eq!(faults(&good, &names), Vec::<String>::new());
    }

    fn service(path: Option<&str>, host_name: Option<&str>) -> WebService {
        let host_name = host_name.map(|name| name.parse().unwrap());
        let address = "10.0.0.8:81".parse().unwrap();
        WebService { path: path.map(str::to_owned), host_name, ..WebService::at(address) }
    }
}
