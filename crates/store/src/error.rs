use std::sync::Arc;

use access::{Code, Name, TokenId};
use serde::Serialize;

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database does not answer or takes no changes")]
    Database(#[source] Arc<sqlx::Error>),
    #[error("the database could not be brought to this version's tables")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("the database is of a later version: its tables have step {0}, unknown to this one")]
    Newer(i64),
    #[error("the database is of an earlier version: its tables lack step {0}")]
    Older(i64),
    #[error("the database file could not be opened")]
    File { source: std::io::Error },
    #[error("the database's URL can not be read: it is postgres://user@host:5432/name")]
    Location,
    #[error("the database's URL has an sslmode that there is not: it is one of {}", SSL_MODES.join(", "))]
    SslMode,
    #[error("another relay serves from this database")]
    InUse,
    #[error("another relay of the name {0} serves from this database")]
    NameTaken(Name),
    #[error("several relays need a PostgreSQL server; a database in a file serves one")]
    OneRelay,
    #[error("this is not the master key that the database was sealed with")]
    WrongKey,
    #[error("the sealed record {record} can not be opened: it was changed")]
    Sealed { record: String },
    #[error("the stored {what} can not be read: {detail}")]
    Corrupt { what: &'static str, detail: String },
    /// Every mistake of the request; nothing of it was stored.
    #[error("{} not valid: {}", count(.0), list(.0))]
    Invalid(Vec<Problem>),
    #[error("there is no {0}")]
    NotFound(String),
    /// It is not what whoever changes it last saw; nothing was stored.
    #[error("it was changed meanwhile")]
    Stale,
    /// It would change what whoever asks may not; nothing was stored.
    #[error("it reaches beyond the sites that may be changed")]
    Outside,
    #[error("{0:?} is at several sites; write app.site")]
    Ambiguous(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

impl StoreError {
    /// For whom operates the relay: the code, and what to do.
    pub fn advice(&self) -> Option<(Code, &'static str)> {
        match self {
            Self::Newer(_) => Some((
                Code("store.newer"),
                "install that version again, or restore a backup from before it",
            )),
            Self::Older(_) => {
                Some((Code("store.older"), "start this version's relay once: it brings it up"))
            }
            Self::Location => Some((
                Code("store.url"),
                "write it as postgres://user@host:5432/name?sslmode=verify-full",
            )),
            Self::SslMode => Some((
                Code("store.url"),
                "sslmode=verify-full has the server's certificate and its name checked",
            )),
            Self::InUse => Some((
                Code("store.in_use"),
                "stop the other relay first (systemctl stop adit-relay); several at a time each have \
                 [cluster] in their relay.toml",
            )),
            Self::NameTaken(_) => Some((
                Code("store.name_taken"),
                "give each relay a name of its own, as `name` in [cluster]",
            )),
            Self::OneRelay => Some((
                Code("store.one_relay"),
                "take [cluster] out of relay.toml, or move to PostgreSQL (adit-relay migrate)",
            )),
            Self::WrongKey => Some((
                Code("store.wrong_key"),
                "put the master key in place that the database or the backup was made with: \
                 ADIT_MASTER_KEY, the credential master-key, or master.key in the data folder",
            )),
            Self::Database(_) | Self::Migrate(_) => Some((
                Code("store.unavailable"),
                "see whether the database answers, lets the relay in, and has room",
            )),
            Self::File { .. }
            | Self::Sealed { .. }
            | Self::Corrupt { .. }
            | Self::Invalid(_)
            | Self::NotFound(_)
            | Self::Stale
            | Self::Outside
            | Self::Ambiguous(_) => None,
        }
    }
}

/// How a connection to a PostgreSQL server can be protected, as libpq names it.
pub(crate) const SSL_MODES: [&str; 6] =
    ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// One mistake in what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What it is about: `application web1.hq`, `grant alice → web1`.
    pub object: String,
    pub code: Code,
    /// What is wrong and what was expected, in one sentence.
    pub detail: String,
}

impl Problem {
    pub(crate) fn new(
        object: impl Into<String>,
        code: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self { object: object.into(), code: Code(code), detail: detail.into() }
    }
}

/// Why a token is not good.
#[derive(Debug, thiserror::Error)]
pub enum UseTokenError {
    #[error("there is no such token")]
    Unknown,
    #[error("token {0} has expired")]
    Expired(TokenId),
    #[error("token {0} was revoked")]
    Revoked(TokenId),
    #[error("token {0} is used up")]
    UsedUp(TokenId),
    #[error("the user of token {0} is disabled")]
    UserDisabled(TokenId),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for UseTokenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

fn count(problems: &[Problem]) -> String {
    match problems.len() {
        1 => "one thing is".to_owned(),
        many => format!("{many} things are"),
    }
}

fn list(problems: &[Problem]) -> String {
    let each = problems.iter().map(|problem| format!("{}: {}", problem.object, problem.detail));
    each.collect::<Vec<_>>().join("; ")
}
