//! Machines that are signed in by a browser: they ask, somebody approves, and they get a login token.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use access::{Authenticated, Code, TokenKind};
use api::{AskDeviceLogin, DeviceLogin, DeviceLoginToken, PollDeviceLogin};
use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use super::caller::Caller;
use super::change::Actor;
use super::error::ApiError;
use super::extract::Body;
use super::me::own;
use super::openapi::Created;
use super::passwords::owner;
use super::tokens::{Asked, Order};
use crate::authn::{LIFE, Polled};
use crate::{AppState, Peer};

pub(super) async fn ask(
    State(state): State<AppState>,
    Extension(peer): Extension<Peer>,
    Body(AskDeviceLogin { device }): Body<AskDeviceLogin>,
) -> Result<Created<DeviceLogin>, ApiError> {
    let from = peer.addr.ip().to_canonical();
    let asked = state.authn.devices().ask(&device, from, Instant::now());
    let (secret, user_code) = asked.ok_or_else(|| ApiError::throttled(CROWDED))?;
    let expires = SystemTime::now() + LIFE;
    Ok(Created(DeviceLogin {
        device_code: secret.expose_secret().to_owned().into(),
        url: format!("{}/device?code={user_code}", state.info.url()),
        user_code,
        interval: INTERVAL,
        expires: expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
    }))
}

pub(super) async fn poll(
    State(state): State<AppState>,
    Body(PollDeviceLogin { device_code }): Body<PollDeviceLogin>,
) -> Result<Json<DeviceLoginToken>, ApiError> {
    match state.authn.devices().poll(&device_code.into_inner(), Instant::now()) {
        Polled::Approved(token) => {
            Ok(Json(DeviceLoginToken { token: token.expose_secret().to_owned().into() }))
        }
        Polled::Waiting => {
            let detail = "nobody has approved it yet";
            Err(ApiError::new(StatusCode::CONFLICT, Code("device_login.pending"), detail)
                .hint("ask again in two seconds"))
        }
        Polled::Denied => {
            let detail = "it was denied in the browser";
            Err(ApiError::new(StatusCode::FORBIDDEN, Code("device_login.denied"), detail))
        }
        Polled::Over => {
            let detail = "it took too long, or was answered before";
            Err(ApiError::new(StatusCode::GONE, Code("device_login.over"), detail)
                .hint("begin again"))
        }
    }
}

/// Issues the token that signs a machine in as whoever approves.
pub(crate) async fn login_token(
    state: &AppState,
    who: &Authenticated,
) -> Result<SecretString, ApiError> {
    let order = Order::to_log_in(owner(state, who.name()).await?);
    let issued = order.issue(state, Actor::of(who)).await?;
    Ok(issued.token.into_inner())
}

/// Issues the token that opens an application for somebody's terminal, which they have approved: good
/// once, and of what they can reach.
pub(crate) async fn terminal_token(
    state: &AppState,
    who: &Authenticated,
    application: &str,
    terminal: IpAddr,
) -> Result<SecretString, ApiError> {
    let caller = Caller::of(state, (who.clone(), None), None)?;
    let (owner, application) = own(state, &caller, application).await?;
    let once = Asked { uses: Some(1), ..Asked::default() };
    let settings = state.store.settings().await?;
    let order = Order::own(owner, application, Some(TokenKind::Access), once, &settings)?;
    let issued = order.at(terminal).issue(state, Actor::of(who)).await?;
    Ok(issued.token.into_inner())
}

/// Seconds between two questions.
const INTERVAL: u64 = 2;
/// Some of those who ask are gone by then.
const CROWDED: Duration = Duration::from_secs(60);
