//! Authenticator apps and recovery codes: of their owners, and taken away by admins.

use std::time::SystemTime;

use access::{Code, Credential, Name, SignInId, UserId};
use api::{RecoveryCodes, Removed, Secret, ShowSecond, TakeTotp, TotpOffer, Withdrawn};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::SecretString;
use store::{EndOthers, NewTotp};

use super::caller::Caller;
use super::change::{Actor, Intent, change, done};
use super::error::ApiError;
use super::extract::{Body, Param};
use super::openapi::Created;
use super::passwords::{forget, not_shown, owner, whole};
use super::sign_ins::Reason;
use crate::AppState;
use crate::authn::{How, Known, TotpKey, recovery_codes};

/// Offers a key. Nothing is kept of it: who takes it sends it back with a code.
pub(super) async fn offer(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Created<TotpOffer>, ApiError> {
    let key = TotpKey::generate();
    let uri = key.uri(caller.who.name().as_str(), &state.info.domain);
    let qr = crate::qr::of(&uri).ok_or_else(|| ApiError::internal("an otpauth URI too long"))?;
    Ok(Created(TotpOffer {
        key: Secret::from(key.base32().to_string()),
        uri: Secret::from(uri.to_string()),
        qr,
    }))
}

pub(super) async fn take(
    State(state): State<AppState>,
    caller: Caller,
    Body(TakeTotp { key, code }): Body<TakeTotp>,
) -> Result<Json<RecoveryCodes>, ApiError> {
    whole(&caller)?;
    let key = TotpKey::from_base32(key.expose());
    let key = key.ok_or_else(|| ApiError::invalid("key: not one that was offered"))?;
    let user = caller.who.user();
    if state.store.totp(user).await?.is_some() {
        let detail = "you have an authenticator app already";
        return Err(ApiError::new(StatusCode::CONFLICT, Code("totp.exists"), detail)
            .hint("remove it first, with a code of it"));
    }
    let taken = Taken { user, name: caller.who.name(), but: sign_in(&caller) };
    let (codes, signed_out) = enrol(&state, (&caller).into(), taken, key, code.expose()).await?;
    Ok(Json(RecoveryCodes { codes: codes.into_iter().map(Secret::from).collect(), signed_out }))
}

/// Gives the caller other recovery codes.
pub(super) async fn renew_codes(
    State(state): State<AppState>,
    caller: Caller,
    Body(ShowSecond { code }): Body<ShowSecond>,
) -> Result<Created<RecoveryCodes>, ApiError> {
    whole(&caller)?;
    show(&state, &caller, code).await?;
    let user = caller.who.user();
    let (codes, digests) = recovery_codes(user);
    let intent = Intent { action: "renew_codes", object: format!("user {}", caller.who.name()) };
    let act = async {
        state.store.put_recovery_codes(user, &digests).await?;
        Ok(((), vec![done(&intent, "recovery codes")]))
    };
    change(&state, (&caller).into(), intent.clone(), act).await?;
    let codes = codes.into_iter().map(Secret::from).collect();
    Ok(Created(RecoveryCodes { codes, signed_out: 0 }))
}

/// Takes the caller's app away, for a code of it.
pub(super) async fn remove_mine(
    State(state): State<AppState>,
    caller: Caller,
    Body(ShowSecond { code }): Body<ShowSecond>,
) -> Result<Json<Removed>, ApiError> {
    whole(&caller)?;
    show(&state, &caller, code).await?;
    take_away(&state, (&caller).into(), caller.who.user(), caller.who.name()).await
}

/// Takes a user's second factors away, and the passkeys that sign in alone: for who has lost theirs.
pub(super) async fn remove(
    State(state): State<AppState>,
    caller: Caller,
    Param(name): Param<Name>,
) -> Result<Json<Removed>, ApiError> {
    let user = owner(&state, &name).await?;
    whole(&caller)?;
    let intent = Intent { action: "remove_second_factor", object: format!("user {name}") };
    let changes = vec![done(&intent, "the authenticator app, its recovery codes and all passkeys")];
    let act = async {
        let app = state.store.remove_totp(user.id).await?;
        let passkeys = state.store.remove_passkeys(user.id).await?;
        match app || passkeys > 0 {
            true => Ok((u64::from(app) + passkeys, changes.clone())),
            false => Err(none(&name)),
        }
    };
    let (count, withdrawn): (_, Withdrawn) =
        change(&state, (&caller).into(), intent.clone(), act).await?;
    Ok(Json(Removed { changes, count, withdrawn }))
}

/// Who gets an app, and the browser of theirs that stays signed in.
pub(crate) struct Taken<'a> {
    pub(crate) user: UserId,
    pub(crate) name: &'a Name,
    pub(crate) but: Option<SignInId>,
}

