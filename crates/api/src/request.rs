//! Asking for access, and deciding on it.

use std::fmt;
use std::str::FromStr;

use access::{Name, RuleId};
use serde::{Deserialize, Serialize};

use crate::Span;

/// `POST /me/requests`: asks for an application for some time.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AskAccess {
    /// `app` or `app.site`.
    pub application: String,
    /// What it is for, to whoever decides; at most 500 characters.
    pub reason: String,
    /// From the approval on.
    pub duration: Span,
}

/// `POST /requests/{id}/approve` and `…/deny`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Decision {
    /// What whoever asked is told; at most 500 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// For how long instead of what was asked; for approvals only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
}

/// One row of `GET /requests` and `GET /me/requests`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AccessRequest {
    pub id: RuleId,
    pub user: Name,
    /// `app.site`.
    pub application: String,
    pub reason: String,
    /// How long was asked for.
    pub duration: Span,
    pub created: u64,
    pub state: RequestState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<u64>,
    /// Whoever approved, denied, withdrew or revoked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// When the access ends or ended by itself; only of approved ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<u64>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum RequestState {
    /// Nobody has decided.
    Pending,
    /// The access is there.
    Approved,
    Denied,
    /// The approved time is over.
    Ended,
    /// An approver or admin took the access back before its end.
    Revoked,
    /// Whoever asked took it back.
    Withdrawn,
}

impl RequestState {
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Approved, Self::Denied, Self::Ended, Self::Revoked, Self::Withdrawn];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Ended => "ended",
            Self::Revoked => "revoked",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl fmt::Display for RequestState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for RequestState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| format!("unknown state of a request {text:?}"))
    }
}
