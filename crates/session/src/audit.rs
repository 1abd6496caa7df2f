//! What is recorded, and the promise that it will be.

use std::net::IpAddr;
use std::time::SystemTime;

use access::{
    AgentId, Authenticated, Code, EndReason, Kind, Name, RuleId, SessionId, Side, SignInId,
    TokenId, TokenKind,
};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::OwnedPermit;

use crate::Facts;

/// Where a protocol enters the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// The agent's QUIC connection.
    Agent,
    /// The HTTPS API.
    Api,
    /// The port connectors dial.
    Connector,
    /// A page of the portal that shows a desktop.
    Desktop,
    /// The MySQL and MariaDB door.
    Mysql,
    /// The PostgreSQL door.
    Postgres,
    /// The RD Gateway door.
    Rdp,
    /// The Redis door.
    Redis,
    /// The SSH door.
    Ssh,
    /// The web door.
    Web,
}

impl Door {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Api => "api",
            Self::Connector => "connector",
            Self::Desktop => "desktop",
            Self::Mysql => "mysql",
            Self::Postgres => "postgres",
            Self::Rdp => "rdp",
            Self::Redis => "redis",
            Self::Ssh => "ssh",
            Self::Web => "web",
        }
    }
}

/// A certificate that somebody signed in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ShownCertificate {
    /// The agent it was signed for.
    pub agent: AgentId,
    pub serial: u64,
}

