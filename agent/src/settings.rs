//! Which relay, trusted how, and as whom: from flags, the environment and the stored login.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use access::{CaPin, TokenText};
use secrecy::{ExposeSecret, SecretString};
use tunnel::certificate;
use tunnel::proxy::Proxies;
use tunnel::tls::Trust;
use tunnel::{Interception, OverTcp};

use crate::cli::Globals;
use crate::exit::{Exit, Failure};
use crate::state::{Login, StateDir};

/// What flags and environment say. Nothing is read or checked before a command needs it, so that
/// `adit completions` works with a broken login.
#[derive(Clone)]
pub struct Settings {
    relay: Option<String>,
    ca: Option<PathBuf>,
    token: Option<SecretString>,
    state: Option<StateDir>,
    /// HTTPS_PROXY, NO_PROXY and ADIT_TLS_INTERCEPTION.
    way: Way,
}

/// What the environment says of the way to the relay.
#[derive(Clone, Default)]
struct Way {
    proxy: Option<SecretString>,
    no_proxy: Option<String>,
    interception: Option<String>,
}

/// Where the relay's HTTPS port is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayUrl {
    host: String,
    port: u16,
}

impl Settings {
    /// Flags first, then the environment.
    pub fn new(globals: &Globals) -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            relay: globals.relay.clone().filter(|relay| !relay.is_empty()),
            ca: globals.ca.clone().filter(|ca| !ca.as_os_str().is_empty()),
            token: variable("ADIT_TOKEN").map(SecretString::from),
            state: StateDir::from_environment(variable),
            way: Way {
                proxy: variable("https_proxy").or_else(|| variable("HTTPS_PROXY")).map(Into::into),
                no_proxy: variable("no_proxy").or_else(|| variable("NO_PROXY")),
                interception: variable("ADIT_TLS_INTERCEPTION"),
            },
        }
    }

    /// Settings that look at no environment, for tests.
    pub fn explicit(relay: Option<&str>, token: Option<&str>, state: &Path) -> Self {
        Self {
            relay: relay.map(str::to_owned),
            ca: None,
            token: token.map(|token| token.to_owned().into()),
            state: Some(StateDir::at(state)),
            way: Way::default(),
        }
    }

    /// The same, but for the stored login only, whatever relay and token are named.
    #[must_use]
    pub fn stored_only(&self) -> Self {
        Self { relay: None, token: None, ..self.clone() }
    }

    /// How the relay is reached over TCP.
    pub fn over_tcp(&self) -> Result<OverTcp, Failure> {
        let Way { proxy, no_proxy, interception } = &self.way;
        let proxies = Proxies::from_environment(|name| match name {
            "https_proxy" => proxy.as_ref().map(|url| url.expose_secret().to_owned()),
            "no_proxy" => no_proxy.clone(),
            _ => None,
        });
        let proxies =
            proxies.map_err(|error| Failure::usage(error.to_string()).about("HTTPS_PROXY"))?;
        let interception = match interception.as_deref() {
            None | Some("refuse") => Interception::Refuse,
            Some("cross") => Interception::Cross,
            Some(_) => {
                return Err(Failure::usage("it is refuse or cross").about("ADIT_TLS_INTERCEPTION"));
            }
        };
        Ok(OverTcp { proxies, interception })
    }

    /// The folder that keeps the login.
    pub fn state(&self) -> Result<&StateDir, Failure> {
        self.state.as_ref().ok_or_else(|| {
            Failure::usage("there is no home directory to keep a login in").hint("set ADIT_HOME")
        })
    }

    /// The token in ADIT_TOKEN.
    pub fn token(&self) -> Result<Option<TokenText>, Failure> {
        let Some(token) = &self.token else { return Ok(None) };
        parse_token(token.expose_secret()).map(Some).map_err(|failure| failure.about("ADIT_TOKEN"))
    }

    /// The stored login, where it is one of the relay in question.
    pub fn login(&self) -> Result<Option<Login>, Failure> {
        let Some(login) = self.state.as_ref().map(StateDir::login).transpose()?.flatten() else {
            return Ok(None);
        };
        match self.named_relay()? {
            // Another relay must never be shown this one's certificate.
            Some(named) if named != login.relay()? => Ok(None),
            Some(_) | None => Ok(Some(login)),
        }
    }

    /// The stored login, or what to do without one.
    pub fn signed_in(&self) -> Result<Login, Failure> {
        self.login()?.ok_or_else(not_signed_in)
    }

    /// The relay of `--relay`, else of the login.
    pub fn relay(&self) -> Result<RelayUrl, Failure> {
        if let Some(named) = self.named_relay()? {
            return Ok(named);
        }
        match self.login()? {
            Some(login) => login.relay(),
            None if self.token.is_some() => {
                Err(Failure::usage("no relay is named").hint("give --relay URL, or set ADIT_RELAY"))
            }
            None => Err(not_signed_in()),
        }
    }

    /// How to know `relay`: by the CA file that was named, else by the pin of `token`, else by what
    /// a login to it stored, else as the machine's browsers would.
    pub fn trust(&self, relay: &RelayUrl, token: Option<&TokenText>) -> Result<Trust, Failure> {
        if let Some(file) = &self.ca {
            return Ok(Trust::Ca(read_ca(file)?));
        }
        if let Some(pin) = token.and_then(TokenText::pin) {
            return Ok(Trust::Pin(pin));
        }
        let Some(state) = &self.state else { return Ok(Trust::System) };
        match state.login()? {
            Some(login) if login.relay()? == *relay => {
                trust_in(&state.ca_pem()?, &login.domain, relay)
            }
            Some(_) | None => Ok(Trust::System),
        }
    }

    /// What a child process needs in its environment to come to the same settings.
    pub fn for_children(&self) -> Vec<(&'static str, OsString)> {
        let home = self.state.iter().map(|state| ("ADIT_HOME", absolute(state.path())));
        let relay = self.relay.iter().map(|relay| ("ADIT_RELAY", relay.into()));
        let ca = self.ca.iter().map(|ca| ("ADIT_CA", absolute(ca)));
        home.chain(relay).chain(ca).collect()
    }

    fn named_relay(&self) -> Result<Option<RelayUrl>, Failure> {
        self.relay.as_deref().map(str::parse).transpose()
    }
}

