//! The text form of issued secrets.
//!
//! `adit_<kind>_<id><secret>[<pin>]<checksum>`, where everything after the second underscore is
//! base62: an id of 10 characters (public, for look-up), a secret of 27 (160 bits), for tokens that
//! may enrol a machine the SHA-256 of the relay's CA certificate in 43, and a CRC-32 of all that
//! stands before it in 6. The prefix lets secret scanners find one; the checksum tells a typing error from
//! a token that was revoked.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::{TokenId, sha256};

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// Opens one application for a program, until revoked; one live per user and application.
    Api,
    /// Opens one application for a person, a stated number of times or until it expires.
    Access,
    /// Enrols an agent for its user.
    Login,
    /// Enrols a connector of a site.
    Join,
    /// Speaks to the admin API.
    Admin,
    /// Signs a browser in for its user.
    #[serde(rename = "sign-in")]
    SignIn,
}

impl TokenKind {
    pub const ALL: [Self; 6] =
        [Self::Api, Self::Access, Self::Login, Self::Join, Self::Admin, Self::SignIn];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Access => "access",
            Self::Login => "login",
            Self::Join => "join",
            Self::Admin => "admin",
            Self::SignIn => "sign-in",
        }
    }

    /// Whether it opens an application.
    pub fn opens(self) -> bool {
        matches!(self, Self::Api | Self::Access)
    }
}

impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for TokenKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("unknown token kind {text:?}"))
    }
}

/// A token's full text. Prints as `[REDACTED]`; the text is shown once, to whom it is issued.
#[derive(Clone)]
pub struct TokenText {
    kind: TokenKind,
    id: TokenId,
    pin: Option<CaPin>,
    text: SecretString,
}

/// SHA-256 of a token's text, as the store keeps it. A plain hash is right for 160 random bits.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenDigest(pub [u8; 32]);

/// SHA-256 of the relay's CA certificate (DER), by which an enrolling machine knows its relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaPin(pub [u8; 32]);

/// Why a text is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("this is not an Adit token (those begin with adit_)")]
    Form,
    #[error("the token is mistyped or incomplete: its checksum is wrong")]
    Checksum,
}

impl TokenText {
    /// Makes a token of fresh random bytes.
    pub fn new(kind: TokenKind, id: [u8; 7], secret: [u8; 20], pin: Option<CaPin>) -> Self {
        let id = base62(&id, ID);
        let pin_text = pin.map(|pin| base62(&pin.0, PIN)).unwrap_or_default();
        let body = format!("adit_{kind}_{id}{}{pin_text}", base62(&secret, SECRET));
        let text = format!("{body}{}", checksum(&body));
        Self { kind, id: TokenId::new(&id), pin, text: text.into() }
    }

    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    pub fn id(&self) -> &TokenId {
        &self.id
    }

    /// The relay's CA, in tokens that enrol a machine.
    pub fn pin(&self) -> Option<CaPin> {
        self.pin
    }

    /// The hash to store and to compare.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest(sha256(self.text.expose_secret().as_bytes()))
    }

    /// The text itself, for showing it once to whom it is issued or sending it to the relay.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

impl FromStr for TokenText {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        if text.len() > MAX_TEXT {
            return Err(TokenError::Form);
        }
        let rest = text.strip_prefix("adit_").ok_or(TokenError::Form)?;
        let (kind, body) = rest.split_once('_').ok_or(TokenError::Form)?;
        let kind: TokenKind = kind.parse().map_err(|_| TokenError::Form)?;
        if !body.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(TokenError::Checksum);
        }
        let pinned = body.len() == ID + SECRET + PIN + SUM;
        if !pinned && body.len() != ID + SECRET + SUM {
            return Err(TokenError::Checksum);
        }
        let (before, sum) = text.split_at(text.len() - SUM);
        if checksum(before) != sum {
            return Err(TokenError::Checksum);
        }
        let pin = match pinned {
            true => Some(pin(&body[ID + SECRET..ID + SECRET + PIN]).ok_or(TokenError::Checksum)?),
            false => None,
        };
        Ok(Self { kind, id: TokenId::new(&body[..ID]), pin, text: text.to_owned().into() })
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenText({} {} [REDACTED])", self.kind, self.id)
    }
}

