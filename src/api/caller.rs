//! Who asks, and whether the route is theirs.

use access::{Authenticated, Code};
use axum::Extension;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use secrecy::SecretString;
use session::{AuditEvent, Door};

use super::error::ApiError;
use crate::{AppState, Peer};

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Anybody. What such a route needs to see, it asks for itself.
    Anonymous,
    /// Whoever is signed in.
    User,
    /// Whoever is signed in and administers the relay.
    Admin,
}

/// Somebody who is signed in. Handlers of routes for users and admins get one; nobody else does.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) who: Authenticated,
    pub(super) admin: bool,
}

/// Lets a request through to its handler when its caller has the route's role.
pub(super) async fn guard(
    State((state, role)): State<(AppState, Role)>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if role != Role::Anonymous {
        let caller = sign_in(&state, request.headers(), request.extensions().get()).await?;
        if role == Role::Admin && !caller.admin {
            note_denied(&state, &caller, &request);
            return Err(ApiError::not_admin());
        }
        request.extensions_mut().insert(caller);
    }
    Ok(next.run(request).await)
}

/// Vouches by the Bearer token where one is shown, else by the connection's agent certificate.
pub(super) async fn sign_in(
    state: &AppState,
    headers: &HeaderMap,
    peer: Option<&Peer>,
) -> Result<Caller, ApiError> {
    let peer = peer.ok_or_else(|| ApiError::internal("a request without its peer"))?;
    let from = peer.addr.ip().to_canonical();
    let who = match (bearer(headers)?, &peer.agent) {
        (Some(token), _) => state.authn.bearer(&token, from).await?,
        (None, Some(agent)) => state.authn.agent(agent, from)?,
        (None, None) => return Err(ApiError::signed_out()),
    };
    let policy = state.policy.current();
    let user = policy.user(who.user()).filter(|user| user.enabled);
    let user = user.ok_or(session::AuthnError::UserDisabled)?;
    Ok(Caller { admin: user.admin, who })
}

fn bearer(headers: &HeaderMap) -> Result<Option<SecretString>, ApiError> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = shown.next() else { return Ok(None) };
    if shown.next().is_some() {
        return Err(ApiError::invalid("a request has one Authorization header"));
    }
    let text = value.to_str().ok().and_then(|text| text.split_once(' '));
    match text {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Ok(Some(token.trim().to_owned().into()))
        }
        Some(_) | None => Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            Code("authn.scheme"),
            "the only scheme of the Authorization header is Bearer",
        )),
    }
}

fn note_denied(state: &AppState, caller: &Caller, request: &Request) {
    let path: String = request.uri().path().chars().take(LONGEST_PATH).collect();
    state.broker.audit().note(AuditEvent::AccessDenied {
        door: Door::Api,
        from: caller.who.from(),
        user: caller.who.name().clone(),
        application: "the admin API".to_owned(),
        code: Code("access.admin_required"),
        detail: format!("{} {path}", request.method()),
    });
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let caller = Extension::<Self>::from_request_parts(parts, state).await;
        let Extension(caller) = caller.map_err(|_| ApiError::signed_out())?;
        Ok(caller)
    }
}

/// The longest path that a record keeps, in characters.
const LONGEST_PATH: usize = 256;