/// Reads a token's text, and says what is wrong with it without repeating it.
pub fn parse_token(text: &str) -> Result<TokenText, Failure> {
    text.trim().parse().map_err(|error: access::TokenError| {
        Failure::usage(error.to_string()).hint("copy the whole token and try again")
    })
}

/// Trust in the relay's own CA. Where the relay is dialled by another name than the one in its
/// certificate, the CA alone is compared.
pub fn trust_in(ca_pem: &str, domain: &str, relay: &RelayUrl) -> Result<Trust, Failure> {
    if relay.host() == domain {
        return Ok(Trust::Ca(ca_pem.to_owned()));
    }
    let chain = certificate::chain(ca_pem).map_err(|error| {
        Failure::new(Exit::Failed, format!("the relay's CA certificate is not usable: {error}"))
            .hint("run `adit login URL` again")
    })?;
    Ok(Trust::Pin(CaPin::of(&chain[0])))
}

fn absolute(path: &Path) -> OsString {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).into()
}

fn not_signed_in() -> Failure {
    Failure::new(Exit::Denied, "you are not signed in").hint("run `adit login URL`")
}

fn read_ca(file: &Path) -> Result<String, Failure> {
    let wrong = |what: &dyn fmt::Display| Failure::usage(format!("{}: {what}", file.display()));
    let pem = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
    match pem.contains("-----BEGIN CERTIFICATE-----") {
        true => Ok(pem),
        false => Err(wrong(&"there is no PEM certificate in this file")),
    }
}

impl RelayUrl {
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host without the brackets of an IPv6 address.
    pub fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl FromStr for RelayUrl {
    type Err = Failure;

    /// Takes `https://host[:port][/]` and the same without `https://`.
    fn from_str(text: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::usage(format!("{text:?} is not a relay's address"))
                .hint("write it as https://relay.example.com or https://relay.example.com:8443")
        };
        let rest = match text.split_once("://") {
            Some(("https", rest)) => rest,
            Some(_) => return Err(wrong()),
            None => text,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let uri: hyper::Uri = format!("https://{rest}").parse().map_err(|_| wrong())?;
        let plain = uri.path() == "/" && uri.query().is_none() && !rest.contains('@');
        match uri.host().filter(|host| plain && !host.is_empty()) {
            Some(host) if uri.port_u16() != Some(0) => {
                Ok(Self { host: host.to_ascii_lowercase(), port: uri.port_u16().unwrap_or(443) })
            }
            Some(_) | None => Err(wrong()),
        }
    }
}

impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            443 => write!(f, "https://{}", self.host),
            port => write!(f, "https://{}:{port}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_written_as_a_url_or_as_its_host() {
        let good = [
            ("https://Relay.example.com", "https://relay.example.com"),
            ("https://relay.example.com/", "https://relay.example.com"),
            ("https://relay.example.com:8443", "https://relay.example.com:8443"),
            ("relay.example.com:443", "https://relay.example.com"),
            ("https://[::1]:8443", "https://[::1]:8443"),
            ("127.0.0.1:8443", "https://127.0.0.1:8443"),
        ];
        for (text, url) in good {
            assert_eq!(text.parse::<RelayUrl>().unwrap().to_string(), url);
        }
        let bad =
            ["", "http://relay", "https://", "https://a@b", "relay/path", "https://a:0", "a b"];
        for text in bad {
            assert_eq!(text.parse::<RelayUrl>().unwrap_err().exit(), Exit::Usage, "{text}");
        }
    }

    #[test]
    fn a_wrong_token_is_not_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::explicit(None, Some("adit_admin_s3cret"), dir.path());
        let failure = settings.token().unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(!failure.to_string().contains("s3cret"), "{failure}");
    }

    #[test]
    fn without_a_login_the_first_thing_to_do_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let failure = Settings::explicit(None, None, dir.path()).relay().unwrap_err();
        assert_eq!(failure.exit(), Exit::Denied);
        assert_eq!(failure.to_string(), "you are not signed in — run `adit login URL`");
    }
}
