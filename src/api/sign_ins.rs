//! Browsers that are signed in, and the codes that sign them in.

use std::time::SystemTime;

use access::{Code, Credential, Name, SignInId};
use api::{LastSeen, Page, Removed, SignInCode, SignInRow, Withdrawn};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use session::AuditEvent;
use store::SignInQuery;

use super::caller::Caller;
use super::change::{Actor, Intent, change, done};
use super::error::ApiError;
use super::extract::Param;
use super::openapi::Created;
use super::page::{Listing, Part};
use super::tokens::Order;
use crate::AppState;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    user: Option<Name>,
    /// Those that have ended too.
    #[serde(default)]
    all: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichOfMine {
    /// Those that have ended too.
    #[serde(default)]
    all: bool,
}

/// Signs no browser in by itself: whoever shows the code within a minute is signed in as the caller.
pub(super) async fn code(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Created<SignInCode>, ApiError> {
    let owner = state.store.user(caller.who.name()).await?;
    let owner = owner.ok_or(session::AuthnError::UserDisabled)?;
    if owner.machine {
        let detail = "a machine user signs no browser in";
        return Err(ApiError::for_people(StatusCode::FORBIDDEN, detail));
    }
    if caller.scopes.is_some() {
        // A browser does all that its user may.
        let detail = "a token with scopes signs no browser in";
        return Err(ApiError::new(StatusCode::FORBIDDEN, KIND, detail)
            .hint("`adit sign-in` by an agent, or ask an administrator for a link"));
    }
    if let Credential::SignIn { .. } = caller.who.credential() {
        // Else whoever sits at it would be signed in for ever.
        let detail = "a browser signs no other browser in";
        return Err(ApiError::new(StatusCode::FORBIDDEN, KIND, detail)
            .hint("`adit sign-in` where you are signed in with the agent"));
    }
    let order = Order::to_sign_in(owner);
    let issued = order.issue(&state, (&caller).into()).await?;
    let info = &state.info;
    let url = format!("{}/sign-in", info.url());
    let expires = issued.expires.unwrap_or_default();
    Ok(Created(SignInCode { id: issued.id, code: issued.token, url, expires }))
}

pub(super) async fn mine(
    State(state): State<AppState>,
    caller: Caller,
    Listing { only: WhichOfMine { all }, part }: Listing<WhichOfMine>,
) -> Result<Json<Page<SignInRow>>, ApiError> {
    page(&state, Which { user: Some(caller.who.name().clone()), all }, &part).await
}

pub(super) async fn list(
    State(state): State<AppState>,
    Listing { only, part }: Listing<Which>,
) -> Result<Json<Page<SignInRow>>, ApiError> {
    page(&state, only, &part).await
}

pub(super) async fn end_mine(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<SignInId>,
) -> Result<Json<Removed>, ApiError> {
    let own = state.policy.current().sign_in(id).is_some_and(|one| one.user == caller.who.user());
    if !own {
        return Err(absent(id));
    }
    end(&state, (&caller).into(), &[id], Reason::SignedOut).await
}

pub(super) async fn end_one(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<SignInId>,
) -> Result<Json<Removed>, ApiError> {
    end(&state, (&caller).into(), &[id], Reason::Ended).await
}

/// Why a browser is signed in no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its user said so.
    SignedOut,
    /// An admin said so.
    Ended,
    /// It signed in anew.
    Replaced,
    /// Nothing was asked for too long.
    Idle,
    /// Its user was disabled.
    Disabled,
    /// Its time was over.
    Expired,
    /// Its user has another password.
    Password,
    /// Its user has a second factor from then on.
    SecondFactor,
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::Ended => "ended",
            Self::Replaced => "replaced",
            Self::Idle => "idle",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Password => "password_changed",
            Self::SecondFactor => "second_factor_added",
        }
    }
}

/// Ends sign-ins of one user with all that stands on them, and records who did and what ended.
pub(crate) async fn end(
    state: &AppState,
    actor: Actor,
    ids: &[SignInId],
    reason: Reason,
) -> Result<Json<Removed>, ApiError> {
    let first = ids.first().ok_or_else(|| ApiError::invalid("no sign-in is named"))?;
    let policy = state.policy.current();
    let owner = policy.sign_in(*first).and_then(|one| policy.user(one.user));
    let user = owner.map(|user| user.name.clone()).ok_or_else(|| absent(*first))?;
    let object = match ids.len() {
        1 => format!("sign-in {first}"),
        _ => format!("sign-ins of {user}"),
    };
    let intent = Intent { action: "sign_out", object };
    let by = actor.name.clone();
    let act = async {
        let ended = state.store.end_sign_ins(ids, reason.as_str(), SystemTime::now()).await?;
        if ended.is_empty() {
            return Err(absent(*first));
        }
        let told = done(&intent, format!("of {user}: {}", reason.as_str()));
        Ok((ended, vec![told]))
    };
    let (ended, withdrawn) = change(state, actor, intent.clone(), act).await?;
    for id in &ended {
        state.authn.browsers().forget(*id);
        let (sign_in, user, by) = (*id, user.clone(), by.clone());
        let reason = reason.as_str();
        state.broker.audit().note(AuditEvent::SignInEnded { sign_in, user, reason, by });
    }
    Ok(Json(removed(&intent, ended.len(), withdrawn)))
}

fn removed(intent: &Intent, count: usize, withdrawn: Withdrawn) -> Removed {
    Removed { changes: vec![done(intent, "")], count: count as u64, withdrawn }
}

async fn page(
    state: &AppState,
    Which { user, all }: Which,
    part: &Part,
) -> Result<Json<Page<SignInRow>>, ApiError> {
    let live_at = (!all).then(SystemTime::now);
    let (after, limit) = (part.after("sign-ins")?, Some(part.look_ahead()));
    let rows = state.store.sign_ins(SignInQuery { user, live_at, after, limit }).await?;
    let rows = rows.into_iter().map(|row| shown(state, row)).collect();
    Ok(Json(part.page("sign-ins", rows, |row: &SignInRow| (row.created, row.id))))
}

fn shown(state: &AppState, row: store::SignInRow) -> SignInRow {
    let stored = LastSeen { at: row.seen, from: Some(row.seen_from), door: None };
    let lately = state.authn.browsers().seen(row.id).map(|(at, from)| LastSeen {
        at: at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
        from: Some(from),
        door: None,
    });
    SignInRow {
        id: row.id,
        user: row.user_name,
        browser: row.browser,
        created: row.created,
        seen: lately.filter(|_| row.ended.is_none()).unwrap_or(stored),
        idle: row.idle,
        expires: row.expires,
        ended: row.ended,
        why: row.why,
    }
}

fn absent(id: SignInId) -> ApiError {
    ApiError::not_found("sign-in", &id.to_string())
}

const KIND: Code = Code("token.kind_not_allowed");
