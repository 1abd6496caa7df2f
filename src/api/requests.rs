//! Asking for access, and deciding on it.
//!
//! Who may decide: an admin or an approver, or a member of one of the application's groups of
//! approvers; and nobody on what they asked for themselves, and no machine. To everybody else a request is not there.

use std::time::{Duration, SystemTime};

use access::{Authenticated, Code, Deny, Name, RuleId, Unfound};
use api::{AccessRequest, AskAccess, Decision, NoticeChannel, Page, Removed, RequestState};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use session::{AuditEvent, Door, pace};
use store::{ApplicationRow, NewRequest, RequestQuery, RequestRow, Settlement, UserRow};
use tokio::time::Instant;

use super::caller::Caller;
use super::change::{Actor, Intent, change, done};
use super::error::ApiError;
use super::extract::{Body, Param};
use super::openapi::Created;
use super::page::{All, Listing, Part};
use super::rows;
use crate::AppState;

pub(super) async fn mine(
    State(state): State<AppState>,
    caller: Caller,
    Listing { only: All {}, part }: Listing<All>,
) -> Result<Json<Page<AccessRequest>>, ApiError> {
    let query = RequestQuery { user: Some(caller.who.name().clone()), ..RequestQuery::default() };
    Ok(Json(page(&state, query, &part, |_| true).await?))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    user: Option<Name>,
    state: Option<RequestState>,
}

/// All that the caller may decide on or has a say in: everything for admins and approvers.
pub(super) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Listing { only: Which { user: of, state: in_state }, part }: Listing<Which>,
) -> Result<Json<Page<AccessRequest>>, ApiError> {
    let (user, applications) = (me(&state, &caller).await?, state.store.applications().await?);
    let query = RequestQuery { user: of, state: in_state, ..RequestQuery::default() };
    let own = |row: &RequestRow| {
        let application = applications.iter().find(|app| app.id == row.application_id);
        caller.auditor || decides(&caller, &user, application)
    };
    Ok(Json(page(&state, query, &part, own).await?))
}

/// Who is told of requests, and what is still to be told.
pub(super) async fn channels(
    State(state): State<AppState>,
) -> Result<Json<Vec<NoticeChannel>>, ApiError> {
    Ok(Json(state.notices.list().await?))
}

/// One page of the requests that fit the query and are the caller's to see.
async fn page(
    state: &AppState,
    mut query: RequestQuery,
    part: &Part,
    seen: impl Fn(&RequestRow) -> bool,
) -> Result<Page<AccessRequest>, ApiError> {
    query.after = part.after("requests")?;
    query.limit = Some(part.look_ahead());
    let mut found = Vec::new();
    // What somebody else sees may fill any number of pages before the next one of theirs.
    while found.len() <= part.limit() as usize {
        let rows = state.store.access_requests(query.clone()).await?;
        let Some(last) = rows.last() else { break };
        query.after = Some((last.created, last.id));
        found.extend(rows.into_iter().filter(&seen).filter_map(rows::request));
    }
    Ok(part.page("requests", found, |row| (row.created, row.id)))
}

pub(super) async fn ask(
    State(state): State<AppState>,
    caller: Caller,
    Body(asked): Body<AskAccess>,
) -> Result<Created<AccessRequest>, ApiError> {
    Ok(Created(ask_by(&state, &caller, asked).await?))
}

/// As somebody asks by a form.
pub(crate) async fn ask_access(
    state: &AppState,
    who: Authenticated,
    asked: AskAccess,
) -> Result<AccessRequest, ApiError> {
    ask_by(state, &Caller::of(state, (who, None), None)?, asked).await
}

async fn ask_by(
    state: &AppState,
    caller: &Caller,
    asked: AskAccess,
) -> Result<AccessRequest, ApiError> {
    let began = Instant::now();
    let application = match requestable(state, caller, &asked.application).await {
        Ok(application) => application,
        Err(error) => {
            pace::even(began, pace::DENIED).await;
            return Err(error);
        }
    };
    let reason = words("reason", Some(&asked.reason))?.unwrap_or_default();
    let new = NewRequest {
        user: caller.who.user(),
        application: application.id,
        reason: reason.clone(),
        duration: bounded(asked.duration)?,
    };
    let object = format!("request of {} for {}", caller.who.name(), application.reference());
    let intent = Intent { action: "ask", object };
    let told = format!("for {}: {reason}", asked.duration);
    let act = async {
        let row = state.store.ask_access(new, SystemTime::now()).await?;
        let told = vec![done(&intent, format!("{told} ({})", row.id))];
        Ok((row, told))
    };
    let (row, _) = change(state, caller.into(), intent.clone(), act).await?;
    state.notices.tell(row.id, RequestState::Pending).await;
    shown(row)
}

/// Takes back what the caller asked for, decided or not.
pub(super) async fn withdraw(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<RuleId>,
) -> Result<Json<Removed>, ApiError> {
    let row = state.store.access_request(id).await?.ok_or_else(|| absent(id))?;
    if row.user != *caller.who.name() {
        return Err(absent(id));
    }
    let from = open(&row)?;
    let by = caller.who.name().as_str();
    let to = RequestState::Withdrawn;
    settle(&state, (&caller).into(), &row, Settlement { from, to, by, comment: None, ends: None })
        .await
}

