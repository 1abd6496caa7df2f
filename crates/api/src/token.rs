//! Issuing tokens and listing them.

use std::net::IpAddr;
use std::str::FromStr;

use access::{Name, TokenId, TokenKind};
use serde::{Deserialize, Serialize};

use crate::{Scopes, Secret, Span};

/// `POST /tokens`: an admin issues a token for a user.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct IssueToken {
    pub user: Name,
    /// `app` or `app.site`; `api` and `access` tokens need one, the others take none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// `access` where absent and an application is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<TokenKind>,
    /// How long it is good; where absent, as its kind says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Span>,
    /// How often it may be used; where absent, as its kind says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// Of api tokens: how long the one before stays good beside the new one; where absent, it ends
    /// at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Span>,
    /// Of admin tokens: what it may be used for; where absent, all its user may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Scopes>,
}

/// `POST /sites/{name}/join-tokens`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct JoinToken {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Span>,
}

/// A token just issued: the only answer that ever holds its text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Issued {
    pub id: TokenId,
    pub token: Secret,
    pub kind: TokenKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Name>,
    /// `app.site`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// `None`: without limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// How it is used, to paste.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Where and as whom any SSH client signs in with it; only of tokens for SSH applications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<SshLogin>,
    /// What may surprise whoever issued it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What an SSH client is told besides the token, which is the password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SshLogin {
    pub host: String,
    pub port: u16,
    /// Absent: the user's own account at the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What the token is the answer to.
    pub prompt: String,
}

impl SshLogin {
    /// To paste into a shell. The token is not in it: every process of a machine sees command lines.
    pub fn command(&self) -> String {
        let user = self.user.as_deref().unwrap_or("LOGIN");
        format!("ssh -p {} {}", self.port, word(&format!("{user}@{}", self.host)))
    }
}

/// A text as one word of a shell.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@._+-".contains(c);
    match text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// One token in lists: never its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenRow {
    pub id: TokenId,
    pub kind: TokenKind,
    pub state: TokenState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Name>,
    /// `app.site`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Name>,
    pub created: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// `None`: as often as wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_left: Option<u32>,
    /// When and from where it was used last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_from: Option<IpAddr>,
    /// When another api token took its place: it is good until it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<u64>,
    /// What it may be used for; absent: all its user may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Scopes>,
    /// What to do about it soon: it is live and expires within a week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// Whether a token still opens anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TokenState {
    Live,
    Expired,
    Revoked,
    UsedUp,
}

impl TokenState {
    pub const ALL: [Self; 4] = [Self::Live, Self::Expired, Self::Revoked, Self::UsedUp];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::UsedUp => "used-up",
        }
    }
}

impl FromStr for TokenState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| format!("unknown state of a token {text:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_command_runs_nothing_but_ssh() {
        let login = |user: Option<&str>| SshLogin {
            host: "relay.test".to_owned(),
            port: 2222,
            user: user.map(str::to_owned),
            prompt: "Access token:".to_owned(),
        };
        let table = [
            (Some("ubuntu"), "ssh -p 2222 ubuntu@relay.test"),
            (Some("a.b+c-d_e"), "ssh -p 2222 a.b+c-d_e@relay.test"),
            (None, "ssh -p 2222 LOGIN@relay.test"),
            (Some(r"CORP\bob"), r"ssh -p 2222 'CORP\bob@relay.test'"),
            (Some("x; rm -rf ~"), "ssh -p 2222 'x; rm -rf ~@relay.test'"),
            (Some("o'neil"), r"ssh -p 2222 'o'\''neil@relay.test'"),
        ];
        for (user, command) in table {
            assert_eq!(login(user).command(), command);
        }
    }
}
