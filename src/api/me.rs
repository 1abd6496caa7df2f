//! What users see of and do for themselves.

use std::sync::Arc;
use std::time::SystemTime;

use access::{AgentId, Application, Deny, Kind, PolicySnapshot, TokenId, Unfound};
use api::{Issued, Me, MyApplication, MyToken, Page, Removed, TokenRow};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use session::{AuditEvent, Door, pace};
use store::{ApplicationRow, TokenQuery, UserRow};
use tokio::time::Instant;

use super::caller::Caller;
use super::change::{Intent, change, done, finally};
use super::error::ApiError;
use super::extract::{Body, Param};
use super::openapi::Created;
use super::page::{All, Listing};
use super::tokens::{self, Asked, Order, revoke_one};
use crate::AppState;
use crate::state::RelayInfo;

pub(super) async fn show(State(state): State<AppState>, caller: Caller) -> Json<Me> {
    let policy = state.policy.current();
    let end = policy.credential_end(&caller.who);
    Json(Me {
        user: caller.who.name().clone(),
        admin: caller.admin,
        machine: policy.user(caller.who.user()).is_some_and(|user| user.machine),
        auditor: caller.auditor,
        admin_of: caller.admin_of.to_vec(),
        scopes: caller.scopes,
        credential: caller.who.credential().word().to_owned(),
        agent: caller.agent,
        expires: end
            .map(|end| end.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()),
    })
}

pub(super) async fn applications(
    State(state): State<AppState>,
    caller: Caller,
    Listing { only: All {}, part }: Listing<All>,
) -> Result<Json<Page<MyApplication>>, ApiError> {
    let settings = state.store.settings().await?;
    let connected = state.connectors.list();
    let elsewhere = state.cluster.as_ref().map(|cluster| cluster.others());
    let online = |app: &Application| {
        connected.iter().any(|live| live.site == app.site.name)
            || elsewhere.as_ref().is_some_and(|others| others.has(app.site.id))
    };
    let policy = state.policy.current();
    let reachable = policy.reachable(&caller.who);
    let row = |app: &Arc<Application>| MyApplication {
        online: online(app),
        reusable_tokens: settings.tokens(app.kind).reusable,
        ..listed(app, &state.info)
    };
    let rows = reachable.into_iter().map(row);
    Ok(Json(part.of_all("my applications", rows, |app| (app.name.clone(), app.site.clone()))?))
}

pub(super) async fn my_tokens(
    State(state): State<AppState>,
    caller: Caller,
    Listing { only: All {}, part }: Listing<All>,
) -> Result<Json<Page<TokenRow>>, ApiError> {
    let query = TokenQuery { user: Some(caller.who.name().clone()), ..TokenQuery::default() };
    tokens::page(&state, query, &part, SystemTime::now()).await
}

pub(super) async fn issue(
    State(state): State<AppState>,
    caller: Caller,
    Body(asked): Body<MyToken>,
) -> Result<Created<Issued>, ApiError> {
    let MyToken { application, kind, expires, uses, overlap } = asked;
    let (owner, application) = own(&state, &caller, &application).await?;
    let settings = state.store.settings().await?;
    let asked = Asked { expires, uses, overlap, scopes: None };
    let order = Order::own(owner, application, kind, asked, &settings)?;
    Ok(Created(order.issue(&state, (&caller).into()).await?))
}

/// The caller, and an application that they can reach.
pub(super) async fn own(
    state: &AppState,
    caller: &Caller,
    text: &str,
) -> Result<(UserRow, ApplicationRow), ApiError> {
    let (policy, began) = (state.policy.current(), Instant::now());
    let reference = match reachable(state, &policy, caller, text) {
        Ok(reference) => reference,
        Err(error) => {
            pace::even(began, pace::DENIED).await;
            return Err(error);
        }
    };
    let row = state.store.application(&reference).await?;
    let application = row.ok_or_else(|| ApiError::explained(StatusCode::FORBIDDEN, &Deny::Gone))?;
    let owner = state.store.user(caller.who.name()).await?;
    Ok((owner.ok_or(session::AuthnError::UserDisabled)?, application))
}

pub(super) async fn revoke(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<String>,
) -> Result<Json<Removed>, ApiError> {
    revoke_one(&state, (&caller).into(), TokenId::from(id), Some(caller.who.user())).await
}

/// Ends the enrolment of the agent that asks.
pub(super) async fn logout(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Json<Removed>, ApiError> {
    let id = own_agent(&caller)?;
    let intent = Intent { action: "logout", object: format!("agent {id}") };
    let changes = vec![done(&intent, "")];
    let act = async {
        match state.store.revoke_agent(id).await? {
            true => Ok((changes.clone(), changes)),
            false => Err(ApiError::not_found("agent", &id.to_string())),
        }
    };
    let _cut = finally(|| {
        state.agents.disconnect(id);
    });
    let (changes, withdrawn) = change(&state, (&caller).into(), intent, act).await?;
    Ok(Json(Removed { changes, count: 1, withdrawn }))
}

fn own_agent(caller: &Caller) -> Result<AgentId, ApiError> {
    caller.agent.ok_or_else(|| {
        ApiError::invalid("a token does not sign out; an agent does")
            .hint("revoke a token with `adit token revoke ID`")
    })
}

/// The `app.site` of an application the caller can reach. What is absent and what is forbidden are
/// answered alike, and only the audit log tells them apart.
fn reachable(
    state: &AppState,
    policy: &PolicySnapshot,
    caller: &Caller,
    text: &str,
) -> Result<String, ApiError> {
    let detail = match policy.find(text, &caller.who) {
        Ok(app) if policy.reachable(&caller.who).iter().any(|open| open.id == app.id) => {
            return Ok(app.full_name());
        }
        Err(unfound @ Unfound::Ambiguous(_)) => {
            return Err(ApiError::explained(StatusCode::UNPROCESSABLE_ENTITY, &unfound));
        }
        Ok(_) => Deny::NoRule.to_string(),
        Err(Unfound::Unknown(_)) => format!("no application is called {text:?}"),
    };
    state.broker.audit().note(AuditEvent::AccessDenied {
        door: Door::Api,
        from: caller.who.from(),
        user: caller.who.name().clone(),
        application: text.chars().take(LONGEST_TEXT).collect(),
        code: access::Explain::code(&Deny::NoRule),
        detail: format!("asked for a token: {detail}"),
    });
    Err(ApiError::explained(StatusCode::FORBIDDEN, &Deny::NoRule))
}

fn listed(app: &Application, relay: &RelayInfo) -> MyApplication {
    MyApplication {
        name: app.name.clone(),
        site: app.site.name.clone(),
        kind: app.kind,
        label: app.label(),
        login: app.login.clone(),
        has_account: app.kind.is_database() && app.has_account(),
        door_port: relay.mysql_port.filter(|_| app.kind == Kind::Mysql),
        allow_api: app.allow_api,
        reusable_tokens: false,
        online: false,
        tags: app.tags.clone(),
    }
}

/// The longest application text that a record keeps, in characters.
const LONGEST_TEXT: usize = 128;
