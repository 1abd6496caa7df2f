//! The relay's own certificate authority.

use std::time::{Duration, SystemTime};

use access::{CaPin, sha256};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use secrecy::SecretString;
use store::{Store, StoreError};
use time::OffsetDateTime;
use zeroize::Zeroizing;

/// Signs the certificates of connectors, agents and the relay itself. Its key stays sealed in the
/// store and in this process.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
}

/// The relay's own certificate and key.
pub struct ServerCertificate {
    /// The leaf, then the CA.
    pub chain_pem: String,
    pub key_pem: SecretString,
}

/// Why the CA did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("this store has no CA; run `adit-relay init` first")]
    Absent,
    #[error("the stored CA can not be read")]
    Stored,
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("the certificate could not be made")]
    Sign(#[from] rcgen::Error),
    #[error("the request is no PKCS #10 request in PEM form, of at most {MAX_CSR} characters")]
    Form,
    #[error("the request's key is not ECDSA P-256")]
    Key,
}

impl Ca {
    /// Makes a new CA for `domain` and stores it sealed.
    pub async fn create(store: &Store, domain: &str, now: SystemTime) -> Result<Self, CaError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&format!("Adit CA of {domain}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = validity(now, CA_LIFETIME);
        let pem = params.self_signed(&key)?.pem();
        store.put_secret(CA_KEY, Zeroizing::new(key.serialize_pem()).as_bytes()).await?;
        store.put_secret(CA_CERTIFICATE, pem.as_bytes()).await?;
        Self::new(pem, key)
    }

    /// Opens the CA that [`create`](Self::create) stored.
    pub async fn load(store: &Store) -> Result<Self, CaError> {
        let key = text(store, CA_KEY).await?.ok_or(CaError::Absent)?;
        let pem = text(store, CA_CERTIFICATE).await?.ok_or(CaError::Absent)?;
        Self::new(pem.to_string(), KeyPair::from_pem(&key)?)
    }

    fn new(pem: String, key: KeyPair) -> Result<Self, CaError> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| CaError::Stored)?;
        let issuer = Issuer::from_ca_cert_der(&der, key)?;
        Ok(Self { issuer, certificate: der, certificate_pem: pem })
    }

    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// By which machines that enrol know this relay.
    pub fn pin(&self) -> CaPin {
        CaPin::of(&self.certificate)
    }

    /// Signs a client certificate for the key in `csr_pem`, with the name `cn`, and says the SHA-256
    /// of that key's SubjectPublicKeyInfo. Nothing of the request but its key is looked at.
    pub fn sign_client(&self, csr_pem: &str, cn: &str) -> Result<(String, [u8; 32]), CaError> {
        self.sign_client_at(csr_pem, cn, SystemTime::now())
    }

    pub(crate) fn sign_client_at(
        &self,
        csr_pem: &str,
        cn: &str,
        now: SystemTime,
    ) -> Result<(String, [u8; 32]), CaError> {
        if csr_pem.len() > MAX_CSR {
            return Err(CaError::Form);
        }
        let der = CertificateSigningRequestDer::from_pem_slice(csr_pem.as_bytes())
            .map_err(|_| CaError::Form)?;
        // Checks the request's own signature: whoever asks holds the key.
        let request = CertificateSigningRequestParams::from_der(&der).map_err(|_| CaError::Form)?;
        let key = request.public_key;
        if *key.algorithm() != rcgen::PKCS_ECDSA_P256_SHA256 {
            return Err(CaError::Key);
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(cn);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = validity(now, CLIENT_LIFETIME);
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), spki_hash(&key.subject_public_key_info())))
    }

    /// The relay's certificate for these names: the stored one, or a new one where that is about to
    /// expire, was made for other names, or is not for the stored key.
    pub async fn server_certificate(
        &self,
        store: &Store,
        names: &[String],
        now: SystemTime,
    ) -> Result<ServerCertificate, CaError> {
        let stored = (text(store, SERVER_KEY).await?, text(store, SERVER_CERTIFICATE).await?);
        if let (Some(key), Some(pem)) = stored
            && still_good(&pem, names, now)
            && belong_together(&pem, &key)
        {
            return Ok(self.served(&pem, &key));
        }
        let (pem, key) = self.sign_server(names, now)?;
        let both = [(SERVER_KEY, key.as_bytes()), (SERVER_CERTIFICATE, pem.as_bytes())];
        store.put_secrets(&both).await?;
        Ok(self.served(&pem, &key))
    }

    /// A fresh certificate for a host of an application's.
    pub(crate) fn host_certificate(
        &self,
        host: &str,
        now: SystemTime,
    ) -> Result<ServerCertificate, CaError> {
        let (pem, key) = self.sign_server(&[host.to_owned()], now)?;
        Ok(self.served(&pem, &key))
    }

    fn sign_server(
        &self,
        names: &[String],
        now: SystemTime,
    ) -> Result<(String, Zeroizing<String>), CaError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = common_name(short(names).unwrap_or("adit"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = validity(now, SERVER_LIFETIME);
        let pem = params.signed_by(&key, &self.issuer)?.pem();
        Ok((pem, Zeroizing::new(key.serialize_pem())))
    }

    fn served(&self, pem: &str, key: &str) -> ServerCertificate {
        let chain_pem = format!("{}\n{}", pem.trim_end(), self.certificate_pem);
        ServerCertificate { chain_pem, key_pem: key.to_owned().into() }
    }
}