impl TokenDigest {
    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest([REDACTED])")
    }
}

impl CaPin {
    /// The pin of a CA certificate.
    pub fn of(certificate_der: &[u8]) -> Self {
        Self(sha256(certificate_der))
    }
}

const ID: usize = 10;
const SECRET: usize = 27;
const PIN: usize = 43;
const SUM: usize = 6;
const MAX_TEXT: usize = 128;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn checksum(text: &str) -> String {
    base62(&crc32fast::hash(text.as_bytes()).to_be_bytes(), SUM)
}

/// Big-endian base62 in exactly `width` characters; higher digits that do not fit are dropped.
fn base62(bytes: &[u8], width: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = vec![b'0'; width];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0u32;
        for byte in &mut number {
            let value = remainder << 8 | u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            remainder = value % 62;
        }
        *digit = ALPHABET[remainder as usize];
    }
    digits.into_iter().map(char::from).collect()
}

fn pin(text: &str) -> Option<CaPin> {
    // Limbs of 64 bits: programs show such a token with each of their requests.
    let mut limbs = [0u64; 4];
    for c in text.bytes() {
        let mut carry = u128::from(digit(c)?);
        for limb in limbs.iter_mut().rev() {
            carry += u128::from(*limb) * 62;
            *limb = u64::try_from(carry & u128::from(u64::MAX)).unwrap_or_default();
            carry >>= 64;
        }
        if carry != 0 {
            return None;
        }
    }
    let mut bytes = [0; 32];
    for (bytes, limb) in bytes.chunks_exact_mut(8).zip(limbs) {
        bytes.copy_from_slice(&limb.to_be_bytes());
    }
    Some(CaPin(bytes))
}

/// What a letter of [`ALPHABET`] stands for.
fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'A'..=b'Z' => Some(letter - b'A' + 10),
        b'a'..=b'z' => Some(letter - b'a' + 36),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_parses_as_it_was_made(id: [u8; 7], secret: [u8; 20], ca: Option<[u8; 32]>) {
            let made = TokenText::new(TokenKind::Join, id, secret, ca.map(CaPin));
            let read: TokenText = made.expose().parse().unwrap();
            prop_assert_eq!(read.kind(), TokenKind::Join);
            prop_assert_eq!(read.id(), made.id());
            prop_assert_eq!(read.pin(), ca.map(CaPin));
            prop_assert!(read.digest().matches(&made.digest()));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*") {
            drop(text.parse::<TokenText>());
            drop(format!("adit_api_{text}").parse::<TokenText>());
        }
    }

    #[test]
    fn a_typing_error_is_told_apart_from_another_text() {
        let token = TokenText::new(TokenKind::Api, [7; 7], [9; 20], None);
        let text = token.expose();
        assert!(text.starts_with("adit_api_"));
        let mut typo = text.to_owned();
        typo.replace_range(20..21, if &text[20..21] == "a" { "b" } else { "a" });
        assert_eq!(typo.parse::<TokenText>().unwrap_err(), TokenError::Checksum);
        assert_eq!(text[..40].parse::<TokenText>().unwrap_err(), TokenError::Checksum);
        assert_eq!("hunter2".parse::<TokenText>().unwrap_err(), TokenError::Form);
        assert_eq!("adit_nope_x".parse::<TokenText>().unwrap_err(), TokenError::Form);
    }

    #[test]
    fn a_token_never_prints_its_secret() {
        let token = TokenText::new(TokenKind::Api, [7; 7], [9; 20], None);
        assert!(!format!("{token:?} {:?}", token.digest()).contains(&token.expose()[19..46]));
    }
}
