//! The requests of the web door.

use access::SessionId;
use api::{WebRequestPage, WebRequestRow};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use store::WebQuery;
use uuid::Uuid;

use super::error::ApiError;
use super::extract::{Params, span};
use super::reference::labels;
use crate::AppState;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Only requests before the one with this `id`.
    before: Option<Uuid>,
    /// At most this many; 100 where absent, 1,000 at most.
    limit: Option<u32>,
    session: Option<SessionId>,
    user: Option<String>,
    /// `app` or `app.site`; where there is no such application, also a host label, `<app>-<site>`.
    application: Option<String>,
    /// Whether only those are wanted that were answered with a status of 400 or above, or not at all.
    failed: Option<bool>,
    /// RFC 3339: only requests that came then or later.
    since: Option<String>,
    /// RFC 3339: only requests that came before.
    until: Option<String>,
}

pub(super) async fn requests(
    State(state): State<AppState>,
    Params(asked): Params<Asked>,
) -> Result<Json<WebRequestPage>, ApiError> {
    let limit = asked.limit.unwrap_or(USUAL_PAGE).clamp(1, LONGEST_PAGE);
    let (since, until) = span(asked.since.as_deref(), asked.until.as_deref())?;
    let applications = labels(&state, asked.application.as_deref()).await?;
    let Asked { before, session, user, failed, .. } = asked;
    let failed = failed.unwrap_or_default();
    let query = WebQuery { before, limit, session, user, applications, failed, since, until };
    let found = state.store.web_requests(query).await?;
    let full = found.len() == limit as usize;
    let next = found.last().filter(|_| full).map(|row| row.id.to_string());
    Ok(Json(WebRequestPage { requests: found.into_iter().map(told).collect(), next }))
}

fn told(row: store::WebRequestRow) -> WebRequestRow {
    WebRequestRow {
        id: row.id.to_string(),
        client_id: row.client_id,
        at_ms: row.at_ms,
        from: row.from,
        method: row.method,
        host: row.host,
        path: row.path,
        session: row.session,
        user: row.user,
        application: row.application,
        status: row.status,
        code: row.code,
        up: row.up,
        down: row.down,
        millis: row.millis,
    }
}

const USUAL_PAGE: u32 = 100;
const LONGEST_PAGE: u32 = 1000;
