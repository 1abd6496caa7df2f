//! Passwords: changed by their owners, given and taken by admins.

use std::time::{Duration, SystemTime};

use access::{Code, Name, SignInId};
use api::{
    ChangePassword, OneTimePassword, PasswordState, Removed, Secret, SignInMethods, TotpState,
    Withdrawn,
};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::SecretString;
use session::{AuditEvent, AuthnError};
use store::{EndOthers, NewPassword, UserRow};

use super::caller::Caller;
use super::change::{Actor, Intent, change, done};
use super::error::ApiError;
use super::extract::{Body, Param};
use super::openapi::Created;
use super::passkeys;
use super::second_factors::sign_in;
use super::sign_ins::Reason;
use crate::AppState;
use crate::authn::check_length;

/// Gives the caller another password, for which they show the one before.
pub(super) async fn change_mine(
    State(state): State<AppState>,
    caller: Caller,
    Body(ChangePassword { current, new }): Body<ChangePassword>,
) -> Result<Json<Removed>, ApiError> {
    whole(&caller)?;
    let (new, user) = (new.into_inner(), owner(&state, caller.who.name()).await?);
    check_length(&new).map_err(|error| refused(Code("password.length"), error.to_string()))?;
    match (state.store.password(user.id).await?, current) {
        (Some(_), current) => {
            let current = current.map(Secret::into_inner).unwrap_or_default();
            let shown = state.authn.by_password(user.name.as_str(), current, caller.who.from());
            let detail = "that is not your password of today";
            shown.await.map_err(|error| not_shown(error, Code("password.current"), detail))?;
        }
        (None, _) if caller.agent.is_some() => {}
        (None, _) => return Err(first()),
    }
    let but = sign_in(&caller);
    let given = give(&state, (&caller).into(), Given { user: &user, new, life: None, but }).await?;
    Ok(Json(given))
}

