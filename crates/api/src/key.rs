//! SSH public keys of users.

use access::Name;
use serde::{Deserialize, Serialize};

use crate::Span;

/// `GET /applications/{name}/host-key`: by what the relay knows an SSH application's target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HostKey {
    /// `app.site`.
    pub application: String,
    /// What an admin has said: a key, or a CA that signs for it. It counts before what was learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<String>,
    /// The key that the target showed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<String>,
}

/// One row of `GET /ssh-keys` and `GET /me/ssh-keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SshKeyRow {
    pub user: Name,
    /// `SHA256:…` as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    /// Such as `ssh-ed25519`.
    pub algorithm: String,
    /// The comment it was registered with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    pub expired: bool,
    /// What to do about it soon: it expires within a week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// `POST /me/ssh-keys`: a key for oneself, or one of one's own with a new end.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MySshKey {
    /// The line of a `.pub` file.
    pub key: String,
    /// What lists call it, instead of its comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long it is good; where absent, as long as keys usually are, which is the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Span>,
}

/// `POST /ssh-keys`: an admin registers a key of a user.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AddSshKey {
    pub user: Name,
    /// The line of a `.pub` file.
    pub key: String,
    /// What lists call it, instead of its comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long it is good; where absent, as long as keys usually are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Span>,
    /// It does not expire; for machine users.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub never: bool,
}

/// `POST /me/ssh-certificates`: an agent has its SSH key signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SignSshKey {
    /// The line of a `.pub` file.
    pub key: String,
    /// Networks that the certificate is good from; from everywhere where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
}

/// The answer: a certificate that signs the agent's user in at the SSH door.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SshCertificate {
    /// The line of a `-cert.pub` file.
    pub certificate: String,
    /// As records of sessions have it.
    pub serial: u64,
    pub expires: u64,
}
