//! The ways in which servers want to see a password. Pure, but for the randomness of RSA.

use aws_lc_rs::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use data_encoding::HEXUPPER;
use ed25519_dalek::VerifyingKey;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha512};
use zeroize::Zeroizing;

/// A way that a server asks for by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plugin {
    /// `mysql_native_password`.
    Native,
    /// `caching_sha2_password`.
    CachingSha2,
    /// `client_ed25519`, MariaDB's.
    Ed25519,
    /// `mysql_clear_password`: the password itself.
    Clear,
}

/// Why a password could not be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's public key is none, or can not be used")]
pub(crate) struct KeyError;

impl Plugin {
    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [Self::Native, Self::CachingSha2, Self::Ed25519, Self::Clear];
        all.into_iter().find(|plugin| plugin.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Ed25519 => "client_ed25519",
            Self::Clear => "mysql_clear_password",
        }
    }

    /// The scramble in what a server has sent of it: where it is text, a NUL stands behind; where it is not
    /// (a nonce of MariaDB's `client_ed25519`), one may be its last byte.
    pub(crate) fn scramble(self, sent: &[u8]) -> &[u8] {
        match self {
            Self::Ed25519 => sent,
            Self::Native | Self::CachingSha2 | Self::Clear => {
                sent.strip_suffix(b"\0").unwrap_or(sent)
            }
        }
    }

    /// What is shown to a server that has sent this scramble.
    pub(crate) fn answer(self, password: &[u8], scramble: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match self {
            Self::Clear => [password, b"\0"].concat(),
            Self::Ed25519 => ed25519(password, scramble),
            Self::Native | Self::CachingSha2 if password.is_empty() => Vec::new(),
            Self::Native => native(password, scramble),
            Self::CachingSha2 => caching_sha2(password, scramble),
        })
    }
}

/// What a server keeps of a password for `mysql_native_password`, as SQL has it.
pub(crate) fn stored(password: &[u8]) -> String {
    let once = hash(&SHA1_FOR_LEGACY_USE_ONLY, &[password]);
    format!("*{}", HEXUPPER.encode(&hash(&SHA1_FOR_LEGACY_USE_ONLY, &[&once])))
}

/// `SHA1(password) XOR SHA1(scramble, SHA1(SHA1(password)))`.
fn native(password: &[u8], scramble: &[u8]) -> Vec<u8> {
    let once = hash(&SHA1_FOR_LEGACY_USE_ONLY, &[password]);
    let twice = hash(&SHA1_FOR_LEGACY_USE_ONLY, &[&once]);
    xor(&once, &hash(&SHA1_FOR_LEGACY_USE_ONLY, &[scramble, &twice]))
}

/// `SHA256(password) XOR SHA256(SHA256(SHA256(password)), scramble)`.
fn caching_sha2(password: &[u8], scramble: &[u8]) -> Vec<u8> {
    let once = hash(&SHA256, &[password]);
    let twice = hash(&SHA256, &[&once]);
    xor(&once, &hash(&SHA256, &[&twice, scramble]))
}

/// A signature by a key that follows from the password, which may be of any length: so it is no seed
/// of Ed25519's.
fn ed25519(password: &[u8], scramble: &[u8]) -> Vec<u8> {
    let expanded: [u8; 64] = Sha512::digest(password).into();
    let key = ExpandedSecretKey::from_bytes(&expanded);
    let public = VerifyingKey::from(&key);
    raw_sign::<Sha512>(&key, scramble, &public).to_bytes().to_vec()
}

/// The password, so that only the server reads it, which has sent its key (PEM).
pub(crate) fn encrypted(password: &[u8], scramble: &[u8], key: &[u8]) -> Result<Vec<u8>, KeyError> {
    let key = SubjectPublicKeyInfoDer::from_pem_slice(key).map_err(|_| KeyError)?;
    let key = PublicEncryptingKey::from_der(&key).map_err(|_| KeyError)?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| KeyError)?;
    let ended = Zeroizing::new([password, b"\0"].concat());
    let mixed = ended.iter().zip(scramble.iter().cycle()).map(|(a, b)| a ^ b);
    let mixed = Zeroizing::new(mixed.collect::<Vec<u8>>());
    let mut out = vec![0; key.ciphertext_size()];
    let written = key.encrypt(&OAEP_SHA1_MGF1SHA1, &mixed, &mut out, None);
    Ok(written.map_err(|_| KeyError)?.to_vec())
}

fn hash(algorithm: &'static Algorithm, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut context = Context::new(algorithm);
    parts.iter().for_each(|part| context.update(part));
    Zeroizing::new(context.finish().as_ref().to_vec())
}

fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAMBLE: &[u8] = b"abcdefghijklmnopqrst";

    #[test]
    fn a_server_that_knows_the_hash_only_can_check_a_native_answer() {
        let answer = Plugin::Native.answer(b"secret", SCRAMBLE);
        let stored =
            hash(&SHA1_FOR_LEGACY_USE_ONLY, &[&hash(&SHA1_FOR_LEGACY_USE_ONLY, &[b"secret"])]);
        let once = xor(&answer, &hash(&SHA1_FOR_LEGACY_USE_ONLY, &[SCRAMBLE, &stored]));
        assert_eq!(hash(&SHA1_FOR_LEGACY_USE_ONLY, &[&once]), stored);
    }

    #[test]
    fn and_one_of_caching_sha2() {
        let answer = Plugin::CachingSha2.answer(b"secret", SCRAMBLE);
        let stored = hash(&SHA256, &[&hash(&SHA256, &[b"secret"])]);
        let once = xor(&answer, &hash(&SHA256, &[&stored, SCRAMBLE]));
        assert_eq!(hash(&SHA256, &[&once]), stored);
    }

    // As `select password('secret')` has it.
    #[test]
    fn what_a_server_keeps_is_as_it_says_itself() {
        assert_eq!(stored(b"secret"), "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7");
    }

    #[test]
    fn a_zero_ends_a_scramble_that_is_text_and_may_be_of_one_that_is_not() {
        let sent = [SCRAMBLE, b"\0"].concat();
        assert_eq!(Plugin::Native.scramble(&sent), SCRAMBLE);
        assert_eq!(Plugin::CachingSha2.scramble(&sent), SCRAMBLE);
        assert_eq!(Plugin::CachingSha2.scramble(SCRAMBLE), SCRAMBLE);
        let nonce = [[7; 31].as_slice(), b"\0"].concat();
        assert_eq!(Plugin::Ed25519.scramble(&nonce), nonce);
    }

    // RFC 8032, 7.1, where the seed is the password.
    #[test]
    fn a_password_of_32_bytes_signs_as_a_seed_of_ed25519_does() {
        let seed: [u8; 32] = std::array::from_fn(|n| u8::try_from(n).unwrap());
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        let signed = Plugin::Ed25519.answer(&seed, b"scramble");
        let signature = ed25519_dalek::Signature::from_slice(&signed).unwrap();
        key.verifying_key().verify_strict(b"scramble", &signature).unwrap();
    }

    #[test]
    fn no_password_is_no_answer_and_a_key_that_is_none_takes_none() {
        assert!(Plugin::Native.answer(b"", SCRAMBLE).is_empty());
        assert!(Plugin::CachingSha2.answer(b"", SCRAMBLE).is_empty());
        assert_eq!(encrypted(b"secret", SCRAMBLE, b"no key"), Err(KeyError));
    }
}
