//! The relay's configuration: one TOML file, checked as a whole.

mod audit;
mod cluster;
mod database;
mod document;
mod ldap;
mod notify;
mod oidc;
mod proxy;
mod ssh;
mod tls;
mod updates;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use axum::http::Uri;
use gateway_ssh::Texts;

pub use audit::{Audit, Destination, FileTo, SyslogTo, TlsFiles, To, WebhookTo};
pub use cluster::{Cluster, OutsideUrl};
pub use database::{Database, DatabaseError};
use document::Section;
pub use ldap::LdapDirectory;
pub use notify::{Channel, MailBy, MailSecurity, NotifyBy};
pub use oidc::OidcProvider;
pub use proxy::{Proxy, PublicUrl};
pub use tls::{Acme, Challenge, OwnCertificate, Tls};
pub use updates::Updates;

/// A configuration without mistakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the database, keys and `ready.json` are.
    pub data: PathBuf,
    pub database: Database,
    /// Absent: this relay serves alone.
    pub cluster: Option<Cluster>,
    pub domain: String,
    /// More names and addresses for the relay's certificate.
    pub names: Vec<String>,
    pub listen: Listen,
    /// What stands in front of the HTTPS port.
    pub proxy: Proxy,
    pub tls: Tls,
    /// What the SSH door says.
    pub ssh: Texts,
    /// What the MySQL door says that its server is: it speaks before it knows which one is meant.
    pub mysql: MysqlDoor,
    pub limits: Limits,
    pub log: Log,
    pub telemetry: Telemetry,
    pub audit: Audit,
    /// Who else vouches for users.
    pub oidc: Vec<OidcProvider>,
    /// Who else knows people's passwords.
    pub ldap: Vec<LdapDirectory>,
    /// Who is told of requests for access.
    pub notify: Vec<Channel>,
    /// What connectors update themselves from.
    pub updates: Updates,
}

/// How the MySQL door shows itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MysqlDoor {
    /// What clients are told that the server is.
    pub version: String,
    /// Whether a token may be proved by `mysql_native_password`.
    pub native_password: bool,
}

/// Where the doors are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    pub https: SocketAddr,
    pub quic: SocketAddr,
    pub ssh: SocketAddr,
    /// The PostgreSQL door's own, besides the HTTPS port; absent: it has none.
    pub postgres: Option<SocketAddr>,
    /// Whether clients may come to that without TLS; only on this machine.
    pub postgres_plain: bool,
    /// The Redis door's own, besides the HTTPS port; absent: it has none.
    pub redis: Option<SocketAddr>,
    /// Whether clients may come to that without TLS; only on this machine.
    pub redis_plain: bool,
    /// The MySQL and MariaDB door, which has no other; absent: there is none.
    pub mysql: Option<SocketAddr>,
    /// Whether clients may come to that without TLS; only on this machine.
    pub mysql_plain: bool,
    /// Health, metrics and the log's level, for this machine; absent: not served.
    pub admin: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub max_sessions: usize,
    /// Peers per listener that nobody has vouched for yet.
    pub max_unauthenticated: usize,
    /// For how many days requests at the web door are kept.
    pub request_log_days: u32,
    /// For how many days statements at the doors of databases are kept.
    pub statement_log_days: u32,
    /// How many calls of the API one caller may make a second, and four times as many at once: a
    /// person's clicks and a script's loop stay far below; a loop that has gone wild does not. A
    /// relay on two cores answers several times the default, so that others are served beside it.
    pub api_calls: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub level: telemetry::Level,
    pub format: telemetry::Format,
}

/// Where traces go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// The collector's address, without `/v1/traces`; absent: there are no traces.
    pub otlp: Option<Uri>,
    /// Of a hundred traces, how many are kept.
    pub sample_percent: usize,
}

/// One mistake: where it stands and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub line: usize,
    pub text: String,
}

/// Why a file is not a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}", listed(path, mistakes))]
    Mistakes { path: PathBuf, mistakes: Vec<Mistake> },
}

impl Config {
    /// Reads and checks the file at `path`.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, folder)
            .map_err(|mistakes| ConfigError::Mistakes { path: path.to_owned(), mistakes })
    }

    /// Checks a text. Relative paths in it are meant from `folder`.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let (root, syntax) = toml::de::DeTable::parse_recoverable(text);
        for error in &syntax {
            let at = error.span().map_or(0, |span| span.start);
            mistakes.push(Mistake::at(text, at, error.message()));
        }
        let mut root = Section::root(text, root.get_ref());
        let config = resolve(&mut root, folder);
        mistakes.extend(root.finish());
        mistakes.sort_by_key(|mistake| mistake.line);
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            Some(_) | None => Err(mistakes),
        }
    }
}

