//! Passwords of people.

use access::Name;
use serde::{Deserialize, Serialize};

use crate::{PasskeyState, Secret, TotpState};

/// `PUT /me/password`: another password for oneself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The one before. Absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Secret>,
    /// 12 to 128 characters.
    pub new: Secret,
}

/// `POST /users/{name}/password`: what signs a user in once, to choose a password of their own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OneTimePassword {
    pub user: Name,
    pub password: Secret,
    /// The page that takes it.
    pub url: String,
    pub expires: u64,
    /// How many of their browsers were signed out.
    pub signed_out: u64,
}

/// `GET /me/sign-in-methods`, and of a user: by what they can sign in. No secret is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SignInMethods {
    /// Absent: they have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordState>,
    /// An authenticator app, asked for besides the password; absent: they have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp: Option<TotpState>,
    /// Each signs in by itself, and stands in for the app besides the password.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passkeys: Vec<PasskeyState>,
}

/// What is told of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PasswordState {
    pub changed: u64,
    /// Whether it is a one-time password.
    pub must_change: bool,
    /// From then on it signs nobody in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}
