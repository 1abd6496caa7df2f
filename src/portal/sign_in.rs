//! Signing a browser in with a code.
//!
//! Other ways to say who one is end where this one does: in [`open`], which is all that makes a
//! sign-in.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use ::api::Secret;
use access::{Explain as _, Name, SignInId, sha256};
use axum::Extension;
use axum::extract::State;
use axum::http::header::USER_AGENT;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use gateway_web::{Html, document};
use secrecy::SecretString;
use serde::Deserialize;
use session::{AuditEvent, AuthnError};
use store::NewSignIn;
use uuid::Uuid;

use super::asking::{Asking, set_cookie};
use super::pages::{Refused, encoded, fields, header, page, redirect, shown, warning, with_cookie};
use super::sign_out::leave;
use super::{passkey, step};
use crate::AppState;
use crate::api::{ApiError, Reason};
use crate::authn::{How, Known, Purpose, Second, Unfinished};

#[derive(Deserialize)]
struct Form {
    code: Secret,
    #[serde(default)]
    next: String,
}

#[derive(Default, Deserialize)]
struct Onward {
    #[serde(default)]
    next: String,
}

/// `GET /sign-in`
pub(super) async fn show(
    State(state): State<AppState>,
    Extension(asking): Extension<Asking>,
    uri: Uri,
) -> Response {
    let next = fields::<Onward>(uri.query().unwrap_or_default()).unwrap_or_default().next;
    form(StatusCode::OK, &state, &asking, &next, Html::default())
}

/// `POST /sign-in`
pub(super) async fn sign_in(
    State(state): State<AppState>,
    Extension(asking): Extension<Asking>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let Some(Form { code, next }) = fields(&body) else {
        return Refused::invalid("the form is not readable").with(asking.id).into_response();
    };
    let code: SecretString = code.expose().trim().to_owned().into();
    let (user, name, token) = match state.authn.sign_in_code(&code, asking.from).await {
        Ok(known) => known,
        Err(error) => return refused(error, &state, &asking, &next),
    };
    // Whoever could issue a code has shown more than a password.
    let known = Known { user, name, how: How::Code(token) };
    let done = Unfinished { known, second: None, steps: Vec::new(), next };
    complete(&state, &asking, &headers, done).await
}

/// Signs in whoever has shown all that is asked of them; asks the others for the rest.
pub(super) async fn go_on_with(
    state: &AppState,
    asking: &Asking,
    headers: &HeaderMap,
    unfinished: Unfinished,
) -> Response {
    match unfinished.steps.is_empty() {
        true => complete(state, asking, headers, unfinished).await,
        false => step::begin(state, unfinished),
    }
}

/// Signs a browser in and leads it on.
pub(super) async fn complete(
    state: &AppState,
    asking: &Asking,
    headers: &HeaderMap,
    unfinished: Unfinished,
) -> Response {
    leave(state, asking, Reason::Replaced).await;
    let Unfinished { known, second, next, .. } = unfinished;
    match open(state, asking, (known, second), browser(headers)).await {
        Ok(secret) => {
            // By way of a page: what follows a form directly may not go to other hosts.
            let onward = place(&next).map(|next| format!("/signed-in?next={}", encoded(next)));
            let link = onward.as_deref().unwrap_or("/");
            with_cookie(redirect(StatusCode::SEE_OTHER, link), &set_cookie(&secret))
        }
        Err(error) => Refused::of(&error).with(asking.id).into_response(),
    }
}

/// `GET /signed-in`
pub(super) async fn go_on(Extension(asking): Extension<Asking>, uri: Uri) -> Response {
    let onward = fields::<Onward>(uri.query().unwrap_or_default()).unwrap_or_default();
    let next = Html::text(place(&onward.next).unwrap_or("/"));
    let main = Html::of(
        "<meta http-equiv=\"refresh\" content=\"0; url={}\"><h1>You are signed in</h1>\
         <p><a href=\"{}\">Go on</a></p>",
        &[next.clone(), next],
    );
    shown("Signed in", true, &asking, main)
}

/// Signs a browser in: the one place that does, whatever vouched for its user. No record, no
/// sign-in. The secret of its cookie is new each time, so that nobody can have chosen it before.
async fn open(
    state: &AppState,
    asking: &Asking,
    (known, second): (Known, Option<Second>),
    browser: String,
) -> Result<SecretString, ApiError> {
    let Known { user, name, how } = known;
    let (now, from, settings) = (SystemTime::now(), asking.from, state.store.settings().await?);
    let secret: [u8; 32] = rand::random();
    let secret = BASE64URL_NOPAD.encode(&secret);
    let new = NewSignIn {
        id: SignInId(Uuid::new_v4()),
        user,
        digest: sha256(secret.as_bytes()),
        from,
        browser: browser.clone(),
        provider: match &how {
            How::Provider(name) => Some(name.to_string()),
            How::Code(_) | How::Password | How::Passkey | How::Directory(_) => None,
        },
        idle: Duration::from_secs(60 * u64::from(settings.sign_in_idle_minutes)),
        expires: now + Duration::from_secs(3600 * u64::from(settings.sign_in_hours)),
    };
    let sign_in = new.id;
    let opened = opened(sign_in, name.clone(), (from, browser), (how, second));
    state.broker.audit().append(opened).await?;
    if let Err(error) = state.store.sign_in(new.clone(), now).await {
        let (reason, by) = ("failed", "the relay".to_owned());
        state.broker.audit().note(AuditEvent::SignInEnded { sign_in, user: name, reason, by });
        return Err(error.into());
    }
    // Known before policy has it, so that none is taken for one that has ended.
    state.policy.refresh().await;
    state.authn.browsers().opened(&new, now);
    Ok(secret.into())
}

