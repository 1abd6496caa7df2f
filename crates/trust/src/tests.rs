use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

use super::*;

/// As `openssl req -x509` makes it: signed by itself, and a CA's by its own word.
fn self_signed(name: &str) -> (CertificateDer<'static>, String) {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    (certificate.der().clone(), certificate.pem())
}

fn at(year: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_556_952 + 86_400 * 100))
}

#[test]
fn a_certificate_that_is_in_the_ca_file_is_trusted_by_itself_with_its_name_and_dates() {
    let trust = Trust::new(None);
    let (own, pem) = self_signed("db.example");
    let (other, _) = self_signed("db.example");
    let verifier = trust.signed_by(&pem).unwrap();
    let name = |name: &str| ServerName::try_from(name.to_owned()).unwrap();
    let checked = |certificate, shown: &str, year| {
        let checked = verifier.verify_server_cert(certificate, &[], &name(shown), &[], at(year));
        checked.map(drop)
    };
    assert_eq!(checked(&own, "db.example", 2026), Ok(()));
    assert!(matches!(
        checked(&own, "other.example", 2026),
        Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. }))
    ));
    assert_eq!(checked(&own, "db.example", 2025), Err(CertificateError::NotValidYet.into()));
    assert_eq!(checked(&own, "db.example", 2028), Err(CertificateError::Expired.into()));
    assert!(checked(&other, "db.example", 2026).is_err(), "it is another one of that name");
}
