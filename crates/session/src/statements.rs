//! What is kept of each statement at the doors of databases. Beside the audit log, which knows
//! sessions.

use std::sync::Arc;
use std::time::SystemTime;

use access::{Name, SessionId};
use async_trait::async_trait;
use uuid::Uuid;

use crate::AuditError;

/// One statement that a client had a database carry out.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Ordered by time.
    pub id: Uuid,
    /// When it was sent.
    pub at: SystemTime,
    pub scope: Arc<StatementScope>,
    /// What the client calls itself, as the database knows it.
    pub client: Option<Arc<str>>,
    pub text: Arc<str>,
    /// How many bytes of the text were left out.
    pub cut: u64,
    /// `None`: it is under way, or nobody has told how it went.
    pub outcome: Option<Outcome>,
}

/// What the statements of a session have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StatementScope {
    pub session: SessionId,
    pub user: Name,
    /// The application's host label.
    pub application: String,
    pub database: String,
    /// The account at the database.
    pub role: String,
}

/// How a statement went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub micros: u64,
    /// Rows given or changed, where it was of that kind.
    pub rows: Option<u64>,
    /// The database's own code of why it failed (PostgreSQL's SQLSTATE, MySQL's number), the door's
    /// where that refused it, or that of the session's end where nobody has told how it went.
    pub error: Option<String>,
}

/// Where statements are recorded. One that is recorded again is the same with its outcome.
#[async_trait]
pub trait StatementLog: Send + Sync {
    /// Records the statement within a second. Waits a moment for room, and counts it as dropped if
    /// there is none.
    async fn note(&self, statement: Statement) {
        self.note_all(vec![statement]).await;
    }

    /// The same of several, which are waited for and counted together.
    async fn note_all(&self, statements: Vec<Statement>);

    /// The same from where nothing can wait: counts as dropped what there is no room for now.
    fn note_now(&self, statements: Vec<Statement>);

    /// Stores the statements durably before it returns.
    async fn keep(&self, statements: Vec<Statement>) -> Result<(), AuditError>;
}
