//! How an application's web server is spoken to.

use std::sync::Arc;
use std::time::Duration;

use access::{Address, Application, Scheme, Version, WebOptions, WebService};
use hyper::http::uri::PathAndQuery;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use trust::Trust;

use crate::links::Side;
use crate::origin::OriginError;

/// One of an application's origins: that at its own address, or a service's.
pub(crate) struct Target {
    /// Which of the application's addresses is its.
    pub(crate) nth: usize,
    /// `None`: http.
    pub(crate) tls: Option<Tls>,
    pub(crate) http: Http,
    pub(crate) side: Side,
    /// Until a connection stands.
    pub(crate) connect: Duration,
    /// Without progress, until an answer's head.
    pub(crate) answer: Duration,
}

/// What is said of an origin, by the application's options or by a service's.
struct Said<'a> {
    address: &'a Address,
    scheme: Option<Scheme>,
    http: Option<Version>,
    pin: Option<&'a str>,
    sni: Option<&'a str>,
    host: Option<&'a str>,
}

pub(crate) struct Tls {
    pub(crate) name: ServerName<'static>,
    /// Offers what `http` says.
    pub(crate) config: Arc<ClientConfig>,
    /// Offers HTTP/1.1 only.
    pub(crate) single: Arc<ClientConfig>,
}

/// Which HTTP an origin is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
    /// What the origin picks.
    Either,
}

impl Target {
    /// All of an application's, in the order of its addresses.
    pub(crate) fn all(application: &Application, trust: &Trust) -> Result<Vec<Self>, OriginError> {
        let services = application.web.services.iter();
        let services = (1..).zip(services).map(|(nth, service)| {
            let said = Said::by_service(service);
            let base = service.base_path.as_deref().unwrap_or(service.prefix());
            let (prefix, host_name) = (service.prefix(), service.host_name.as_ref());
            let side = Side::new(said.host(), base, prefix, host_name);
            Self::of(nth, &said, side, application, trust)
        });
        let said = Said::by_options(application);
        let base = application.web.base_path.as_deref().unwrap_or_default();
        let side = Side::new(said.host(), base, "", None);
        std::iter::once(Self::of(0, &said, side, application, trust)).chain(services).collect()
    }

    fn of(
        nth: usize,
        said: &Said<'_>,
        side: Side,
        application: &Application,
        trust: &Trust,
    ) -> Result<Self, OriginError> {
        let (options, secure) = (&application.web, said.is_secure());
        let http = match (said.http, secure) {
            (Some(Version::Two), _) => Http::Two,
            (Some(Version::One), _) | (None, false) => Http::One,
            (None, true) => Http::Either,
        };
        let tls = match secure {
            true => {
                let name = name(said.sni.unwrap_or(said.address.host()))?;
                let config = trust.client(options.ca.as_deref(), said.pin)?;
                Some(Tls::new(name, config, http))
            }
            false => None,
        };
        let seconds = |set: Option<u32>, usual| {
            set.map_or(usual, |seconds| Duration::from_secs(u64::from(seconds)))
        };
        let (connect, answer) = (options.connect_timeout, options.answer_timeout);
        let (connect, answer) = (seconds(connect, CONNECT), seconds(answer, ANSWER));
        Ok(Self { nth, tls, http, side, connect, answer })
    }

    /// A client's path and query as the origin has them.
    pub(crate) fn path(&self, asked: &PathAndQuery) -> PathAndQuery {
        let Side { base, prefix, .. } = &self.side;
        let Some(rest) = asked.as_str().strip_prefix(prefix.as_str()) else { return asked.clone() };
        if base == prefix || !asked.path().starts_with('/') {
            return asked.clone();
        }
        let slash = if base.is_empty() && !rest.starts_with('/') { "/" } else { "" };
        let path = PathAndQuery::try_from(format!("{base}{slash}{rest}"));
        path.unwrap_or_else(|_| asked.clone())
    }
}

impl<'a> Said<'a> {
    fn by_options(application: &'a Application) -> Self {
        let WebOptions { scheme, http, pin, sni, host, .. } = &application.web;
        let (pin, sni, host) = (pin.as_deref(), sni.as_deref(), host.as_deref());
        Self { address: &application.address, scheme: *scheme, http: *http, pin, sni, host }
    }

    fn by_service(service: &'a WebService) -> Self {
        let WebService { address, scheme, http, pin, sni, host, .. } = service;
        let (pin, sni, host) = (pin.as_deref(), sni.as_deref(), host.as_deref());
        Self { address, scheme: *scheme, http: *http, pin, sni, host }
    }

    /// Where nothing else is said, port 443 speaks https and every other one http.
    fn is_secure(&self) -> bool {
        let usual = if self.address.port() == HTTPS { Scheme::Https } else { Scheme::Http };
        self.scheme.unwrap_or(usual) == Scheme::Https
    }

    /// The Host to send.
    fn host(&self) -> String {
        let usual = || host(&self.address.to_string(), self.is_secure());
        self.host.map_or_else(usual, str::to_owned)
    }
}

impl Tls {
    fn new(name: ServerName<'static>, config: ClientConfig, http: Http) -> Self {
        let offered: &[&[u8]] = match http {
            Http::One => &[HTTP_1],
            Http::Two => &[HTTP_2],
            Http::Either => &[HTTP_2, HTTP_1],
        };
        let single = offering(config.clone(), &[HTTP_1]);
        Self { name, config: offering(config, offered), single }
    }
}

fn offering(mut config: ClientConfig, protocols: &[&[u8]]) -> Arc<ClientConfig> {
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

fn name(host: &str) -> Result<ServerName<'static>, OriginError> {
    let name = ServerName::try_from(host.to_owned());
    name.map_err(|_| OriginError::Options(format!("{host:?} is no name a certificate can have")))
}

/// An authority without the port that its scheme has anyway.
fn host(authority: &str, secure: bool) -> String {
    let usual = if secure { ":443" } else { ":80" };
    authority.strip_suffix(usual).unwrap_or(authority).to_owned()
}

const HTTPS: u16 = 443;
const HTTP_1: &[u8] = b"http/1.1";
pub(crate) const HTTP_2: &[u8] = b"h2";
/// A connector gives up before.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_to_its_place_at_the_origin() {
        let cases = [
            ("", "", "/a?b", "/a?b"),
            ("", "/wiki", "/a", "/wiki/a"),
            ("", "/wiki", "*", "*"),
            ("/api", "/api", "/api/a", "/api/a"),
            ("/api", "", "/api/a?b", "/a?b"),
            ("/api", "", "/api", "/"),
            ("/api", "", "/api?b", "/?b"),
            ("/api", "/v1", "/api", "/v1"),
            ("/api", "/v1", "/api/a", "/v1/a"),
        ];
        for (prefix, base, asked, sent) in cases {
            let side = Side::new("o".to_owned(), base, prefix, None);
            let (connect, answer) = (CONNECT, ANSWER);
            let target = Target { nth: 0, tls: None, http: Http::One, side, connect, answer };
            assert_eq!(target.path(&asked.parse().unwrap()), sent, "{prefix} {base} {asked}");
        }
    }
}