/// One row of the audit table. Serialised with its `action` as the tag.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "action")]
pub enum AuditEvent {
    #[serde(rename = "session.opened")]
    SessionOpened {
        session: SessionId,
        user: Name,
        /// Whether that is a machine user.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        machine: bool,
        application: Name,
        site: Name,
        kind: Kind,
        door: Door,
        from: IpAddr,
        /// `token`, `ssh-key`, `agent`, `certificate` or `sign-in`.
        credential: &'static str,
        /// What else had to be shown before it, in the same words.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        after: Vec<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        token: Option<TokenId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sign_in: Option<SignInId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        certificate: Option<ShownCertificate>,
        #[serde(skip_serializing_if = "Option::is_none")]
        login: Option<String>,
        rule: RuleId,
    },
    #[serde(rename = "session.ended")]
    SessionEnded {
        session: SessionId,
        user: Name,
        application: Name,
        site: Name,
        door: Door,
        reason: EndReason,
        side: Side,
        /// Bytes from the client to the target.
        up: u64,
        /// Bytes from the target to the client.
        down: u64,
        /// How long it was open, in milliseconds.
        millis: u64,
    },
    /// Something a session did inside its protocol: a channel, a command, a forward.
    #[serde(rename = "session.action")]
    SessionAction {
        session: SessionId,
        user: Name,
        application: Name,
        what: String,
        detail: String,
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        facts: Option<Facts>,
    },
    /// What was kept of a session that had to be recorded.
    #[serde(rename = "session.recorded")]
    SessionRecorded {
        session: SessionId,
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<Name>,
        #[serde(skip_serializing_if = "Option::is_none")]
        application: Option<Name>,
        #[serde(skip_serializing_if = "Option::is_none")]
        site: Option<Name>,
        /// Of its file.
        bytes: u64,
        /// Of its file, in hex; absent where it could not be written to its end.
        #[serde(skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
        /// Whether it goes to the session's end.
        whole: bool,
    },
    /// Somebody began to read a recording.
    #[serde(rename = "recording.viewed")]
    RecordingViewed { session: SessionId, actor: Name, from: IpAddr },
    /// A recording was deleted, having been kept for as long as the settings say.
    #[serde(rename = "recording.removed")]
    RecordingRemoved {
        session: SessionId,
        /// Of its file.
        bytes: u64,
    },
    /// Somebody searched the recordings for a text.
    #[serde(rename = "recording.searched")]
    RecordingSearched {
        actor: Name,
        from: IpAddr,
        text: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        whose: Option<Name>,
        #[serde(skip_serializing_if = "Option::is_none")]
        application: Option<String>,
        /// The session from which on they went on.
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<SessionId>,
    },
    #[serde(rename = "authn.failed")]
    AuthnFailed {
        door: Door,
        from: IpAddr,
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        code: Code,
        /// The full reason, for the auditor only.
        detail: String,
        /// How many alike were left out since the last row from this address.
        suppressed: u64,
    },
    #[serde(rename = "access.denied")]
    AccessDenied {
        door: Door,
        from: IpAddr,
        user: Name,
        /// As the user wrote it.
        application: String,
        code: Code,
        /// The full reason, for the auditor only.
        detail: String,
    },
    /// A change by an admin, or by a user of what is theirs.
    #[serde(rename = "admin.changed")]
    AdminChanged {
        actor: String,
        from: IpAddr,
        /// The browser by which it was done.
        #[serde(skip_serializing_if = "Option::is_none")]
        sign_in: Option<SignInId>,
        change: String,
        object: String,
        detail: String,
    },
    /// Access was withdrawn: how many live sessions ended with it.
    #[serde(rename = "access.withdrawn")]
    AccessWithdrawn { actor: String, change: String, object: String, ended: u64, millis: u64 },
    /// A token that lasts is about to expire; said once of each.
    #[serde(rename = "token.expiring")]
    TokenExpiring {
        token: TokenId,
        kind: TokenKind,
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<Name>,
        /// `app.site`.
        #[serde(skip_serializing_if = "Option::is_none")]
        application: Option<String>,
        /// Unix seconds.
        expires: u64,
    },
    /// An SSH key is about to expire; said once of each.
    #[serde(rename = "key.expiring")]
    KeyExpiring {
        user: Name,
        /// `SHA256:…`.
        key: String,
        /// Unix seconds.
        expires: u64,
    },
    /// A CA has issued a certificate for the host of an application.
    #[serde(rename = "certificate.issued")]
    CertificateIssued {
        host: String,
        /// Unix seconds.
        expires: u64,
    },
    /// A CA has not; said once of each reason.
    #[serde(rename = "certificate.failed")]
    CertificateFailed { host: String, detail: String },
    /// A channel was told of a request for access.
    #[serde(rename = "notice.sent")]
    NoticeSent { channel: Name, request: RuleId, told: String },
    /// A channel was not, and will not be.
    #[serde(rename = "notice.lost")]
    NoticeLost { channel: Name, request: RuleId, told: String, attempts: u32, detail: String },
    /// A browser was signed in.
    #[serde(rename = "sign_in.opened")]
    SignInOpened {
        sign_in: SignInId,
        user: Name,
        from: IpAddr,
        /// What the browser calls itself.
        browser: String,
        /// What vouched for its user: `code`, `password`, `passkey`, `provider` or `directory`.
        how: &'static str,
        /// What was shown besides: `totp`, or `recovery` for a code that stands in for it.
        #[serde(skip_serializing_if = "Option::is_none")]
        second: Option<&'static str>,
        /// The code that it showed.
        #[serde(skip_serializing_if = "Option::is_none")]
        token: Option<TokenId>,
        /// The OpenID provider or the directory, by its name in the relay's file.
        #[serde(skip_serializing_if = "Option::is_none")]
        provider: Option<Name>,
    },
    /// A browser is signed in no more.
    #[serde(rename = "sign_in.ended")]
    SignInEnded { sign_in: SignInId, user: Name, reason: &'static str, by: String },
    #[serde(rename = "connector.state")]
    ConnectorState {
        site: Name,
        connector: String,
        state: String,
        from: IpAddr,
        /// What carries the connection: `quic`, `tls` or `websocket`.
        transport: &'static str,
    },
}

impl AuditEvent {
    /// The record of a refusal: of what was asked for, as the user wrote it, with the full reason that
    /// the user is not told.
    pub fn denied(
        door: Door,
        who: &Authenticated,
        asked: &str,
        (code, detail): (Code, String),
    ) -> Self {
        Self::AccessDenied {
            door,
            from: who.from(),
            user: who.name().clone(),
            application: asked.chars().take(LONGEST_NAME).collect(),
            code,
            detail,
        }
    }

