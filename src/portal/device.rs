//! Approving that a machine signs in as oneself (`adit login --browser`).

use std::time::SystemTime;

use access::Credential;
use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use gateway_web::{Html, document};
use serde::Deserialize;
use tokio::time::Instant;

use super::asking::Asking;
use super::go::to_sign_in;
use super::pages::{Refused, encoded, fields, header, page, shown, warning};
use crate::AppState;
use crate::api;
use crate::authn::Asked;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Which {
    code: String,
}

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
    let Which { code } = fields(uri.query().unwrap_or_default()).unwrap_or_default();
    if asking.who.is_none() {
        return to_sign_in(&asking);
    }
    if !is_fresh(&state, &asking) {
        return again(&asking, &code);
    }
    if code.is_empty() {
        return ask_for_code(StatusCode::OK, &asking, Html::default());
    }
    match state.authn.devices().find(&code, Instant::now()) {
        Some(asked) => question(&asking, &asked),
        None => nothing(&asking),
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
    if !is_fresh(&state, &asking) {
        return again(&asking, &code);
    }
    let devices = state.authn.devices();
    if devices.find(&code, Instant::now()).is_none() {
        return nothing(&asking);
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
        return nothing(&asking);
    }
    let (title, text) = match approved {
        true => ("The machine is signed in", "It goes on by itself; you can close this page."),
        false => ("Denied", "The machine is told. If you did not ask for this, somebody else did."),
    };
    let main = Html::of("<h1>{}</h1><p>{}</p>", &[Html::text(title), Html::text(text)]);
    shown(title, true, &asking, main)
}

/// Whether the sign-in is a recent one. A machine stays signed in for a month: whoever sits at a browser that somebody left must not be
/// able to bring one.
pub(super) fn is_fresh(state: &AppState, asking: &Asking) -> bool {
    let Some(who) = &asking.who else { return false };
    let Credential::SignIn { id } = who.credential() else { return false };
    state.authn.browsers().is_fresh(*id, SystemTime::now())
}

fn again(asking: &Asking, code: &str) -> Response {
    let next = encoded(&format!("/device?code={}", encoded(code)));
    let main = Html::of(
        "<h1>Sign in again</h1><p>You signed in a while ago. So that nobody else brings a machine in \
         your name, sign in once more. What you have open in this browser ends with that.</p>\
         <p><a class=\"button\" href=\"/sign-in?next={}\">Sign in</a></p>",
        &[Html::text(&next)],
    );
    shown("Sign in again", true, asking, main)
}

fn nothing(asking: &Asking) -> Response {
    let told = warning("no machine waits under that code", Some("device_login.over"));
    ask_for_code(StatusCode::NOT_FOUND, asking, told)
}

fn ask_for_code(status: StatusCode, asking: &Asking, told: Html) -> Response {
    let main = Html::of(
        "<h1>Sign a machine in</h1>{}<p class=\"soft\">Run <code>adit login --browser</code> there, \
         and type the code that it shows.</p>\
         <form method=\"get\" action=\"/device\">\
         <label for=\"code\">Code</label>\
         <input id=\"code\" name=\"code\" required autofocus spellcheck=\"false\" \
         autocapitalize=\"characters\" autocomplete=\"off\" maxlength=\"16\">\
         <button class=\"wide\">Go on</button></form>",
        &[told],
    );
    page(status, document("Sign a machine in", true, header(asking), main))
}

fn question(asking: &Asking, asked: &Asked) -> Response {
    let code = Html::text(&asked.user_code);
    let parts =
        [Html::text(&asked.device), Html::text(&asked.from.to_string()), code.clone(), code];
    let main = Html::of(
        "<h1>Sign this machine in as you?</h1>\
         <p>It calls itself <strong>{}</strong> and asks from <span class=\"mono\">{}</span>. It \
         may do all that you may, for a month.</p>\
         <p>Approve only if you have just run <code>adit login</code> yourself, and it shows this \
         code:</p><p class=\"code mono\">{}</p>\
         <form method=\"post\" action=\"/device\">\
         <input type=\"hidden\" name=\"code\" value=\"{}\"><div class=\"row\">\
         <button name=\"which\" value=\"approve\">Approve</button>\
         <button class=\"plain\" name=\"which\" value=\"deny\">Deny</button></div></form>",
        &parts,
    );
    shown("Sign a machine in", true, asking, main)
}
