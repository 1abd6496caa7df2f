//! `connector.toml`.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use toml::Spanned;
use tunnel::Interception;
use tunnel::endpoint::Congestion;
use tunnel::proxy::{Proxies, Proxy, ProxyUrlError};

use crate::allow::{AllowList, Entry};

/// A connector's configuration, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The relay's HTTPS URL, as it was joined.
    pub relay: String,
    /// The name in the relay's certificate.
    pub domain: String,
    /// `host:port` of the relay's QUIC listener.
    pub quic: String,
    /// `host:port` of its HTTPS listener.
    pub https: String,
    pub congestion: Congestion,
    /// How the relay is reached where UDP does not get through.
    pub proxy: ProxyChoice,
    pub tls_interception: Interception,
    pub allow: AllowList,
}

/// Which HTTP proxy leads to the relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProxyChoice {
    /// What HTTPS_PROXY and NO_PROXY say.
    #[default]
    Environment,
    None,
    /// This one, with the credentials in this file, one line: `user:password`, or
    /// `DOMAIN\user:password`.
    Named {
        url: String,
        credentials: Option<PathBuf>,
    },
}

/// Why a proxy is not used as the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum ProxyChoiceError {
    #[error(transparent)]
    Url(#[from] ProxyUrlError),
    #[error("can not read the proxy's credentials in {path:?}")]
    Credentials { path: PathBuf, source: std::io::Error },
}

impl ProxyChoice {
    /// `none`, or a URL.
    pub fn named(text: &str, credentials: Option<PathBuf>) -> Self {
        match text {
            "none" => Self::None,
            url => Self::Named { url: url.to_owned(), credentials },
        }
    }

    /// The proxies that stand for the choice, with what is read from the environment and the file.
    pub fn read(&self) -> Result<Proxies, ProxyChoiceError> {
        let (url, credentials) = match self {
            Self::Environment => return Ok(Proxies::of_process()?),
            Self::None => return Ok(Proxies::default()),
            Self::Named { url, credentials } => (url, credentials),
        };
        let proxy: Proxy = url.parse()?;
        let Some(path) = credentials else { return Ok(Proxies::always(proxy)) };
        let text = std::fs::read_to_string(path)
            .map_err(|source| ProxyChoiceError::Credentials { path: path.clone(), source })?;
        let text = SecretString::from(text);
        let line = text.expose_secret().trim_end_matches(['\r', '\n']);
        Ok(Proxies::always(proxy.with_credentials(line.to_owned().into())))
    }
}

/// Why there is no configuration. Holds every mistake of the file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("can not read {path:?}; `adit-connector join` writes it")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}", list(.0))]
    Mistakes(Vec<Mistake>),
}

/// One mistake and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub path: PathBuf,
    pub line: usize,
    pub text: String,
}

impl Config {
    /// The configuration in a state directory.
    pub fn load(state: &Path) -> Result<Self, ConfigError> {
        let path = state.join(FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        Self::parse(&text, &path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut mistakes = Mistakes { text, path, found: Vec::new() };
        let file: File = match toml::from_str(text) {
            Ok(file) => file,
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                mistakes.add(at, error.message().to_owned());
                return Err(ConfigError::Mistakes(mistakes.found));
            }
        };
        if !is_host_and_port(file.quic.get_ref()) {
            mistakes.add(file.quic.span().start, "quic is host:port".to_owned());
        }
        let https = tunnel::https::address(file.relay.get_ref());
        if https.is_none() {
            mistakes.add(file.relay.span().start, "relay is https://host[:port]".to_owned());
        }
        if let Some(url) = file.proxy.as_ref().filter(|url| url.get_ref() != "none")
            && let Err(error) = url.get_ref().parse::<Proxy>()
        {
            mistakes.add(url.span().start, format!("proxy: {error}"));
        }
        let allow = file.allow.map(|entries| kept(entries, &mut mistakes));
        if !mistakes.found.is_empty() {
            return Err(ConfigError::Mistakes(mistakes.found));
        }
        let credentials = file.proxy_credentials;
        let proxy = file.proxy.map(|url| ProxyChoice::named(url.get_ref(), credentials));
        Ok(Self {
            relay: file.relay.into_inner(),
            domain: file.domain,
            quic: file.quic.into_inner(),
            https: https.unwrap_or_default(),
            congestion: file.congestion,
            proxy: proxy.unwrap_or_default(),
            tls_interception: file.tls_interception,
            allow: AllowList::new(allow),
        })
    }
}

/// The text of a new `connector.toml`.
pub fn template(
    relay: &str,
    domain: &str,
    quic: &str,
    proxy: &ProxyChoice,
    allow: &[Entry],
) -> String {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let entries: Vec<_> = allow.iter().map(|entry| quoted(&entry.to_string())).collect();
    let allow = match entries.is_empty() {
        true => "# allow = [\"10.0.0.0/8:22\", \"db1.corp:5432\"]".to_owned(),
        false => format!("allow = [{}]", entries.join(", ")),
    };
    let proxy = match proxy {
        ProxyChoice::Environment => "# proxy = \"http://proxy.corp:3128\"".to_owned(),
        ProxyChoice::None => "proxy = \"none\"".to_owned(),
        ProxyChoice::Named { url, credentials } => {
            let file = credentials.as_ref().map(|path| quoted(&path.to_string_lossy()));
            let file = file.map(|file| format!("\nproxy_credentials = {file}"));
            format!("proxy = {}{}", quoted(url), file.unwrap_or_default())
        }
    };
    format!(
        "# Written by `adit-connector join`. Restart the connector after a change.\n\
         relay = {}\n\
         domain = {}\n\
         quic = {}\n\
         \n\
         # How this side paces what it sends: \"adaptive\", \"cubic\" or \"bbr\".\n\
         # congestion = \"adaptive\"\n\
         \n\
         {PROXY_COMMENT}\
         {proxy}\n\
         \n\
         {ALLOW_COMMENT}\
         {allow}\n",
        quoted(relay),
        quoted(domain),
        quoted(quic),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    relay: Spanned<String>,
    domain: String,
    quic: Spanned<String>,
    #[serde(default)]
    congestion: Congestion,
    proxy: Option<Spanned<String>>,
    proxy_credentials: Option<PathBuf>,
    #[serde(default)]
    tls_interception: Interception,
    allow: Option<Vec<Spanned<String>>>,
}

/// Collects what is wrong with a file.
struct Mistakes<'a> {
    text: &'a str,
    path: &'a Path,
    found: Vec<Mistake>,
}

impl Mistakes<'_> {
    fn add(&mut self, at: usize, text: String) {
        let line = self.text[..at.min(self.text.len())].matches('\n').count() + 1;
        self.found.push(Mistake { path: self.path.to_owned(), line, text });
    }
}

