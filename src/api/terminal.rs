//! Where a page of the portal opens terminals. What is said on them is in `src/terminals`.

use axum::extract::State;

use super::caller::Caller;
use super::error::ApiError;
use super::handshake::{Changed, Handshake, seat};
use crate::AppState;

/// A terminal for a browser that is signed in.
pub(super) async fn open(
    State(state): State<AppState>,
    caller: Caller,
    handshake: Handshake,
) -> Result<Changed, ApiError> {
    let seat = seat(caller, handshake.peer.addr, ELSEWHERE)?;
    Ok(handshake.then(move |line| state.terminals.clone().serve(line, seat)))
}

const ELSEWHERE: (&str, &str) =
    ("terminals are opened here by browsers that are signed in", "programs use ssh, or `adit ssh`");
