//! What applications' names are shown with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use axum::http::Uri;
use tunnel::tls::Oldest;

use super::document::Section;

/// `[tls]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// For the names that they carry; the others have certificates of the relay's own CA.
    pub certificates: Vec<OwnCertificate>,
    /// Who issues certificates for the other names; absent: the relay's own CA.
    pub acme: Option<Acme>,
    /// Of the listeners that stock clients come to. Agents and connectors speak 1.3 with each relay.
    pub oldest: Oldest,
}

/// `[tls.acme]`: a CA that issues certificates by itself (RFC 8555).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    pub directory: Uri,
    /// `mailto:…`
    pub contact: Vec<String>,
    /// Who vouches for the CA's own web server; absent: the CAs this machine trusts.
    pub ca_file: Option<PathBuf>,
    pub challenge: Challenge,
}

/// How a CA sees that a name leads here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// At port 443 (RFC 8737).
    TlsAlpn,
    /// At port 80 (RFC 8555, section 8.3), where this listens.
    Http(SocketAddr),
}

/// A certificate that others signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCertificate {
    /// The chain, the leaf first (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
}

pub(super) fn tls(section: &mut Section<'_>, folder: &Path) -> Option<Tls> {
    let first = first(section, folder);
    let more = section.tables("certificates", MOST, |section| {
        let certificate = section.text("certificate", FILE, file);
        let key = section.text("key", FILE, file);
        pair(section, (certificate, key), folder)
    });
    let acme = section.section("acme", |section| acme(section, folder));
    let oldest = section.text("minimum", MINIMUM, |text| match text {
        "1.2" => Some(Oldest::Tls12),
        "1.3" => Some(Oldest::Tls13),
        _ => None,
    });
    let mut certificates: Vec<_> = first?.into_iter().collect();
    certificates.extend(more?.into_iter().map(|(_, pair)| pair));
    Some(Tls { certificates, acme: acme?, oldest: oldest?.unwrap_or_default() })
}

/// Where there is one, it stands in `[tls]` itself.
fn first(section: &mut Section<'_>, folder: &Path) -> Option<Option<OwnCertificate>> {
    let certificate = section.text("certificate", FILE, file);
    let key = section.text("key", FILE, file);
    match (&certificate, &key) {
        (Some(None), Some(None)) => Some(None),
        (_, _) => pair(section, (certificate, key), folder).map(Some),
    }
}

fn acme(section: &mut Section<'_>, folder: &Path) -> Option<Option<Acme>> {
    if !section.is_there() {
        return Some(None);
    }
    let directory = section.text("directory", DIRECTORY, directory);
    let contact = section.texts("contact", CONTACT, contact);
    let ca_file = section.text("ca_file", FILE, file);
    let challenge = challenge(section);
    let agree = section.agreement("agree", AGREE);
    agree?;
    let (directory, ca_file) = (directory?, ca_file?);
    Some(Some(Acme {
        directory: directory.unwrap_or_else(|| Uri::from_static(LETS_ENCRYPT)),
        contact: contact?.unwrap_or_default(),
        ca_file: ca_file.map(|file| folder.join(file)),
        challenge: challenge?,
    }))
}

fn challenge(section: &mut Section<'_>) -> Option<Challenge> {
    let http = section.text("challenge", CHALLENGE, |text| match text {
        "tls-alpn-01" => Some(false),
        "http-01" => Some(true),
        _ => None,
    });
    let listen = section.text("http_listen", LISTEN, |text| text.parse().ok());
    match (http?, listen?) {
        (Some(true), listen) => Some(Challenge::Http(listen.unwrap_or(super::any(80)))),
        (None | Some(false), None) => Some(Challenge::TlsAlpn),
        (None | Some(false), Some(_)) => {
            section.wrong("http_listen", "challenge = \"http-01\" beside it");
            None
        }
    }
}

fn directory(text: &str) -> Option<Uri> {
    let url: Uri = text.parse().ok()?;
    let host = url.authority().filter(|authority| !authority.as_str().contains('@'));
    (url.scheme_str() == Some("https") && host.is_some()).then_some(url)
}

fn contact(text: &str) -> Option<String> {
    let address = text.strip_prefix("mailto:").unwrap_or(text);
    let (name, host) = address.split_once('@')?;
    let plain = address.chars().all(|c| c.is_ascii_graphic() && c != ',' && c != '?');
    (plain && !name.is_empty() && !host.is_empty()).then(|| format!("mailto:{address}"))
}

type Read = Option<Option<PathBuf>>;

fn pair(
    section: &mut Section<'_>,
    (certificate, key): (Read, Read),
    folder: &Path,
) -> Option<OwnCertificate> {
    let certificate = section.required("certificate", FILE, certificate);
    let key = section.required("key", FILE, key);
    Some(OwnCertificate { certificate: folder.join(certificate?), key: folder.join(key?) })
}

fn file(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

const MINIMUM: &str = "1.2 or 1.3";
const FILE: &str = "the path of a PEM file";
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const DIRECTORY: &str = "the https URL of an ACME directory";
const CONTACT: &str = "an e-mail address";
const CHALLENGE: &str = "tls-alpn-01 or http-01";
const LISTEN: &str = "an IP address and port such as 0.0.0.0:80 or [::]:80";
const AGREE: &str = "true: you agree to the CA's terms of service";
/// Each is read and parsed at every reload.
const MOST: usize = 256;
