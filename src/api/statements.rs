//! The statements at the doors of databases.

use access::SessionId;
use api::{StatementPage, StatementRow};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use store::StatementQuery;
use uuid::Uuid;

use super::error::ApiError;
use super::extract::{Params, span};
use super::reference::labels;
use crate::AppState;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Only statements before the one with this `id`.
    before: Option<Uuid>,
    /// At most this many; 100 where absent, 1,000 at most.
    limit: Option<u32>,
    session: Option<SessionId>,
    user: Option<String>,
    /// `app` or `app.site`; where there is no such application, also a host label, `<app>-<site>`.
    application: Option<String>,
    database: Option<String>,
    /// Whether only those that failed are wanted.
    failed: Option<bool>,
    /// RFC 3339: only statements that were sent then or later.
    since: Option<String>,
    /// RFC 3339: only statements that were sent before.
    until: Option<String>,
}

pub(super) async fn statements(
    State(state): State<AppState>,
    Params(asked): Params<Asked>,
) -> Result<Json<StatementPage>, ApiError> {
    let limit = asked.limit.unwrap_or(USUAL_PAGE).clamp(1, LONGEST_PAGE);
    let (since, until) = span(asked.since.as_deref(), asked.until.as_deref())?;
    let applications = labels(&state, asked.application.as_deref()).await?;
    let Asked { before, session, user, database, failed, .. } = asked;
    let failed = failed.unwrap_or_default();
    let query = StatementQuery {
        before,
        limit,
        session,
        user,
        applications,
        database,
        failed,
        since,
        until,
    };
    let found = state.store.statements(query).await?;
    let full = found.len() == limit as usize;
    let next = found.last().filter(|_| full).map(|row| row.id.to_string());
    Ok(Json(StatementPage { statements: found.into_iter().map(told).collect(), next }))
}

fn told(row: store::StatementRow) -> StatementRow {
    StatementRow {
        id: row.id.to_string(),
        at_ms: row.at_ms,
        session: row.session,
        user: row.user,
        application: row.application,
        database: row.database,
        role: row.role,
        client: row.client,
        text: row.text,
        cut: row.cut,
        micros: row.micros,
        rows: row.rows,
        error: row.error,
    }
}

const USUAL_PAGE: u32 = 100;
const LONGEST_PAGE: u32 = 1000;