fn kept(entries: Vec<Spanned<String>>, mistakes: &mut Mistakes<'_>) -> Vec<Entry> {
    let mut kept = Vec::new();
    for entry in entries {
        match entry.get_ref().parse::<Entry>() {
            Ok(entry) => kept.push(entry),
            Err(error) => {
                let text = format!("allow: {:?}: {error}", entry.get_ref());
                mistakes.add(entry.span().start, text);
            }
        }
    }
    kept
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.text)
    }
}

fn list(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

pub(crate) const FILE: &str = "connector.toml";

const PROXY_COMMENT: &str = "\
# Where UDP does not get through, the relay is reached over TCP: through this HTTP proxy, whose
# user:password may stand in a file, proxy_credentials. Without it: what HTTPS_PROXY and NO_PROXY say
# when the connector starts. \"none\": no proxy.
";

const ALLOW_COMMENT: &str = "\
# What this connector may dial, whatever the relay asks for: CIDR:port, CIDR:*, host:port, host:*.
# Without the list: everything but loopback, link-local, multicast and cloud metadata addresses.
# Those are dialled only where an entry names a network inside them, such as 127.0.0.1/32:5432, or
# the name localhost. A host name never opens them, whatever it resolves to. An empty list: nothing.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_join_writes_is_what_run_reads() {
        let entries: Vec<Entry> =
            ["127.0.0.1/32:*", "db1.corp:5432"].iter().map(|text| text.parse().unwrap()).collect();
        let url = "https://r.example";
        let file = Some(PathBuf::from("/etc/adit/proxy"));
        let named = ProxyChoice::named("http://proxy:3128", file);
        let choices = [ProxyChoice::Environment, ProxyChoice::None, named];
        for (allow, proxy) in [&entries[..], &[], &entries[..]].into_iter().zip(choices) {
            let text = template(url, "r.example", "r.example:443", &proxy, allow);
            let config = Config::parse(&text, Path::new(FILE)).unwrap();
            assert_eq!((&*config.quic, &*config.https), ("r.example:443", "r.example:443"));
            assert_eq!(config.proxy, proxy);
            assert_eq!(config.tls_interception, Interception::Refuse);
            let expected = (!allow.is_empty()).then(|| allow.to_vec());
            assert_eq!(config.allow, AllowList::new(expected));
        }
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let text = "relay = \"http://r\"\ndomain = \"r\"\nquic = \"r\"\n\
                    allow = [\n  \"10.0.0.0/8:22\",\n  \"10.0.0.0/99:22\",\n  \"db:0\",\n]\n\
                    proxy = \"socks5://p:1\"\n";
        let ConfigError::Mistakes(mistakes) = Config::parse(text, Path::new("c")).unwrap_err()
        else {
            panic!("not the mistakes");
        };
        let lines: Vec<_> = mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [3, 1, 9, 6, 7], "{mistakes:?}");
        let unknown = Config::parse("relay = \"a\"\nallowed = []\n", Path::new("c")).unwrap_err();
        assert!(unknown.to_string().starts_with("c:2: unknown field"), "{unknown}");
    }
}
