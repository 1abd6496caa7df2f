//! What a sign-in that has begun still needs, a page at a time.
//!
//! The browser holds the name of what has begun (a cookie), and nothing of what was shown: whose
//! sign-in it is stands in the relay.

mod pages;

use ::api::Secret;
use access::Explain as _;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use gateway_web::Html;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use session::AuthnError;
use tokio::time::Instant;

use super::asking::{Asking, cookie_named};
use super::pages::{Refused, fields, redirect, warning, with_cookie};
use super::passkey;
use super::sign_in::{complete, refused};
use crate::AppState;
use crate::api::{Actor, Given, Taken, enrol_totp, give_password};
use crate::authn::{Second, Step, Unfinished, check_length};

/// Keeps a sign-in that needs more, and leads its browser to the page that asks for it.
pub(super) fn begin(state: &AppState, unfinished: Unfinished) -> Response {
    let secret = state.authn.waiting().begin(unfinished, Instant::now());
    let cookie = format!("{COOKIE}={}; Max-Age=600; {ATTRIBUTES}", secret.expose_secret());
    with_cookie(redirect(StatusCode::SEE_OTHER, PAGE), &cookie)
}

/// `GET /sign-in/step`
pub(super) async fn show(
    State(state): State<AppState>,
    Extension(asking): Extension<Asking>,
    headers: HeaderMap,
) -> Response {
    match begun(&state, &headers) {
        Some((_, begun)) => pages::asked(StatusCode::OK, &asking, &state, &begun, Html::default()),
        None => redirect(StatusCode::FOUND, "/sign-in"),
    }
}

/// `POST /sign-in/step`
pub(super) async fn take(
    State(state): State<AppState>,
    Extension(asking): Extension<Asking>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let Some((secret, mut begun)) = begun(&state, &headers) else {
        return refused(AuthnError::NotCompleted, &state, &asking, "");
    };
    let taken = match begun.steps.first().cloned() {
        Some(Step::Second { .. }) => take_second(&state, &asking, &mut begun, &body).await,
        Some(Step::Enrol(_)) => enrol(&state, &asking, &mut begun, &body).await,
        Some(Step::Keep(_)) | None => Ok(()),
        Some(Step::Password) => choose(&state, &asking, &begun, &body).await,
    };
    match taken {
        Ok(()) => after(&state, &asking, &headers, &secret, begun).await,
        Err(Told::Again(status, told)) => pages::asked(status, &asking, &state, &begun, told),
        Err(Told::Over(response)) => *response,
    }
}

/// Why a step was not taken.
enum Told {
    /// It can be tried again.
    Again(StatusCode, Html),
    Over(Box<Response>),
}

impl Told {
    fn again(text: &str) -> Self {
        Self::Again(StatusCode::UNPROCESSABLE_ENTITY, warning(text, None))
    }

    fn over(refused: Refused, asking: &Asking) -> Self {
        Self::Over(Box::new(refused.with(asking.id).into_response()))
    }
}

/// Asks for the next, or signs in where nothing is left to ask.
async fn after(
    state: &AppState,
    asking: &Asking,
    headers: &HeaderMap,
    secret: &SecretString,
    mut begun: Unfinished,
) -> Response {
    if !begun.steps.is_empty() {
        begun.steps.remove(0);
    }
    if !begun.steps.is_empty() {
        state.authn.waiting().put(secret, begun);
        return redirect(StatusCode::SEE_OTHER, PAGE);
    }
    // Of two requests for the last step, one signs in.
    if !state.authn.waiting().forget(secret) {
        return refused(AuthnError::NotCompleted, state, asking, "");
    }
    let response = complete(state, asking, headers, begun).await;
    with_cookie(response, &format!("{COOKIE}=; Max-Age=0; {ATTRIBUTES}"))
}

#[derive(Deserialize)]
struct Shown {
    code: Secret,
}