/// Gives a user a one-time password, in place of what they have, and signs their browsers out.
pub(super) async fn reset(
    State(state): State<AppState>,
    caller: Caller,
    Param(name): Param<Name>,
) -> Result<Created<OneTimePassword>, ApiError> {
    let user = owner(&state, &name).await?;
    whole(&caller)?;
    if user.machine {
        let detail = format!("{name} is a machine user and has no password");
        return Err(ApiError::for_people(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    let (password, now) = (one_time(), SystemTime::now());
    let given = Given { user: &user, new: password.clone(), life: Some(ONE_TIME), but: None };
    let removed = give(&state, (&caller).into(), given).await?;
    let info = &state.info;
    let expires = (now + ONE_TIME).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(Created(OneTimePassword {
        user: name,
        password: password.into(),
        url: format!("{}/sign-in", info.url()),
        expires: expires.as_secs(),
        signed_out: removed.count,
    }))
}

/// Takes a user's password away; what else signs them in stays.
pub(super) async fn remove(
    State(state): State<AppState>,
    caller: Caller,
    Param(name): Param<Name>,
) -> Result<Json<Removed>, ApiError> {
    let user = owner(&state, &name).await?;
    let intent = Intent { action: "remove_password", object: format!("user {name}") };
    let changes = vec![done(&intent, "")];
    let act = async {
        match state.store.remove_password(user.id).await? {
            true => Ok((changes.clone(), changes)),
            false => Err(ApiError::new(
                StatusCode::NOT_FOUND,
                Code("password.not_found"),
                format!("{name} has no password"),
            )),
        }
    };
    let (changes, withdrawn) = change(&state, (&caller).into(), intent, act).await?;
    Ok(Json(Removed { changes, count: 1, withdrawn }))
}

pub(super) async fn my_methods(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Json<SignInMethods>, ApiError> {
    methods(&state, caller.who.name()).await
}

pub(super) async fn methods_of(
    State(state): State<AppState>,
    Param(name): Param<Name>,
) -> Result<Json<SignInMethods>, ApiError> {
    methods(&state, &name).await
}

async fn methods(state: &AppState, name: &Name) -> Result<Json<SignInMethods>, ApiError> {
    let user = owner(state, name).await?;
    let password = state.store.password(user.id).await?.map(|row| PasswordState {
        changed: row.changed,
        must_change: row.must_change,
        expires: row.expires,
    });
    let totp = match state.store.totp(user.id).await? {
        Some(row) => Some(TotpState {
            created: row.created,
            recovery_codes: state.store.recovery_codes_left(user.id).await?,
        }),
        None => None,
    };
    let passkeys = state.store.passkeys(user.id).await?.into_iter().map(passkeys::shown).collect();
    Ok(Json(SignInMethods { password, totp, passkeys }))
}

/// A password that a user gets.
pub(crate) struct Given<'a> {
    pub(crate) user: &'a UserRow,
    pub(crate) new: SecretString,
    /// Of a one-time password: how long it signs its user in.
    pub(crate) life: Option<Duration>,
    /// The browser that stays signed in.
    pub(crate) but: Option<SignInId>,
}

/// Gives a user a password, ends their other sign-ins with it, and records both.
pub(crate) async fn give(
    state: &AppState,
    actor: Actor,
    Given { user, new, life, but }: Given<'_>,
) -> Result<Removed, ApiError> {
    let (now, by) = (SystemTime::now(), actor.name.clone());
    let hash = state.authn.hash(new).await?;
    let expires = life.map(|life| now + life);
    let new = NewPassword { user: user.id, hash, must_change: life.is_some(), expires };
    let intent = Intent { action: "set_password", object: format!("user {}", user.name) };
    let why = Reason::Password.as_str();
    let act = async {
        let ended = state.store.put_password(new, EndOthers { but, why }, now).await?;
        let what = if life.is_some() { "a one-time password" } else { "" };
        Ok((ended, vec![done(&intent, what)]))
    };
    let (ended, withdrawn) = change(state, actor, intent.clone(), act).await?;
    forget(state, &ended, &user.name, Reason::Password, &by);
    Ok(removed(&intent, ended.len(), withdrawn))
}

/// Forgets browsers that a change of what signs their user in has signed out, and records it.
pub(super) fn forget(state: &AppState, ended: &[SignInId], user: &Name, reason: Reason, by: &str) {
    for id in ended {
        state.authn.browsers().forget(*id);
        let (sign_in, user, by, reason) = (*id, user.clone(), by.to_owned(), reason.as_str());
        state.broker.audit().note(AuditEvent::SignInEnded { sign_in, user, reason, by });
    }
}

fn removed(intent: &Intent, count: usize, withdrawn: Withdrawn) -> Removed {
    Removed { changes: vec![done(intent, "")], count: count as u64, withdrawn }
}

pub(super) async fn owner(state: &AppState, name: &Name) -> Result<UserRow, ApiError> {
    let user = state.store.user(name).await?;
    user.ok_or_else(|| ApiError::not_found("user", name.as_str()))
}

/// Refuses a token with scopes: a password does all that its user may.
pub(super) fn whole(caller: &Caller) -> Result<(), ApiError> {
    match caller.scopes {
        Some(_) => {
            let detail = "a token with scopes changes nothing of how people sign in";
            Err(ApiError::out_of_scope(detail))
        }
        None => Ok(()),
    }
}

/// The caller is signed in, whatever they typed: it is not that which failed.
pub(super) fn not_shown(error: AuthnError, code: Code, detail: &str) -> ApiError {
    match error {
        AuthnError::Throttled | AuthnError::Unavailable => error.into(),
        AuthnError::Form
        | AuthnError::Mistyped
        | AuthnError::Unknown
        | AuthnError::Expired
        | AuthnError::Revoked
        | AuthnError::UsedUp
        | AuthnError::WrongKind
        | AuthnError::UserDisabled
        | AuthnError::KeyExpired
        | AuthnError::Uncertified
        | AuthnError::Nothing
        | AuthnError::Machine
        | AuthnError::Password
        | AuthnError::PasswordExpired
        | AuthnError::SecondFactor
        | AuthnError::Passkey
        | AuthnError::NotCompleted
        | AuthnError::NoUser
        | AuthnError::NotApproved => refused(code, detail),
    }
}

/// Else whoever sits at a browser that somebody left could come back for ever.
fn first() -> ApiError {
    let detail = "you have no password yet, and a browser gives nobody their first";
    ApiError::new(StatusCode::FORBIDDEN, Code("password.first"), detail)
        .hint("`adit password` where you are signed in with the agent, or ask an administrator")
}

fn refused(code: Code, detail: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}

/// Of 100 random bits, in letters and digits that are not taken for others.
fn one_time() -> SecretString {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz123456789";
    let bytes: [u8; 20] = rand::random();
    let letters = bytes.map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    let groups: Vec<String> = letters.chunks(5).map(|group| group.iter().collect()).collect();
    groups.join("-").into()
}

/// To be sent to somebody before a weekend.
const ONE_TIME: Duration = Duration::from_secs(3 * 24 * 3600);
