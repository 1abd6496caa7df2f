//! What is wrong with a target's certificate, for whoever can put it right.

use std::io;

use rustls::{CertificateError, Error};

/// Why a target's certificate is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It is a CA's own, as `openssl req -x509` makes them: good to sign others, not to be shown.
    SelfSigned,
    /// Nobody who is known has signed it.
    Issuer,
    /// It is for other names than the one that is asked for.
    Name,
    /// It is over, or has not begun.
    Time,
    /// It is another than the pinned one.
    Pin,
}

impl Fault {
    /// What ended a handshake, where that was the certificate.
    pub fn of(error: &io::Error) -> Option<Self> {
        let Error::InvalidCertificate(error) = error.get_ref()?.downcast_ref::<Error>()? else {
            return None;
        };
        match error {
            // A known CA's name and another key is no known CA either.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Some(Self::Issuer),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Some(Self::Name)
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Some(Self::Time),
            CertificateError::ApplicationVerificationFailure => Some(Self::Pin),
            // rustls has no word of its own for it.
            CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
                Some(Self::SelfSigned)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;
    use crate::{Known, Trust};

    #[test]
    fn what_is_wrong_with_a_certificate_is_told_apart() {
        let own_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let (itself, key) = made(own_ca, None);
        let (another, _) = made(own_ca, None);
        let issuer = (&itself, &key);
        let (good, _) = made(IsCa::NoCa, Some(issuer));
        let (alone, _) = made(IsCa::ExplicitNoCa, None);
        let pin = "00".repeat(32);
        let ca = itself.pem();
        for (certificate, pin, name, days, fault) in [
            (&good, None, "wiki.test", 0, None),
            (&itself, None, "wiki.test", 0, None),
            (&another, None, "wiki.test", 0, Some(Fault::SelfSigned)),
            (&alone, None, "wiki.test", 0, Some(Fault::Issuer)),
            (&good, None, "10.0.0.1", 0, Some(Fault::Name)),
            (&good, None, "wiki.test", 1_000_000, Some(Fault::Time)),
            (&good, Some(pin.as_str()), "wiki.test", 0, Some(Fault::Pin)),
        ] {
            let trust = Trust::new(None);
            let verifier: Arc<dyn ServerCertVerifier> = match pin {
                Some(pin) => Arc::new(Known::by(pin, trust.provider.clone()).unwrap()),
                None => trust.signed_by(&ca).unwrap(),
            };
            let now = UnixTime::now().as_secs() + days * 24 * 3600;
            let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
            let name = ServerName::try_from(name).unwrap();
            let checked = verifier.verify_server_cert(certificate.der(), &[], &name, &[], now);
            let found = checked.err().map(|error| {
                Fault::of(&io::Error::new(io::ErrorKind::InvalidData, error)).unwrap()
            });
            assert_eq!(found, fault);
        }
        assert_eq!(Fault::of(&io::ErrorKind::UnexpectedEof.into()), None);
    }

    /// For `wiki.test`, within this century or so.
    fn made(is_ca: IsCa, by: Option<(&Certificate, &KeyPair)>) -> (Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec!["wiki.test".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let key = KeyPair::generate().unwrap();
        let certificate = match by {
            Some((ca, signer)) => {
                let issuer = Issuer::from_ca_cert_der(ca.der(), signer).unwrap();
                params.signed_by(&key, &issuer).unwrap()
            }
            None => params.self_signed(&key).unwrap(),
        };
        (certificate, key)
    }
}
