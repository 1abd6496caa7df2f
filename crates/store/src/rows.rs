//! What the store gives back, ready to be listed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use access::{
    Address, AgentId, ApplicationId, ConnectorId, DatabaseOptions, GroupId, Kind, Login, Name,
    RdpOptions, RuleId, SessionId, SiteId, TokenId, TokenKind, UserId, WebOptions,
};
use api::{GrantSpec, Scopes, TokenState};
use serde::Serialize;

use crate::clock::seconds;

/// One private network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SiteRow {
    pub id: SiteId,
    pub name: Name,
}

/// A user with their groups and keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserRow {
    pub id: UserId,
    pub name: Name,
    pub admin: bool,
    pub auditor: bool,
    pub approver: bool,
    pub admin_of: Vec<Name>,
    pub enabled: bool,
    /// Whether it is a program.
    pub machine: bool,
    pub groups: Vec<Name>,
    pub ssh_keys: Vec<SshKeyRow>,
}

/// A registered SSH public key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SshKeyRow {
    /// `SHA256:…` as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    /// In OpenSSH form.
    pub key: String,
    /// Unix seconds; `None`: never.
    pub expires: Option<u64>,
}

impl SshKeyRow {
    /// Such as `ssh-ed25519`.
    pub fn algorithm(&self) -> &str {
        self.key.split(' ').next().unwrap_or_default()
    }

    /// What its owner calls it.
    pub fn comment(&self) -> &str {
        self.key.splitn(3, ' ').nth(2).unwrap_or_default()
    }
}

/// A group and who is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupRow {
    pub id: GroupId,
    pub name: Name,
    pub members: Vec<Name>,
}

/// An application, without its credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApplicationRow {
    pub id: ApplicationId,
    pub name: Name,
    pub site_id: SiteId,
    pub site: Name,
    /// The DNS label `<app>-<site>`.
    pub label: String,
    pub kind: Kind,
    pub address: Address,
    pub login: Login,
    pub host_key: Option<String>,
    pub legacy_algorithms: bool,
    pub allow_api: bool,
    pub require_active_session: bool,
    /// Whether users may ask for access, and the groups that decide besides the admins.
    pub requestable: bool,
    pub approvers: Vec<Name>,
    pub tags: BTreeMap<String, String>,
    /// `None`: all by default.
    pub web: Option<WebOptions>,
    /// `None`: all by default.
    pub database: Option<DatabaseOptions>,
    /// `None`: all by default.
    pub rdp: Option<RdpOptions>,
}

impl ApplicationRow {
    /// `app.site`.
    pub fn reference(&self) -> String {
        format!("{}.{}", self.name, self.site)
    }
}

/// A grant as a document writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantRow {
    pub id: RuleId,
    #[serde(flatten)]
    pub spec: GrantSpec,
}

/// An issued token, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenRow {
    pub id: TokenId,
    pub kind: TokenKind,
    pub user: Option<Name>,
    /// `app.site`.
    pub application: Option<String>,
    pub site: Option<Name>,
    /// Unix seconds, as are the other times.
    pub created: u64,
    pub expires: Option<u64>,
    /// `None`: as often as wanted.
    pub uses_left: Option<u32>,
    /// When it was used last, to the minute for tokens of unlimited use.
    pub used: Option<u64>,
    pub used_from: Option<IpAddr>,
    pub revoked: Option<u64>,
    /// When another api token took its place.
    pub replaced: Option<u64>,
    /// What it may be used for. `None`: all its user may do.
    pub scopes: Option<Scopes>,
}

impl TokenRow {
    /// Whether it is good at `now`, and if not, why.
    pub fn state(&self, now: SystemTime) -> TokenState {
        if self.revoked.is_some() {
            TokenState::Revoked
        } else if self.expires.is_some_and(|end| seconds(now) >= end) {
            TokenState::Expired
        } else if self.uses_left == Some(0) {
            TokenState::UsedUp
        } else {
            TokenState::Live
        }
    }
}

/// An enrolled agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentRow {
    pub id: AgentId,
    pub user: UserId,
    pub user_name: Name,
    pub admin: bool,
    /// Whether its user is.
    pub enabled: bool,
    pub device: String,
    /// Unix seconds, as is `created`.
    pub expires: u64,
    pub created: u64,
    /// `None`: it stands on itself, and may do what its user may.
    pub token: Option<AgentToken>,
}

/// The token an agent stands on: one that opens an application, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentToken {
    pub id: TokenId,
    pub kind: TokenKind,
    /// `None`: it opens whatever its user may reach.
    pub application: Option<ApplicationId>,
}

/// An enrolled connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectorRow {
    pub id: ConnectorId,
    pub name: String,
    pub site_id: SiteId,
    pub site_name: Name,
    /// The fingerprint of its key, `SHA256:…`.
    pub key: String,
    /// Unix seconds.
    pub created: u64,
}

/// One row of the audit table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    pub seq: u64,
    pub at_ms: u64,
    pub action: String,
    pub session: Option<SessionId>,
    /// The user of a session, or who made a change.
    pub user: Option<String>,
    pub event: serde_json::Value,
    /// The record's place in the chain, in hexadecimal digits.
    pub hash: String,
}