fn resolve(root: &mut Section<'_>, folder: &Path) -> Option<Config> {
    let data = root.text("data", "the path of the relay's data folder", directory);
    let domain = root.text("domain", DOMAIN, domain_name);
    let database = database::database(root, folder);
    let cluster = root.section("cluster", cluster::cluster);
    let names = root.texts("names", "a DNS name or an IP address", certificate_name);
    let listen = root.section("listen", listen);
    let own = domain.as_ref().and_then(Option::as_deref);
    let proxy = root.section("proxy", |section| proxy::proxy(section, own));
    let tls = root.section("tls", |section| tls::tls(section, folder));
    let ssh = root.section("ssh", ssh::ssh);
    let mysql = root.section("mysql", mysql_door);
    let limits = root.section("limits", limits);
    let log = root.section("log", log);
    let telemetry = root.section("telemetry", telemetry);
    let audit = root.section("audit", |section| audit::audit(section, folder));
    let oidc = oidc::oidc(root, folder);
    let ldap = ldap::ldap(root, folder);
    let notify = notify::notify(root, folder);
    let updates = root.section("updates", |section| updates::updates(section, folder));
    Some(Config {
        data: folder.join(data?.unwrap_or_else(|| PathBuf::from("."))),
        database: database?,
        cluster: cluster?,
        domain: root.required("domain", DOMAIN, domain)?,
        names: names?.unwrap_or_default(),
        listen: listen?,
        proxy: proxy?,
        tls: tls?,
        ssh: ssh?,
        mysql: mysql?,
        limits: limits?,
        log: log?,
        telemetry: telemetry?,
        audit: audit?,
        oidc: oidc?,
        ldap: ldap?,
        notify: notify?,
        updates: updates?,
    })
}

fn listen(section: &mut Section<'_>) -> Option<Listen> {
    let mut address = |key, default| {
        Some(section.text(key, ADDRESS, |text| text.parse().ok())?.unwrap_or(default))
    };
    let https = address("https", any(443));
    let quic = address("quic", any(443));
    let ssh = address("ssh", any(2222));
    let admin = section.text("admin", LOOPBACK, |text| {
        text.parse().ok().filter(|address: &SocketAddr| address.ip().is_loopback())
    });
    let postgres = section.text("postgres", ADDRESS, |text| text.parse().ok());
    let tls = "required, or optional where `listen.postgres` is a loopback address";
    let loopback =
        matches!(postgres, Some(Some(address)) if SocketAddr::ip(&address).is_loopback());
    let plain = section.text("postgres_tls", tls, |text| match text {
        "required" => Some(false),
        "optional" if loopback => Some(true),
        _ => None,
    });
    let redis = section.text("redis", ADDRESS, |text| text.parse().ok());
    let tls = "required, or optional where `listen.redis` is a loopback address";
    let loopback = matches!(redis, Some(Some(address)) if SocketAddr::ip(&address).is_loopback());
    let redis_plain = section.text("redis_tls", tls, |text| match text {
        "required" => Some(false),
        "optional" if loopback => Some(true),
        _ => None,
    });
    let (mysql, mysql_plain) = mysql(section)?;
    Some(Listen {
        https: https?,
        quic: quic?,
        ssh: ssh?,
        postgres: postgres?,
        postgres_plain: plain?.unwrap_or(false),
        redis: redis?,
        redis_plain: redis_plain?.unwrap_or(false),
        mysql,
        mysql_plain,
        admin: admin?,
    })
}

fn mysql(section: &mut Section<'_>) -> Option<(Option<SocketAddr>, bool)> {
    let address = section.text("mysql", ADDRESS, |text| text.parse().ok());
    let loopback = matches!(address, Some(Some(address)) if SocketAddr::ip(&address).is_loopback());
    let tls = "required, or optional where `listen.mysql` is a loopback address";
    let plain = section.text("mysql_tls", tls, |text| match text {
        "required" => Some(false),
        "optional" if loopback => Some(true),
        _ => None,
    });
    Some((address?, plain?.unwrap_or(false)))
}

