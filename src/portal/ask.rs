//! Asking for access to an application, by a form.

use ::api::{AskAccess, RequestState, Span};
use access::{ApplicationId, Authenticated};
use axum::Extension;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use gateway_web::Html;
use serde::Deserialize;
use store::{RequestQuery, RequestRow};
use time::OffsetDateTime;
use time::macros::format_description;

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
    let Some(who) = &asking.who else { return to_sign_in(&asking) };
    let Some(Which { to }) = fields(uri.query().unwrap_or_default()) else {
        return Refused::invalid("the link is not whole").with(asking.id).into_response();
    };
    let main = match offer(&state, &to, who).await {
        Offer::Nothing => Html::of(
            "<h1>Access</h1><p>Nobody can ask for access to this application here. Your \
             administrator gives it.</p>",
            &[],
        ),
        Offer::Form(offer) | Offer::Waits(offer) => {
            Html::all([Html::of("<h1>Access</h1>", &[]), offer])
        }
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

/// What somebody who may not open an application can do about it.
pub(super) enum Offer {
    Nothing,
    /// Ask, by this form.
    Form(Html),
    /// Wait: they have asked, and nobody has decided.
    Waits(Html),
}

/// Of the application at this host.
pub(super) async fn offer(state: &AppState, to: &str, who: &Authenticated) -> Offer {
    let policy = state.policy.current();
    let Some(application) = application_at(&policy, to, &state.info.domain) else {
        return Offer::Nothing;
    };
    let rows = state.store.applications().await.unwrap_or_default();
    let row = rows.into_iter().find(|row| row.id == application.id && row.requestable);
    let Some(row) = row else { return Offer::Nothing };
    if let Some(asked) = pending(state, who, row.id).await {
        return Offer::Waits(waiting(&asked));
    }
    let name = Html::text(&row.reference());
    Offer::Form(Html::of(
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
    ))
}

/// What they have asked for of this application, where nobody has decided yet.
async fn pending(
    state: &AppState,
    who: &Authenticated,
    application: ApplicationId,
) -> Option<RequestRow> {
    let user = Some(who.name().clone());
    let query = RequestQuery { user, state: Some(RequestState::Pending), ..Default::default() };
    // Where the store does not answer, so it will to who sends the form.
    let rows = state.store.access_requests(query).await.unwrap_or_default();
    rows.into_iter().find(|row| row.application_id == application)
}

/// That a request waits, since when, and what comes next.
fn waiting(asked: &RequestRow) -> Html {
    let span = Span::from_seconds(asked.seconds).map(|span| span.to_string()).unwrap_or_default();
    Html::of(
        "<h2>You have asked for access to {}</h2><p>For {}, on {}: “{}”. Nobody has decided \
         yet.</p><p>Whoever may decide has been told. Once they approve, open this again; what they \
         decide and say stands under <a href=\"/#/requests\">your requests</a>, where you can also \
         take it back.</p>",
        &[
            Html::text(&asked.application),
            Html::text(&span),
            Html::text(&moment(asked.created)),
            Html::text(&asked.reason),
        ],
    )
}

/// Unix seconds as `28 November 2026, 13:59 UTC`.
fn moment(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok();
    let at = at.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let format =
        format_description!("[day padding:none] [month repr:long] [year], [hour]:[minute] UTC");
    at.and_then(|at| at.format(format).ok()).unwrap_or_default()
}