fn opened(
    sign_in: SignInId,
    user: Name,
    (from, browser): (IpAddr, String),
    (how, second): (How, Option<Second>),
) -> AuditEvent {
    let word = how.as_str();
    let (token, provider) = match how {
        How::Code(token) => (Some(token), None),
        How::Password | How::Passkey => (None, None),
        How::Provider(name) | How::Directory(name) => (None, Some(name)),
    };
    let second = second.map(Second::as_str);
    AuditEvent::SignInOpened { sign_in, user, from, browser, how: word, second, token, provider }
}

pub(super) fn refused(
    error: AuthnError,
    state: &AppState,
    asking: &Asking,
    next: &str,
) -> Response {
    let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::UNAUTHORIZED);
    form(status, state, asking, next, warning(&error.public(), Some(error.code().0)))
}

fn form(status: StatusCode, state: &AppState, asking: &Asking, next: &str, told: Html) -> Response {
    let next = place(next).unwrap_or_default();
    let buttons = buttons(state, next);
    let passkey = passkey::form(state, "/sign-in/passkey", next, Purpose::SignIn, &[]);
    let next = Html::text(next);
    let main = Html::of(
        "<h1>Sign in</h1>{}{}{}\
         <form method=\"post\" action=\"/sign-in/password\">\
         <input type=\"hidden\" name=\"next\" value=\"{}\">\
         <label for=\"user\">User name</label>\
         <input id=\"user\" name=\"user\" required autofocus spellcheck=\"false\" \
         autocapitalize=\"none\" autocomplete=\"username\" maxlength=\"64\">\
         <label for=\"password\">Password</label>\
         <input id=\"password\" name=\"password\" type=\"password\" required \
         autocomplete=\"current-password\" maxlength=\"128\">\
         <button class=\"wide\">Sign in</button></form>\
         <details><summary>Sign in with a one-time code</summary>\
         <p class=\"soft\">Run <code>adit sign-in</code> where you are signed in with the agent, and \
         open the link it prints, or paste its code here. Your administrator can send you such a \
         link too.</p>\
         <form method=\"post\" action=\"/sign-in\" data-code autocomplete=\"off\">\
         <input type=\"hidden\" name=\"next\" value=\"{}\">\
         <label for=\"code\">One-time code</label>\
         <input id=\"code\" name=\"code\" type=\"password\" required spellcheck=\"false\" \
         autocapitalize=\"none\" autocomplete=\"one-time-code\" maxlength=\"160\">\
         <button class=\"wide plain\">Use the code</button></form></details>",
        &[told, buttons, passkey, next.clone(), next],
    );
    page(status, document("Sign in", true, header(asking), main))
}

/// One for each provider of the relay's file.
fn buttons(state: &AppState, next: &str) -> Html {
    let onward = if next.is_empty() { String::new() } else { format!("?next={}", encoded(next)) };
    let each = state.oidc.buttons().map(|(name, title)| {
        let link = format!("/sign-in/with/{name}{onward}");
        let parts = [Html::text(&link), Html::text(title)];
        Html::of("<a class=\"button wide\" href=\"{}\">{}</a>", &parts)
    });
    let all: Vec<Html> = each.collect();
    match all.is_empty() {
        true => Html::default(),
        false => Html::of("<div class=\"providers\">{}</div>", &[Html::all(all)]),
    }
}

/// Where one may go on after signing in: pages of this host that need it, and nowhere else.
fn place(next: &str) -> Option<&str> {
    let ours = ["/go?", "/ask?", "/device?", "/ssh?"].iter().any(|page| next.starts_with(page));
    (ours && next.len() <= LONGEST && next.bytes().all(|byte| byte.is_ascii_graphic()))
        .then_some(next)
}

/// What the browser calls itself, for lists.
fn browser(headers: &HeaderMap) -> String {
    let said = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    access::text::visible(said).chars().take(LONGEST_NAME).collect()
}

const LONGEST: usize = 8 << 10;
const LONGEST_NAME: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_on_to_pages_that_need_a_sign_in_and_nowhere_else() {
        for good in [
            "/go?to=wiki-hq.x&path=/",
            "/ask?to=a",
            "/device?code=BCDF-GHJK",
            "/ssh?code=BCDF-GHJK",
        ] {
            assert_eq!(place(good), Some(good));
        }
        let hostile = [
            "",
            "/",
            "//evil.example/go?",
            "https://evil.example/go?",
            "/\\evil",
            "/go?a\r\nb: c",
            " /go?",
            "/gone",
            "javascript:alert(1)",
            "/go?a b",
        ];
        for next in hostile {
            assert_eq!(place(next), None, "{next}");
        }
    }
}
