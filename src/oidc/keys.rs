//! A provider's keys (RFC 7517), and signatures by them (RFC 7518).

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RsaParameters, UnparsedPublicKey, VerificationAlgorithm,
};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

/// What is served at `jwks_uri`. Keys of kinds that are not known are passed over.
#[derive(Debug, Deserialize)]
pub(super) struct KeySet {
    pub(super) keys: Vec<Key>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Key {
    pub(super) kid: Option<String>,
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Key {
    /// Whether this key has made the signature. The algorithm is the statement's to name, but a key
    /// only takes those of its own kind: none is ever a shared secret.
    pub(super) fn verifies(&self, alg: &str, signed: &[u8], signature: &[u8]) -> bool {
        let meant = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && self.alg.as_deref().is_none_or(|own| own == alg);
        meant && self.check(alg, signed, signature).is_some()
    }

    fn check(&self, alg: &str, signed: &[u8], signature: &[u8]) -> Option<()> {
        match (self.kty.as_str(), self.crv.as_deref(), alg) {
            ("RSA", _, "RS256") => self.rsa(&RSA_PKCS1_2048_8192_SHA256, signed, signature),
            ("RSA", _, "RS384") => self.rsa(&RSA_PKCS1_2048_8192_SHA384, signed, signature),
            ("RSA", _, "RS512") => self.rsa(&RSA_PKCS1_2048_8192_SHA512, signed, signature),
            ("RSA", _, "PS256") => self.rsa(&RSA_PSS_2048_8192_SHA256, signed, signature),
            ("EC", Some("P-256"), "ES256") => {
                self.curve(&ECDSA_P256_SHA256_FIXED, 32, signed, signature)
            }
            ("EC", Some("P-384"), "ES384") => {
                self.curve(&ECDSA_P384_SHA384_FIXED, 48, signed, signature)
            }
            ("OKP", Some("Ed25519"), "EdDSA") => {
                let key = UnparsedPublicKey::new(&ED25519, bytes(self.x.as_ref())?);
                key.verify(signed, signature).ok()
            }
            _ => None,
        }
    }

    fn rsa(&self, how: &'static RsaParameters, signed: &[u8], signature: &[u8]) -> Option<()> {
        let (n, e) = (bytes(self.n.as_ref())?, bytes(self.e.as_ref())?);
        PublicKeyComponents { n, e }.verify(how, signed, signature).ok()
    }

    fn curve(
        &self,
        how: &'static dyn VerificationAlgorithm,
        length: usize,
        signed: &[u8],
        signature: &[u8],
    ) -> Option<()> {
        let (x, y) = (bytes(self.x.as_ref())?, bytes(self.y.as_ref())?);
        let whole = x.len() == length && y.len() == length;
        // SEC 1, 2.3.3: an uncompressed point.
        let point = whole.then(|| [&[4], x.as_slice(), y.as_slice()].concat())?;
        UnparsedPublicKey::new(how, point).verify(signed, signature).ok()
    }
}

fn bytes(text: Option<&String>) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text?.as_bytes()).ok()
}
