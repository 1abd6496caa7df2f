//! The publisher's key: Ed25519.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use data_encoding::BASE64;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What signatures of manifests are checked with: 32 bytes, as text in Base64.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

/// Why a text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the public key is not 32 bytes in Base64")]
    Public,
    #[error("the private key is not an Ed25519 key in PKCS#8, PEM")]
    Private,
    #[error("no key could be made")]
    Generate,
}

/// The private key. Debug prints its public half.
pub struct Signer(Ed25519KeyPair);

impl PublicKey {
    /// Whether `signature` is this key's over `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl Signer {
    /// A new key, and the text that keeps it: PKCS#8 in PEM, as `openssl genpkey` writes it.
    pub fn generate() -> Result<(Self, SecretString), KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Generate)?;
        let der = pair.to_pkcs8v1().map_err(|_| KeyError::Generate)?;
        let text = Zeroizing::new(BASE64.encode(der.as_ref()));
        Ok((Self(pair), format!("{BEGIN}\n{}\n{END}\n", *text).into()))
    }

    pub fn from_pem(pem: &SecretString) -> Result<Self, KeyError> {
        let text = pem.expose_secret().trim();
        let body = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
        let body: String = body.ok_or(KeyError::Private)?.split_whitespace().collect();
        let body = Zeroizing::new(body);
        let der = BASE64.decode(body.as_bytes()).map_err(|_| KeyError::Private)?;
        let der = Zeroizing::new(der);
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map(Self).map_err(|_| KeyError::Private)
    }

    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public())
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = BASE64.decode(text.trim().as_bytes()).map_err(|_| KeyError::Public)?;
        bytes.try_into().map(Self).map_err(|_| KeyError::Public)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_as_it_was_written_and_does_not_print() {
        let (signer, pem) = Signer::generate().unwrap();
        let again = Signer::from_pem(&pem).unwrap();
        assert_eq!(again.public(), signer.public());
        let text = signer.public().to_string();
        assert_eq!(text.parse::<PublicKey>().unwrap(), signer.public());
        assert!(!format!("{signer:?}").contains(&pem.expose_secret()[40..70]));
        for wrong in ["", "AAAA", "not base64", &text[1..]] {
            assert_eq!(wrong.parse::<PublicKey>(), Err(KeyError::Public), "{wrong}");
            assert!(Signer::from_pem(&wrong.to_owned().into()).is_err(), "{wrong}");
        }
    }
}
