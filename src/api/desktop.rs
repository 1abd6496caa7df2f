//! Where a page of the portal opens desktops: a ticket, the handshake of a WebSocket, and how it went.
//! What is said on it is in `src/desktops`.

use access::Code;
use api::{DesktopRow, DesktopState, DesktopTicket, OpenDesktop};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use gateway_rdp::Refused;
use secrecy::ExposeSecret as _;
use session::pace;
use tokio::time::Instant;
use uuid::Uuid;

use super::caller::Caller;
use super::error::ApiError;
use super::extract::{Body, Param};
use super::handshake::{self, Changed, Handshake};
use super::openapi::Created;
use crate::AppState;
use crate::desktops::{How, NoOffer, Offer};
use crate::lines::Seat;

/// A ticket for a desktop.
pub(super) async fn offer(
    State(state): State<AppState>,
    caller: Caller,
    Body(asked): Body<OpenDesktop>,
) -> Result<Created<DesktopTicket>, ApiError> {
    let (seat, began) = (seat(caller)?, Instant::now());
    match state.desktops.offer(&seat, &asked.application, asked.layout) {
        Ok(Offer { id, ticket, application, clipboard }) => Ok(Created(DesktopTicket {
            id,
            ticket: ticket.expose_secret().to_owned(),
            account: application.login.fixed().map(str::to_owned),
            clipboard,
        })),
        Err(NoOffer::Refused(refused)) => {
            // How long it took to find out tells nothing of what is there.
            pace::even(began, pace::DENIED).await;
            Err(ApiError::explained(status(&refused), &refused))
        }
        Err(NoOffer::TooMany) => {
            let detail = "too many desktops are open in this browser; close one";
            Err(ApiError::new(StatusCode::CONFLICT, Code("desktop.too_many"), detail))
        }
        Err(NoOffer::Random) => Err(ApiError::internal("the system has no random bytes")),
    }
}

/// A desktop for a browser that is signed in.
pub(super) async fn open(
    State(state): State<AppState>,
    caller: Caller,
    handshake: Handshake,
) -> Result<Changed, ApiError> {
    let seat = seat(caller)?;
    Ok(handshake.then(move |line| state.desktops.clone().serve(line, seat)))
}

/// How a desktop is.
pub(super) async fn show(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<Uuid>,
) -> Result<Json<DesktopRow>, ApiError> {
    let how = state.desktops.how(id, &seat(caller)?);
    let how = how.ok_or_else(|| ApiError::not_found("desktop", &id.to_string()))?;
    let plain = |state| DesktopRow { state, session: None, code: None, detail: None, hint: None };
    Ok(Json(match how {
        How::Offered => plain(DesktopState::Offered),
        How::Opening => plain(DesktopState::Opening),
        How::Open(session) => DesktopRow { session: Some(session), ..plain(DesktopState::Open) },
        How::Over(over) => DesktopRow {
            code: Some(over.code.0.to_owned()),
            detail: Some(over.words),
            hint: over.hint,
            ..plain(DesktopState::Over)
        },
    }))
}

/// A desktop is a browser's, and of its sign-in.
fn seat(caller: Caller) -> Result<Seat, ApiError> {
    let peer = (caller.who.from(), 0).into();
    handshake::seat(caller, peer, ELSEWHERE)
}

const ELSEWHERE: (&str, &str) = (
    "desktops are opened here by browsers that are signed in",
    "other clients go through `adit tunnel`",
);

fn status(refused: &Refused) -> StatusCode {
    match refused {
        Refused::Unfound(access::Unfound::Ambiguous(_)) => StatusCode::UNPROCESSABLE_ENTITY,
        Refused::Denied(deny) => {
            StatusCode::from_u16(deny.http_status()).unwrap_or(StatusCode::FORBIDDEN)
        }
        Refused::Unfound(_) | Refused::Kind => StatusCode::FORBIDDEN,
        Refused::Open(_) | Refused::Ended { .. } | Refused::Left | Refused::Target(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
