//! Passkeys: made and removed by their owners.

use std::time::{SystemTime, UNIX_EPOCH};

use access::Code;
use access::text::visible;
use api::{AddPasskey, PasskeyOffer, PasskeyState, Removed};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use data_encoding::BASE64URL_NOPAD;
use passkey::{Algorithm, Expected, Fault, Registered, Registration};
use store::{EndOthers, PasskeyRow};
use tokio::time::Instant;

use super::caller::Caller;
use super::change::{Intent, change, done};
use super::error::ApiError;
use super::extract::{Body, Param};
use super::openapi::Created;
use super::passwords::{forget, whole};
use super::second_factors::sign_in;
use super::sign_ins::Reason;
use crate::AppState;
use crate::authn::Purpose;

/// Offers a question. Nothing is kept of it: what is made for it brings it back.
pub(super) async fn offer(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Created<PasskeyOffer>, ApiError> {
    let user = caller.who.user();
    let known = state.store.passkeys(user).await?;
    Ok(Created(PasskeyOffer {
        challenge: state.authn.challenges().ask(Purpose::Make(user), SystemTime::now()),
        host: state.info.domain.clone(),
        user: BASE64URL_NOPAD.encode(user.0.as_bytes()),
        name: caller.who.name().clone(),
        algorithms: Algorithm::ALL.map(Algorithm::number).to_vec(),
        known: known.into_iter().map(|row| row.id).collect(),
    }))
}

/// Gives the caller a passkey that was made for a question of theirs, and signs their other browsers
/// out.
pub(super) async fn add_mine(
    State(state): State<AppState>,
    caller: Caller,
    Body(asked): Body<AddPasskey>,
) -> Result<Created<PasskeyState>, ApiError> {
    whole(&caller)?;
    let (user, name) = (caller.who.user(), caller.who.name());
    if state.store.passkeys(user).await?.len() >= MOST {
        let detail = format!("you have {MOST} passkeys, which is the most");
        return Err(ApiError::new(StatusCode::CONFLICT, Code("passkey.too_many"), detail)
            .hint("remove one that you do not use"));
    }
    let made = check(&state, &caller, &asked)?;
    let now = SystemTime::now();
    let new = PasskeyRow {
        id: BASE64URL_NOPAD.encode(&made.id),
        user,
        name: title(&asked.name),
        algorithm: made.key.algorithm().number(),
        public_key: made.key.spki().to_vec(),
        counter: made.counter,
        created: now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        used: None,
    };
    let intent = Intent { action: "add_passkey", object: format!("user {name}") };
    let others = EndOthers { but: sign_in(&caller), why: Reason::SecondFactor.as_str() };
    let act = async {
        let ended = state.store.add_passkey(&new, others, now).await?;
        let ended = ended.ok_or_else(|| {
            let detail = "this passkey is registered already";
            ApiError::new(StatusCode::CONFLICT, Code("passkey.exists"), detail)
        })?;
        Ok((ended, vec![done(&intent, new.name.clone())]))
    };
    let (ended, _) = change(&state, (&caller).into(), intent.clone(), act).await?;
    forget(&state, &ended, name, Reason::SecondFactor, name.as_str());
    Ok(Created(shown(new)))
}

pub(super) async fn remove_mine(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<String>,
) -> Result<Json<Removed>, ApiError> {
    let user = caller.who.user();
    let object = format!("user {}", caller.who.name());
    let intent = Intent { action: "remove_passkey", object };
    let row = state.store.passkey(&id).await?.filter(|row| row.user == user);
    let absent = || {
        let detail = "you have no such passkey";
        ApiError::new(StatusCode::NOT_FOUND, Code("passkey.not_found"), detail)
    };
    let changes = vec![done(&intent, row.ok_or_else(absent)?.name)];
    whole(&caller)?;
    let act = async {
        match state.store.remove_passkey(user, &id).await? {
            true => Ok((changes.clone(), changes)),
            false => Err(absent()),
        }
    };
    let (changes, withdrawn) = change(&state, (&caller).into(), intent, act).await?;
    Ok(Json(Removed { changes, count: 1, withdrawn }))
}

/// What is told of a passkey.
pub(super) fn shown(row: PasskeyRow) -> PasskeyState {
    let PasskeyRow { id, name, created, used, .. } = row;
    PasskeyState { id, name, created, used }
}

fn check(state: &AppState, caller: &Caller, asked: &AddPasskey) -> Result<Registered, ApiError> {
    let bytes = |field: &str, text: &str| {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes());
        bytes.map_err(|_| ApiError::invalid(format!("{field}: no base64url")))
    };
    let client_data = bytes("client_data", &asked.client_data)?;
    let authenticator_data = bytes("authenticator_data", &asked.authenticator_data)?;
    let public_key = bytes("public_key", &asked.public_key)?;
    let challenge = passkey::challenge(&client_data).map_err(refused)?;
    let (challenges, purpose) = (state.authn.challenges(), Purpose::Make(caller.who.user()));
    if !challenges.is_ours(&challenge, purpose, SystemTime::now()) {
        return Err(refused(Fault::Challenge));
    }
    // A key that does not know its user is of use besides a password.
    let expected = Expected { host: &state.info.domain, challenge: &challenge, verified: false };
    let what = Registration {
        client_data: &client_data,
        authenticator_data: &authenticator_data,
        algorithm: asked.algorithm,
        public_key: &public_key,
    };
    let made = passkey::registered(what, expected).map_err(refused)?;
    match challenges.spend(&challenge, Instant::now()) {
        true => Ok(made),
        false => Err(refused(Fault::Challenge)),
    }
}

fn refused(fault: Fault) -> ApiError {
    let detail = format!("this passkey can not be taken: {fault}");
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, Code("passkey.refused"), detail)
        .hint("begin again in this page; it has ten minutes")
}

fn title(said: &str) -> String {
    let title: String = visible(said.trim()).chars().take(LONGEST_NAME).collect();
    if title.is_empty() { "passkey".to_owned() } else { title }
}

/// Of one user.
const MOST: usize = 20;
const LONGEST_NAME: usize = 64;
