//! What the CA is told when it looks whether a name leads here.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tunnel::tls::{Oldest, TlsError};

use super::AcmeError;
use crate::listen::https;

/// Answers to the challenges of orders that are under way, by host in lower case.
#[derive(Default)]
pub(crate) struct Challenges {
    pending: RwLock<HashMap<String, Answer>>,
}

enum Answer {
    /// A certificate with the challenge's digest in it (RFC 8737).
    Tls(Arc<ServerConfig>),
    /// A text under a token (RFC 8555, section 8.3).
    Http { token: String, text: String },
}

/// A challenge is answered for as long as this lives.
pub(super) struct Answering {
    challenges: Arc<Challenges>,
    host: String,
}

impl Challenges {
    /// The handshake for a host whose order is under way.
    pub(crate) fn tls(&self, host: &str) -> Option<Arc<ServerConfig>> {
        match self.read().get(&host.to_ascii_lowercase())? {
            Answer::Tls(config) => Some(config.clone()),
            Answer::Http { .. } => None,
        }
    }

    /// The text for a token of a host whose order is under way.
    pub(crate) fn http(&self, host: &str, asked: &str) -> Option<String> {
        match self.read().get(&host.to_ascii_lowercase())? {
            Answer::Http { token, text } => (token == asked).then(|| text.clone()),
            Answer::Tls(_) => None,
        }
    }

    pub(super) fn answer_http(self: &Arc<Self>, host: &str, token: &str, text: &str) -> Answering {
        self.answer(host, Answer::Http { token: token.to_owned(), text: text.to_owned() })
    }

    pub(super) fn answer_tls(
        self: &Arc<Self>,
        host: &str,
        digest: &[u8],
    ) -> Result<Answering, AcmeError> {
        let certificate = SingleCertAndKey::from(certificate(host, digest)?);
        let config = https::tls_by_name(Arc::new(certificate), &[ALPN], Oldest::Tls13)?;
        Ok(self.answer(host, Answer::Tls(config)))
    }

    fn answer(self: &Arc<Self>, host: &str, answer: Answer) -> Answering {
        let mut pending = self.pending.write().unwrap_or_else(PoisonError::into_inner);
        pending.insert(host.to_owned(), answer);
        Answering { challenges: self.clone(), host: host.to_owned() }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<String, Answer>> {
        self.pending.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut pending = self.challenges.pending.write().unwrap_or_else(PoisonError::into_inner);
        pending.remove(&self.host);
    }
}

/// Self-signed, for this host alone, with the digest in a critical extension: what checks
/// certificates refuses it, and only a CA that looks for it is shown it.
fn certificate(host: &str, digest: &[u8]) -> Result<CertifiedKey, AcmeError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([host.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let chain = vec![params.self_signed(&key)?.der().clone()];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = tunnel::tls::provider().key_provider.load_private_key(key).map_err(TlsError::from)?;
    Ok(CertifiedKey::new(chain, key))
}

/// The protocol a CA offers when it looks, and nobody else.
pub(crate) const ALPN: &[u8] = b"acme-tls/1";
