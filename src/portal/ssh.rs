//! Approving that a connection at the SSH door goes on as oneself.

use std::net::IpAddr;

use access::{Authenticated, Kind};
use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use gateway_web::{Html, document};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use tokio::time::Instant;

use super::asking::Asking;
use super::device::is_fresh;
use super::go::to_sign_in;
use super::pages::{Refused, encoded, fields, header, page, shown, warning};
use crate::AppState;
use crate::api;
use crate::authn::{Waits, network};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Which {
    code: String,
}

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
    let Which { code } = fields(uri.query().unwrap_or_default()).unwrap_or_default();
    let Some(who) = &asking.who else { return to_sign_in(&asking) };
    if !is_fresh(&state, &asking) {
        return again(&asking, &code);
    }
    if code.is_empty() {
        return ask_for_code(StatusCode::OK, &asking, Html::default());
    }
    match state.authn.approvals().find(&code, Instant::now()) {
        Some(waits) => question(&state, &asking, who, &waits),
        None => nothing(&asking),
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
    if !is_fresh(&state, &asking) {
        return again(&asking, &decided.code);
    }
    let approvals = state.authn.approvals();
    let Some(waits) = approvals.find(&decided.code, Instant::now()) else {
        return nothing(&asking);
    };
    match decided.which.as_str() {
        "approve" => approve(&state, &asking, who, &waits, &decided.application).await,
        _ if approvals.deny(&waits.code, who.name(), Instant::now()) => {
            let text = "The terminal is told. If you did not ask for this, somebody else did.";
            let main = Html::of("<h1>Denied</h1><p>{}</p>", &[Html::text(text)]);
            shown("Denied", true, &asking, main)
        }
        _ => nothing(&asking),
    }
}

async fn approve(
    state: &AppState,
    asking: &Asking,
    who: &Authenticated,
    waits: &Waits,
    chosen: &str,
) -> Response {
    let application = waits.application.as_deref().unwrap_or(chosen);
    let token = match api::terminal_token(state, who, application, waits.from).await {
        Ok(token) => token,
        Err(error) => return Refused::of(&error).with(asking.id).into_response(),
    };
    let approved = state.authn.approvals().approve(&waits.code, who.name(), token, Instant::now());
    let Some(number) = approved else { return nothing(asking) };
    let (first, last) = number.expose_secret().split_at(3);
    let main = Html::of(
        "<h1>Type this number in the terminal</h1><p class=\"code mono\">{} {}</p>\
         <p>It opens <strong>{}</strong> there, once, within a few minutes. Tell it to nobody: \
         whoever asks you for it is somebody else.</p>",
        &[Html::text(first), Html::text(last), Html::text(application)],
    );
    shown("Approved", true, asking, main)
}

fn again(asking: &Asking, code: &str) -> Response {
    let next = encoded(&format!("/ssh?code={}", encoded(code)));
    let main = Html::of(
        "<h1>Sign in again</h1><p>You signed in a while ago. So that nobody else opens a terminal \
         in your name, sign in once more. What you have open in this browser ends with that.</p>\
         <p><a class=\"button\" href=\"/sign-in?next={}\">Sign in</a></p>",
        &[Html::text(&next)],
    );
    shown("Sign in again", true, asking, main)
}

fn nothing(asking: &Asking) -> Response {
    let told = warning("no terminal waits under that code", Some("ssh.not_approved"));
    ask_for_code(StatusCode::NOT_FOUND, asking, told)
}

fn ask_for_code(status: StatusCode, asking: &Asking, told: Html) -> Response {
    let main = Html::of(
        "<h1>Let a terminal in</h1>{}<p class=\"soft\">Connect with <code>ssh</code>, leave the \
         token empty, and type the code that it shows.</p>\
         <form method=\"get\" action=\"/ssh\">\
         <label for=\"code\">Code</label>\
         <input id=\"code\" name=\"code\" required autofocus spellcheck=\"false\" \
         autocapitalize=\"characters\" autocomplete=\"off\" maxlength=\"16\">\
         <button class=\"wide\">Go on</button></form>",
        &[told],
    );
    page(status, document("Let a terminal in", true, header(asking), main))
}

fn question(state: &AppState, asking: &Asking, who: &Authenticated, waits: &Waits) -> Response {
    let code = Html::text(&waits.code);
    let account = match waits.login.is_empty() {
        true => Html::default(),
        false => {
            Html::of(", as the account <span class=\"mono\">{}</span>", &[Html::text(&waits.login)])
        }
    };
    let (what, choice) = match &waits.application {
        Some(application) => (Html::text(application), Html::default()),
        None => (Html::text("an application"), choice(state, who)),
    };
    let parts = [
        what,
        account,
        Html::text(&waits.from.to_string()),
        elsewhere(waits.from, asking.from),
        code.clone(),
        code,
        choice,
    ];
    let main = Html::of(
        "<h1>Let this terminal in as you?</h1>\
         <p>Somebody asks to open <strong>{}</strong>{} with <code>ssh</code>, from \
         <span class=\"mono\">{}</span>.</p>{}\
         <p>Approve only if that is you, just now, and your terminal shows this code:</p>\
         <p class=\"code mono\">{}</p>\
         <form method=\"post\" action=\"/ssh\">\
         <input type=\"hidden\" name=\"code\" value=\"{}\">{}<div class=\"row\">\
         <button name=\"which\" value=\"approve\">Approve</button>\
         <button class=\"plain\" name=\"which\" value=\"deny\">Deny</button></div></form>",
        &parts,
    );
    shown("Let a terminal in", true, asking, main)
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
        let name = Html::text(&format!("{}.{}", app.name, app.site.name));
        Html::of("<option value=\"{}\">{}</option>", &[name.clone(), name])
    });
    Html::of(
        "<label for=\"application\">Application</label>\
         <select id=\"application\" name=\"application\" required>{}</select>",
        &[Html::all(options)],
    )
}
