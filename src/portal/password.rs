//! Signing a browser in with a user name and a password.

use ::api::Secret;
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::asking::Asking;
use super::pages::{Refused, fields};
use super::sign_in::{go_on_with, refused};
use crate::AppState;
use crate::authn::{How, Known, Unfinished};

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
    let tried = state.authn.by_password(&user, password.into_inner(), asking.from).await;
    let known = match tried {
        Ok(known) => known,
        Err(error) => return refused(error, &asking, &next),
    };
    let must_change = known.must_change;
    let known = Known { user: known.user, name: known.name, how: How::Password };
    go_on_with(&state, &asking, &headers, Unfinished { known, must_change, next }).await
}
