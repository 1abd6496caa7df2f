//! Passkeys of people (W3C Web Authentication). What is bytes there is base64url without padding here.

use access::Name;
use serde::{Deserialize, Serialize};

/// `POST /me/passkey-offers`: what a browser asks an authenticator for a passkey with. Nothing is kept
/// of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PasskeyOffer {
    pub challenge: String,
    /// The relying party's id.
    pub host: String,
    /// By which authenticators know whose it is.
    pub user: String,
    pub name: Name,
    /// Numbers of COSE, the best first.
    pub algorithms: Vec<i64>,
    /// Ids of those that the user has already.
    pub known: Vec<String>,
}

/// `POST /me/passkeys`: a passkey that was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AddPasskey {
    /// What its owner calls it.
    pub name: String,
    /// A number of COSE.
    pub algorithm: i64,
    /// SubjectPublicKeyInfo.
    pub public_key: String,
    pub client_data: String,
    pub authenticator_data: String,
}

/// A passkey of a user's. Its private half never leaves its authenticator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PasskeyState {
    pub id: String,
    pub name: String,
    pub created: u64,
    /// When it last signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
}
