//! How an application's web server is spoken to.

use std::sync::Arc;

use access::{Application, Scheme};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::origin::{OriginError, Trust};

/// An application's origin.
pub(crate) struct Target {
    /// `None`: http.
    pub(crate) tls: Option<Tls>,
    /// The Host it is sent.
    pub(crate) host: String,
}

pub(crate) struct Tls {
    pub(crate) name: ServerName<'static>,
    pub(crate) config: Arc<ClientConfig>,
}

impl Target {
    /// Where nothing else is said, port 443 speaks https and every other one http.
    pub(crate) fn of(application: &Application, trust: &Trust) -> Result<Self, OriginError> {
        let (address, options) = (&application.address, &application.web);
        let usual = if address.port() == HTTPS { Scheme::Https } else { Scheme::Http };
        let secure = options.scheme.unwrap_or(usual) == Scheme::Https;
        let tls = match secure {
            true => Some(Tls {
                name: name(options.sni.as_deref().unwrap_or(address.host()))?,
                config: trust.client(options.ca.as_deref(), options.pin.as_deref())?,
            }),
            false => None,
        };
        let usual = || host(&address.to_string(), secure);
        Ok(Self { tls, host: options.host.clone().unwrap_or_else(usual) })
    }
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