pub(super) async fn approve(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<RuleId>,
    Body(decision): Body<Decision>,
) -> Result<Json<AccessRequest>, ApiError> {
    let row = undecided(&state, &caller, id).await?;
    let comment = words("comment", decision.comment.as_deref())?;
    let asked = api::Span::from_seconds(row.seconds);
    let span = decision.duration.or(asked).ok_or_else(|| ApiError::invalid("no duration"))?;
    let ends = Some(SystemTime::now() + bounded(span)?);
    let by = caller.who.name().as_str();
    let (from, to) = (RequestState::Pending, RequestState::Approved);
    let settlement = Settlement { from, to, by, comment: comment.as_deref(), ends };
    drop(settle(&state, (&caller).into(), &row, settlement).await?);
    again(&state, id).await
}

pub(super) async fn deny(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<RuleId>,
    Body(decision): Body<Decision>,
) -> Result<Json<AccessRequest>, ApiError> {
    if decision.duration.is_some() {
        return Err(ApiError::invalid("a denial has no duration"));
    }
    let row = undecided(&state, &caller, id).await?;
    let comment = words("comment", decision.comment.as_deref())?;
    let by = caller.who.name().as_str();
    let (from, to) = (RequestState::Pending, RequestState::Denied);
    let settlement = Settlement { from, to, by, comment: comment.as_deref(), ends: None };
    drop(settle(&state, (&caller).into(), &row, settlement).await?);
    again(&state, id).await
}

/// Takes approved access back before its end; sessions on it end.
pub(super) async fn revoke(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<RuleId>,
) -> Result<Json<Removed>, ApiError> {
    let row = decidable(&state, &caller, id).await?;
    let from = RequestState::Approved;
    if row.state != from {
        return Err(settled(&row));
    }
    let (by, to) = (caller.who.name().as_str(), RequestState::Revoked);
    settle(&state, (&caller).into(), &row, Settlement { from, to, by, comment: None, ends: None })
        .await
}

async fn settle(
    state: &AppState,
    actor: Actor,
    row: &RequestRow,
    settlement: Settlement<'_>,
) -> Result<Json<Removed>, ApiError> {
    let to = settlement.to;
    let intent = Intent { action: action(to), object: object(row) };
    let changes = vec![done(&intent, settlement.comment.unwrap_or_default())];
    let act = async {
        match state.store.settle_request(row.id, settlement, SystemTime::now()).await? {
            true => Ok((changes.clone(), changes)),
            false => Err(settled(row)),
        }
    };
    let (changes, withdrawn) = change(state, actor, intent, act).await?;
    state.notices.tell(row.id, to).await;
    Ok(Json(Removed { changes, count: 1, withdrawn }))
}

fn action(to: RequestState) -> &'static str {
    match to {
        RequestState::Pending => "ask",
        RequestState::Approved => "approve",
        RequestState::Denied => "deny",
        RequestState::Ended => "end",
        RequestState::Revoked => "revoke",
        RequestState::Withdrawn => "withdraw",
    }
}

/// A request as records name it.
fn object(row: &RequestRow) -> String {
    format!("request {} of {} for {}", row.id, row.user, row.application)
}

/// Says of an approved request that its time is over.
pub(crate) async fn end_request(state: &AppState, id: RuleId, by: &str) {
    let ended = async {
        let row = state.store.access_request(id).await?.ok_or_else(|| absent(id))?;
        let (from, to) = (RequestState::Approved, RequestState::Ended);
        let settlement = Settlement { from, to, by, comment: None, ends: None };
        settle(state, Actor::relay(by), &row, settlement).await
    };
    if let Err(error) = ended.await {
        tracing::warn!(?error, request = %id, "Could not say that a request is over");
    }
}

async fn again(state: &AppState, id: RuleId) -> Result<Json<AccessRequest>, ApiError> {
    let row = state.store.access_request(id).await?.ok_or_else(|| absent(id))?;
    Ok(Json(shown(row)?))
}

async fn undecided(state: &AppState, caller: &Caller, id: RuleId) -> Result<RequestRow, ApiError> {
    let row = decidable(state, caller, id).await?;
    if row.user == *caller.who.name() {
        let detail = "nobody decides on what they asked for themselves";
        return Err(ApiError::new(StatusCode::FORBIDDEN, Code("access_request.own"), detail)
            .hint("ask another approver or administrator"));
    }
    match row.state {
        RequestState::Pending => Ok(row),
        RequestState::Approved
        | RequestState::Denied
        | RequestState::Ended
        | RequestState::Revoked
        | RequestState::Withdrawn => Err(settled(&row)),
    }
}

