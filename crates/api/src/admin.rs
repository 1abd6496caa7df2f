//! What admins list and change.

use std::collections::BTreeMap;
use std::net::IpAddr;

use access::{
    Address, AgentId, ConnectorId, DatabaseOptions, Kind, Login, Name, RdpOptions, RuleId,
    SessionId, TokenId, WebOptions,
};
use serde::{Deserialize, Serialize};

use crate::{AccessRequest, Change, Document, GrantSpec};

/// One row of `GET /sites`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SiteRow {
    pub name: Name,
    /// How many connectors are enrolled, and how many of them are connected.
    pub connectors: usize,
    pub online: usize,
    pub applications: usize,
}

/// When somebody was last there, to the minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LastSeen {
    pub at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// Of users: where they were vouched for: `agent`, `api`, `ssh` or `web`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub door: Option<String>,
}

/// One row of `GET /connectors`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConnectorRow {
    pub id: ConnectorId,
    pub name: String,
    pub site: Name,
    /// The fingerprint of its key, `SHA256:…`.
    pub key: String,
    /// When its certificate expires, while it is connected; it renews it at half of its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires: Option<u64>,
    pub online: bool,
    /// Where it dials from, or did last; without its port where it is not connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What carries its connection, while it has one: `quic`, `tls` or `websocket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// Connected since, while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// When it was last connected: offline since, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<u64>,
    /// Its software, as it says itself, or said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Of one relay, where it is connected to several.
    #[serde(default)]
    pub sessions: usize,
    /// Whether it is there and takes no more sessions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
    /// The relays that it is connected to, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relays: Vec<Name>,
    /// Since when it is known that two machines have its key: somebody copied its state. In Unix
    /// seconds; forgotten when the relay starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloned: Option<u64>,
    /// The worst of what it said last of its own ways: `good`, `warning` or `bad`; absent where it has
    /// said nothing since the relay started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doctor: Option<String>,
    /// What dials through it came to since the relay started, by application.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub applications: Vec<ReachRow>,
}

/// What a connector found when it last looked at its ways to the relay and to its targets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConnectorDoctor {
    pub id: ConnectorId,
    pub name: String,
    pub site: Name,
    /// When it looked; absent where it has not since the relay started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    pub findings: Vec<DoctorRow>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DoctorRow {
    /// What: `name`, `proxy`, `quic`, `tls`, `websocket`, `mtu`, `clock`, `certificate`, or a target.
    pub check: String,
    /// `good`, `warning` (it works without) or `bad`.
    pub outcome: String,
    pub found: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// What dials to one address of an application through one connector came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReachRow {
    /// `app.site`.
    pub application: String,
    #[serde(default)]
    pub address: String,
    /// Whether the last one succeeded.
    pub reachable: bool,
    /// How long one takes, from the relay's question to the target's answer; the latest count most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micros: Option<u64>,
    /// When one last succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<u64>,
    /// Why and when one last failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<u64>,
}

/// `POST /applications/{name}/check`: what each connector of its site found that is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Checked {
    /// `app.site`.
    pub application: String,
    pub connectors: Vec<CheckRow>,
}

/// What one connector found at one of the application's addresses: its own, and those of its services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckRow {
    pub connector: ConnectorId,
    pub name: String,
    #[serde(default)]
    pub address: String,
    pub reachable: bool,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micros: Option<u64>,
    /// Why it failed: `dial.refused` and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Where: `connector`, `allow-list`, `name` or `target`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hop: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// One row of `GET /agents`: an enrolled agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentRow {
    pub id: AgentId,
    pub user: Name,
    /// What the machine calls itself.
    pub device: String,
    pub created: u64,
    /// When its enrolment ends.
    pub expires: u64,
    pub online: bool,
    /// The token it stands on, where it may do no more than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// When it was last connected or asked something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<LastSeen>,
}

/// One row of `GET /applications`. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ApplicationRow {
    pub name: Name,
    pub site: Name,
    pub kind: Kind,
    pub address: Address,
    pub login: Login,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub legacy_algorithms: bool,
    pub allow_api: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_active_session: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requestable: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<Name>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<WebOptions>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseOptions>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdp: Option<RdpOptions>,
}

/// One row of `GET /users`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UserRow {
    pub name: Name,
    pub admin: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auditor: bool,
    /// Decides on every request for access but their own, and may nothing else that admins may.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approver: bool,
    /// Sites that they administer, and nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub admin_of: Vec<Name>,
    pub enabled: bool,
    /// Whether it is a program.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub machine: bool,
    pub groups: Vec<Name>,
    /// `SHA256:…` fingerprints.
    pub ssh_keys: Vec<String>,
    /// When, from where and by which door they were last vouched for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<LastSeen>,
}

/// One row of `GET /groups`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GroupRow {
    pub name: Name,
    pub members: Vec<Name>,
}

/// One row of `GET /grants`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GrantRow {
    pub id: RuleId,
    pub grant: GrantSpec,
}

/// One row of `GET /sessions`: a session that is open now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionRow {
    pub id: SessionId,
    pub user: Name,
    pub application: Name,
    pub site: Name,
    pub kind: Kind,
    pub door: String,
    pub from: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    pub opened_ms: u64,
    /// Bytes from the client to the target.
    pub up: u64,
    /// Bytes from the target to the client.
    pub down: u64,
    /// The relay that has it, where there are several. Of one that another relay has than the one
    /// asked, `up` and `down` are 0: that relay counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Name>,
}

