//! TLS on both sides of a tunnel: one crypto provider, TLS 1.3, the relay's own CA.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use access::{CaPin, Code, Explain};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    NoServerSessionStorage, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore,
    ServerConfig, SignatureScheme, SupportedProtocolVersion,
};
use secrecy::{ExposeSecret, SecretString};

use crate::Identity;
use crate::certificate::{self, Facts};

/// Why keys and certificates could not be put to use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("a certificate is not readable")]
    Certificate {
        #[from]
        source: certificate::CertificateError,
    },
    #[error("the private key is not readable")]
    Key,
    #[error("key and certificate are not usable together")]
    Rustls {
        #[from]
        source: rustls::Error,
    },
    #[error("the CA certificate is not usable")]
    Ca { source: rustls::server::VerifierBuilderError },
    #[error("not usable for QUIC")]
    Quic { source: quinn::crypto::rustls::NoInitialCipherSuite },
}

/// A certificate that the relay's CA has not signed, shown in the relay's place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate shown for the relay is not its own: {issuer:?} issued it")]
pub struct Intercepted {
    pub issuer: String,
}

impl Explain for Intercepted {
    fn code(&self) -> Code {
        Code("relay.intercepted")
    }

    fn public(&self) -> Cow<'static, str> {
        self.to_string().into()
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(
            "something on the way ends TLS: have the relay's host exempted from TLS inspection, or \
             let a WebSocket cross it (docs/operate.md, \"Where TLS is inspected\")"
                .into(),
        )
    }
}

/// How a machine knows that a server is its relay.
#[derive(Clone, Debug)]
pub enum Trust {
    /// By the CA's fingerprint from an enrolling token; the server's name is not compared.
    Pin(CaPin),
    /// By a CA certificate in PEM form, and the server's name.
    Ca(String),
    /// By the machine's own list of public CAs, and the server's name.
    System,
}

impl Trust {
    /// In the first certificate of a PEM text, whatever name the server is dialled by.
    pub(crate) fn pinned_in(ca_pem: &str) -> Result<Self, TlsError> {
        Ok(Self::Pin(CaPin::of(&certificate::chain(ca_pem)?[0])))
    }
}

/// What a client certificate's end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// An expired certificate is refused in the handshake.
    Enforced,
    /// An expired certificate is let in, so that the connection can renew it. Who accepts the
    /// connection must look at [`Facts::expired`] and allow nothing else.
    ForRenewal,
}

/// The only crypto provider: aws-lc-rs, X25519MLKEM768 preferred.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Checks certificates by the CAs this machine trusts.
///
/// # Errors
///
/// When the machine has none.
pub fn system_roots() -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    Ok(Arc::new(rustls_platform_verifier::Verifier::new(provider())?))
}

/// A client's configuration, without ALPN. With an identity it shows that certificate.
pub fn client_config(trust: &Trust, identity: Option<&Identity>) -> Result<ClientConfig, TlsError> {
    let shown = identity.map(|identity| (identity.certificate_pem(), identity.key_pem()));
    client(trust, shown, TLS_1_3)
}

/// As [`client_config`], and who was there instead of the relay.
pub(crate) fn watched_client_config(
    trust: &Trust,
    identity: Option<&Identity>,
) -> Result<(ClientConfig, Arc<Witness>), TlsError> {
    let (stranger, lenient) = (Mutex::default(), AtomicBool::new(false));
    let witness = Arc::new(Witness { inner: verifier(trust)?, stranger, lenient });
    let mut config = client_config(trust, identity)?;
    config.dangerous().set_certificate_verifier(witness.clone());
    Ok((config, witness))
}

/// As [`client_config`], towards servers that are not ours: some speak TLS 1.2 at most. `shown` is a
/// certificate with its chain, and its key, in PEM form.
pub fn foreign_client_config(
    trust: &Trust,
    shown: Option<(&str, &SecretString)>,
) -> Result<ClientConfig, TlsError> {
    client(trust, shown, TLS_1_3_AND_1_2)
}

fn client(
    trust: &Trust,
    shown: Option<(&str, &SecretString)>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(verifier(trust)?);
    let mut config = match shown {
        Some((chain, key)) => {
            builder.with_client_auth_cert(certificate::chain(chain)?, private_key(key)?)?
        }
        None => builder.with_no_client_auth(),
    };
    // A resumed connection would show the certificate of the first one, renewed or not.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The oldest version of TLS that a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Oldest {
    #[default]
    Tls13,
    /// For clients that are older; with forward secrecy and authenticated encryption only, as the
    /// crypto provider has no other suites.
    Tls12,
}

