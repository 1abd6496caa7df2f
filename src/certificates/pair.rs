//! A certificate with its key.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use secrecy::SecretString;
use tunnel::certificate::Facts;
use tunnel::tls::TlsError;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate with its key, ready to be shown.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    /// The DNS names it is for, in lower case; `*.` stands for one label.
    pub(super) names: Vec<String>,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

/// Why a certificate and a key are no pair.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    #[error("certificate and key can not be used")]
    Unusable(#[from] TlsError),
    #[error("the certificate is no X.509 certificate")]
    Form,
    #[error("the certificate names no host")]
    Nameless,
}

/// How closely a certificate is for a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    Wildcard,
    Exact,
}

impl Pair {
    /// # Errors
    ///
    /// When one can not be read, they do not belong together, or no host is named.
    pub(crate) fn new(chain_pem: &str, key_pem: &SecretString) -> Result<Self, PairError> {
        let key = Arc::new(tunnel::tls::certified_key(chain_pem, key_pem)?);
        let leaf = key.cert.first().ok_or(PairError::Form)?;
        let facts = Facts::of(leaf).map_err(|_| PairError::Form)?;
        let names = names(leaf).ok_or(PairError::Form)?;
        if names.is_empty() {
            return Err(PairError::Nameless);
        }
        Ok(Self { key, names, not_before: facts.not_before, not_after: facts.not_after })
    }

    /// How closely it is for a host in lower case; `None`: it is not.
    pub(super) fn fits(&self, host: &str) -> Option<Fit> {
        let above = host.split_once('.').map(|(_, above)| above);
        let fit = |name: &String| match name.strip_prefix("*.") {
            Some(suffix) => (above == Some(suffix)).then_some(Fit::Wildcard),
            None => (name == host).then_some(Fit::Exact),
        };
        self.names.iter().filter_map(fit).max()
    }

    pub(crate) fn is_for(&self, host: &str) -> bool {
        self.fits(host).is_some()
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }

    /// What is left of its life.
    pub(super) fn left(&self, now: SystemTime) -> Duration {
        self.not_after.duration_since(now).unwrap_or_default()
    }
}

fn names(leaf: &CertificateDer<'_>) -> Option<Vec<String>> {
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    let names = certificate.subject_alternative_name().ok()?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let dns = names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    Some(dns.collect())
}
