//! The CA that vouches for the door's own host key: a client that knows it knows every relay of the
//! deployment, and the keys they will have (OpenSSH's PROTOCOL.certkeys).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, PrivateKey, ssh_key};
use russh::server::Config;

use crate::ca::{self, Ca};
use crate::config;

/// Signs host keys.
pub struct HostCa(Ca);

impl HostCa {
    /// The CA whose Ed25519 key follows from `seed`. `name` stands behind its public key.
    pub fn new(seed: &[u8; 32], name: &str) -> Result<Self, ssh_key::Error> {
        Ca::new(seed, name).map(Self)
    }

    /// Its public key in OpenSSH form, which stands behind `@cert-authority` in `known_hosts`.
    pub fn line(&self) -> Result<String, ssh_key::Error> {
        self.0.line()
    }

    /// That a host key is of a host of these names, for some weeks from `now` on.
    fn certify(
        &self,
        key: &PrivateKey,
        names: &[String],
        now: SystemTime,
    ) -> Result<Certificate, ssh_key::Error> {
        let mut certificate = ca::begin(key.public_key(), now - SKEW..now + LIFE)?;
        certificate.cert_type(CertType::Host)?.key_id("adit relay")?;
        for name in names {
            certificate.valid_principal(name)?;
        }
        self.0.sign(certificate)
    }
}

/// What the door shows, with certificates that never run out.
pub(crate) struct Shown {
    keys: Vec<PrivateKey>,
    ca: Arc<HostCa>,
    names: Vec<String>,
    lines: Vec<String>,
    made: Mutex<Option<(SystemTime, Arc<Config>)>>,
}

impl Shown {
    pub(crate) fn new(keys: Vec<PrivateKey>, ca: Arc<HostCa>, names: Vec<String>) -> Self {
        let line = |key: &PrivateKey| {
            let mut public = key.public_key().clone();
            public.set_comment("");
            // What can not be written is shown to nobody.
            public.to_openssh().ok()
        };
        let lines = keys.iter().filter_map(line).collect();
        Self { keys, ca, names, lines, made: Mutex::default() }
    }

    /// The public keys, as OpenSSH lines.
    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// What a connection that begins now is shown.
    pub(crate) fn at(&self, now: SystemTime) -> Arc<Config> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some((since, config)) if is_fresh(*since, now) => config.clone(),
            Some(_) | None => {
                let config = Arc::new(config::server(self.keys.clone(), self.certificates(now)));
                *made = Some((now, config.clone()));
                config
            }
        }
    }

    fn certificates(&self, now: SystemTime) -> Vec<Certificate> {
        // Of an RSA key the library would offer signatures by SHA-1, too.
        let modern = self.keys.iter().filter(|key| key.algorithm() == Algorithm::Ed25519);
        let signed = modern.filter_map(|key| match self.ca.certify(key, &self.names, now) {
            Ok(certificate) => Some(certificate),
            Err(error) => {
                tracing::error!(%error, "Could not sign a host key");
                None
            }
        });
        signed.collect()
    }
}

/// A clock that was set back makes them anew, too.
fn is_fresh(since: SystemTime, now: SystemTime) -> bool {
    now.duration_since(since).is_ok_and(|age| age < RENEW)
}

/// How far behind a client's clock may be.
const SKEW: Duration = Duration::from_secs(3600);
const LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
const RENEW: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use russh::keys::ssh_key::private::Ed25519Keypair;

    use super::*;

    #[test]
    fn a_relay_that_runs_for_long_shows_certificates_that_are_good() {
        let ca = Arc::new(HostCa::new(&[7; 32], "adit hosts").unwrap());
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[3; 32]));
        let fingerprint = ca.0.public_key().fingerprint(Default::default());
        let shown = Shown::new(vec![key], ca, vec!["relay.test".to_owned()]);
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let first = shown.at(start);
        assert!(Arc::ptr_eq(&first, &shown.at(start + Duration::from_secs(3600))));
        for days in [0, 1, 40, 400, 39] {
            let now = start + Duration::from_secs(days * 24 * 3600);
            let [certificate] = &shown.at(now).certificates[..] else { panic!("one") };
            certificate.validate_at(ca::unix(now), [&fingerprint]).unwrap();
            assert_eq!(certificate.cert_type(), CertType::Host);
            assert_eq!(certificate.valid_principals(), ["relay.test"]);
        }
    }
}
