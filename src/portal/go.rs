//! From the relay's host to an application's.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use access::{
    Application, Authenticated, Context, Credential, Deny, Explain, Keeps, Kind, PolicySnapshot,
};
use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use gateway_web::without_port;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use session::{AuditEvent, Door, pace};
use tokio::time::Instant;

use super::ask::{self, Offer};
use super::asking::Asking;
use super::pages::{Refused, encoded, fields, redirect};
use crate::AppState;
use crate::authn::HandOver;

#[derive(Deserialize)]
struct Onward {
    /// The application's host.
    to: String,
    #[serde(default)]
    path: String,
    state: String,
}

/// `GET /go`: to an application, for whoever is signed in and may open it. It changes nothing but
/// what the browser that asked can do with its own nonce.
pub(super) async fn go(
    State(state): State<AppState>,
    Extension(asking): Extension<Asking>,
    uri: Uri,
) -> Response {
    let Some(who) = &asking.who else { return to_sign_in(&asking) };
    let refused = |refused: Refused| refused.with(asking.id).into_response();
    let Some(onward) = fields::<Onward>(uri.query().unwrap_or_default()) else {
        return refused(Refused::invalid("the link is not whole"));
    };
    let nonce = BASE64URL_NOPAD.decode(onward.state.as_bytes()).ok();
    let Some(nonce) = nonce.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) else {
        return refused(Refused::invalid("the link is not whole"));
    };
    let application = match open(&state, who, &onward.to, asking.from).await {
        Ok(application) => application,
        Err(denied) => {
            return refused(match ask::offer(&state, &onward.to, who).await {
                Offer::Nothing => denied,
                Offer::Form(form) => denied.offering(form),
                Offer::Waits(words) => denied.hinting_only(words),
            });
        }
    };
    let Credential::SignIn { id } = who.credential() else { return to_sign_in(&asking) };
    let path = path(&onward.path).to_owned();
    let over = HandOver { sign_in: *id, application: application.id, state: nonce, path };
    let code = state.authn.browsers().hand_over(over, Instant::now());
    // Of the policy, not of the link.
    let host = host(&onward.to, &application, &state.info.domain);
    let code = code.expose_secret();
    let port = state.info.port_of(&onward.to, &asking.port);
    let link = format!("https://{host}{port}/.adit/enter?code={code}");
    redirect(StatusCode::FOUND, &link)
}

/// To the page that signs in, and then back here.
pub(super) fn to_sign_in(asking: &Asking) -> Response {
    redirect(StatusCode::FOUND, &format!("/sign-in?next={}", encoded(&asking.target)))
}

/// The application at a host, by the policy in force.
pub(super) fn application_at<'a>(
    policy: &'a PolicySnapshot,
    host: &str,
    domain: &str,
) -> Option<&'a Arc<Application>> {
    let host = without_port(host).to_ascii_lowercase();
    let below = host.strip_suffix(&domain.to_ascii_lowercase());
    match below.and_then(|rest| rest.strip_suffix('.')) {
        Some(label) => policy.labelled(label),
        None => policy.hosted(&host),
    }
}

/// The host that a browser goes back to: the application's own name that it asked for, or the one
/// below the relay's domain.
fn host(asked: &str, application: &Application, domain: &str) -> String {
    let own = application
        .web
        .host_names
        .iter()
        .find(|own| own.as_str().eq_ignore_ascii_case(without_port(asked)));
    own.map_or_else(|| format!("{}.{domain}", application.label()), ToString::to_string)
}

/// Decides as the application's own host will. Absent and forbidden look alike, and take as long.
async fn open(
    state: &AppState,
    who: &Authenticated,
    to: &str,
    from: IpAddr,
) -> Result<Arc<Application>, Refused> {
    let started = Instant::now();
    let policy = state.policy.current();
    let (why, detail) = match application_at(&policy, to, &state.info.domain) {
        None => (Deny::NoRule, "no application has that host".to_owned()),
        Some(application) => {
            let context = Context { from, login: None, database: None, keeps: Keeps::NOTHING };
            match policy.authorize(who, application, context, SystemTime::now()) {
                Ok(_) if application.kind == Kind::Web => return Ok(application.clone()),
                Ok(_) => (Deny::NoRule, "the application is no web application".to_owned()),
                Err(deny) => (deny, deny.to_string()),
            }
        }
    };
    state.broker.audit().note(AuditEvent::AccessDenied {
        door: Door::Web,
        from,
        user: who.name().clone(),
        application: without_port(to).chars().take(LONGEST).collect(),
        code: why.code(),
        detail,
    });
    pace::even(started, pace::DENIED).await;
    let status = StatusCode::from_u16(why.http_status()).unwrap_or(StatusCode::FORBIDDEN);
    Err(Refused::explained(status, &why))
}

/// A path and query of the application; whatever else is asked for is its first page.
fn path(path: &str) -> &str {
    let whole = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
    if whole { path } else { "/" }
}

const LONGEST: usize = 128;
