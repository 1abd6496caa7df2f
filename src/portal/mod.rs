//! Pages at the relay's own host: the portal, and, as plain pages that need no script, signing a browser
//! in and out, the way to applications, and asking for access. Nothing is from elsewhere.
//!
//! What changes something is a form of these pages and nothing else: each such request is refused
//! unless the browser says that it comes from this very host (`Sec-Fetch-Site`, else `Origin`).
//! `SameSite` alone would let every application act here, for they are all one site to a browser.

mod ask;
mod asking;
mod code;
mod device;
mod directory;
mod go;
mod linked;
mod nowhere;
mod oidc;
mod pages;
mod passkey;
mod password;
mod place;
mod sign_in;
mod sign_out;
mod ssh;
mod step;
mod ui;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use gateway_web::asset;

use crate::AppState;
pub(crate) use asking::cookie;
pub(crate) use place::below;

/// The pages, and behind them whatever else this host serves. Each request needs the extension
/// [`crate::Peer`].
pub(crate) fn router(state: AppState, rest: Router) -> Router {
    let rest = rest.layer(from_fn_with_state(state.clone(), nowhere::show));
    Router::new()
        .route("/", get(ui::show))
        .route("/desktop", get(ui::desktop))
        .route("/assets/{file}", get(ui::asset))
        .route("/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/sign-in/password", post(password::sign_in))
        .route("/sign-in/passkey", post(passkey::sign_in))
        .route("/sign-in/with/{provider}", get(oidc::begin))
        .route("/sign-in/from/{provider}", get(oidc::finish))
        .route("/sign-in/step", get(step::show).post(step::take))
        .route("/signed-in", get(sign_in::go_on))
        .route("/sign-out", get(sign_out::ask_out).post(sign_out::sign_out))
        .route("/go", get(go::go))
        .route("/device", get(device::show).post(device::decide))
        .route("/ssh", get(ssh::show).post(ssh::decide))
        .route("/ask", get(ask::show).post(ask::ask))
        .route("/.adit/{file}", get(file))
        .layer(DefaultBodyLimit::max(MOST))
        .route_layer(from_fn_with_state(state.clone(), asking::admit))
        .with_state(state)
        .fallback_service(rest)
}

async fn file(Path(file): Path<String>) -> Response {
    match asset(&format!("/.adit/{file}")) {
        Some(asset) => pages::send(asset),
        None => pages::Refused::nothing().into_response(),
    }
}

/// The longest form: one that signs in and goes on to the longest address, written out twice.
const MOST: usize = 32 << 10;
