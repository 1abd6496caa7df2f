//! Approving that a connection at the SSH door goes on as oneself.

use std::net::IpAddr;

use access::{Authenticated, Kind};
use axum::Extension;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use gateway_web::Html;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use tokio::time::Instant;

use super::asking::Asking;
use super::code::CodePage;
use super::go::to_sign_in;
use super::pages::{Refused, fields, shown, warning};
use crate::AppState;
use crate::api;
use crate::authn::{Terminal, Waits, network};

#[derive(Deserialize)]
struct Decided {
    code: String,
    which: String,
    /// Where the connection names none.
    #[serde(default)]
    application: String,
}

/// `GET /ssh`
pub(super) async fn show(
    State(state): State<AppState>,
    Extension(asking): Extension<Asking>,
    uri: Uri,
) -> Response {
    let Some(who) = &asking.who else { return to_sign_in(&asking) };
    let code = match PAGE.code(&state, &asking, &uri) {
        Ok(code) => code,
        Err(told) => return *told,
    };
    match state.authn.approvals().find(&code, Instant::now()) {
        Some(waits) => question(&state, &asking, who, &waits),
        None => PAGE.nothing(&asking),
    }
}

/// `POST /ssh`
pub(super) async fn decide(
    State(state): State<AppState>,
    Extension(asking): Extension<Asking>,
    body: String,
) -> Response {
    let Some(who) = &asking.who else { return to_sign_in(&asking) };
    let Some(decided) = fields::<Decided>(&body) else {
        return Refused::invalid("the form is not readable").with(asking.id).into_response();
    };
    if let Err(told) = PAGE.fresh(&state, &asking, &decided.code) {
        return *told;
    }
    let approvals = state.authn.approvals();
    let Some(waits) = approvals.find(&decided.code, Instant::now()) else {
        return PAGE.nothing(&asking);
    };
    match decided.which.as_str() {
        "approve" => approve(&state, &asking, who, &waits, &decided.application).await,
        _ if approvals.deny(&waits.code, who.name(), Instant::now()) => {
            let text = "The terminal is told. If you did not ask for this, somebody else did.";
            let main = Html::of("<h1>Denied</h1><p>{}</p>", &[Html::text(text)]);
            shown("Denied", true, &asking, main)
        }
        _ => PAGE.nothing(&asking),
    }
}

async fn approve(
    state: &AppState,
    asking: &Asking,
    who: &Authenticated,
    waits: &Waits<Terminal>,
    chosen: &str,
) -> Response {
    let application = waits.what.application.as_deref().unwrap_or(chosen);
    let token = match api::terminal_token(state, who, application, waits.from).await {
        Ok(token) => token,
        Err(error) => return Refused::of(&error).with(asking.id).into_response(),
    };
    let approved = state.authn.approvals().approve(&waits.code, who.name(), token, Instant::now());
    let Some(number) = approved else { return PAGE.nothing(asking) };
    let (first, last) = number.expose_secret().split_at(3);
    let main = Html::of(
        "<h1>Type this number in the terminal</h1><p class=\"code mono\">{} {}</p>\
         <p>It opens <strong>{}</strong> there, once, within a few minutes. Tell it to nobody: \
         whoever asks you for it is somebody else.</p>",
        &[Html::text(first), Html::text(last), Html::text(application)],
    );
    shown("Approved", true, asking, main)
}

fn question(
    state: &AppState,
    asking: &Asking,
    who: &Authenticated,
    waits: &Waits<Terminal>,
) -> Response {
    let Terminal { login, application } = &waits.what;
    let account = match login.is_empty() {
        true => Html::default(),
        false => Html::of(", as the account <span class=\"mono\">{}</span>", &[Html::text(login)]),
    };
    let (application, choice) = match application {
        Some(application) => (Html::text(application), Html::default()),
        None => (Html::text("an application"), choice(state, who)),
    };
    let from = Html::text(&waits.from.to_string());
    let what = Html::of(
        "<h1>Let this terminal in as you?</h1>\
         <p>Somebody asks to open <strong>{}</strong>{} with <code>ssh</code>, from \
         <span class=\"mono\">{}</span>.</p>{}\
         <p>Approve only if that is you, just now, and your terminal shows this code:</p>",
        &[application, account, from, elsewhere(waits.from, asking.from)],
    );
    PAGE.question(asking, what, &waits.code, choice)
}

/// What is worth a second look: most people's terminal and browser come from one place.
fn elsewhere(terminal: IpAddr, browser: IpAddr) -> Html {
    if network(terminal) == network(browser) {
        return Html::default();
    }
    let text = format!("that is not where this browser is ({browser})");
    warning(&text, None)
}

/// The SSH applications that they reach, to pick one.
fn choice(state: &AppState, who: &Authenticated) -> Html {
    let policy = state.policy.current();
    let open = policy.reachable(who).into_iter().filter(|app| app.kind == Kind::Ssh);
    let options = open.map(|app| {
        let name = Html::text(&app.full_name());
        Html::of("<option value=\"{}\">{}</option>", &[name.clone(), name])
    });
    Html::of(
        "<label for=\"application\">Application</label>\
         <select id=\"application\" name=\"application\" required>{}</select>",
        &[Html::all(options)],
    )
}

const PAGE: CodePage = CodePage {
    path: "/ssh",
    title: "Let a terminal in",
    danger: "opens a terminal",
    ask: "Connect with <code>ssh</code>, leave the token empty, and type the code that it shows.",
    waits: ("terminal", "ssh.not_approved"),
};
