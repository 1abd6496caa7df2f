//! Rows of the audit table and the one statement that adds them.

use std::fmt::Write;
use std::sync::LazyLock;

use session::{AuditEvent, Stamped};

use crate::clock;
use crate::db::Connection;

/// An event as the table holds it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    at_ms: i64,
    action: &'static str,
    session: Option<String>,
    user: Option<String>,
    event: String,
}

impl Row {
    pub(crate) fn of(stamped: &Stamped) -> Result<Self, serde_json::Error> {
        let event = &stamped.event;
        Ok(Self {
            at_ms: clock::column(clock::millis(stamped.at)),
            action: event.action(),
            session: event.session().map(|id| id.to_string()),
            user: user(event),
            event: serde_json::to_string(event)?,
        })
    }
}

/// Adds the rows in their order, many with each statement. A second end of one session is left out.
///
/// Up to [`AT_ONCE`] rows are one statement, which needs no transaction around it.
pub(crate) async fn insert(database: &mut Connection, rows: &[&Row]) -> Result<(), sqlx::Error> {
    for rows in rows.chunks(AT_ONCE) {
        let mut query = sqlx::query(INSERTS[rows.len() - 1].as_str());
        for row in rows {
            query = query.bind(row.at_ms).bind(row.action).bind(&row.session);
            query = query.bind(&row.user).bind(&row.event);
        }
        query.execute(&mut *database).await?;
    }
    Ok(())
}

/// Rows of one statement at most.
pub(crate) const AT_ONCE: usize = 64;

// One for each number of rows, so that each is prepared once: a batch then takes one way to the
// database's thread, and that way costs more than a row.
static INSERTS: LazyLock<[String; AT_ONCE]> =
    LazyLock::new(|| std::array::from_fn(|index| statement(index + 1)));

fn statement(rows: usize) -> String {
    let mut sql = "INSERT INTO audit (at_ms, action, session, user_name, event) VALUES ".to_owned();
    for row in 0..rows {
        let comma = if row == 0 { "" } else { ", " };
        let [a, b, c, d, e] = [1, 2, 3, 4, 5].map(|column| row * 5 + column);
        // Writing to a String does not fail.
        let _ = write!(sql, "{comma}(${a}, ${b}, ${c}, ${d}, ${e})");
    }
    sql.push_str(" ON CONFLICT DO NOTHING");
    sql
}

/// By whom the audit log is searched: the user of a session, the actor of a change.
fn user(event: &AuditEvent) -> Option<String> {
    match event {
        AuditEvent::SessionOpened { user, .. }
        | AuditEvent::SessionEnded { user, .. }
        | AuditEvent::SessionAction { user, .. }
        | AuditEvent::AccessDenied { user, .. } => Some(user.to_string()),
        AuditEvent::AuthnFailed { user, .. } => user.clone(),
        AuditEvent::AdminChanged { actor, .. } | AuditEvent::AccessWithdrawn { actor, .. } => {
            Some(actor.clone())
        }
        AuditEvent::TokenExpiring { user, .. } => user.as_ref().map(ToString::to_string),
        AuditEvent::ConnectorState { .. } => None,
    }
}
