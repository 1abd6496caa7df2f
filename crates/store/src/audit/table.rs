//! Rows of the audit table and the one statement that adds them.

use std::fmt::Write;
use std::sync::LazyLock;

use access::SessionId;
use chain::{EventError, Hash, Record, canonical};
use serde_json::Value;
use session::{AuditEvent, Stamped};

use crate::clock;
use crate::db::{Connection, Engine};

/// An event as the table holds it, without its place in the chain.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    at_ms: u64,
    action: &'static str,
    session: Option<String>,
    user: Option<String>,
    about: About,
    event: String,
    /// The session it ends: each has one end.
    ends: Option<SessionId>,
    opens: Option<SessionId>,
}

/// What the log is searched by beside its user, taken out of the event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) application: Option<String>,
    pub(crate) site: Option<String>,
}

/// A row in its place.
pub(crate) struct Placed<'a> {
    row: &'a Row,
    seq: u64,
    hash: Hash,
}

impl Row {
    pub(crate) fn of(stamped: &Stamped) -> Result<Self, EventError> {
        let event = &stamped.event;
        let value = serde_json::to_value(event)?;
        Ok(Self {
            at_ms: clock::millis(stamped.at),
            action: event.action(),
            session: event.session().map(|id| id.to_string()),
            user: user(event),
            about: About::of(&value),
            event: canonical(&value)?,
            ends: event.session().filter(|_| matches!(event, AuditEvent::SessionEnded { .. })),
            opens: event.session().filter(|_| matches!(event, AuditEvent::SessionOpened { .. })),
        })
    }

    /// The session whose end this is.
    pub(crate) fn ends(&self) -> Option<SessionId> {
        self.ends
    }

    /// The session whose opening this is.
    pub(crate) fn opens(&self) -> Option<SessionId> {
        self.opens
    }

    /// The row as the one after the record with this number and hash.
    pub(crate) fn after(&self, seq: u64, hash: &Hash) -> Placed<'_> {
        let seq = seq + 1;
        let record = Record {
            seq,
            at_ms: self.at_ms,
            action: self.action,
            session: self.session.as_deref(),
            user: self.user.as_deref(),
            event: &self.event,
        };
        Placed { row: self, seq, hash: hash.then(&record) }
    }
}

impl Placed<'_> {
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    pub(crate) fn hash(&self) -> Hash {
        self.hash
    }
}

impl About {
    pub(crate) fn of(event: &Value) -> Self {
        let text = |field| event.get(field).and_then(Value::as_str).map(str::to_owned);
        Self { application: text("application"), site: text("site") }
    }
}

/// Adds the rows in their order, many with each statement.
pub(crate) async fn insert(
    (engine, database): (Engine, &mut Connection),
    rows: &[Placed<'_>],
) -> Result<(), sqlx::Error> {
    let statements: &'static [String] = match engine {
        Engine::Sqlite => &*SQLITE,
        Engine::Postgres => &*POSTGRES,
    };
    for rows in rows.chunks(AT_ONCE) {
        let query = sqlx::query(statements[rows.len() - 1].as_str());
        bind(query, rows).execute(&mut *database).await?;
    }
    Ok(())
}

pub(super) type Query = sqlx::query::Query<'static, sqlx::Any, sqlx::any::AnyArguments>;

/// Gives a statement the columns of the rows.
pub(super) fn bind(query: Query, rows: &[Placed<'_>]) -> Query {
    rows.iter().fold(query, |query, Placed { row, seq, hash }| {
        let query = query.bind(clock::column(*seq)).bind(clock::column(row.at_ms));
        let query = query.bind(row.action).bind(row.session.clone()).bind(row.user.clone());
        let query = query.bind(row.about.application.clone()).bind(row.about.site.clone());
        query.bind(row.event.clone()).bind(hash.to_string())
    })
}

/// Rows of one statement at most.
pub(super) const AT_ONCE: usize = 64;
const COLUMNS: usize = 9;

// One for each number of rows, so that each is prepared once: a batch then takes one way to the
// database's thread, and that way costs more than a row.
static SQLITE: LazyLock<[String; AT_ONCE]> =
    LazyLock::new(|| std::array::from_fn(|index| statement(Engine::Sqlite, index + 1)));
static POSTGRES: LazyLock<[String; AT_ONCE]> =
    LazyLock::new(|| std::array::from_fn(|index| statement(Engine::Postgres, index + 1)));

/// The statement that adds `rows` rows.
pub(super) fn statement(engine: Engine, rows: usize) -> String {
    let mut sql = "INSERT INTO audit \
        (seq, at_ms, action, session, user_name, application, site, event, hash) VALUES "
        .to_owned();
    for row in 0..rows {
        for column in 1..=COLUMNS {
            let comma = if column > 1 { ", " } else { ["(", ", ("][usize::from(row > 0)] };
            // Writing to a String does not fail.
            let _ = match engine {
                // SQLite looks for each number among all of them; what has none is quick.
                Engine::Sqlite => write!(sql, "{comma}?"),
                Engine::Postgres => write!(sql, "{comma}${}", row * COLUMNS + column),
            };
        }
        sql.push(')');
    }
    sql
}

/// By whom the audit log is searched: the user of a session, the actor of a change.
fn user(event: &AuditEvent) -> Option<String> {
    match event {
        AuditEvent::SessionOpened { user, .. }
        | AuditEvent::SessionEnded { user, .. }
        | AuditEvent::SessionAction { user, .. }
        | AuditEvent::KeyExpiring { user, .. }
        | AuditEvent::SignInOpened { user, .. }
        | AuditEvent::SignInEnded { user, .. }
        | AuditEvent::AccessDenied { user, .. } => Some(user.to_string()),
        AuditEvent::AuthnFailed { user, .. } => user.clone(),
        AuditEvent::AdminChanged { actor, .. } | AuditEvent::AccessWithdrawn { actor, .. } => {
            Some(actor.clone())
        }
        AuditEvent::TokenExpiring { user, .. } | AuditEvent::SessionRecorded { user, .. } => {
            user.as_ref().map(ToString::to_string)
        }
        AuditEvent::RecordingViewed { actor, .. } | AuditEvent::RecordingSearched { actor, .. } => {
            Some(actor.to_string())
        }
        AuditEvent::RecordingRemoved { .. }
        | AuditEvent::CertificateIssued { .. }
        | AuditEvent::CertificateFailed { .. }
        | AuditEvent::NoticeSent { .. }
        | AuditEvent::NoticeLost { .. }
        | AuditEvent::ConnectorState { .. } => None,
    }
}