    /// The word in the `action` column.
    pub fn action(&self) -> &'static str {
        match self {
            Self::SessionOpened { .. } => "session.opened",
            Self::SessionEnded { .. } => "session.ended",
            Self::SessionAction { .. } => "session.action",
            Self::SessionRecorded { .. } => "session.recorded",
            Self::RecordingViewed { .. } => "recording.viewed",
            Self::RecordingRemoved { .. } => "recording.removed",
            Self::RecordingSearched { .. } => "recording.searched",
            Self::AuthnFailed { .. } => "authn.failed",
            Self::AccessDenied { .. } => "access.denied",
            Self::AdminChanged { .. } => "admin.changed",
            Self::AccessWithdrawn { .. } => "access.withdrawn",
            Self::TokenExpiring { .. } => "token.expiring",
            Self::KeyExpiring { .. } => "key.expiring",
            Self::CertificateIssued { .. } => "certificate.issued",
            Self::CertificateFailed { .. } => "certificate.failed",
            Self::NoticeSent { .. } => "notice.sent",
            Self::NoticeLost { .. } => "notice.lost",
            Self::SignInOpened { .. } => "sign_in.opened",
            Self::SignInEnded { .. } => "sign_in.ended",
            Self::ConnectorState { .. } => "connector.state",
        }
    }

    /// The session it belongs to.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::SessionOpened { session, .. }
            | Self::SessionEnded { session, .. }
            | Self::SessionAction { session, .. }
            | Self::SessionRecorded { session, .. }
            | Self::RecordingViewed { session, .. }
            | Self::RecordingRemoved { session, .. } => Some(*session),
            Self::RecordingSearched { .. }
            | Self::AuthnFailed { .. }
            | Self::AccessDenied { .. }
            | Self::AdminChanged { .. }
            | Self::AccessWithdrawn { .. }
            | Self::TokenExpiring { .. }
            | Self::KeyExpiring { .. }
            | Self::CertificateIssued { .. }
            | Self::CertificateFailed { .. }
            | Self::NoticeSent { .. }
            | Self::NoticeLost { .. }
            | Self::SignInOpened { .. }
            | Self::SignInEnded { .. }
            | Self::ConnectorState { .. } => None,
        }
    }
}

/// An error and what it came of, as a record has it.
pub fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// What is recorded of a name that fits nothing.
const LONGEST_NAME: usize = 128;

/// An event and when it happened.
#[derive(Clone, Debug)]
pub struct Stamped {
    pub at: SystemTime,
    pub event: AuditEvent,
}

/// Where events are recorded. Not the log: its own queue and its own table.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Keeps a place for an event that must not be refused later. Waits while all are taken.
    async fn reserve(&self) -> Result<ClosingSlot, AuditError>;

    /// Stores the event durably before it returns.
    async fn append(&self, event: AuditEvent) -> Result<(), AuditError>;

    /// Records the event if there is room, without waiting; counts it as dropped if there is none.
    fn note(&self, event: AuditEvent);
}

/// A reserved place for a session's last record: filling it neither waits nor fails.
#[derive(Debug)]
pub struct ClosingSlot(OwnedPermit<Stamped>);

impl ClosingSlot {
    pub fn new(permit: OwnedPermit<Stamped>) -> Self {
        Self(permit)
    }

    pub fn fill(self, event: Stamped) {
        self.0.send(event);
    }
}

/// The audit log does not take events.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("the audit writer has stopped")]
    Stopped,
    #[error("the event could not be stored")]
    Store { source: Box<dyn std::error::Error + Send + Sync> },
}
