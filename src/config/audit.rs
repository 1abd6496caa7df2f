//! Where the audit log's records are sent.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use access::Name;
use axum::http::Uri;

use super::document::Section;

/// What becomes of the audit log beside being kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    pub destinations: Vec<Destination>,
}

/// A place that is sent every record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    pub name: Name,
    /// Whether one that is new is sent only what is recorded from then on.
    pub from_now: bool,
    pub to: To,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    File(FileTo),
    Syslog(SyslogTo),
    Webhook(WebhookTo),
}

/// Lines of JSON in a file of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTo {
    pub path: PathBuf,
    /// When it would be longer it is renamed, and a new one begun.
    pub max_bytes: u64,
    /// How many renamed ones are kept.
    pub keep: usize,
}

/// RFC 5424 over TLS (RFC 5425), or over TCP on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogTo {
    pub host: String,
    pub port: u16,
    /// Absent: plain TCP.
    pub tls: Option<TlsFiles>,
}

/// Batches by HTTPS, or by HTTP on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookTo {
    pub url: Uri,
    /// Absent: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Holds what the batches are signed with.
    pub secret_file: PathBuf,
}

/// By what a receiver is known, and by what it knows the relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Who vouches for the receiver; absent: the CAs this machine trusts.
    pub ca: Option<PathBuf>,
    /// A certificate with its chain, and its key; absent: none is shown.
    pub shown: Option<(PathBuf, PathBuf)>,
}

impl To {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Syslog(_) => "syslog",
            Self::Webhook(_) => "webhook",
        }
    }
}

/// The place itself, without what it is opened by.
impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(FileTo { path, .. }) => write!(f, "{}", path.display()),
            Self::Syslog(SyslogTo { host, port, tls }) => {
                let scheme = if tls.is_some() { "tls" } else { "tcp" };
                match host.contains(':') {
                    true => write!(f, "{scheme}://[{host}]:{port}"),
                    false => write!(f, "{scheme}://{host}:{port}"),
                }
            }
            // What follows the path may be a key.
            Self::Webhook(WebhookTo { url, .. }) => {
                let (scheme, host) = (url.scheme_str().unwrap_or_default(), url.authority());
                let host = host.map_or("", |host| host.as_str());
                write!(f, "{scheme}://{host}{}", url.path())
            }
        }
    }
}

pub(super) fn audit(section: &mut Section<'_>, folder: &Path) -> Option<Audit> {
    let one = |section: &mut Section<'_>| destination(section, folder);
    let destinations = section.named("destination", MOST, one, |destination| &destination.name)?;
    Some(Audit { destinations })
}

fn destination(section: &mut Section<'_>, folder: &Path) -> Option<Destination> {
    let name = section.text("name", NAME, |text| text.parse().ok());
    let name = section.required("name", NAME, name);
    let from_now = section.text("from", "start or now", |text| match text {
        "start" => Some(false),
        "now" => Some(true),
        _ => None,
    });
    let kind = section.text("kind", KIND, |text| KINDS.iter().find(|kind| **kind == text).copied());
    let to = match section.required("kind", KIND, kind) {
        Some("file") => file(section, folder).map(To::File),
        Some("syslog") => syslog(section, folder).map(To::Syslog),
        Some(_) => webhook(section, folder).map(To::Webhook),
        // What else it may hold depends on it.
        None => {
            section.accept_the_rest();
            None
        }
    };
    Some(Destination { name: name?, from_now: from_now?.unwrap_or(false), to: to? })
}

fn file(section: &mut Section<'_>, folder: &Path) -> Option<FileTo> {
    let path = section.text("path", FILE, |text| a_path(text, folder));
    let path = section.required("path", FILE, path);
    let megabytes = section.count("max_megabytes", 1..=1_000_000);
    let keep = section.count("keep", 0..=10_000);
    let megabytes = u64::try_from(megabytes?.unwrap_or(100)).unwrap_or(u64::MAX);
    Some(FileTo { path: path?, max_bytes: megabytes << 20, keep: keep?.unwrap_or(10) })
}

