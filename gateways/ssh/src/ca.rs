//! What the door's three CAs have in common: an Ed25519 key, and how a certificate begins.

use std::ops::Range;
use std::time::SystemTime;

use russh::keys::ssh_key::certificate::Builder;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{Certificate, PrivateKey, PublicKey, ssh_key};

/// A key that signs certificates (OpenSSH's PROTOCOL.certkeys).
pub(crate) struct Ca(PrivateKey);

impl Ca {
    /// The CA whose Ed25519 key follows from `seed`. `name` stands behind its public key.
    pub(crate) fn new(seed: &[u8; 32], name: &str) -> Result<Self, ssh_key::Error> {
        let pair = Ed25519Keypair::from_seed(seed);
        Ok(Self(PrivateKey::new(KeypairData::from(pair), name)?))
    }

    pub(crate) fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    /// Its public key in OpenSSH form.
    pub(crate) fn line(&self) -> Result<String, ssh_key::Error> {
        self.public_key().to_openssh()
    }

    pub(crate) fn sign(&self, certificate: Builder) -> Result<Certificate, ssh_key::Error> {
        certificate.sign(&self.0)
    }
}

/// A certificate for `key` that is good at these times, with a nonce and a serial number of its own.
pub(crate) fn begin(key: &PublicKey, good: Range<SystemTime>) -> Result<Builder, ssh_key::Error> {
    let nonce: [u8; 32] = rand::random();
    let (from, until) = (unix(good.start), unix(good.end));
    let mut certificate = Builder::new(nonce.to_vec(), key, from, until)?;
    certificate.serial(rand::random())?;
    Ok(certificate)
}

/// Seconds since the epoch.
pub(crate) fn unix(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
