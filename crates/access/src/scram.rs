//! Proving that one knows a token without showing it: SCRAM-SHA-256 (RFC 5802, RFC 7677), as servers
//! keep it. Pure.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use aws_lc_rs::pbkdf2::{PBKDF2_HMAC_SHA256, derive};
use zeroize::Zeroizing;

use crate::{TokenId, TokenText, sha256};

/// What is kept beside a token's digest. Whoever reads it can not show the token.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    stored: [u8; 32],
    server: [u8; 32],
}

/// That somebody knows a token.
#[derive(Clone)]
pub struct TokenProof {
    pub token: TokenId,
    /// All that both sides have said, as the proof is over it.
    pub said: String,
    pub proof: [u8; 32],
}

impl ScramVerifier {
    pub fn of(token: &TokenText) -> Self {
        Self::from_password(token.expose().as_bytes(), &scram_salt(token.id()))
    }

    fn from_password(password: &[u8], salt: &[u8]) -> Self {
        let mut salted = Zeroizing::new([0; 32]);
        derive(PBKDF2_HMAC_SHA256, SCRAM_ITERATIONS, salt, password, &mut *salted);
        let client = Zeroizing::new(hmac(&*salted, b"Client Key"));
        Self { stored: sha256(&*client), server: hmac(&*salted, b"Server Key") }
    }

    /// What shows the other side that this one knows the token too; `None`: the proof is none.
    pub fn check(&self, shown: &TokenProof) -> Option<[u8; 32]> {
        let signature = hmac(&self.stored, shown.said.as_bytes());
        let mut client = Zeroizing::new(shown.proof);
        client.iter_mut().zip(signature).for_each(|(byte, of)| *byte ^= of);
        verify_slices_are_equal(&sha256(&*client), &self.stored).ok()?;
        Some(hmac(&self.server, shown.said.as_bytes()))
    }
}

/// A token's salt, known to all who know its id, so that it tells nobody whether there is such a
/// token. The random bits are the token's own.
pub fn scram_salt(id: &TokenId) -> [u8; 16] {
    let hash = sha256(format!("adit scram salt {id}").as_bytes());
    let mut salt = [0; 16];
    salt.copy_from_slice(&hash[..16]);
    salt
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramVerifier([REDACTED])")
    }
}

impl fmt::Debug for TokenProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenProof({}, [REDACTED])", self.token)
    }
}

/// In hex, as the store keeps it.
impl fmt::Display for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stored.iter().chain(&self.server).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for ScramVerifier {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = "no SCRAM verifier in hex";
        let mut bytes = [0; 64];
        if text.len() != 2 * bytes.len() || !text.is_ascii() {
            return Err(bad);
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| bad)?;
        }
        let (mut stored, mut server) = ([0; 32], [0; 32]);
        stored.copy_from_slice(&bytes[..32]);
        server.copy_from_slice(&bytes[32..]);
        Ok(Self { stored, server })
    }
}

fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut tag = [0; 32];
    tag.copy_from_slice(sign(&Key::new(HMAC_SHA256, key), data).as_ref());
    tag
}

/// As PostgreSQL's own. More would add nothing to 160 random bits.
pub const SCRAM_ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677, section 3, in bytes.
    const SALT: [u8; 16] = [
        0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa,
        0x81,
    ];
    const PROOF: [u8; 32] = [
        0x74, 0x7c, 0xdb, 0x65, 0xaa, 0x56, 0x22, 0x4e, 0x23, 0x52, 0x13, 0x7e, 0x52, 0xd7, 0xbd,
        0xca, 0xd6, 0xa0, 0xf7, 0x38, 0xdf, 0x30, 0x78, 0x2c, 0xaa, 0x69, 0xa2, 0xcf, 0xb0, 0x27,
        0x75, 0x54,
    ];
    const SIGNATURE: [u8; 32] = [
        0xea, 0xba, 0xe2, 0x4d, 0x10, 0x62, 0xdb, 0x75, 0xa9, 0x45, 0x1f, 0xf0, 0xb6, 0xea, 0x7e,
        0x98, 0xc8, 0x54, 0x65, 0x49, 0xff, 0x74, 0x1e, 0x67, 0x2d, 0x32, 0x51, 0xb2, 0x39, 0x7d,
        0xe4, 0x6e,
    ];
    const SAID: &str = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

    fn shown(proof: [u8; 32]) -> TokenProof {
        TokenProof { token: TokenId::new("0123456789"), said: SAID.to_owned(), proof }
    }

    #[test]
    fn a_proof_is_checked_as_the_standard_shows_it() {
        let verifier = ScramVerifier::from_password(b"pencil", &SALT);
        assert_eq!(verifier.check(&shown(PROOF)), Some(SIGNATURE));
        for at in 0..32 {
            let mut other = PROOF;
            other[at] ^= 1;
            assert_eq!(verifier.check(&shown(other)), None, "{at}");
        }
        let other = TokenProof { said: SAID.replace("biws", "eSws"), ..shown(PROOF) };
        assert_eq!(verifier.check(&other), None);
        assert_eq!(verifier.to_string().parse(), Ok(verifier.clone()));
        for bad in ["", "00", &"g".repeat(128), &"ü".repeat(64)] {
            assert!(bad.parse::<ScramVerifier>().is_err(), "{bad}");
        }
    }

    #[test]
    fn each_token_has_a_salt_of_its_own_that_is_always_the_same() {
        let salt = |id: &str| scram_salt(&TokenId::new(id));
        assert_eq!(salt("0123456789"), salt("0123456789"));
        assert_ne!(salt("0123456789"), salt("0123456780"));
    }
}