fn syslog(section: &mut Section<'_>, folder: &Path) -> Option<SyslogTo> {
    let url = section.secret("url", SYSLOG, receiver);
    let url = section.required("url", SYSLOG, url);
    let secure = url.as_ref().is_none_or(|(.., tls)| *tls);
    let tls = if secure { Some(tls_files(section, folder)?) } else { None };
    let (host, port, _) = url?;
    Some(SyslogTo { host, port, tls })
}

pub(super) fn webhook(section: &mut Section<'_>, folder: &Path) -> Option<WebhookTo> {
    let url = section.secret("url", WEBHOOK, hook);
    let url = section.required("url", WEBHOOK, url);
    let secure = url.as_ref().is_none_or(|url| url.scheme_str() == Some("https"));
    let tls = if secure { tls_files(section, folder).map(Some) } else { Some(None) };
    let secret = section.text("secret_file", FILE, |text| a_path(text, folder));
    let secret = section.required("secret_file", FILE, secret);
    Some(WebhookTo { url: url?, tls: tls?, secret_file: secret? })
}

pub(super) fn tls_files(section: &mut Section<'_>, folder: &Path) -> Option<TlsFiles> {
    let ca = section.text("ca_file", FILE, |text| a_path(text, folder));
    let certificate = section.text("certificate_file", FILE, |text| a_path(text, folder));
    let key = section.text("key_file", FILE, |text| a_path(text, folder));
    let shown = match (certificate?, key?) {
        (None, None) => None,
        // One of them is of no use.
        (certificate, key) => {
            let certificate = section.required("certificate_file", FILE, Some(certificate));
            Some((certificate?, section.required("key_file", FILE, Some(key))?))
        }
    };
    Some(TlsFiles { ca: ca?, shown })
}

pub(super) fn a_path(text: &str, folder: &Path) -> Option<PathBuf> {
    (!text.is_empty()).then(|| folder.join(text))
}

fn receiver(text: &str) -> Option<(String, u16, bool)> {
    server(text, |url| match url.scheme_str()? {
        "tls" => Some((true, 6514)),
        "tcp" if is_here(url) => Some((false, 514)),
        _ => None,
    })
}

/// The host and the port of an address that has neither a path nor somebody's name in it, and what its
/// scheme means. `how`: that, and the scheme's usual port.
pub(super) fn server<T>(
    text: &str,
    how: impl Fn(&Uri) -> Option<(T, u16)>,
) -> Option<(String, u16, T)> {
    let url: Uri = text.parse().ok()?;
    let bare = url.path_and_query().is_none_or(|path| path.as_str() == "/");
    let (how, port) = how(&url)?;
    let host = url.host()?.trim_matches(['[', ']']).to_owned();
    (bare && is_nobodys(&url)).then(|| (host, url.port_u16().unwrap_or(port), how))
}

fn hook(text: &str) -> Option<Uri> {
    let url: Uri = text.parse().ok()?;
    let tls = url.scheme_str() == Some("https");
    let plain = url.scheme_str() == Some("http") && is_here(&url);
    ((tls || plain) && is_nobodys(&url)).then_some(url)
}

/// Without a name and password, which would be shown here.
fn is_nobodys(url: &Uri) -> bool {
    url.authority().is_some_and(|authority| !authority.as_str().contains('@'))
}

/// Whether it names this machine by its address, which nobody can have resolve to another.
pub(super) fn is_here(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

const KINDS: [&str; 3] = ["file", "syslog", "webhook"];
const KIND: &str = "file, syslog or webhook";
pub(super) const NAME: &str = "a name such as archive";
pub(super) const FILE: &str = "the path of a file";
const SYSLOG: &str = "tls://host:port, or tcp://127.0.0.1:port on this machine";
const WEBHOOK: &str =
    "an https:// URL without a password, or http://127.0.0.1:port on this machine";
/// Each has a task, and reads the log for itself.
const MOST: usize = 16;
