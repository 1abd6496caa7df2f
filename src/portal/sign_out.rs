//! Signing a browser out.

use std::time::SystemTime;

use access::{Credential, SignInId};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use gateway_web::{Html, document};
use serde::Deserialize;
use store::SignInQuery;

use super::asking::{Asking, clear_cookie};
use super::pages::{Refused, brand, fields, page, redirect, shown, with_cookie};
use crate::AppState;
use crate::api::{Actor, ApiError, Reason, end_sign_ins};

/// `GET /sign-out`
pub(super) async fn ask_out(Extension(asking): Extension<Asking>) -> Response {
    if asking.who.is_none() {
        return redirect(StatusCode::FOUND, "/sign-in");
    }
    let main = Html::of(
        "<h1>Sign out?</h1><p>What you have open in this browser ends at once, in every application.\
         </p><form method=\"post\" action=\"/sign-out\"><div class=\"row\">\
         <button name=\"which\" value=\"this\">Sign out</button>\
         <button class=\"plain\" name=\"which\" value=\"all\">Sign out all my browsers</button>\
         </div></form>",
        &[],
    );
    shown("Sign out", true, &asking, main)
}

#[derive(Deserialize)]
struct Out {
    which: String,
}

/// `POST /sign-out`
pub(super) async fn sign_out(
    State(state): State<AppState>,
    Extension(asking): Extension<Asking>,
    body: String,
) -> Response {
    let all = fields::<Out>(&body).is_some_and(|out| out.which == "all");
    let elsewhere = provider(&state, &asking).await;
    let ended = match all {
        true => leave_everywhere(&state, &asking).await,
        false => {
            leave(&state, &asking, Reason::SignedOut).await;
            Ok(())
        }
    };
    match ended {
        Ok(()) => {
            let response = match elsewhere {
                Some((title, link)) => signed_out(&title, &link),
                None => redirect(StatusCode::SEE_OTHER, "/sign-in"),
            };
            with_cookie(response, &clear_cookie())
        }
        Err(error) => Refused::of(&error).with(asking.id).into_response(),
    }
}

/// The provider that signed this browser in, and where it signs out there, if it can.
async fn provider(state: &AppState, asking: &Asking) -> Option<(String, String)> {
    let Credential::SignIn { id } = asking.who.as_ref()?.credential() else { return None };
    let name = state.store.provider_of(*id).await.ok()??;
    let title = state.oidc.config(&name)?.name.to_string();
    let back = format!("{}/sign-in", state.info.url_at(&asking.port));
    Some((title, state.oidc.sign_out(&name, &back).await?))
}

/// A page and no redirect: what follows a form directly may not go to other hosts.
fn signed_out(provider: &str, link: &str) -> Response {
    let main = Html::of(
        "<h1>You are signed out</h1><p>Here, and from every application. At {} you may still be \
         signed in: whoever sits here could come back by it.</p>\
         <p><a class=\"button\" href=\"{}\">Sign out there too</a></p>\
         <p><a href=\"/sign-in\">Sign in again</a></p>",
        &[Html::text(provider), Html::text(link)],
    );
    page(StatusCode::OK, document("Signed out", true, brand(), main))
}

/// Ends the sign-in that this browser has, if any.
pub(super) async fn leave(state: &AppState, asking: &Asking, why: Reason) {
    let Some(who) = &asking.who else { return };
    let Credential::SignIn { id } = who.credential() else { return };
    let actor = Actor::of(who);
    if let Err(error) = end_sign_ins(state, actor, &[*id], why).await {
        tracing::warn!(?error, sign_in = %id, "Could not sign a browser out");
    }
}

async fn leave_everywhere(state: &AppState, asking: &Asking) -> Result<(), ApiError> {
    let Some(who) = &asking.who else { return Ok(()) };
    let query = SignInQuery {
        user: Some(who.name().clone()),
        live_at: Some(SystemTime::now()),
        ..SignInQuery::default()
    };
    let rows = state.store.sign_ins(query).await?;
    let ids: Vec<SignInId> = rows.iter().map(|row| row.id).collect();
    let actor = Actor::of(who);
    end_sign_ins(state, actor, &ids, Reason::SignedOut).await.map(drop)
}
