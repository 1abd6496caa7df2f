//! Where a page of the portal is shown a recorded desktop. How that is done is in `src/playbacks`.

use access::{Code, SessionId};
use api::{Playback, SteerPlayback};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use uuid::Uuid;

use super::caller::Caller;
use super::error::ApiError;
use super::extract::{Body, Param, Params};
use super::handshake::{self, Changed, Handshake};
use super::recordings::viewed;
use crate::AppState;
use crate::lines::Seat;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// What the page calls it from then on: an id of its own making.
    playback: Uuid,
}

/// Shows a recorded desktop to a browser. Who does not just read that recording is recorded.
pub(super) async fn open(
    State(state): State<AppState>,
    caller: Caller,
    Param(session): Param<SessionId>,
    Params(Asked { playback }): Params<Asked>,
    handshake: Handshake,
) -> Result<Changed, ApiError> {
    viewed(&state, &caller, session, false).await?;
    let entry = state.playbacks.enter(playback, &seat(caller)?);
    let entry = entry.ok_or_else(|| {
        let detail = "too many recordings are shown in this browser; close one";
        ApiError::new(StatusCode::CONFLICT, Code("desktop.too_many"), detail)
    })?;
    Ok(handshake.then(move |line| entry.serve(line, session)))
}

/// Steers what is shown, and says how it is.
pub(super) async fn steer(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<Uuid>,
    Body(wanted): Body<SteerPlayback>,
) -> Result<Json<Playback>, ApiError> {
    if wanted.speed.is_some_and(|speed| !(0.1..=64.0).contains(&speed)) {
        return Err(ApiError::invalid("speed: from 0.1 to 64"));
    }
    let steered = state.playbacks.steer(id, &seat(caller)?, &wanted);
    let absent = || {
        let detail = "this browser is not shown that recording, or asked for nothing for too long";
        ApiError::new(StatusCode::NOT_FOUND, Code("playback.not_found"), detail)
    };
    steered.map(Json).ok_or_else(absent)
}

fn seat(caller: Caller) -> Result<Seat, ApiError> {
    let peer = (caller.who.from(), 0).into();
    handshake::seat(caller, peer, ELSEWHERE)
}

const ELSEWHERE: (&str, &str) = (
    "recorded desktops are shown here to browsers that are signed in",
    "`adit admin session recording ID` prints what was recorded",
);
