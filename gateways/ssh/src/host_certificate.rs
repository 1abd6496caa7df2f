//! Host certificates of targets, where an admin trusts a CA instead of one key (OpenSSH's
//! PROTOCOL.certkeys).

use std::time::SystemTime;

use access::Application;
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};

use crate::ca::unix;

/// Why a target's host key is not vouched for by its CA.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unvouched {
    #[error("it shows no certificate")]
    Plain,
    #[error("its certificate is not signed by the application's CA, or not good at this time")]
    Untrusted,
    #[error("its certificate is for a user")]
    User,
    #[error("its certificate is for other hosts than {0}")]
    Elsewhere(String),
    #[error("its certificate has a critical option, and none is known for hosts")]
    Option,
}

/// The CA, where the application's host key is one, as in `known_hosts`.
pub(crate) fn ca(application: &Application) -> Option<&str> {
    application.host_key.as_deref()?.strip_prefix(MARK)
}

/// Holds what a target shows against the CA, for the host that the application's address names.
pub(crate) fn check(
    shown: &PublicKeyOrCertificate,
    ca: &str,
    host: &str,
    now: SystemTime,
) -> Result<(), Unvouched> {
    match shown {
        PublicKeyOrCertificate::PublicKey { .. } => Err(Unvouched::Plain),
        PublicKeyOrCertificate::Certificate(certificate) => vouched(certificate, ca, host, now),
    }
}

fn vouched(
    certificate: &Certificate,
    ca: &str,
    host: &str,
    now: SystemTime,
) -> Result<(), Unvouched> {
    let ca = PublicKey::from_openssh(ca).map_err(|_| Unvouched::Untrusted)?;
    let ca = ca.fingerprint(HashAlg::Sha256);
    certificate.validate_at(unix(now), [&ca]).map_err(|_| Unvouched::Untrusted)?;
    if certificate.cert_type() != CertType::Host {
        return Err(Unvouched::User);
    }
    if certificate.critical_options().iter().next().is_some() {
        return Err(Unvouched::Option);
    }
    // A certificate without names would be good for every host.
    let named = |name: &String| name.eq_ignore_ascii_case(host);
    match certificate.valid_principals().iter().any(named) {
        true => Ok(()),
        false => Err(Unvouched::Elsewhere(host.to_owned())),
    }
}

/// What stands before a CA's key.
const MARK: &str = "@cert-authority ";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use russh::keys::PrivateKey;
    use russh::keys::ssh_key::private::Ed25519Keypair;

    use super::*;
    use crate::ca::{self, Ca};

    #[test]
    fn only_a_certificate_of_the_ca_for_this_host_vouches() {
        let good = (1, CertType::Host, "db.corp", "");
        let table = [
            (good, Ok(())),
            ((1, CertType::Host, "DB.Corp", ""), Ok(())),
            ((2, good.1, good.2, ""), Err(Unvouched::Untrusted)),
            ((1, CertType::User, good.2, ""), Err(Unvouched::User)),
            ((1, good.1, "web.corp", ""), elsewhere()),
            ((1, good.1, "*.corp", ""), elsewhere()),
            ((1, good.1, "db.corp.evil", ""), elsewhere()),
            ((1, good.1, "", ""), elsewhere()),
            ((1, good.1, good.2, "source-address"), Err(Unvouched::Option)),
        ];
        for (of, answer) in table {
            let shown = PublicKeyOrCertificate::Certificate(certificate(of));
            assert_eq!(check(&shown, &line(1), "db.corp", now()), answer, "{of:?}");
        }
        let shown = PublicKeyOrCertificate::Certificate(certificate(good));
        for late in [now() + Duration::from_secs(60), now() - Duration::from_secs(60)] {
            assert_eq!(check(&shown, &line(1), "db.corp", late), Err(Unvouched::Untrusted));
        }
        let plain = PublicKeyOrCertificate::from(key().public_key().clone());
        assert_eq!(check(&plain, &line(1), "db.corp", now()), Err(Unvouched::Plain));
        assert_eq!(check(&shown, "nonsense", "db.corp", now()), Err(Unvouched::Untrusted));
    }

    fn elsewhere() -> Result<(), Unvouched> {
        Err(Unvouched::Elsewhere("db.corp".to_owned()))
    }

    fn certificate((seed, kind, name, option): (u8, CertType, &str, &str)) -> Certificate {
        let second = Duration::from_secs(1);
        let mut made = ca::begin(key().public_key(), now() - second..now() + second).unwrap();
        made.cert_type(kind).unwrap().key_id("host").unwrap();
        match name {
            "" => made.all_principals_valid().unwrap(),
            name => made.valid_principal(name).unwrap(),
        };
        if !option.is_empty() {
            made.critical_option(option, "10.0.0.0/8").unwrap();
        }
        Ca::new(&[seed; 32], "hosts").unwrap().sign(made).unwrap()
    }

    fn line(seed: u8) -> String {
        Ca::new(&[seed; 32], "hosts").unwrap().line().unwrap()
    }

    fn key() -> PrivateKey {
        PrivateKey::from(Ed25519Keypair::from_seed(&[3; 32]))
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }
}