/// A request that the caller has a say in.
async fn decidable(state: &AppState, caller: &Caller, id: RuleId) -> Result<RequestRow, ApiError> {
    let user = me(state, caller).await?;
    if user.machine {
        let detail = "a machine user does not decide on requests";
        return Err(ApiError::for_people(StatusCode::FORBIDDEN, detail));
    }
    let row = state.store.access_request(id).await?.ok_or_else(|| absent(id))?;
    let applications = state.store.applications().await?;
    let application = applications.iter().find(|app| app.id == row.application_id);
    match decides(caller, &user, application) {
        true => Ok(row),
        false => Err(absent(id)),
    }
}

fn decides(caller: &Caller, user: &UserRow, application: Option<&ApplicationRow>) -> bool {
    let approves = |app: &ApplicationRow| app.approvers.iter().any(|g| user.groups.contains(g));
    let all = caller.admin || user.approver;
    !user.machine && (all || application.is_some_and(approves))
}

async fn me(state: &AppState, caller: &Caller) -> Result<UserRow, ApiError> {
    let user = state.store.user(caller.who.name()).await?;
    Ok(user.ok_or(session::AuthnError::UserDisabled)?)
}

/// The application that somebody asks for. What is absent and what they may neither reach nor ask
/// for are told alike, and only the audit log tells them apart.
async fn requestable(
    state: &AppState,
    caller: &Caller,
    text: &str,
) -> Result<ApplicationRow, ApiError> {
    let policy = state.policy.current();
    let reachable: Vec<_> = policy.reachable(&caller.who).iter().map(|app| app.id).collect();
    let named = |app: &ApplicationRow| {
        app.name.as_str() == text || app.reference() == text || app.label == text
    };
    let seen = |app: &ApplicationRow| app.requestable || reachable.contains(&app.id);
    let all = state.store.applications().await?;
    let absent = !all.iter().any(named);
    let mut found: Vec<_> = all.into_iter().filter(|app| named(app) && seen(app)).collect();
    match (found.pop(), found.is_empty()) {
        (Some(app), true) if app.requestable => Ok(app),
        (Some(app), true) => {
            let detail = format!("nobody can ask for access to {}", app.reference());
            let code = Code("access_request.not_requestable");
            Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
                .hint("an administrator sets `requestable = true` on the application"))
        }
        (Some(_), false) => {
            let unfound = Unfound::Ambiguous(text.to_owned());
            Err(ApiError::explained(StatusCode::UNPROCESSABLE_ENTITY, &unfound))
        }
        (None, _) => Err(refused(state, caller, text, absent)),
    }
}

fn refused(state: &AppState, caller: &Caller, text: &str, absent: bool) -> ApiError {
    let why = if absent { "there is none of that name" } else { "it is not requestable" };
    state.broker.audit().note(AuditEvent::AccessDenied {
        door: Door::Api,
        from: caller.who.from(),
        user: caller.who.name().clone(),
        application: text.chars().take(LONGEST_TEXT).collect(),
        code: access::Explain::code(&Deny::NoRule),
        detail: format!("asked for access: {why}"),
    });
    ApiError::explained(StatusCode::FORBIDDEN, &Deny::NoRule)
}

/// The state of a request that its owner can still take back.
fn open(row: &RequestRow) -> Result<RequestState, ApiError> {
    match row.state {
        RequestState::Pending | RequestState::Approved => Ok(row.state),
        RequestState::Denied
        | RequestState::Ended
        | RequestState::Revoked
        | RequestState::Withdrawn => Err(settled(row)),
    }
}

/// What somebody writes for others to read: one line, not too long.
fn words(what: &str, text: Option<&str>) -> Result<Option<String>, ApiError> {
    let Some(text) = text.map(str::trim) else { return Ok(None) };
    if text.is_empty() || text.chars().count() > LONGEST_WORDS || text.chars().any(char::is_control)
    {
        let detail = format!("{what}: 1 to {LONGEST_WORDS} characters on one line");
        return Err(ApiError::invalid(detail));
    }
    Ok(Some(text.to_owned()))
}

fn bounded(span: api::Span) -> Result<Duration, ApiError> {
    match span.seconds() {
        seconds if seconds <= LONGEST_ACCESS => Ok(span.duration()),
        _ => Err(ApiError::invalid("duration: 30 days at most")
            .hint("what somebody needs for longer is a grant")),
    }
}

fn shown(row: RequestRow) -> Result<AccessRequest, ApiError> {
    rows::request(row).ok_or_else(|| ApiError::internal("a request for no time"))
}

fn absent(id: RuleId) -> ApiError {
    let detail = format!("there is no request \"{id}\"");
    ApiError::new(StatusCode::NOT_FOUND, Code("access_request.not_found"), detail)
        .hint("`adit requests` lists yours, `adit admin requests ls` those you may decide on")
}

fn settled(row: &RequestRow) -> ApiError {
    let detail = format!("this request is {}", row.state);
    ApiError::new(StatusCode::CONFLICT, Code("access_request.settled"), detail)
}

const LONGEST_TEXT: usize = 128;
const LONGEST_WORDS: usize = 500;
const LONGEST_ACCESS: u64 = 30 * 24 * 3600;
