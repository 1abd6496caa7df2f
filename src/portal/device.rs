//! Approving that a machine signs in as oneself (`adit login --browser`).

use axum::Extension;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use gateway_web::Html;
use serde::Deserialize;
use tokio::time::Instant;

use super::asking::Asking;
use super::code::CodePage;
use super::go::to_sign_in;
use super::pages::{Refused, fields, shown};
use crate::AppState;
use crate::api;
use crate::authn::Waits;

#[derive(Deserialize)]
struct Decided {
    code: String,
    which: String,
}

/// `GET /device`
pub(super) async fn show(
    State(state): State<AppState>,
    Extension(asking): Extension<Asking>,
    uri: Uri,
) -> Response {
    let code = match PAGE.code(&state, &asking, &uri) {
        Ok(code) => code,
        Err(told) => return *told,
    };
    match state.authn.devices().find(&code, Instant::now()) {
        Some(waits) => question(&asking, &waits),
        None => PAGE.nothing(&asking),
    }
}

/// `POST /device`
pub(super) async fn decide(
    State(state): State<AppState>,
    Extension(asking): Extension<Asking>,
    body: String,
) -> Response {
    let Some(who) = &asking.who else { return to_sign_in(&asking) };
    let Some(Decided { code, which }) = fields(&body) else {
        return Refused::invalid("the form is not readable").with(asking.id).into_response();
    };
    if let Err(told) = PAGE.fresh(&state, &asking, &code) {
        return *told;
    }
    let devices = state.authn.devices();
    if devices.find(&code, Instant::now()).is_none() {
        return PAGE.nothing(&asking);
    }
    let token = match which.as_str() {
        "approve" => match api::login_token(&state, who).await {
            Ok(token) => Some(token),
            Err(error) => return Refused::of(&error).with(asking.id).into_response(),
        },
        _ => None,
    };
    let approved = token.is_some();
    if !devices.decide(&code, token, Instant::now()) {
        return PAGE.nothing(&asking);
    }
    let (title, text) = match approved {
        true => ("The machine is signed in", "It goes on by itself; you can close this page."),
        false => ("Denied", "The machine is told. If you did not ask for this, somebody else did."),
    };
    let main = Html::of("<h1>{}</h1><p>{}</p>", &[Html::text(title), Html::text(text)]);
    shown(title, true, &asking, main)
}

fn question(asking: &Asking, waits: &Waits<String>) -> Response {
    let what = Html::of(
        "<h1>Sign this machine in as you?</h1>\
         <p>It calls itself <strong>{}</strong> and asks from <span class=\"mono\">{}</span>. It \
         may do all that you may, for a month.</p>\
         <p>Approve only if you have just run <code>adit login</code> yourself, and it shows this \
         code:</p>",
        &[Html::text(&waits.what), Html::text(&waits.from.to_string())],
    );
    PAGE.question(asking, what, &waits.code, Html::default())
}

/// A machine stays signed in for a month.
const PAGE: CodePage = CodePage {
    path: "/device",
    title: "Sign a machine in",
    danger: "brings a machine in",
    ask: "Run <code>adit login --browser</code> there, and type the code that it shows.",
    waits: ("machine", "device_login.over"),
};
