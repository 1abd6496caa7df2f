//! `connector.toml`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::update::Ring;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use toml::Spanned;
use tunnel::Interception;
use tunnel::endpoint::Congestion;
use tunnel::proxy::{Proxies, Proxy, ProxyUrlError};

use crate::allow::{AllowList, Entry};
use crate::update::Settings;

/// A connector's configuration, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The relay, as it was joined, and then others that serve the same organisation. A connection is
    /// kept to each.
    pub relays: Vec<Relay>,
    /// Whether connections are kept to further relays that these tell of.
    pub learn_relays: bool,
    pub congestion: Congestion,
    /// How the relay is reached where UDP does not get through.
    pub proxy: ProxyChoice,
    pub tls_interception: Interception,
    pub allow: AllowList,
    pub update: Settings,
}

/// Where a relay is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// Its HTTPS URL.
    pub url: String,
    /// The name in its certificate.
    pub domain: String,
    /// `host:port` of its QUIC listener.
    pub quic: String,
    /// `host:port` of its HTTPS listener.
    pub https: String,
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

    /// The name in the certificates of its relays: that of the first, and of all that serve beside it.
    pub(crate) fn domain(&self) -> &str {
        self.relays.first().map_or("", |first| &first.domain)
    }

    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut mistakes = Mistakes { text, path, found: Vec::new() };
        let file: File = match toml::from_str(text) {
            Ok(file) => file,
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                mistakes.add(at, error.message().to_owned());
                return Err(ConfigError::Mistakes(mistakes.found));
            }
        };
        let first = At { relay: file.relay, domain: Some(file.domain), quic: Some(file.quic) };
        let mut relays = vec![first.resolve(&mut mistakes)];
        for also in file.also {
            if relays.len() == MOST_RELAYS {
                let text = format!("a connector has {MOST_RELAYS} relays at most");
                mistakes.add(also.relay.span().start, text);
                break;
            }
            let start = also.relay.span().start;
            let relay = also.resolve(&mut mistakes);
            if relays.iter().any(|other| other.https == relay.https) {
                mistakes.add(start, format!("{:?} stands here already", relay.url));
            }
            relays.push(relay);
        }
        if let Some(url) = file.proxy.as_ref().filter(|url| url.get_ref() != "none")
            && let Err(error) = url.get_ref().parse::<Proxy>()
        {
            mistakes.add(url.span().start, format!("proxy: {error}"));
        }
        let allow = file.allow.map(|entries| kept(entries, &mut mistakes));
        let update = file.update.resolve(&mut mistakes);
        if !mistakes.found.is_empty() {
            return Err(ConfigError::Mistakes(mistakes.found));
        }
        let credentials = file.proxy_credentials;
        let proxy = file.proxy.map(|url| ProxyChoice::named(url.get_ref(), credentials));
        Ok(Self {
            relays,
            learn_relays: file.learn_relays.unwrap_or(true),
            congestion: file.congestion,
            proxy: proxy.unwrap_or_default(),
            tls_interception: file.tls_interception,
            allow: AllowList::new(allow),
            update,
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
        true => {
            "# allow = [\"10.0.0.0/8:22\", \"db1.corp:5432\", \"app1.corp:8000-8100\"]".to_owned()
        }
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
         {allow}\n\
         \n\
         {LEARN_COMMENT}\
         \n\
         {ALSO_COMMENT}",
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
    learn_relays: Option<bool>,
    #[serde(default)]
    also: Vec<At>,
    #[serde(default)]
    update: Update,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    key: Option<Spanned<String>>,
    #[serde(default)]
    automatic: bool,
    #[serde(default)]
    ring: Ring,
    every: Option<api::Span>,
    within: Option<api::Span>,
    reach: Option<api::Span>,
}

impl Update {
    fn resolve(self, mistakes: &mut Mistakes<'_>) -> Settings {
        let key = self.key.and_then(|key| {
            let parsed = key.get_ref().parse();
            parsed
                .map_err(|error| mistakes.add(key.span().start, format!("update.key: {error}")))
                .ok()
        });
        let span = |span: Option<api::Span>, usual| span.map_or(usual, api::Span::duration);
        Settings {
            key,
            automatic: self.automatic,
            ring: self.ring,
            every: span(self.every, Duration::from_secs(3600)),
            within: span(self.within, Duration::from_secs(1800)),
            reach: span(self.reach, Duration::from_secs(60)),
        }
    }
}

/// One relay, as the file says it. What it leaves out is as the URL says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct At {
    relay: Spanned<String>,
    domain: Option<String>,
    quic: Option<Spanned<String>>,
}

