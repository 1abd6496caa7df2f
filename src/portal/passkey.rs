//! Signing a browser in with a passkey, by itself or besides a password.

use std::time::SystemTime;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use gateway_web::Html;
use serde::Deserialize;

use super::asking::Asking;
use super::pages::{Refused, fields};
use super::sign_in::{complete, refused};
use crate::AppState;
use crate::authn::{Purpose, Shown, Unfinished};

/// What the script of the page puts into the form, in base64url.
#[derive(Deserialize)]
struct Form {
    id: String,
    client_data: String,
    authenticator_data: String,
    signature: String,
    #[serde(default)]
    next: String,
}

/// `POST /sign-in/passkey`
pub(super) async fn sign_in(
    State(state): State<AppState>,
    Extension(asking): Extension<Asking>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let next = fields::<Form>(&body).map(|form| form.next).unwrap_or_default();
    let Some(shown) = shown(&body) else {
        return Refused::invalid("the form is not readable").with(asking.id).into_response();
    };
    let host = &state.info.domain;
    match state.authn.by_passkey(&shown, host, None, asking.from).await {
        // Something one has, and a PIN or a finger: both factors.
        Ok(known) => {
            let done = Unfinished { known, second: None, steps: Vec::new(), next };
            complete(&state, &asking, &headers, done).await
        }
        Err(error) => refused(error, &state, &asking, &next),
    }
}

/// What a form brings from an authenticator; `None`: it brings nothing of that.
pub(super) fn shown(body: &str) -> Option<Shown> {
    let form: Form = fields(body)?;
    let bytes = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).ok();
    Some(Shown {
        client_data: bytes(&form.client_data)?,
        authenticator_data: bytes(&form.authenticator_data)?,
        signature: bytes(&form.signature)?,
        id: form.id,
    })
}

/// A button for a passkey: any that signs in here, or one of those with these ids. The script of the
/// page shows it where the browser knows passkeys.
pub(super) fn form(
    state: &AppState,
    action: &str,
    next: &str,
    purpose: Purpose,
    ids: &[String],
) -> Html {
    let challenge = state.authn.challenges().ask(purpose, SystemTime::now());
    let parts = [action, &challenge, &state.info.domain, &ids.join(" "), next];
    // Beside a form for a password it is one of two.
    let class = if ids.is_empty() { "wide plain" } else { "wide" };
    let parts = [&parts[..], &[class]].concat();
    Html::of(
        "<form method=\"post\" action=\"{}\" class=\"passkey\" data-passkey=\"{}\" \
         data-host=\"{}\" data-ids=\"{}\" autocomplete=\"off\" hidden>\
         <input type=\"hidden\" name=\"next\" value=\"{}\">\
         <input type=\"hidden\" name=\"id\"><input type=\"hidden\" name=\"client_data\">\
         <input type=\"hidden\" name=\"authenticator_data\">\
         <input type=\"hidden\" name=\"signature\">\
         <button class=\"{}\">Use a passkey</button>\
         <p class=\"warn\" role=\"alert\" hidden></p></form>",
        &parts.into_iter().map(Html::text).collect::<Vec<_>>(),
    )
}
