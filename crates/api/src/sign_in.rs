//! Browsers that are signed in.

use access::{Name, SignInId, TokenId};
use serde::{Deserialize, Serialize};

use crate::{LastSeen, Secret};

/// `POST /me/sign-in-codes`: what signs the caller's browser in, once and soon.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SignInCode {
    pub id: TokenId,
    pub code: Secret,
    /// The page that takes it: pasted, or behind a `#`, where it is in nobody's log.
    pub url: String,
    pub expires: u64,
}

/// One row of `GET /sign-ins`: a browser that is or was signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SignInRow {
    pub id: SignInId,
    pub user: Name,
    /// What the browser calls itself.
    pub browser: String,
    pub created: u64,
    /// When and from where it was last there.
    pub seen: LastSeen,
    /// It ends when nothing was asked for so many seconds.
    pub idle: u64,
    /// It ends then in any case.
    pub expires: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
    /// Why it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}
