//! Reading the audit log.

use access::SessionId;
use serde_json::Value;

use crate::{AuditRow, Store, StoreError, clock};

/// Which audit events are wanted: those after a sequence number, oldest first.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    pub after: u64,
    /// At most this many, and never more than 10,000.
    pub limit: u32,
    pub action: Option<String>,
    pub session: Option<SessionId>,
    /// The user of a session, or who made a change.
    pub user: Option<String>,
}

impl Store {
    /// The events that fit the query, oldest first.
    pub async fn audit_events(&self, query: AuditQuery) -> Result<Vec<AuditRow>, StoreError> {
        let statement = if query.session.is_some() { EVENTS_OF_SESSION } else { EVENTS };
        let rows: Vec<Columns> = sqlx::query_as(statement)
            .bind(clock::column(query.after))
            .bind(query.session.map(|id| id.to_string()))
            .bind(query.action)
            .bind(query.user)
            .bind(i64::from(query.limit.min(MAX_ROWS)))
            .fetch_all(&self.inner.readers)
            .await?;
        rows.into_iter().map(row).collect()
    }
}

type Columns = (i64, i64, String, Option<String>, String);

const MAX_ROWS: u32 = 10_000;

const EVENTS: &str = "SELECT seq, at_ms, action, session, event FROM audit
    WHERE seq > $1 AND CAST($2 AS TEXT) IS NULL
        AND (CAST($3 AS TEXT) IS NULL OR action = $3)
        AND (CAST($4 AS TEXT) IS NULL OR user_name = $4)
    ORDER BY seq LIMIT $5";

// Apart, so that its index is used.
const EVENTS_OF_SESSION: &str = "SELECT seq, at_ms, action, session, event FROM audit
    WHERE seq > $1 AND session = $2
        AND (CAST($3 AS TEXT) IS NULL OR action = $3)
        AND (CAST($4 AS TEXT) IS NULL OR user_name = $4)
    ORDER BY seq LIMIT $5";

fn row((seq, at_ms, action, session, event): Columns) -> Result<AuditRow, StoreError> {
    let corrupt = |detail| StoreError::Corrupt { what: "audit event", detail };
    let session = session.map(|id| id.parse()).transpose();
    Ok(AuditRow {
        seq: clock::number(seq, "audit event")?,
        at_ms: clock::number(at_ms, "audit event")?,
        action,
        session: session.map_err(|error: uuid::Error| corrupt(error.to_string()))?,
        event: serde_json::from_str::<Value>(&event).map_err(|e| corrupt(e.to_string()))?,
    })
}