/// The names a relay's certificate carries.
pub fn server_names(domain: &str, extra: &[String]) -> Vec<String> {
    let mut names = vec![domain.to_owned(), format!("*.{domain}")];
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    names.extend(extra.iter().filter(|name| *name != domain).cloned());
    names
}

/// SHA-256 of a SubjectPublicKeyInfo: how a registered key is known.
pub fn spki_hash(spki: &[u8]) -> [u8; 32] {
    sha256(spki)
}

fn still_good(pem: &str, names: &[String], now: SystemTime) -> bool {
    let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else { return false };
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(&der) else { return false };
    let renew_at = OffsetDateTime::from(now + RENEW_BEFORE);
    let wanted = sans(names);
    certificate.validity().not_after.to_datetime() > renew_at && sans_of(&certificate) == wanted
}

/// Another relay may have stored its own between two reads.
fn belong_together(pem: &str, key: &str) -> bool {
    let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else { return false };
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(&der) else { return false };
    KeyPair::from_pem(key)
        .is_ok_and(|key| key.subject_public_key_info() == certificate.public_key().raw)
}

fn sans(names: &[String]) -> Vec<String> {
    let mut sans: Vec<String> = names
        .iter()
        .map(|name| match name.parse::<std::net::IpAddr>() {
            Ok(ip) => ip.to_string(),
            Err(_) => name.clone(),
        })
        .collect();
    sans.sort();
    sans
}

fn sans_of(certificate: &x509_parser::certificate::X509Certificate<'_>) -> Vec<String> {
    use x509_parser::extensions::GeneralName;
    let names = certificate.subject_alternative_name().ok().flatten();
    let mut sans: Vec<String> = names
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default()
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })
        .collect();
    sans.sort();
    sans
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    let v6 = <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from);
    v4.or(v6).ok().map(|ip| ip.to_string())
}

/// The first name, where it is one that a subject may have (RFC 5280, upper bounds).
fn short(names: &[String]) -> Option<&str> {
    names.first().map(String::as_str).filter(|name| name.len() <= 64)
}

fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

/// Begins a little early: the machines that check it have clocks of their own.
fn validity(now: SystemTime, lifetime: Duration) -> (OffsetDateTime, OffsetDateTime) {
    (OffsetDateTime::from(now - CLOCK_SKEW), OffsetDateTime::from(now + lifetime))
}

async fn text(store: &Store, name: &str) -> Result<Option<Zeroizing<String>>, CaError> {
    let Some(bytes) = store.secret(name).await? else { return Ok(None) };
    let text = std::str::from_utf8(&bytes).map_err(|_| CaError::Stored)?;
    Ok(Some(Zeroizing::new(text.to_owned())))
}

const CA_KEY: &str = "ca-key";
const CA_CERTIFICATE: &str = "ca-certificate";
const SERVER_KEY: &str = "server-key";
const SERVER_CERTIFICATE: &str = "server-certificate";
const DAY: Duration = Duration::from_secs(24 * 3600);
const CA_LIFETIME: Duration = DAY.saturating_mul(3650);
const SERVER_LIFETIME: Duration = DAY.saturating_mul(90);
pub(crate) const RENEW_BEFORE: Duration = DAY.saturating_mul(30);
/// How long a connector or agent may be away and come back without renewing first.
pub const CLIENT_LIFETIME: Duration = DAY;
const CLOCK_SKEW: Duration = Duration::from_secs(300);
/// The longest request read; one with a P-256 key has some 500 characters.
const MAX_CSR: usize = 8192;

#[cfg(test)]
mod tests {
    use rcgen::CertificateParams;
    use secrecy::ExposeSecret;
    use store::MasterKey;
    use tempfile::TempDir;

