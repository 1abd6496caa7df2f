//! How an application's web server is spoken to.

use access::Application;
use rustls::pki_types::ServerName;

/// An application's origin.
pub(crate) struct Target {
    /// `None`: http.
    pub(crate) tls: Option<Tls>,
    /// The Host it is sent.
    pub(crate) host: String,
}

pub(crate) struct Tls {
    pub(crate) name: ServerName<'static>,
    pub(crate) ca: Option<String>,
    pub(crate) pin: Option<String>,
}

impl Target {
    /// Where nothing else is said, port 443 speaks https and every other one http.
    pub(crate) fn of(application: &Application) -> Result<Self, String> {
        let address = &application.address;
        let secure = address.port() == HTTPS;
        let name = || {
            let name = ServerName::try_from(address.host().to_owned());
            name.map_err(|_| format!("{:?} is no name a certificate can have", address.host()))
        };
        let tls = match secure {
            true => Some(Tls { name: name()?, ca: None, pin: None }),
            false => None,
        };
        Ok(Self { tls, host: host(&address.to_string(), secure) })
    }
}

/// An authority without the port that its scheme has anyway.
fn host(authority: &str, secure: bool) -> String {
    let usual = if secure { ":443" } else { ":80" };
    authority.strip_suffix(usual).unwrap_or(authority).to_owned()
}

const HTTPS: u16 = 443;