fn mysql_door(section: &mut Section<'_>) -> Option<MysqlDoor> {
    let expected = "a version as servers tell it, such as 8.4.0 or 5.5.5-10.11.6-MariaDB";
    let version = section.text("version", expected, |text| {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        let told = text.starts_with(|c: char| c.is_ascii_digit()) && text.len() <= 60;
        (plain && told).then(|| text.to_owned())
    });
    let native_password = section.flag("native_password");
    Some(MysqlDoor {
        version: version?.unwrap_or_else(|| MYSQL_VERSION.to_owned()),
        native_password: native_password?.unwrap_or(false),
    })
}

fn limits(section: &mut Section<'_>) -> Option<Limits> {
    let max_sessions = section.count("max_sessions", 1..=1_000_000);
    let max_unauthenticated = section.count("max_unauthenticated", 16..=100_000);
    let request_log_days = section.count("request_log_days", 1..=3650);
    let statement_log_days = section.count("statement_log_days", 1..=3650);
    let api_calls = section.count("api_calls", 5..=100_000);
    let default = Limits::default();
    let small = |count: Option<usize>| count.and_then(|count| u32::try_from(count).ok());
    Some(Limits {
        max_sessions: max_sessions?.unwrap_or(default.max_sessions),
        max_unauthenticated: max_unauthenticated?.unwrap_or(default.max_unauthenticated),
        request_log_days: small(request_log_days?).unwrap_or(default.request_log_days),
        statement_log_days: small(statement_log_days?).unwrap_or(default.statement_log_days),
        api_calls: small(api_calls?).unwrap_or(default.api_calls),
    })
}

fn log(section: &mut Section<'_>) -> Option<Log> {
    let levels = "error, warn, info, debug, trace, or directives such as info,adit_relay=debug";
    let level = section.text("level", levels, |text| text.parse().ok());
    let format = section.text("format", "text or json", |text| text.parse().ok());
    Some(Log { level: level?.unwrap_or_default(), format: format?.unwrap_or_default() })
}

fn telemetry(section: &mut Section<'_>) -> Option<Telemetry> {
    let otlp = section.text("otlp", COLLECTOR, collector);
    let sample_percent = section.count("sample_percent", 1..=100);
    Some(Telemetry { otlp: otlp?, sample_percent: sample_percent?.unwrap_or(100) })
}

fn collector(text: &str) -> Option<Uri> {
    let url: Uri = text.parse().ok()?;
    let plain = url.scheme_str() == Some("http") && url.query().is_none();
    // A password would be sent in the clear, and shown here.
    let bare = url.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    (plain && bare).then_some(url)
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_sessions: 10_000,
            max_unauthenticated: 2048,
            request_log_days: 30,
            statement_log_days: 90,
            api_calls: 50,
        }
    }
}

impl Mistake {
    fn at(text: &str, offset: usize, what: &str) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        Self { line: before.matches('\n').count() + 1, text: what.trim().replace('\n', "; ") }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.text)
    }
}

/// A DNS name of at most 200 characters: labels under it must fit too.
pub(crate) fn domain_name(text: &str) -> Option<String> {
    let label = |label: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        label.len() <= 63
            && edge(label.chars().next())
            && edge(label.chars().next_back())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let fits = text.len() <= 200 && text.split('.').all(label);
    (fits && text.parse::<std::net::IpAddr>().is_err()).then(|| text.to_ascii_lowercase())
}

/// A name or address that a certificate can carry.
pub(crate) fn certificate_name(text: &str) -> Option<String> {
    match text.parse::<std::net::IpAddr>() {
        Ok(address) => Some(address.to_string()),
        Err(_) => domain_name(text.strip_prefix("*.").unwrap_or(text)).map(|_| text.to_owned()),
    }
}

fn directory(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

fn listed(path: &Path, mistakes: &[Mistake]) -> String {
    let each = mistakes.iter().map(|mistake| format!("{}:{mistake}", path.display()));
    each.collect::<Vec<_>>().join("\n")
}

/// Of the family that most clients know best; MariaDB's are told apart by theirs.
const MYSQL_VERSION: &str = "8.0.40-adit";
const ADDRESS: &str = "an IP address and port such as 0.0.0.0:443 or [::]:443";
const LOOPBACK: &str = "a loopback address and port such as 127.0.0.1:9090 (nobody signs in there, \
                        so it is for this machine only)";
const COLLECTOR: &str =
    "the URL of an OpenTelemetry collector nearby, such as http://127.0.0.1:4318";
const DOMAIN: &str = "a DNS name such as adit.example.com";

#[cfg(test)]
mod tests;
