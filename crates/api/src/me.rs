//! What a user sees of and does for themselves.

use std::collections::BTreeMap;

use access::{AgentId, Kind, Login, Name, TokenId, TokenKind};
use serde::{Deserialize, Serialize};

use crate::{Scopes, Secret, Span};

/// `GET /me`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Me {
    pub user: Name,
    pub admin: bool,
    /// Whether it is a machine user.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub machine: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auditor: bool,
    /// The sites that the caller administers, where they are no administrator of the relay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub admin_of: Vec<Name>,
    /// What the token may be used for; absent: all that the user may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Scopes>,
    /// What was shown: `agent` or `token`.
    pub credential: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// When the token or the agent's enrolment ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

/// One row of `GET /me/applications`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MyApplication {
    pub name: Name,
    pub site: Name,
    pub kind: Kind,
    /// `<app>-<site>`, its name under the relay's domain.
    pub label: String,
    pub login: Login,
    /// Whether its door logs in with an account that the relay keeps; of databases.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_account: bool,
    /// The port of the relay's at which its door is, where that is one of its own; of MySQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub door_port: Option<u16>,
    pub allow_api: bool,
    /// Whether users' own access tokens for it are good for more than one use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reusable_tokens: bool,
    /// Whether a connector of its site is connected.
    pub online: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// `POST /me/rdp-files`: a file that opens a desktop once, or until it expires.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MyRdpFile {
    /// `app` or `app.site`.
    pub application: String,
    /// The account at the desktop; where absent, its client asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// How long it is good; where absent, as the settings say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Span>,
    /// How often it may be used; where absent, as the settings say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
}

/// A file for Remote Desktop's clients, with a token that was issued for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RdpFile {
    /// What to call it.
    pub name: String,
    /// Its text, signed with the relay's certificate.
    pub text: Secret,
    /// By which the token can be revoked.
    pub token: TokenId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// `None`: without limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// What its client signs in with, where the relay signs in at the desktop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<RdpLogin>,
}

/// `POST /me/rdp-logins`: a login for one connection of a Remote Desktop client through the agent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MyRdpLogin {
    /// `app` or `app.site`.
    pub application: String,
}

/// A user's name and a password that are good for one connection to a desktop where the relay signs in.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RdpLogin {
    pub user: String,
    pub password: Secret,
    /// SHA-256, in hex, of the certificates that the relay shows its client: for the gateway and for the
    /// desktop, where they are two.
    pub certificates: Vec<String>,
    /// Not from then on, in Unix seconds.
    pub expires: u64,
}

/// `POST /me/tokens`: a token for oneself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MyToken {
    /// `app` or `app.site`.
    pub application: String,
    /// `access` where absent; or `api`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<TokenKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// Of api tokens: how long the one before stays good beside the new one; where absent, it ends
    /// at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Span>,
}
