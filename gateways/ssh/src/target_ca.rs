//! Certificates by which the relay logs in to targets, one for each login (OpenSSH's
//! PROTOCOL.certkeys). The target trusts one public key of the relay's and holds nothing secret.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use access::Channels;
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{Certificate, PrivateKey, ssh_key};

use crate::ca::{self, Ca};

/// Signs for one session at a time.
pub struct TargetCa(Ca);

/// What a certificate says.
pub(crate) struct Subject<'a> {
    /// The one account it opens.
    pub(crate) account: &'a str,
    /// What the target's log calls it.
    pub(crate) key_id: &'a str,
    /// What the target may do for it besides running programs.
    pub(crate) allowed: &'a Channels,
}

impl TargetCa {
    /// The CA whose Ed25519 key follows from `seed`. `name` stands behind its public key.
    pub fn new(seed: &[u8; 32], name: &str) -> Result<Self, ssh_key::Error> {
        Ca::new(seed, name).map(Self)
    }

    /// The line for the file that the target's `TrustedUserCAKeys` names.
    pub fn line(&self) -> Result<String, ssh_key::Error> {
        self.0.line()
    }

    /// A new key and its certificate, good for a login that begins now.
    ///
    /// What the session may do besides a shell, the target is told too: it then refuses what the
    /// relay would refuse.
    pub(crate) fn certify(
        &self,
        subject: &Subject<'_>,
        now: SystemTime,
    ) -> Result<(Arc<PrivateKey>, Certificate), ssh_key::Error> {
        let seed: [u8; 32] = rand::random();
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
        let mut certificate = ca::begin(key.public_key(), now - SKEW..now + LIFE)?;
        certificate
            .cert_type(CertType::User)?
            .key_id(subject.key_id)?
            .valid_principal(subject.account)?
            .extension("permit-pty", "")?
            .extension("permit-user-rc", "")?;
        let allowed = subject.allowed;
        let extensions = [
            (allowed.agent, "permit-agent-forwarding"),
            // Of sockets too.
            (allowed.ports() || allowed.streamlocal, "permit-port-forwarding"),
            (allowed.x11, "permit-X11-forwarding"),
        ];
        for (_, name) in extensions.into_iter().filter(|(allowed, _)| *allowed) {
            certificate.extension(name, "")?;
        }
        Ok((Arc::new(key), self.0.sign(certificate)?))
    }
}

/// How far behind a target's clock may be.
const SKEW: Duration = Duration::from_secs(60);
/// A login takes seconds; what was logged in to stays.
const LIFE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use access::Terms;

    use super::*;

    #[test]
    fn a_certificate_opens_one_account_for_minutes_and_tells_whose_session_it_is() {
        let ca = TargetCa::new(&[7; 32], "adit relay.test").unwrap();
        let signed = |forwarding| {
            let allowed = &Terms { forwarding, ..Terms::default() }.channels();
            let subject = Subject { account: "ubuntu", key_id: "adit/alice/web1-hq/1", allowed };
            ca.certify(&subject, SystemTime::now()).unwrap()
        };
        let (key, certificate) = signed(false);
        let fingerprint = ca.0.public_key().fingerprint(Default::default());
        certificate.validate([&fingerprint]).unwrap();
        assert_eq!(certificate.public_key(), key.public_key().key_data());
        assert_eq!(certificate.valid_principals(), ["ubuntu"]);
        assert_eq!(certificate.key_id(), "adit/alice/web1-hq/1");
        let life = certificate.valid_before() - certificate.valid_after();
        assert_eq!(life, (SKEW + LIFE).as_secs());
        let names = |certificate: &Certificate| {
            certificate.extensions().keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(names(&certificate), ["permit-pty", "permit-user-rc"]);
        assert_eq!(names(&signed(true).1).len(), 4);
        assert_ne!(signed(false).0.public_key(), key.public_key(), "a key for each");
        let again = TargetCa::new(&[7; 32], "adit relay.test").unwrap();
        assert_eq!(again.line().unwrap(), ca.line().unwrap());
    }
}
