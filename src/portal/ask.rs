//! Asking for access to an application, by a form.

use ::api::{AskAccess, Span};
use axum::Extension;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use gateway_web::Html;
use serde::Deserialize;

use super::asking::Asking;
use super::go::{application_at, to_sign_in};
use super::pages::{Refused, fields, shown};
use crate::AppState;
use crate::api;

#[derive(Deserialize)]
struct Which {
    /// The application's host.
    to: String,
}

#[derive(Deserialize)]
struct Form {
    application: String,
    reason: String,
    #[serde(rename = "for")]
    duration: Span,
}

/// `GET /ask`
pub(super) async fn show(
    State(state): State<AppState>,
    Extension(asking): Extension<Asking>,
    uri: Uri,
) -> Response {
    if asking.who.is_none() {
        return to_sign_in(&asking);
    }
    let Some(Which { to }) = fields(uri.query().unwrap_or_default()) else {
        return Refused::invalid("the link is not whole").with(asking.id).into_response();
    };
    let offer = offer(&state, &to).await;
    let main = match offer == Html::default() {
        true => Html::of(
            "<h1>Access</h1><p>Nobody can ask for access to this application here. Your \
             administrator gives it.</p>",
            &[],
        ),
        false => Html::all([Html::of("<h1>Access</h1>", &[]), offer]),
    };
    shown("Access", true, &asking, main)
}

/// `POST /ask`
pub(super) async fn ask(
    State(state): State<AppState>,
    Extension(asking): Extension<Asking>,
    body: String,
) -> Response {
    let Some(who) = asking.who.clone() else { return to_sign_in(&asking) };
    let Some(Form { application, reason, duration }) = fields(&body) else {
        let detail = "say what you need it for, and for how long";
        return Refused::invalid(detail).with(asking.id).into_response();
    };
    match api::ask_access(&state, who, AskAccess { application, reason, duration }).await {
        Ok(asked) => {
            let parts = [Html::text(&asked.application), Html::text(&asked.duration.to_string())];
            let main = Html::of(
                "<h1>You have asked for access</h1><p>To <strong>{}</strong>, for {}. Whoever may \
                 decide is told; once they approve, open it again.</p><p><a href=\"/\">Your \
                 applications</a></p>",
                &parts,
            );
            shown("Asked", true, &asking, main)
        }
        Err(error) => Refused::of(&error).with(asking.id).into_response(),
    }
}

/// The form, where the application at this host is one that people can ask for.
pub(super) async fn offer(state: &AppState, to: &str) -> Html {
    let policy = state.policy.current();
    let Some(application) = application_at(&policy, to, &state.info.domain) else {
        return Html::default();
    };
    let rows = state.store.applications().await.unwrap_or_default();
    let row = rows.into_iter().find(|row| row.id == application.id && row.requestable);
    let Some(row) = row else { return Html::default() };
    let name = Html::text(&row.reference());
    Html::of(
        "<h2>Ask for access to {}</h2><form method=\"post\" action=\"/ask\">\
         <input type=\"hidden\" name=\"application\" value=\"{}\">\
         <label for=\"reason\">What you need it for</label>\
         <input id=\"reason\" name=\"reason\" required maxlength=\"500\">\
         <label for=\"for\">For how long</label>\
         <select id=\"for\" name=\"for\"><option value=\"1h\">1 hour</option>\
         <option value=\"8h\" selected>8 hours</option><option value=\"1d\">1 day</option>\
         <option value=\"7d\">7 days</option></select>\
         <button>Ask for access</button></form>",
        &[name.clone(), name],
    )
}