impl At {
    fn resolve(self, mistakes: &mut Mistakes<'_>) -> Relay {
        let Self { relay, domain, quic } = self;
        if let Some(quic) = quic.as_ref().filter(|quic| !is_host_and_port(quic.get_ref())) {
            mistakes.add(quic.span().start, "quic is host:port".to_owned());
        }
        let https = tunnel::https::address(relay.get_ref());
        if https.is_none() {
            mistakes.add(relay.span().start, "relay is https://host[:port]".to_owned());
        }
        let https = https.unwrap_or_default();
        let host = https.rsplit_once(':').map_or("", |(host, _)| host);
        let domain = domain.unwrap_or_else(|| host.trim_matches(['[', ']']).to_owned());
        let quic = quic.map_or_else(|| https.clone(), Spanned::into_inner);
        Relay { url: relay.into_inner(), domain, quic, https }
    }
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

pub(crate) fn is_host_and_port(text: &str) -> bool {
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

/// The lines by which a connector takes the updates of this publisher.
pub fn update_section(key: &str, automatic: bool) -> String {
    let key = toml::Value::from(key);
    format!("{UPDATE_COMMENT}[update]\nkey = {key}\nautomatic = {automatic}\n")
}

/// Each is a connection, and a door that is tried again and again.
pub(crate) const MOST_RELAYS: usize = 8;

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

const UPDATE_COMMENT: &str = "
# Updates that the relay hands on, signed by this key. automatic: taken without being asked for, as
# soon as they have come to this connector's ring (\"first\", \"early\" or \"all\"), when its sessions
# have ended or been cut (within = \"30m\").
";

const LEARN_COMMENT: &str = "\
# A relay that is one of several tells of the others, and a connection is kept to each. false: only to
# those that stand here.
# learn_relays = true
";

const ALSO_COMMENT: &str = "\
# Further relays of the same organisation, up to seven: a connection is kept to each. At the end of the
# file. Without domain and quic: the URL's host, and its port.
# [[also]]
# relay = \"https://relay2.example.com\"
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
            let [relay] = &config.relays[..] else { panic!("{:?}", config.relays) };
            assert_eq!((&*relay.quic, &*relay.https), ("r.example:443", "r.example:443"));
            assert_eq!(config.proxy, proxy);
            assert_eq!(config.tls_interception, Interception::Refuse);
            let expected = (!allow.is_empty()).then(|| allow.to_vec());
            assert_eq!(config.allow, AllowList::new(expected));
        }
    }

    #[test]
    fn further_relays_are_where_their_urls_say_unless_the_file_says_more() {
        let proxy = ProxyChoice::None;
        let text = template("https://r.example", "r.example", "r.example:443", &proxy, &[]);
        let more = "[[also]]\nrelay = \"https://[2001:db8::1]:8443\"\n[[also]]\n\
                    relay = \"https://b.example\"\ndomain = \"r.example\"\nquic = \"b.example:444\"\n";
        let config = Config::parse(&format!("{text}{more}"), Path::new(FILE)).unwrap();
        let told: Vec<_> =
            config.relays.iter().map(|r| (&*r.domain, &*r.quic, &*r.https)).collect();
        let expected = [
            ("r.example", "r.example:443", "r.example:443"),
            ("2001:db8::1", "[2001:db8::1]:8443", "[2001:db8::1]:8443"),
            ("r.example", "b.example:444", "b.example:443"),
        ];
        assert_eq!(told, expected);
        let again = "[[also]]\nrelay = \"https://r.example:443\"\n";
        let twice = Config::parse(&format!("{text}{again}"), Path::new(FILE)).unwrap_err();
        assert!(twice.to_string().contains("stands here already"), "{twice}");
        let many: String =
            (0..8).map(|n| format!("[[also]]\nrelay = \"https://r{n}.example\"\n")).collect();
        let many = Config::parse(&format!("{text}{many}"), Path::new(FILE)).unwrap_err();
        assert!(many.to_string().contains("8 relays at most"), "{many}");
    }

    #[test]
    fn a_publishers_key_is_taken_as_joining_writes_it() {
        let (signer, _) = ::update::Signer::generate().unwrap();
        let key = signer.public();
        let text = template("https://r.example", "r", "r:443", &ProxyChoice::None, &[]);
        assert_eq!(Config::parse(&text, Path::new(FILE)).unwrap().update.key, None);
        let joined = text.clone() + &update_section(&key.to_string(), true) + "ring = \"early\"\n";
        let update = Config::parse(&joined, Path::new(FILE)).unwrap().update;
        assert_eq!((update.key, update.automatic, update.ring), (Some(key), true, Ring::Early));
        let wrong = text + "[update]\nkey = \"AAAA\"\n";
        let wrong = Config::parse(&wrong, Path::new(FILE)).unwrap_err();
        assert!(wrong.to_string().contains("update.key"), "{wrong}");
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
