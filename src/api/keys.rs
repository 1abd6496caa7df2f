//! SSH public keys of users: one's own, and those of all.

use std::time::SystemTime;

use access::{Code, Name};
use api::{AddSshKey, MySshKey, Page, Removed, Span, SshKeyRow};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use session::{AuditEvent, Door};
use store::{KeyEnd, NewSshKey, Settings, StoreError};

use super::caller::Caller;
use super::change::{Intent, change, done};
use super::error::ApiError;
use super::extract::{Body, Param};
use super::openapi::Created;
use super::page::{All, Listing};
use super::rows;
use crate::AppState;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    user: Option<Name>,
}

pub(super) async fn mine(
    State(state): State<AppState>,
    caller: Caller,
    Listing { only: All {}, part }: Listing<All>,
) -> Result<Json<Page<SshKeyRow>>, ApiError> {
    let rows = of(&state, Some(caller.who.name())).await?;
    Ok(Json(part.of_all("ssh-keys", rows, place)?))
}

pub(super) async fn list(
    State(state): State<AppState>,
    Listing { only: Whose { user }, part }: Listing<Whose>,
) -> Result<Json<Page<SshKeyRow>>, ApiError> {
    if let Some(user) = &user {
        known(&state, user).await?;
    }
    let rows = of(&state, user.as_ref()).await?;
    Ok(Json(part.of_all("ssh-keys", rows, place)?))
}

fn place(row: &SshKeyRow) -> (Name, String) {
    (row.user.clone(), row.fingerprint.clone())
}

/// Registers a key for the caller. That another user has it is for the auditor to know, not for who
/// tries.
pub(super) async fn add_mine(
    State(state): State<AppState>,
    caller: Caller,
    Body(asked): Body<MySshKey>,
) -> Result<Created<SshKeyRow>, ApiError> {
    let MySshKey { key, name, expires } = asked;
    let most = state.store.settings().await?;
    let end = match expires {
        Some(span) if span.duration() > most.ssh_key_life() => return Err(too_long(&most)),
        end => life(end),
    };
    let new = NewSshKey { text: key, name, end };
    match register(&state, &caller, caller.who.name(), &new).await {
        Err(AddError::Taken(detail)) => {
            note_taken(&state, &caller, detail);
            let detail = "this key can not be registered";
            Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, Code("user.ssh_key"), detail)
                .hint("make another one: `ssh-keygen -t ed25519`"))
        }
        Err(AddError::Other(error)) => Err(error),
        Ok(row) => Ok(Created(row)),
    }
}

pub(super) async fn add(
    State(state): State<AppState>,
    caller: Caller,
    Body(asked): Body<AddSshKey>,
) -> Result<Created<SshKeyRow>, ApiError> {
    let AddSshKey { user, key, name, expires, never } = asked;
    let end = match (expires, never) {
        (Some(_), true) => {
            return Err(ApiError::invalid("a key expires after some time or never, not both"));
        }
        (None, true) => KeyEnd::Never,
        (end, false) => life(end),
    };
    known(&state, &user).await?;
    let new = NewSshKey { text: key, name, end };
    match register(&state, &caller, &user, &new).await {
        Err(AddError::Taken(detail)) => {
            let code = Code("user.ssh_key_taken");
            Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail))
        }
        Err(AddError::Other(error)) => Err(error),
        Ok(row) => Ok(Created(row)),
    }
}

pub(super) async fn remove_mine(
    State(state): State<AppState>,
    caller: Caller,
    Param(fingerprint): Param<String>,
) -> Result<Json<Removed>, ApiError> {
    remove_one(&state, &caller, &fingerprint, Some(caller.who.name())).await
}

pub(super) async fn remove(
    State(state): State<AppState>,
    caller: Caller,
    Param(fingerprint): Param<String>,
) -> Result<Json<Removed>, ApiError> {
    remove_one(&state, &caller, &fingerprint, None).await
}

/// Why a key was not registered.
enum AddError {
    /// Another user has it; in the auditor's words.
    Taken(String),
    Other(ApiError),
}

impl From<ApiError> for AddError {
    fn from(error: ApiError) -> Self {
        Self::Other(error)
    }
}

async fn register(
    state: &AppState,
    caller: &Caller,
    user: &Name,
    new: &NewSshKey,
) -> Result<SshKeyRow, AddError> {
    let mut taken = None;
    let intent = Intent { action: "add", object: format!("ssh key of {user}") };
    let act = async {
        let now = SystemTime::now();
        match state.store.add_ssh_key(user, new, now).await {
            Ok(row) => {
                let row = rows::ssh_key(user, &row, now);
                let told = format!("{} {}", row.fingerprint, until(&row));
                Ok((row, vec![done(&intent, told)]))
            }
            Err(StoreError::Invalid(problems)) => {
                let other = problems.iter().find(|it| it.code.0 == "user.ssh_key_taken");
                taken = other.map(|problem| format!("{}: {}", problem.object, problem.detail));
                Err(StoreError::Invalid(problems).into())
            }
            Err(error) => Err(error.into()),
        }
    };
    match change(state, caller.into(), intent.clone(), act).await {
        Ok((row, _)) => Ok(row),
        Err(error) => Err(taken.map_or(AddError::Other(error), AddError::Taken)),
    }
}

async fn remove_one(
    state: &AppState,
    caller: &Caller,
    fingerprint: &str,
    owner: Option<&Name>,
) -> Result<Json<Removed>, ApiError> {
    let intent = Intent { action: "remove", object: format!("ssh key {fingerprint}") };
    let act = async {
        match state.store.remove_ssh_key(fingerprint, owner).await? {
            Some(user) => Ok(((), vec![done(&intent, format!("of {user}"))])),
            None => Err(ApiError::not_found("ssh key", fingerprint)),
        }
    };
    let ((), withdrawn) = change(state, caller.into(), intent.clone(), act).await?;
    Ok(Json(Removed { changes: Vec::new(), count: 1, withdrawn }))
}

/// The keys of a user, or all.
async fn of(state: &AppState, user: Option<&Name>) -> Result<Vec<SshKeyRow>, ApiError> {
    let now = SystemTime::now();
    let users = match user {
        Some(user) => state.store.user(user).await?.into_iter().collect(),
        None => state.store.users().await?,
    };
    let keys = users.iter().flat_map(|user| user.ssh_keys.iter().map(|key| (&user.name, key)));
    Ok(keys.map(|(user, key)| rows::ssh_key(user, key, now)).collect())
}

async fn known(state: &AppState, user: &Name) -> Result<(), ApiError> {
    let found = state.store.user(user).await?;
    found.map(drop).ok_or_else(|| ApiError::not_found("user", user.as_str()))
}

fn note_taken(state: &AppState, caller: &Caller, detail: String) {
    state.broker.audit().note(AuditEvent::AccessDenied {
        door: Door::Api,
        from: caller.who.from(),
        user: caller.who.name().clone(),
        application: "an SSH key".to_owned(),
        code: Code("user.ssh_key_taken"),
        detail,
    });
}

fn life(asked: Option<Span>) -> KeyEnd {
    asked.map_or(KeyEnd::Usual, |span| KeyEnd::For(span.duration()))
}

fn until(row: &SshKeyRow) -> String {
    row.expires.map_or_else(|| "without an end".to_owned(), |end| format!("until {end}"))
}

fn too_long(most: &Settings) -> ApiError {
    let days = most.ssh_key_days;
    let detail = format!("an SSH key is good for {days} days at most");
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, Code("user.ssh_key_expiry"), detail)
        .hint("register it again before it expires")
}