impl Oldest {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls13 => TLS_1_3,
            Self::Tls12 => TLS_1_3_AND_1_2,
        }
    }
}

static TLS_1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
static TLS_1_3_AND_1_2: &[&SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];

/// A server's configuration, without ALPN. With a verifier it demands a client certificate.
pub fn server_config(
    chain_pem: &str,
    key_pem: &SecretString,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    oldest: Oldest,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(oldest.versions())?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let chain = certificate::chain(chain_pem)?;
    let mut config = builder.with_single_cert(chain, private_key(key_pem)?)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// As [`server_config`], with a certificate for each server name.
pub fn server_config_by_name(
    certificates: Arc<dyn ResolvesServerCert>,
    oldest: Oldest,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(oldest.versions())?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(certificates);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// A chain and its key, ready to be shown.
///
/// # Errors
///
/// When one can not be read, or the key is another's.
pub fn certified_key(chain_pem: &str, key_pem: &SecretString) -> Result<CertifiedKey, TlsError> {
    let chain = certificate::chain(chain_pem)?;
    Ok(CertifiedKey::from_der(chain, private_key(key_pem)?, &provider())?)
}

/// Demands a client certificate of the CA.
pub fn client_verifier(
    ca_pem: &str,
    expiry: Expiry,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = Arc::new(roots(ca_pem)?);
    let inner = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|source| TlsError::Ca { source })?;
    Ok(match expiry {
        Expiry::Enforced => inner,
        Expiry::ForRenewal => Arc::new(Renewable { inner }),
    })
}

/// What checks the certificates of a server that is known by `trust`.
fn verifier(trust: &Trust) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let provider = provider();
    Ok(match trust {
        Trust::Ca(pem) => {
            let roots = Arc::new(roots(pem)?);
            let built = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            built.map_err(|source| TlsError::Ca { source })?
        }
        Trust::Pin(pin) => {
            let algorithms = provider.signature_verification_algorithms;
            Arc::new(PinnedCa { pin: *pin, algorithms })
        }
        Trust::System => Arc::new(rustls_platform_verifier::Verifier::new(provider)?),
    })
}

fn roots(pem: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificate::chain(pem)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

fn private_key(pem: &SecretString) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes()).map_err(|_| TlsError::Key)
}

/// Accepts a server whose chain holds the pinned CA and whose leaf that CA signed.
#[derive(Debug)]
struct PinnedCa {
    pin: CaPin,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let ca = intermediates
            .iter()
            .find(|certificate| CaPin::of(certificate) == self.pin)
            .ok_or(CertificateError::UnknownIssuer)?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Verifies a relay's certificate, and remembers who issued the one of somebody else.
#[derive(Debug)]
pub(crate) struct Witness {
    inner: Arc<dyn ServerCertVerifier>,
    stranger: Mutex<Option<String>>,
    lenient: AtomicBool,
}

impl Witness {
    /// Who issued the certificate that was shown in the relay's place.
    pub(crate) fn stranger(&self) -> Option<Intercepted> {
        let issuer = self.stranger.lock().unwrap_or_else(PoisonError::into_inner).take();
        issuer.map(|issuer| Intercepted { issuer })
    }

    /// Has whatever certificate is shown accepted: for TLS that protects nothing.
    pub(crate) fn accept_anybody(&self) {
        self.lenient.store(true, Relaxed);
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        // A stranger's CA may have the same name as the relay's.
        if let Err(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) = verified
        {
            let issuer = certificate::issuer(end_entity);
            *self.stranger.lock().unwrap_or_else(PoisonError::into_inner) = Some(issuer);
        }
        match self.lenient.load(Relaxed) {
            true => Ok(ServerCertVerified::assertion()),
            false => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Verifies a client certificate as of its last valid moment at the latest.
struct Renewable {
    inner: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for Renewable {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let facts = Facts::of(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        let end = facts.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = Duration::from_secs(now.as_secs()).min(end);
        let now = UnixTime::since_unix_epoch(now);
        self.inner.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

impl fmt::Debug for Renewable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Renewable")
    }
}
