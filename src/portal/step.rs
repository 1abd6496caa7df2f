//! What a sign-in that has begun still needs, a page at a time.
//!
//! The browser holds the name of what has begun (a cookie), and nothing of what was shown: whose
//! sign-in it is stands in the relay.

use ::api::Secret;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use gateway_web::{Html, document};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use session::AuthnError;
use tokio::time::Instant;

use super::asking::{Asking, cookie_named};
use super::pages::{Refused, fields, header, page, redirect, warning, with_cookie};
use super::sign_in::{complete, refused};
use crate::AppState;
use crate::api::{Actor, Given, give_password};
use crate::authn::{Unfinished, check_length};

/// Keeps a sign-in that needs more, and leads its browser to the page that asks for it.
pub(super) fn begin(state: &AppState, unfinished: Unfinished) -> Response {
    let secret = state.authn.waiting().begin(unfinished, Instant::now());
    let cookie = format!("{COOKIE}={}; Max-Age=600; {ATTRIBUTES}", secret.expose_secret());
    with_cookie(redirect(StatusCode::SEE_OTHER, "/sign-in/step"), &cookie)
}

/// `GET /sign-in/step`
pub(super) async fn show(
    State(state): State<AppState>,
    Extension(asking): Extension<Asking>,
    headers: HeaderMap,
) -> Response {
    match begun(&state, &headers) {
        Some((_, unfinished)) => asked(StatusCode::OK, &asking, &unfinished, Html::default()),
        None => redirect(StatusCode::FOUND, "/sign-in"),
    }
}

#[derive(Deserialize)]
struct Chosen {
    new: Secret,
    again: Secret,
}

/// `POST /sign-in/step`
pub(super) async fn take(
    State(state): State<AppState>,
    Extension(asking): Extension<Asking>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let Some((secret, unfinished)) = begun(&state, &headers) else {
        return refused(AuthnError::NotCompleted, &asking, "");
    };
    let told = match choose(&state, &asking, &unfinished, &body).await {
        Ok(()) => {
            let then = Unfinished { must_change: false, ..unfinished };
            return after(&state, &asking, &headers, &secret, then).await;
        }
        Err(told) => told,
    };
    match told {
        Told::Again(text) => {
            asked(StatusCode::UNPROCESSABLE_ENTITY, &asking, &unfinished, warning(&text, None))
        }
        Told::Over(response) => *response,
    }
}

/// Why a step was not taken.
enum Told {
    /// It can be tried again.
    Again(String),
    Over(Box<Response>),
}

/// Asks for the next, or signs in where nothing is left to ask.
async fn after(
    state: &AppState,
    asking: &Asking,
    headers: &HeaderMap,
    secret: &SecretString,
    unfinished: Unfinished,
) -> Response {
    if unfinished.must_change {
        state.authn.waiting().put(secret, unfinished);
        return redirect(StatusCode::SEE_OTHER, "/sign-in/step");
    }
    state.authn.waiting().forget(secret);
    let Unfinished { known, next, .. } = unfinished;
    let response = complete(state, asking, headers, known, &next).await;
    with_cookie(response, &format!("{COOKIE}=; Max-Age=0; {ATTRIBUTES}"))
}

/// Gives the user the password that they chose.
async fn choose(
    state: &AppState,
    asking: &Asking,
    unfinished: &Unfinished,
    body: &str,
) -> Result<(), Told> {
    let over = |refused: Refused| Told::Over(Box::new(refused.with(asking.id).into_response()));
    let Some(Chosen { new, again }) = fields(body) else {
        return Err(over(Refused::invalid("the form is not readable")));
    };
    let new = new.into_inner();
    if new.expose_secret() != again.expose() {
        return Err(Told::Again("the two are not the same".to_owned()));
    }
    check_length(&new).map_err(|error| Told::Again(error.to_string()))?;
    let name = &unfinished.known.name;
    let user = state.store.user(name).await.map_err(|error| over(Refused::of(&error.into())))?;
    // Disabled, removed or made a machine meanwhile.
    let user =
        user.filter(|user| user.enabled && !user.machine && user.id == unfinished.known.user);
    let Some(user) = user else {
        let told = AuthnError::UserDisabled;
        return Err(over(Refused::explained(StatusCode::UNAUTHORIZED, &told)));
    };
    if state.authn.is_password_of(user.id, new.clone()).await.unwrap_or(false) {
        return Err(Told::Again("that is the one-time password; choose another".to_owned()));
    }
    let actor = Actor::other(name.to_string(), asking.from);
    let given = Given { user: &user, new, life: None, but: None };
    let given = give_password(state, actor, given).await;
    given.map(drop).map_err(|error| over(Refused::of(&error)))
}

/// The sign-in that this browser has begun.
fn begun(state: &AppState, headers: &HeaderMap) -> Option<(SecretString, Unfinished)> {
    let secret = cookie_named(headers, COOKIE)?;
    let unfinished = state.authn.waiting().look(&secret, Instant::now())?;
    Some((secret, unfinished))
}

/// The page that asks for what comes next.
fn asked(status: StatusCode, asking: &Asking, unfinished: &Unfinished, told: Html) -> Response {
    let main = Html::of(
        "<h1>Choose a password</h1>{}<p class=\"soft\">You signed in with a one-time password. From \
         now on you sign in with one of your own: 12 characters or more, whatever you like. \
         A few words together are easy to keep in mind.</p>\
         <form method=\"post\" action=\"/sign-in/step\">\
         <input type=\"hidden\" name=\"username\" autocomplete=\"username\" value=\"{}\">\
         <label for=\"new\">New password</label>\
         <input id=\"new\" name=\"new\" type=\"password\" required autofocus minlength=\"12\" \
         maxlength=\"128\" autocomplete=\"new-password\">\
         <label for=\"again\">The same again</label>\
         <input id=\"again\" name=\"again\" type=\"password\" required minlength=\"12\" \
         maxlength=\"128\" autocomplete=\"new-password\">\
         <button class=\"wide\">Go on</button></form>",
        &[told, Html::text(unfinished.known.name.as_str())],
    );
    page(status, document("Choose a password", true, header(asking), main))
}

/// The name of a sign-in that has begun, in its browser.
const COOKIE: &str = "__Host-adit-step";
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";
