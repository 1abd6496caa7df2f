//! Sessions open now, and what is recorded of each there ever was.

use access::{Name, SessionId};
use api::{Page, Removed, SessionRow};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use futures_util::stream::{self, StreamExt};
use schemars::JsonSchema;
use serde::Deserialize;
use store::{AuditQuery, AuditRow, Store, StoreError};

use super::caller::Caller;
use super::change;
use super::error::ApiError;
use super::extract::{Param, Params};
use super::openapi::Lines;
use super::page::{All, Listing};
use super::rows;
use crate::AppState;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    user: Option<Name>,
    /// `app` or `app.site`.
    application: Option<String>,
}

pub(super) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Listing { only, part }: Listing<Whose>,
) -> Result<Json<Page<SessionRow>>, ApiError> {
    let to = |row: &SessionRow, asked: &str| {
        asked == row.application.as_str() || asked == format!("{}.{}", row.application, row.site)
    };
    let live = all(&state).await?.into_iter();
    let live = live.filter(|row| caller.sees(&row.site));
    let live = live.filter(|row| only.user.as_ref().is_none_or(|user| row.user == *user));
    let live = live.filter(|row| only.application.as_ref().is_none_or(|app| to(row, app)));
    Ok(Json(part.of_all("sessions", live, |row| (row.opened_ms, row.id))?))
}

/// The sessions of all relays.
async fn all(state: &AppState) -> Result<Vec<SessionRow>, ApiError> {
    let live = state.broker.live().into_iter().map(rows::session);
    let Some(cluster) = &state.cluster else { return Ok(live.collect()) };
    let here = live.map(|row| SessionRow { relay: Some(cluster.name().clone()), ..row });
    let elsewhere = state.store.live_elsewhere().await?.into_iter().map(rows::session_elsewhere);
    Ok(here.chain(elsewhere).collect())
}

pub(super) async fn mine(
    State(state): State<AppState>,
    caller: Caller,
    Listing { only: All {}, part }: Listing<All>,
) -> Result<Json<Page<SessionRow>>, ApiError> {
    let own = all(&state).await?.into_iter().filter(|live| live.user == *caller.who.name());
    Ok(Json(part.of_all("my sessions", own, |row| (row.opened_ms, row.id))?))
}

pub(super) async fn end_mine(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<SessionId>,
) -> Result<Json<Removed>, ApiError> {
    let live = all(&state).await?;
    if !live.iter().any(|live| live.id == id && live.user == *caller.who.name()) {
        return Err(ApiError::not_found("session", &id.to_string()));
    }
    let withdrawn = change::kill(&state, (&caller).into(), id, OWN).await?;
    Ok(Json(Removed { count: 1, withdrawn, ..Removed::default() }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Last {
    /// What the session's user is told besides, in 300 characters at most.
    message: Option<String>,
}

pub(super) async fn kill(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<SessionId>,
    Params(last): Params<Last>,
) -> Result<Json<Removed>, ApiError> {
    let words = last.message.unwrap_or_default();
    if words.chars().count() > LONGEST_WORDS {
        let detail = format!("message: {LONGEST_WORDS} characters are the most");
        return Err(ApiError::invalid(detail));
    }
    let absent = || ApiError::not_found("session", &id.to_string());
    if let Some(live) = all(&state).await?.into_iter().find(|live| live.id == id) {
        caller.changes(&live.site, absent)?;
    }
    let withdrawn = change::kill(&state, (&caller).into(), id, &words).await?;
    Ok(Json(Removed { count: 1, withdrawn, ..Removed::default() }))
}

/// Everything recorded about one session, a line of JSON each.
pub(super) async fn events(
    State(state): State<AppState>,
    Param(id): Param<SessionId>,
) -> Result<Lines<api::AuditRow>, ApiError> {
    let first = page(&state.store, id, 0).await?;
    if first.is_empty() {
        return Err(ApiError::not_found("session", &id.to_string()));
    }
    let pages = stream::try_unfold(Some(first), move |page| next(state.store.clone(), id, page));
    Ok(Lines::new(Body::from_stream(pages.boxed())))
}

/// The lines of this page, and the page after it.
async fn next(
    store: Store,
    id: SessionId,
    rows: Option<Vec<AuditRow>>,
) -> Result<Option<(Bytes, Option<Vec<AuditRow>>)>, StoreError> {
    let Some(rows) = rows.filter(|rows| !rows.is_empty()) else { return Ok(None) };
    let last = rows.last().map_or(0, |row| row.seq);
    let full = rows.len() == LONGEST_PAGE as usize;
    let lines =
        rows.into_iter().map(rows::audit).filter_map(|row| serde_json::to_string(&row).ok());
    let lines: String = lines.map(|line| line + "\n").collect();
    let after = if full { Some(page(&store, id, last).await?) } else { None };
    Ok(Some((Bytes::from(lines), after)))
}

async fn page(store: &Store, id: SessionId, after: u64) -> Result<Vec<AuditRow>, StoreError> {
    let session = Some(id);
    store
        .audit_events(AuditQuery { after, limit: LONGEST_PAGE, session, ..Default::default() })
        .await
}

const LONGEST_PAGE: u32 = 1000;

/// What is said where a user ends a session of their own.
const OWN: &str = "you ended it from elsewhere";

/// Characters of what an admin says to the user of a session that they end.
const LONGEST_WORDS: usize = 300;
