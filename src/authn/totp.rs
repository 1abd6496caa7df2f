//! Codes of authenticator apps (RFC 6238: SHA-1, six digits, 30 seconds), and the recovery codes that
//! stand in for them.

use std::time::SystemTime;

use access::{UserId, sha256};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use data_encoding::BASE32_NOPAD;
use secrecy::SecretString;
use zeroize::Zeroizing;

/// The key of an authenticator app.
#[derive(Clone)]
pub(crate) struct TotpKey(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for TotpKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TotpKey([REDACTED])")
    }
}

impl TotpKey {
    /// Of 160 random bits, as RFC 4226 asks for.
    pub(crate) fn generate() -> Self {
        Self(Zeroizing::new(rand::random::<[u8; 20]>().to_vec()))
    }

    /// Reads what [`base32`](Self::base32) wrote.
    pub(crate) fn from_base32(text: &str) -> Option<Self> {
        let key = Zeroizing::new(BASE32_NOPAD.decode(text.as_bytes()).ok()?);
        (key.len() == 20).then_some(Self(key))
    }

    pub(crate) fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    pub(crate) fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }

    /// As people type it into an app that can not look at a picture.
    pub(crate) fn base32(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE32_NOPAD.encode(&self.0))
    }

    /// What the picture says: `otpauth://totp/…`.
    pub(crate) fn uri(&self, user: &str, domain: &str) -> Zeroizing<String> {
        let key = self.base32();
        Zeroizing::new(format!(
            "otpauth://totp/{domain}:{user}?secret={}&issuer={domain}",
            key.as_str()
        ))
    }

    /// The time step whose code this is: the one of `now`, or the one before or after, for clocks
    /// that differ.
    pub(crate) fn step_of(&self, code: &str, now: SystemTime) -> Option<u64> {
        let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let step = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / STEP;
        let mut found = None;
        for step in step.saturating_sub(1)..=step + 1 {
            // Each is compared, whichever it is: no time tells which.
            if verify_slices_are_equal(self.code(step).as_bytes(), code.as_bytes()).is_ok() {
                found = Some(step);
            }
        }
        found
    }

    pub(crate) fn code(&self, step: u64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        // RFC 4226, 5.3: the last half byte says where the number begins.
        let at = usize::from(tag.as_ref().last().copied().unwrap_or_default() & 15);
        let four = tag.as_ref().get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok());
        let number = u32::from_be_bytes(four.unwrap_or_default()) & 0x7fff_ffff;
        format!("{:06}", number % 1_000_000)
    }
}

/// A set of recovery codes: as they are shown once, and what is kept of them.
pub(crate) fn recovery_codes(user: UserId) -> (Vec<SecretString>, Vec<[u8; 32]>) {
    let texts: Vec<String> = (0..RECOVERY_CODES).map(|_| letters()).collect();
    let digests = texts.iter().map(|text| recovery_digest(user, text)).collect();
    (texts.into_iter().map(SecretString::from).collect(), digests)
}

/// What is kept of a recovery code; typed with or without its dashes, in any case.
pub(crate) fn recovery_digest(user: UserId, text: &str) -> [u8; 32] {
    let plain: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    sha256(format!("adit recovery {user} {}", plain.to_ascii_lowercase()).as_bytes())
}

/// 80 random bits in four groups of four.
fn letters() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz123456789";
    let bytes: [u8; 16] = rand::random();
    let letters = bytes.map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join("-")
}

/// In seconds.
const STEP: u64 = 30;
const RECOVERY_CODES: usize = 10;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    const STEP_LENGTH: Duration = Duration::from_secs(STEP);

    #[test]
    fn codes_are_those_of_rfc_6238() {
        let key = TotpKey::from_bytes(Zeroizing::new(b"12345678901234567890".to_vec()));
        // Appendix B, the last six of its eight digits.
        for (at, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(key.code(at / STEP), code);
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
            assert_eq!(key.step_of(code, now), Some(at / STEP));
            assert_eq!(
                key.step_of(&format!("{} {}", &code[..3], &code[3..]), now),
                Some(at / STEP)
            );
            assert_eq!(key.step_of(code, now + STEP_LENGTH), Some(at / STEP), "a slow clock");
            assert_eq!(key.step_of(code, now - STEP_LENGTH), Some(at / STEP), "a fast one");
            assert_eq!(key.step_of(code, now + STEP_LENGTH * 2), None);
        }
        for wrong in ["", "0", "2870829", "abcdef", "28708２"] {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(59);
            assert_eq!(key.step_of(wrong, now), None, "{wrong}");
        }
        let text = key.base32();
        assert_eq!(TotpKey::from_base32(&text).unwrap().code(1), key.code(1));
        assert!(TotpKey::from_base32("MZXW6").is_none());
    }

    #[test]
    fn a_recovery_code_is_its_users_however_it_is_typed() {
        let (alice, bob) = (UserId(Uuid::new_v4()), UserId(Uuid::new_v4()));
        let (texts, digests) = recovery_codes(alice);
        assert_eq!((texts.len(), digests.len()), (RECOVERY_CODES, RECOVERY_CODES));
        let text = secrecy::ExposeSecret::expose_secret(&texts[3]).to_owned();
        let typed = text.replace('-', " ").to_uppercase();
        assert_eq!(recovery_digest(alice, &typed), digests[3]);
        assert_ne!(recovery_digest(bob, &text), digests[3]);
    }
}
