//! Who asks for a page, and whether they may.

use std::net::IpAddr;

use access::Authenticated;
use axum::extract::{Request, State};
use axum::http::header::{COOKIE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gateway_web::{authority, is_own, security, without_port};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use super::pages::{Refused, redirect};
use crate::listen::presence::Presence;
use crate::{AppState, Peer};

/// A request for a page; an extension of it.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) id: Uuid,
    pub(super) from: IpAddr,
    /// Whoever is signed in at this browser.
    pub(super) who: Option<Authenticated>,
    /// `:8443`, where the relay is not reached at the usual port.
    pub(super) port: String,
    /// Path and query.
    pub(super) target: String,
}

/// Looks at whoever asks, and keeps what is answered out of frames and caches.
pub(super) async fn admit(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = Uuid::now_v7();
    let mut response = match asking(&state, &request, id) {
        Ok(asking) => {
            request.extensions_mut().insert(asking);
            next.run(request).await
        }
        Err(response) => *response,
    };
    let headers = response.headers_mut();
    for (name, value) in security() {
        // Files may be kept.
        headers.entry(name).or_insert(value);
    }
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// What is asked for, at the host that pages are at, where it is asked for at another: one host has the
/// cookie, whatever else the relay is called.
pub(super) fn at_own_host(state: &AppState, request: &Request) -> Option<String> {
    let host = authority(request).unwrap_or_default();
    let name = without_port(host);
    let port = host.strip_prefix(name).unwrap_or_default();
    let is_own = name.eq_ignore_ascii_case(&state.info.domain);
    (!is_own).then(|| format!("{}{}", state.info.url_at(port), target(request.uri())))
}

fn asking(state: &AppState, request: &Request, id: Uuid) -> Result<Asking, Box<Response>> {
    let refuse = |refused: Refused| Box::new(refused.with(id).into_response());
    let host = authority(request).unwrap_or_default();
    let port = host.strip_prefix(without_port(host)).unwrap_or_default().to_owned();
    let target = target(request.uri());
    if let Some(link) = at_own_host(state, request) {
        return match *request.method() {
            Method::GET | Method::HEAD => Err(Box::new(redirect(StatusCode::FOUND, &link))),
            _ => Err(refuse(Refused::foreign())),
        };
    }
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    if !reads && !is_own(request.method(), request.headers(), host, false) {
        return Err(refuse(Refused::foreign()));
    }
    let Some(peer) = request.extensions().get::<Peer>() else {
        return Err(refuse(Refused::nothing()));
    };
    let from = peer.addr.ip().to_canonical();
    state.calls.admit_stranger(from).map_err(|error| refuse(Refused::of(&error)))?;
    let who = cookie(request.headers()).and_then(|cookie| state.authn.browser(&cookie, from));
    if who.is_some()
        && let Some(presence) = request.extensions().get::<Presence>()
    {
        presence.vouch();
    }
    Ok(Asking { id, from, who, port, target })
}

/// The relay's own cookie. One that is there twice is none.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<SecretString> {
    cookie_named(headers, COOKIE_NAME)
}

/// As [`cookie`], of another name.
pub(super) fn cookie_named(headers: &HeaderMap, wanted: &str) -> Option<SecretString> {
    let pairs = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs =
        pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(name, _)| *name == wanted).map(|(_, value)| value);
    let first = found.next()?;
    found.next().is_none().then(|| first.to_owned().into())
}

/// `Set-Cookie` for a browser that is signed in. Lax: whoever follows a link to an application is
/// signed in there; what other sites send is refused by its origin.
pub(super) fn set_cookie(secret: &SecretString) -> String {
    format!("{COOKIE_NAME}={}; {ATTRIBUTES}", secret.expose_secret())
}

/// `Set-Cookie` for one that is not any more.
pub(super) fn clear_cookie() -> String {
    format!("{COOKIE_NAME}=; Max-Age=0; {ATTRIBUTES}")
}

fn target(uri: &Uri) -> String {
    uri.path_and_query().map(ToString::to_string).unwrap_or_default()
}

const COOKIE_NAME: &str = "__Host-adit";
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
