//! The signed statement of who asks: a JWT (RFC 7519) by ES256, and the key that checks it.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use hyper::header::HeaderValue;
use serde::Serialize;
use serde_json::{Value, json};

/// Signs statements with one ECDSA P-256 key.
pub struct Signer {
    issuer: String,
    key: EcdsaKeyPair,
    id: String,
}

/// Who asks for what.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Claims<'a> {
    /// The application's host label: `<app>-<site>`.
    pub(crate) aud: &'a str,
    pub(crate) sub: &'a str,
    pub(crate) groups: &'a [String],
    pub(crate) sid: &'a str,
}

impl Signer {
    /// A fresh private key in PKCS #8 form.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn generate() -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)?;
        Ok(key.as_ref().to_vec())
    }

    /// Signs as `issuer` with a key that [`generate`](Self::generate) made.
    ///
    /// # Errors
    ///
    /// When these bytes are no such key.
    pub fn new(issuer: String, pkcs8: &[u8]) -> Result<Self, KeyRejected> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)?;
        let print = digest(&SHA256, key.public_key().as_ref());
        let id = BASE64URL_NOPAD.encode(&print.as_ref()[..12]);
        Ok(Self { issuer, key, id })
    }

    /// The key that checks statements, as a JWK set (RFC 7517).
    pub fn key_set(&self) -> Value {
        // An uncompressed point: 4, x, y.
        let point = self.key.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        json!({"keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.id,
            "x": BASE64URL_NOPAD.encode(x), "y": BASE64URL_NOPAD.encode(y),
        }]})
    }

    /// A statement that is good for [`LIFETIME`]; `None` when it can't be made.
    pub(crate) fn sign(&self, claims: Claims<'_>, now: SystemTime) -> Option<HeaderValue> {
        #[derive(Serialize)]
        struct Payload<'a> {
            iss: &'a str,
            iat: u64,
            exp: u64,
            #[serde(flatten)]
            claims: Claims<'a>,
        }
        let iat = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let payload = Payload { iss: &self.issuer, iat, exp: iat + LIFETIME.as_secs(), claims };
        let head = json!({"alg": "ES256", "kid": self.id, "typ": "JWT"});
        let encoded = |json: Vec<u8>| BASE64URL_NOPAD.encode(&json);
        let payload = serde_json::to_vec(&payload).ok()?;
        let text = format!("{}.{}", encoded(head.to_string().into_bytes()), encoded(payload));
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes()).ok()?;
        let text = format!("{text}.{}", BASE64URL_NOPAD.encode(signature.as_ref()));
        HeaderValue::try_from(text).ok()
    }
}

/// How long a statement is good. Shorter than anything that could be done with a stolen one.
pub(crate) const LIFETIME: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_statement_is_checked_with_the_published_key() {
        let pkcs8 = Signer::generate().unwrap();
        let signer = Signer::new("https://relay.test".to_owned(), &pkcs8).unwrap();
        let groups = ["staff".to_owned()];
        let claims = Claims { aud: "wiki-hq", sub: "alice", groups: &groups, sid: "s1" };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let signed = signer.sign(claims, now).unwrap();
        let (text, signature) = signed.to_str().unwrap().rsplit_once('.').unwrap();
        let (head, payload) = text.split_once('.').unwrap();
        let open = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).unwrap();
        let (head, payload): (Value, Value) = (
            serde_json::from_slice(&open(head)).unwrap(),
            serde_json::from_slice(&open(payload)).unwrap(),
        );
        let set = signer.key_set();
        let key = &set["keys"][0];
        assert_eq!((&head["alg"], &head["kid"]), (&json!("ES256"), &key["kid"]));
        assert_eq!(
            payload,
            json!({"iss": "https://relay.test", "aud": "wiki-hq", "sub": "alice",
                "groups": ["staff"], "sid": "s1", "iat": 1000, "exp": 1120})
        );
        let part = |name: &str| open(key[name].as_str().unwrap());
        let point = [vec![4], part("x"), part("y")].concat();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        assert!(public.verify(text.as_bytes(), &open(signature)).is_ok());
    }
}