/// Takes a passkey, or else a code.
async fn take_second(
    state: &AppState,
    asking: &Asking,
    begun: &mut Unfinished,
    body: &str,
) -> Result<(), Told> {
    let (known, host) = (&begun.known, &state.info.domain);
    let taken = match passkey::shown(body) {
        Some(shown) => {
            let by = state.authn.by_passkey(&shown, host, Some(known), asking.from).await;
            by.map(|_| Second::Passkey)
        }
        None => {
            let code = code_of(body, asking)?.into_inner();
            state.authn.second_factor(known, &code, asking.from).await
        }
    };
    match taken {
        Ok(second) => {
            begun.second = Some(second);
            Ok(())
        }
        Err(error) => {
            let status =
                StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::UNAUTHORIZED);
            Err(Told::Again(status, warning(&error.public(), Some(error.code().0))))
        }
    }
}

/// Takes the app that the page offered a key to; its recovery codes are what is shown next.
async fn enrol(
    state: &AppState,
    asking: &Asking,
    begun: &mut Unfinished,
    body: &str,
) -> Result<(), Told> {
    let Some(Step::Enrol(key)) = begun.steps.first().cloned() else { return Ok(()) };
    let code = code_of(body, asking)?;
    let (user, name) = (begun.known.user, begun.known.name.clone());
    // Another browser may have been quicker, and its app must not be replaced unseen.
    let other = state.store.totp(user).await;
    if other.map_err(|error| Told::over(Refused::of(&error.into()), asking))?.is_some() {
        return Err(Told::Over(Box::new(refused(AuthnError::NotCompleted, state, asking, ""))));
    }
    let actor = Actor::other(name.to_string(), asking.from);
    let taken = Taken { user, name: &name, but: None };
    match enrol_totp(state, actor, taken, key, code.expose()).await {
        Ok((codes, _)) => {
            begun.second = Some(Second::Totp);
            begun.steps.insert(1, Step::Keep(codes));
            Ok(())
        }
        Err(error) if error.code().0 == "totp.code" => {
            Err(Told::again("that is not what the app shows now; wait for its next code"))
        }
        Err(error) => Err(Told::over(Refused::of(&error), asking)),
    }
}

fn code_of(body: &str, asking: &Asking) -> Result<Secret, Told> {
    let shown = fields::<Shown>(body);
    let unread = || Told::over(Refused::invalid("the form is not readable"), asking);
    shown.map(|shown| shown.code).ok_or_else(unread)
}

#[derive(Deserialize)]
struct Chosen {
    new: Secret,
    again: Secret,
}

/// Gives the user the password that they chose.
async fn choose(
    state: &AppState,
    asking: &Asking,
    begun: &Unfinished,
    body: &str,
) -> Result<(), Told> {
    let over = |refused: Refused| Told::over(refused, asking);
    let Some(Chosen { new, again }) = fields(body) else {
        return Err(over(Refused::invalid("the form is not readable")));
    };
    let new = new.into_inner();
    if new.expose_secret() != again.expose() {
        return Err(Told::again("the two are not the same"));
    }
    check_length(&new).map_err(|error| Told::again(&error.to_string()))?;
    let name = &begun.known.name;
    let user = state.store.user(name).await.map_err(|error| over(Refused::of(&error.into())))?;
    // Disabled, removed or made a machine meanwhile.
    let user = user.filter(|user| user.enabled && !user.machine && user.id == begun.known.user);
    let Some(user) = user else {
        let told = AuthnError::UserDisabled;
        return Err(over(Refused::explained(StatusCode::UNAUTHORIZED, &told)));
    };
    if state.authn.is_password_of(user.id, new.clone()).await.unwrap_or(false) {
        return Err(Told::again("that is the one-time password; choose another"));
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

const PAGE: &str = "/sign-in/step";
/// The name of a sign-in that has begun, in its browser.
const COOKIE: &str = "__Host-adit-step";
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";