/// Gives a user the app that shows `code`, signs their other browsers out, and gives the recovery
/// codes and how many that were.
pub(crate) async fn enrol(
    state: &AppState,
    actor: Actor,
    Taken { user, name, but }: Taken<'_>,
    key: TotpKey,
    code: &str,
) -> Result<(Vec<SecretString>, u64), ApiError> {
    let now = SystemTime::now();
    let step = key.step_of(code, now).ok_or_else(|| {
        let detail = "that is not what an app with this key shows now";
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, Code("totp.code"), detail)
            .hint("wait for the next code; look at the clocks of phone and relay")
    })?;
    let (codes, recovery) = recovery_codes(user);
    let by = actor.name.clone();
    let new = NewTotp { user, key: key.into_bytes(), step, recovery };
    let intent = Intent { action: "add_second_factor", object: format!("user {name}") };
    let why = Reason::SecondFactor.as_str();
    let act = async {
        let ended = state.store.put_totp(new, EndOthers { but, why }, now).await?;
        Ok((ended, vec![done(&intent, "an authenticator app")]))
    };
    let (ended, _) = change(state, actor, intent.clone(), act).await?;
    forget(state, &ended, name, Reason::SecondFactor, &by);
    Ok((codes, ended.len() as u64))
}

async fn take_away(
    state: &AppState,
    actor: Actor,
    user: UserId,
    name: &Name,
) -> Result<Json<Removed>, ApiError> {
    let intent = Intent { action: "remove_second_factor", object: format!("user {name}") };
    let changes = vec![done(&intent, "the authenticator app and its recovery codes")];
    let act = async {
        match state.store.remove_totp(user).await? {
            true => Ok((changes.clone(), changes)),
            false => Err(none(name)),
        }
    };
    let (changes, withdrawn): (_, Withdrawn) = change(state, actor, intent, act).await?;
    Ok(Json(Removed { changes, count: 1, withdrawn }))
}

/// Has the caller show their second factor.
async fn show(state: &AppState, caller: &Caller, code: Secret) -> Result<(), ApiError> {
    let (user, name) = (caller.who.user(), caller.who.name().clone());
    if state.store.totp(user).await?.is_none() {
        return Err(none(&name));
    }
    let known = Known { user, name, how: How::Password };
    let shown = state.authn.second_factor(&known, &code.into_inner(), caller.who.from()).await;
    shown.map(drop).map_err(|error| not_shown(error, Code("totp.code"), "that code is not good"))
}

fn none(name: &Name) -> ApiError {
    let detail = format!("{name} has no second factor");
    ApiError::new(StatusCode::NOT_FOUND, Code("totp.not_found"), detail)
}

/// The browser by which somebody asks.
pub(super) fn sign_in(caller: &Caller) -> Option<SignInId> {
    match caller.who.credential() {
        Credential::SignIn { id } => Some(*id),
        Credential::Token { .. }
        | Credential::SshKey { .. }
        | Credential::Agent { .. }
        | Credential::Certificate { .. } => None,
    }
}
