//! What applications' names are shown with.

use std::path::{Path, PathBuf};

use super::document::Section;

/// `[tls]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// For the names that they carry; the others have certificates of the relay's own CA.
    pub certificates: Vec<OwnCertificate>,
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
    let mut certificates: Vec<_> = first?.into_iter().collect();
    certificates.extend(more?.into_iter().map(|(_, pair)| pair));
    Some(Tls { certificates })
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

const FILE: &str = "the path of a PEM file";
/// Each is read and parsed at every reload.
const MOST: usize = 256;
