//! Second factors of people.

use serde::{Deserialize, Serialize};

use crate::Secret;

/// `POST /me/totp`: a key for an authenticator app. It counts once the app has shown a code.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TotpOffer {
    /// In base32, to be typed.
    pub key: Secret,
    /// `otpauth://totp/…`
    pub uri: Secret,
    /// The same, to be photographed.
    pub qr: Qr,
}

/// A QR code as the path of an SVG.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Qr {
    /// Of each side, with what has to be blank around it.
    pub size: u32,
    pub path: String,
}

// What it shows may be a secret.
impl std::fmt::Debug for Qr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Qr([REDACTED])")
    }
}

/// `PUT /me/totp`: an offered key, and what the app that has it shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TakeTotp {
    pub key: Secret,
    pub code: Secret,
}

/// A second factor, to be shown for a change of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ShowSecond {
    /// What the app shows, or a recovery code.
    pub code: Secret,
}

/// Codes that stand in for the app, once each. They are shown once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecoveryCodes {
    pub codes: Vec<Secret>,
    /// How many other browsers were signed out.
    pub signed_out: u64,
}

/// What is told of an authenticator app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TotpState {
    pub created: u64,
    /// Recovery codes that are not used.
    pub recovery_codes: u64,
}
