//! Who is told of requests for access.

use std::fmt;
use std::path::{Path, PathBuf};

use access::Name;
use axum::http::Uri;

use super::audit::{
    FILE, NAME, TlsFiles, To, WebhookTo, a_path, is_here, server, tls_files, webhook,
};
use super::document::Section;

/// `[[notify]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// By which it is remembered what it has still to be told.
    pub name: Name,
    pub by: NotifyBy,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotifyBy {
    Webhook(WebhookTo),
    Mail(MailBy),
}

/// A mail server that takes what is to be sent (RFC 6409).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailBy {
    pub host: String,
    pub port: u16,
    pub security: MailSecurity,
    /// The user name there, and the file that holds the password; absent: none is shown.
    pub login: Option<(String, PathBuf)>,
    pub from: String,
    /// Who is told of what is asked.
    pub to: Vec<String>,
    /// Where mail for a user goes to at their name: whoever asked is told of the decision there; absent:
    /// those in `to` are.
    pub user_domain: Option<String>,
}

/// How the connection to a mail server is kept from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// From its first byte on (RFC 8314).
    Tls(TlsFiles),
    /// By STARTTLS, without which nothing is said (RFC 3207).
    StartTls(TlsFiles),
    /// Not at all: it stays on this machine.
    Here,
}

impl NotifyBy {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Mail(_) => "mail",
        }
    }
}

impl fmt::Display for NotifyBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook(to) => To::Webhook(to.clone()).fmt(f),
            Self::Mail(MailBy { host, port, security, .. }) => {
                let scheme = match security {
                    MailSecurity::Tls(_) => "smtps",
                    MailSecurity::StartTls(_) | MailSecurity::Here => "smtp",
                };
                match host.contains(':') {
                    true => write!(f, "{scheme}://[{host}]:{port}"),
                    false => write!(f, "{scheme}://{host}:{port}"),
                }
            }
        }
    }
}

pub(super) fn notify(root: &mut Section<'_>, folder: &Path) -> Option<Vec<Channel>> {
    root.named("notify", MOST, |section| channel(section, folder), |channel| &channel.name)
}

fn channel(section: &mut Section<'_>, folder: &Path) -> Option<Channel> {
    let name = section.text("name", NAME, |text| text.parse().ok());
    let name = section.required("name", NAME, name);
    let kind = section.text("kind", KIND, |text| KINDS.iter().find(|kind| **kind == text).copied());
    let by = match section.required("kind", KIND, kind) {
        Some("webhook") => webhook(section, folder).map(NotifyBy::Webhook),
        Some(_) => mail(section, folder).map(NotifyBy::Mail),
        // What else it may hold depends on it.
        None => {
            section.accept_the_rest();
            None
        }
    };
    Some(Channel { name: name?, by: by? })
}

fn mail(section: &mut Section<'_>, folder: &Path) -> Option<MailBy> {
    let url = section.secret("url", SERVER, |text| server(text, scheme));
    let url = section.required("url", SERVER, url);
    let here = url.as_ref().is_some_and(|(_, _, how)| *how == How::Here);
    let files = if here { Some(TlsFiles::default()) } else { tls_files(section, folder) };
    let login = section.text("login", LOGIN, |text| is_login(text).then(|| text.to_owned()));
    let password = section.text("password_file", FILE, |text| a_path(text, folder));
    let from = section.text("from", ADDRESS, address);
    let from = section.required("from", ADDRESS, from);
    let to = section.texts("to", ADDRESS, address);
    let to = section.required("to", ADDRESS, to.map(|to| to.filter(|to| !to.is_empty())));
    let user_domain = section.text("user_domain", DOMAIN, domain);
    let login = match (login?, password?) {
        (None, None) => None,
        // One of them is of no use.
        (login, password) => {
            let login = section.required("login", LOGIN, Some(login));
            Some((login?, section.required("password_file", FILE, Some(password))?))
        }
    };
    let (host, port, how) = url?;
    let security = match how {
        How::Tls => MailSecurity::Tls(files?),
        How::StartTls => MailSecurity::StartTls(files?),
        How::Here => MailSecurity::Here,
    };
    Some(MailBy { host, port, security, login, from: from?, to: to?, user_domain: user_domain? })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Tls,
    StartTls,
    Here,
}

fn scheme(url: &Uri) -> Option<(How, u16)> {
    match url.scheme_str()? {
        "smtps" => Some((How::Tls, 465)),
        "smtp" if is_here(url) => Some((How::Here, 25)),
        "smtp" => Some((How::StartTls, 587)),
        _ => None,
    }
}

/// One that needs no quotes and breaks no line.
fn address(text: &str) -> Option<String> {
    let (local, host) = text.rsplit_once('@')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    let fits = (1..=64).contains(&local.len()) && local.chars().all(plain);
    domain(host).filter(|_| fits).map(|_| text.to_owned())
}

fn domain(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
    ((1..=253).contains(&text.len()) && text.chars().all(plain)).then(|| text.to_owned())
}

fn is_login(text: &str) -> bool {
    (1..=255).contains(&text.len()) && !text.chars().any(char::is_control)
}

const KINDS: [&str; 2] = ["webhook", "mail"];
const KIND: &str = "webhook or mail";
const SERVER: &str =
    "smtps://host or smtp://host (STARTTLS), without a password; 127.0.0.1 needs no TLS";
const ADDRESS: &str = "an address such as adit@example.com";
const LOGIN: &str = "a user name at the mail server";
const DOMAIN: &str = "a domain such as example.com";
/// Each has a task.
const MOST: usize = 8;
