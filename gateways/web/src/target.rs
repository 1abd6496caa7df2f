//! How an application's web server is spoken to.

use std::sync::Arc;
use std::time::Duration;

use access::{Application, Scheme, Version};
use hyper::http::uri::PathAndQuery;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::origin::{OriginError, Trust};

/// An application's origin.
pub(crate) struct Target {
    /// `None`: http.
    pub(crate) tls: Option<Tls>,
    pub(crate) http: Http,
    /// The Host it is sent.
    pub(crate) host: String,
    /// What its paths begin with, and clients do not see; without a slash at its end.
    pub(crate) base: String,
    /// Until a connection stands.
    pub(crate) connect: Duration,
    /// Without progress, until an answer's head.
    pub(crate) answer: Duration,
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
    /// Where nothing else is said, port 443 speaks https and every other one http.
    pub(crate) fn of(application: &Application, trust: &Trust) -> Result<Self, OriginError> {
        let (address, options) = (&application.address, &application.web);
        let usual = if address.port() == HTTPS { Scheme::Https } else { Scheme::Http };
        let secure = options.scheme.unwrap_or(usual) == Scheme::Https;
        let http = match (options.http, secure) {
            (Some(Version::Two), _) => Http::Two,
            (Some(Version::One), _) | (None, false) => Http::One,
            (None, true) => Http::Either,
        };
        let tls = match secure {
            true => {
                let name = name(options.sni.as_deref().unwrap_or(address.host()))?;
                let config = trust.client(options.ca.as_deref(), options.pin.as_deref())?;
                Some(Tls::new(name, config, http))
            }
            false => None,
        };
        let usual = || host(&address.to_string(), secure);
        let seconds = |set: Option<u32>, usual| {
            set.map_or(usual, |seconds| Duration::from_secs(u64::from(seconds)))
        };
        Ok(Self {
            tls,
            http,
            host: options.host.clone().unwrap_or_else(usual),
            base: options.base_path.as_deref().unwrap_or("").trim_end_matches('/').to_owned(),
            connect: seconds(options.connect_timeout, CONNECT),
            answer: seconds(options.answer_timeout, ANSWER),
        })
    }
}

impl Target {
    /// A client's path and query as the origin has them.
    pub(crate) fn path(&self, asked: &PathAndQuery) -> PathAndQuery {
        if self.base.is_empty() || !asked.path().starts_with('/') {
            return asked.clone();
        }
        let path = PathAndQuery::try_from(format!("{}{asked}", self.base));
        path.unwrap_or_else(|_| asked.clone())
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
