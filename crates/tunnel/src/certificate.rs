//! What a machine's certificate says.

use std::time::{Duration, SystemTime};

use access::sha256;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, X509Certificate};

/// SHA-256 of a SubjectPublicKeyInfo: what a machine is known by, whatever its certificate is.
pub type Spki = [u8; 32];

/// Why a certificate or request could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("no certificate in it")]
    Empty,
    #[error("not a certificate in PEM form")]
    Pem,
    #[error("not an X.509 certificate")]
    Malformed,
    #[error("not a certificate signing request")]
    Request,
}

/// The facts of a leaf certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The subject's common name, such as `connector:<uuid>`.
    pub name: String,
    pub spki: Spki,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

impl Facts {
    pub fn of(der: &[u8]) -> Result<Self, CertificateError> {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
        let name = certificate.subject().iter_common_name().next();
        Ok(Self {
            name: name.and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned(),
            spki: sha256(certificate.tbs_certificate.subject_pki.raw),
            not_before: moment(certificate.validity().not_before.timestamp()),
            not_after: moment(certificate.validity().not_after.timestamp()),
        })
    }

    pub fn expired(&self, now: SystemTime) -> bool {
        now > self.not_after
    }

    /// When half of the certificate's life is over.
    pub fn half_life(&self) -> SystemTime {
        let life = self.not_after.duration_since(self.not_before).unwrap_or_default();
        self.not_before + life / 2
    }
}

/// Who issued a certificate, for people: at most so long, and without what a terminal obeys.
pub(crate) fn issuer(der: &[u8]) -> String {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return "?".to_owned() };
    let name = certificate.issuer().to_string();
    name.chars().filter(|c| !access::text::is_hidden(*c)).take(LONGEST_NAME).collect()
}

/// The certificates of a PEM text, in its order. At least one.
pub fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| CertificateError::Pem)?;
    if chain.is_empty() { Err(CertificateError::Empty) } else { Ok(chain) }
}

/// The key a certificate signing request is for. Does not check the request's signature.
pub fn requested_key(csr_pem: &str) -> Result<Spki, CertificateError> {
    let der = rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(csr_pem.as_bytes())
        .map_err(|_| CertificateError::Request)?;
    let (_, request) =
        X509CertificationRequest::from_der(&der).map_err(|_| CertificateError::Request)?;
    Ok(sha256(request.certification_request_info.subject_pki.raw))
}

const LONGEST_NAME: usize = 128;

fn moment(seconds: i64) -> SystemTime {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    SystemTime::UNIX_EPOCH + since
}