    use super::*;

    #[tokio::test]
    async fn nothing_of_a_request_but_its_key_gets_into_the_certificate() {
        let (_dir, _, ca) = ca().await;
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["relay.test".to_owned()]).unwrap();
        params.distinguished_name = common_name("admin");
        let csr = params.serialize_request(&key).unwrap().pem().unwrap();
        let (pem, spki) = ca.sign_client(&csr, "connector:7").unwrap();
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert_eq!(certificate.subject().to_string(), "CN=connector:7");
        assert!(certificate.subject_alternative_name().unwrap().is_none());
        assert!(!certificate.is_ca());
        assert_eq!(spki, spki_hash(certificate.tbs_certificate.subject_pki.raw));
        assert_eq!(spki, spki_hash(&key.subject_public_key_info()));
    }

    #[tokio::test]
    async fn odd_requests_are_refused() {
        let (_dir, _, ca) = ca().await;
        let odd_key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let odd = CertificateParams::default().serialize_request(&odd_key).unwrap().pem().unwrap();
        assert!(matches!(ca.sign_client(&odd, "x"), Err(CaError::Key)));
        let key = KeyPair::generate().unwrap();
        let good = CertificateParams::default().serialize_request(&key).unwrap();
        let mut forged = good.der().to_vec();
        *forged.last_mut().unwrap() ^= 1;
        for bad in ["", "hello", &"A".repeat(MAX_CSR + 1), &pem(&forged)] {
            assert!(matches!(ca.sign_client(bad, "x"), Err(CaError::Form)), "{bad:.40}");
        }
        assert!(ca.sign_client(&pem(good.der()), "x").is_ok());
    }

    #[tokio::test]
    async fn the_servers_certificate_is_renewed_a_month_before_its_end() {
        let (_dir, store, ca) = ca().await;
        let now = SystemTime::now();
        let names = server_names("relay.test", &["192.0.2.1".into(), "fd00:0::1".into()]);
        let first = ca.server_certificate(&store, &names, now).await.unwrap();
        let later = now + DAY.saturating_mul(59);
        let same = ca.server_certificate(&store, &names, later).await.unwrap();
        assert_eq!(same.chain_pem, first.chain_pem);
        let late = now + DAY.saturating_mul(61);
        let renewed = ca.server_certificate(&store, &names, late).await.unwrap();
        assert_ne!(renewed.chain_pem, first.chain_pem);
        let other = server_names("relay.test", &[]);
        let renamed = ca.server_certificate(&store, &other, late).await.unwrap();
        assert_ne!(renamed.chain_pem, renewed.chain_pem);
    }

    /// A relay that was shown such a pair would not start.
    #[tokio::test]
    async fn a_certificate_that_is_for_another_key_than_the_stored_one_is_made_anew() {
        let (_dir, store, ca) = ca().await;
        let (now, names) = (SystemTime::now(), server_names("relay.test", &[]));
        let first = ca.server_certificate(&store, &names, now).await.unwrap();
        let other = KeyPair::generate().unwrap();
        store.put_secret(SERVER_KEY, other.serialize_pem().as_bytes()).await.unwrap();
        let second = ca.server_certificate(&store, &names, now).await.unwrap();
        assert_ne!(second.chain_pem, first.chain_pem);
        assert!(belong_together(&second.chain_pem, second.key_pem.expose_secret()));
        let again = ca.server_certificate(&store, &names, now).await.unwrap();
        assert_eq!(again.chain_pem, second.chain_pem);
    }

    #[tokio::test]
    async fn a_ca_is_the_same_after_a_restart() {
        let (_dir, store, ca) = ca().await;
        let loaded = Ca::load(&store).await.unwrap();
        assert_eq!(loaded.pin(), ca.pin());
    }

    async fn ca() -> (TempDir, Store, Ca) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("adit.db"), MasterKey::generate()).await.unwrap();
        let ca = Ca::create(&store, "relay.test", SystemTime::now()).await.unwrap();
        (dir, store, ca)
    }

    /// PEM without a library's help, so that a forged request gets through it.
    fn pem(der: &[u8]) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in der.chunks(3) {
            let bytes = [chunk[0], *chunk.get(1).unwrap_or(&0), *chunk.get(2).unwrap_or(&0)];
            let word = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
            for place in 0..4 {
                let digit = ALPHABET[(word >> (18 - 6 * place) & 63) as usize];
                text.push(if place > chunk.len() { '=' } else { char::from(digit) });
            }
        }
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n")
    }
}
