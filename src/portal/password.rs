//! Signing a browser in with a user name and a password.

use ::api::{SecondFactorRule, Secret};
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::Deserialize;
use session::AuthnError;

use super::asking::Asking;
use super::directory;
use super::pages::{Refused, fields};
use super::sign_in::{go_on_with, refused};
use crate::AppState;
use crate::api::ApiError;
use crate::authn::{ByPassword, How, Known, Step, TotpKey, Unfinished};

#[derive(Deserialize)]
struct Form {
    user: String,
    password: Secret,
    #[serde(default)]
    next: String,
}

/// `POST /sign-in/password`
pub(super) async fn sign_in(
    State(state): State<AppState>,
    Extension(asking): Extension<Asking>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let Some(Form { user, password, next }) = fields(&body) else {
        return Refused::invalid("the form is not readable").with(asking.id).into_response();
    };
    let (known, must_change) =
        match Box::pin(known(&state, &asking, &user, password.into_inner())).await {
            Ok(known) => known,
            Err(error) => return refused(error, &state, &asking, &next),
        };
    let mut steps = match second_factor(&state, &known).await {
        Ok(steps) => steps,
        Err(error) => return Refused::of(&error).with(asking.id).into_response(),
    };
    if must_change {
        steps.push(Step::Password);
    }
    let begun = Unfinished { known, second: None, steps, next };
    go_on_with(&state, &asking, &headers, begun).await
}

/// Whose password it is, and whether they have to choose another. Who has one here is not looked for in
/// directories, so that local admins come in whatever becomes of those.
async fn known(
    state: &AppState,
    asking: &Asking,
    user: &str,
    password: SecretString,
) -> Result<(Known, bool), AuthnError> {
    if !state.directories.is_empty() && !state.authn.has_password(user).await? {
        return Ok((directory::ask(state, asking, user, &password).await?, false));
    }
    let ByPassword { user, name, must_change } =
        state.authn.by_password(user, password, asking.from).await?;
    Ok((Known { user, name, how: How::Password }, must_change))
}

/// The second factor that somebody is asked for besides a password: the one they have, or one that
/// they set up now where the relay's settings want one.
async fn second_factor(state: &AppState, known: &Known) -> Result<Vec<Step>, ApiError> {
    let app = state.store.totp(known.user).await?.is_some();
    let passkeys = state.store.passkeys(known.user).await?;
    if app || !passkeys.is_empty() {
        let passkeys = passkeys.into_iter().map(|row| row.id).collect();
        return Ok(vec![Step::Second { app, passkeys }]);
    }
    let user = state.store.user(&known.name).await?;
    let above = user.is_some_and(|user| {
        user.admin || user.auditor || user.approver || !user.admin_of.is_empty()
    });
    let wanted = match state.store.settings().await?.second_factor {
        SecondFactorRule::Optional => false,
        SecondFactorRule::Admins => above,
        SecondFactorRule::Everybody => true,
    };
    Ok(wanted.then(|| Step::Enrol(TotpKey::generate())).into_iter().collect())
}
