//! What somebody who is signed in can open, as links.

use std::time::SystemTime;

use access::{Application, Authenticated, Kind};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use gateway_web::Html;
use store::{SignInQuery, SignInRow};

use super::asking::Asking;
use super::pages::{Refused, redirect, shown};
use crate::AppState;

/// `GET /`
pub(super) async fn show(
    State(state): State<AppState>,
    Extension(asking): Extension<Asking>,
) -> Response {
    let Some(who) = asking.who.clone() else { return redirect(StatusCode::FOUND, "/sign-in") };
    let query = SignInQuery {
        user: Some(who.name().clone()),
        live_at: Some(SystemTime::now()),
        ..SignInQuery::default()
    };
    let browsers = match state.store.sign_ins(query).await {
        Ok(browsers) => browsers,
        Err(error) => return Refused::of(&error.into()).with(asking.id).into_response(),
    };
    let main = Html::all([
        Html::of("<h1>Your applications</h1>", &[]),
        applications(&state, &who, &asking.port),
        Html::of("<h2>Your browsers</h2>", &[]),
        list(browsers.iter().map(browser)),
    ]);
    shown("Applications", false, &asking, main)
}

fn applications(state: &AppState, who: &Authenticated, port: &str) -> Html {
    let (policy, connected) = (state.policy.current(), state.connectors.list());
    let online = |app: &Application| connected.iter().any(|live| live.site == app.site.name);
    let open = policy.reachable(who).into_iter().filter(|app| app.kind == Kind::Web);
    let mut open = open.peekable();
    if open.peek().is_none() {
        return Html::of("<p class=\"soft\">There are no web applications for you yet.</p>", &[]);
    }
    let host = |app: &Application| format!("{}.{}{port}", app.label(), state.info.domain);
    list(open.map(|app| {
        let (dot, word) = match online(app) {
            true => (Html::of("<span class=\"dot\"></span>", &[]), "online"),
            false => (Html::of("<span class=\"dot off\"></span>", &[]), "site offline"),
        };
        let parts = [
            Html::text(&host(app)),
            Html::text(app.name.as_str()),
            Html::text(app.site.name.as_str()),
            dot,
            Html::text(word),
        ];
        Html::of(
            "<a href=\"https://{}/\"><span><strong>{}</strong> <span class=\"soft\">{}</span></span>\
             <span class=\"side\">{}{}</span></a>",
            &parts,
        )
    }))
}

fn browser(row: &SignInRow) -> Html {
    let parts = [Html::text(&row.browser), Html::text(&row.from.to_string())];
    Html::of(
        "<span class=\"item\"><span class=\"small\">{}</span><span class=\"side mono\">{}</span></span>",
        &parts,
    )
}

fn list(items: impl Iterator<Item = Html>) -> Html {
    let items = items.map(|item| Html::of("<li>{}</li>", &[item]));
    Html::of("<ul class=\"list\">{}</ul>", &[Html::all(items)])
}
