//! By what a target's certificate is known: CAs, or a pin where nobody signed it. To look away is a
//! choice of its own, for databases whose mode says so.

mod fault;

pub use fault::Fault;

use std::sync::Arc;

use ::aws_lc_rs::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InconsistentKeys, RootCertStore,
    SignatureScheme,
};

/// Makes the TLS side of connections to targets.
pub struct Trust {
    system: Option<Arc<dyn ServerCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Trust {
    /// `system` checks targets that have no CA and no pin of their own.
    pub fn new(system: Option<Arc<dyn ServerCertVerifier>>) -> Self {
        Self { system, provider: Arc::new(aws_lc_rs::default_provider()) }
    }

    /// TLS that trusts the system's CAs, or those in `ca` (PEM), or the one certificate whose
    /// SHA-256 is `pin` (hex).
    pub fn client(&self, ca: Option<&str>, pin: Option<&str>) -> Result<ClientConfig, TrustError> {
        let verifier: Arc<dyn ServerCertVerifier> = match (pin, ca) {
            (Some(pin), _) => Arc::new(Known::by(pin, self.provider.clone())?),
            (None, Some(ca)) => self.signed_by(ca)?,
            (None, None) => self
                .system
                .clone()
                .ok_or_else(|| TrustError::new("the relay's machine has no CA certificates"))?,
        };
        self.checked_by(verifier)
    }

    /// TLS with whoever is there: it keeps out who only listens.
    pub fn anybody(&self) -> Result<ClientConfig, TrustError> {
        let provider = self.provider.clone();
        self.checked_by(Arc::new(Known { sha256: None, provider }))
    }

    /// Whether the system's CAs vouch at `now` for the first certificate of `chain`, as that of `name`.
    pub fn vouched(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> bool {
        let (Some(system), Some((first, rest))) = (&self.system, chain.split_first()) else {
            return false;
        };
        system.verify_server_cert(first, rest, name, &[], now).is_ok()
    }

    /// Has TLS show a certificate to a target that asks for one: its chain and its private key are in
    /// `pem`.
    pub fn show(&self, config: &mut ClientConfig, pem: &str) -> Result<(), TrustError> {
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|_| TrustError::new("the client certificate is no PEM"))?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes());
        let key = key.map_err(|_| TrustError::new("the client certificate has no private key"))?;
        let key = self.provider.key_provider.load_private_key(key);
        let key =
            key.map_err(|_| TrustError::new("the client certificate's key can not be used"))?;
        let certified = CertifiedKey::new(chain, key);
        // Of version 1, as openssl makes them where nothing else is said, it can not be compared.
        if let Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) = certified.keys_match()
        {
            return Err(TrustError::new("the client certificate is for another key"));
        }
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
        Ok(())
    }

    fn checked_by(
        &self,
        verifier: Arc<dyn ServerCertVerifier>,
    ) -> Result<ClientConfig, TrustError> {
        let config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| TrustError::new(&error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(config)
    }

    fn signed_by(&self, ca: &str) -> Result<Arc<dyn ServerCertVerifier>, TrustError> {
        let (mut roots, mut listed) = (RootCertStore::empty(), Vec::new());
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()).flatten() {
            listed.push(certificate.clone());
            roots.add(certificate).map_err(|error| TrustError::new(&error.to_string()))?;
        }
        let provider = self.provider.clone();
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let signed = verifier.build().map_err(|error| TrustError::new(&error.to_string()))?;
        Ok(Arc::new(Listed { signed, listed }))
    }
}

/// What a certificate is pinned and learned by: its SHA-256, in hex.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    data_encoding::HEXLOWER.encode(digest(&SHA256, certificate).as_ref())
}

/// TLS can not be set up so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct TrustError {
    pub detail: String,
}

impl TrustError {
    fn new(detail: &str) -> Self {
        Self { detail: detail.to_owned() }
    }
}

/// Trusts what a listed certificate has signed, and a listed one itself, as OpenSSL does: a server that
/// signed its own certificate has often one that says that it is a CA's.
#[derive(Debug)]
struct Listed {
    signed: Arc<WebPkiServerVerifier>,
    listed: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Listed {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.listed.contains(end_entity) {
            in_time(end_entity, now)?;
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.signed.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}

/// Whether a certificate is good at `now` by its own dates.
fn in_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let parsed = x509_parser::parse_x509_certificate(certificate);
    let (_, parsed) = parsed.map_err(|_| CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    match now {
        now if now < validity.not_before.timestamp() => Err(CertificateError::NotValidYet.into()),
        now if now > validity.not_after.timestamp() => Err(CertificateError::Expired.into()),
        _ => Ok(()),
    }
}

/// Trusts one certificate, or any, whoever signed it and whatever it says.
#[derive(Debug)]
struct Known {
    sha256: Option<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl Known {
    fn by(hex: &str, provider: Arc<CryptoProvider>) -> Result<Self, TrustError> {
        let plain: String = hex.chars().filter(|c| *c != ':').collect();
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(plain.as_bytes()).ok();
        let sha256 = bytes.and_then(|bytes| bytes.try_into().ok());
        let sha256 = sha256.ok_or_else(|| TrustError::new("the pin is no SHA-256"))?;
        Ok(Self { sha256: Some(sha256), provider })
    }
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.sha256.is_none_or(|known| digest(&SHA256, end_entity).as_ref() == known) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