/// One row of `GET /sessions/ended`: a session that is over, as the audit log has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EndedSessionRow {
    pub id: SessionId,
    pub user: Name,
    pub application: Name,
    pub site: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    pub door: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// The account at the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    pub opened_ms: u64,
    pub ended_ms: u64,
    /// Why it ended, as its user was told: `session.closed`, `session.killed`…
    pub code: String,
    /// Which end of it ended it: `client`, `relay` or `target`.
    pub side: String,
    /// Bytes from the client to the target. Of one that a crash of the relay ended
    /// (`session.abandoned`) neither is known, and both are 0.
    pub up: u64,
    /// Bytes from the target to the client.
    pub down: u64,
    /// Absent: it was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<KeptRecording>,
}

/// What was recorded of a session, and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KeptRecording {
    /// What it shows: a `terminal`, a `desktop`, or the `statements` of a database's session, which are in
    /// the statement log.
    pub shows: String,
    /// `kept`; `removed`, once it was kept for as long as the settings say; or `absent`: this relay has
    /// no file of it, because another relay carried the session or somebody took the file away.
    pub state: String,
    /// Of its file.
    pub bytes: u64,
    /// Whether it goes to the session's end.
    pub whole: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_ms: Option<u64>,
}

/// One record of the audit log. `event` holds all its fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditRow {
    pub seq: u64,
    pub at_ms: u64,
    pub action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The user of a session, or who made a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    pub event: serde_json::Value,
    /// Stands for this record and all before it: see docs/audit.md.
    #[serde(default)]
    pub hash: String,
}

/// `GET /audit`: records in order, or with `latest` the last one first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditPage {
    pub events: Vec<AuditRow>,
    /// Ask for the next page with `after` (with `latest`: `before`) set to this; absent on the last
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// `GET /audit/verify`: what came of computing a part of the audit log's chain again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditCheck {
    /// How many records this part has.
    pub rows: u64,
    /// Its last record as `SEQ:HASH`. Ask for the next part with `after` set to this; an auditor
    /// notes the last one. Absent: there is no record yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What is wrong in this part; nothing: it is as it was written.
    pub damages: Vec<AuditDamage>,
    /// Whether this was the last part: the end of the chain was compared too.
    pub done: bool,
    /// The number of the log's last record.
    pub end: u64,
}

/// One row of `GET /audit/destinations`: a place that is sent every record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditDestination {
    pub name: Name,
    /// `file`, `syslog` or `webhook`.
    pub kind: String,
    /// The file or the receiver's address.
    pub to: String,
    /// The last record it has taken.
    pub seq: u64,
    /// How many records it has not.
    pub lag: u64,
    /// When it last took something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_ms: Option<u64>,
    /// When it last did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_ms: Option<u64>,
    /// How often it has not since it last took something.
    pub failures: u64,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One row of `GET /requests/channels`: who is told of requests for access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NoticeChannel {
    pub name: Name,
    /// `webhook` or `mail`.
    pub kind: String,
    /// The receiver's address.
    pub to: String,
    /// How many notices it has still to take.
    pub waiting: u64,
    /// Since when the oldest of them waits, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<u64>,
    /// When it last took one, since the relay's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_ms: Option<u64>,
    /// How many were given up since the relay's start.
    pub lost: u64,
    /// How often it has taken none since it last took one.
    pub failures: u64,
    /// When it last did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_ms: Option<u64>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One row of `GET /directories`: a directory that knows people's passwords.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DirectoryRow {
    pub name: Name,
    pub url: String,
    /// How many users it had when it was last looked through.
    pub users: u64,
    /// When that was, since the relay's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced_ms: Option<u64>,
    /// When it last could not be looked through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_ms: Option<u64>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What is wrong with records of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditDamage {
    pub seq: u64,
    /// The last record it concerns.
    pub last: u64,
    /// `changed`, `missing`, `out-of-order`, `cut-off`, `inserted`, `rewritten`, `head`, `noted`:
    /// see docs/audit.md.
    pub kind: String,
    /// The same as a sentence.
    pub detail: String,
}

/// `POST /apply`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ApplyRequest {
    pub document: Document,
    /// Only say what would change.
    pub plan: bool,
    /// Also remove what the document does not name.
    pub prune: bool,
}

/// What was changed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Applied {
    pub changes: Vec<Change>,
    pub applied: bool,
    #[serde(flatten)]
    pub withdrawn: Withdrawn,
}

/// What withdrawing access ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Withdrawn {
    /// How many live sessions ended.
    pub ended: u64,
    /// In how many milliseconds.
    pub millis: u64,
}

/// The answer to removing, disabling, revoking and killing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Removed {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// How many objects it concerned.
    pub count: u64,
    #[serde(flatten)]
    pub withdrawn: Withdrawn,
}

/// `GET /why?user=&application=&at=&from=&login=`: may this user reach this application, and by
/// which grant or for want of what. It is about grants: a session also needs a good token or key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Why {
    pub user: Name,
    /// `app.site`.
    pub application: String,
    /// The moment that was asked about.
    pub at: u64,
    /// `None`: from anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// The account at the target. `None`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    pub allowed: bool,
    /// The answer in one sentence.
    pub answer: String,
    /// The grant that decided, or the nearest one that fell short; absent where no grant names both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantRow>,
    /// The approved request for access, where one decided instead of a grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<AccessRequest>,
    /// By which of its terms the nearest grant fell short, the hardest to meet first: `valid-until`,
    /// `valid-from`, `hours`, `source`, `recording`, `audio`, `printer`, `clipboard`, `databases`, `level`,
    /// `file-transfer`, `login`, `session`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub short_by: Vec<String>,
    /// Terms that it is allowed under and that were not asked about: `source`, `login`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provided: Vec<String>,
    /// When a session opened then has to end at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<u64>,
}

/// `GET /ssh-ca`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SshCa {
    /// In OpenSSH form: a line of the file that a target's `TrustedUserCAKeys` names.
    pub public_key: String,
    /// A line of `known_hosts`, by which clients know the relay whatever its host keys are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<String>,
}
