//! Proving that one knows a token as MySQL's older clients do (`mysql_native_password`), and what is
//! kept for that. Pure.
//!
//! SHA-1 is good enough here: what is hashed has 160 random bits, and a proof goes inside TLS. Still
//! whoever reads both a proof and what is kept can make more proofs, so no door takes one unless its
//! operator says so.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use zeroize::Zeroizing;

use crate::{TokenId, TokenText};

/// What is kept beside a token's digest: `SHA1(SHA1(token))`. Whoever reads it can not show the token.
#[derive(Clone, PartialEq, Eq)]
pub struct NativeVerifier([u8; 20]);

/// That somebody knows a token.
#[derive(Clone)]
pub struct NativeProof {
    pub token: TokenId,
    /// What it was asked for with.
    pub scramble: [u8; 20],
    /// `SHA1(token) XOR SHA1(scramble, SHA1(SHA1(token)))`.
    pub answer: [u8; 20],
}

impl NativeVerifier {
    pub fn of(token: &TokenText) -> Self {
        Self(sha1(&[&*Zeroizing::new(sha1(&[token.expose().as_bytes()]))]))
    }

    pub fn check(&self, shown: &NativeProof) -> bool {
        let mut once = Zeroizing::new(shown.answer);
        let mask = sha1(&[&shown.scramble, &self.0]);
        once.iter_mut().zip(mask).for_each(|(byte, of)| *byte ^= of);
        verify_slices_are_equal(&sha1(&[&*once]), &self.0).is_ok()
    }
}

impl fmt::Debug for NativeVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NativeVerifier([REDACTED])")
    }
}

impl fmt::Debug for NativeProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NativeProof({}, [REDACTED])", self.token)
    }
}

/// In hex, as the store keeps it.
impl fmt::Display for NativeVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for NativeVerifier {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = "no verifier in hex";
        let mut bytes = [0; 20];
        if text.len() != 2 * bytes.len() || !text.is_ascii() {
            return Err(bad);
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| bad)?;
        }
        Ok(Self(bytes))
    }
}

fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = [0; 20];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenKind;

    fn token(secret: u8) -> TokenText {
        TokenText::new(TokenKind::Access, [1; 7], [secret; 20], None)
    }

    fn proof(token: &TokenText, scramble: [u8; 20]) -> NativeProof {
        let once = sha1(&[token.expose().as_bytes()]);
        let mut answer = sha1(&[&scramble, &sha1(&[&once])]);
        answer.iter_mut().zip(once).for_each(|(byte, of)| *byte ^= of);
        NativeProof { token: token.id().clone(), scramble, answer }
    }

    #[test]
    fn who_knows_the_token_proves_it_for_this_scramble_only() {
        let verifier = NativeVerifier::of(&token(2));
        let good = proof(&token(2), [7; 20]);
        assert!(verifier.check(&good));
        assert!(!verifier.check(&NativeProof { scramble: [8; 20], ..good.clone() }));
        assert!(!verifier.check(&proof(&token(3), [7; 20])));
        for at in 0..20 {
            let mut other = good.clone();
            other.answer[at] ^= 1;
            assert!(!verifier.check(&other), "{at}");
        }
    }

    #[test]
    fn what_is_kept_reads_as_it_was_and_shows_itself_to_no_log() {
        let verifier = NativeVerifier::of(&token(2));
        assert_eq!(verifier.to_string().parse(), Ok(verifier.clone()));
        for bad in ["", "00", &"g".repeat(40), &"ü".repeat(20)] {
            assert!(bad.parse::<NativeVerifier>().is_err(), "{bad}");
        }
        let shown = format!("{verifier:?} {:?}", proof(&token(2), [7; 20]));
        assert!(!shown.contains(&verifier.to_string()[..4]), "{shown}");
    }
}
