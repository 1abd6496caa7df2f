//! Who asks, and whether the route is theirs.

use access::{AgentId, Authenticated, Code, Credential};
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
use super::openapi::{Input, Operation, Schemas};
use crate::listen::presence::Presence;
use crate::{AppState, Peer};

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Anybody. What such a route needs to see, it asks for itself.
    Anonymous,
    /// Whoever is signed in, be it by a token that opens one application and does nothing else.
    Holder,
    /// Whoever is signed in as a user.
    User,
    /// Whoever is signed in and administers the relay.
    Admin,
}

/// Somebody who is signed in. Handlers of routes for users and admins get one; nobody else does.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) who: Authenticated,
    /// Never where `who` stands on a token that opens applications.
    pub(super) admin: bool,
    /// The agent that asks, where one does.
    pub(super) agent: Option<AgentId>,
}

impl Caller {
    /// Whoever was vouched for, if they still are a user.
    pub(super) fn of(
        state: &AppState,
        who: Authenticated,
        agent: Option<AgentId>,
    ) -> Result<Self, ApiError> {
        let policy = state.policy.current();
        let user = policy.user(who.user()).filter(|user| user.enabled);
        let user = user.ok_or(session::AuthnError::UserDisabled)?;
        Ok(Self { admin: user.admin && !opens_only(&who), who, agent })
    }
}

/// Whether this is the holder of a token that opens applications and changes nothing.
fn opens_only(who: &Authenticated) -> bool {
    match who.credential() {
        Credential::Token { kind, .. } => kind.opens(),
        Credential::SshKey { .. } | Credential::Agent { .. } => false,
    }
}

/// Lets a request through to its handler when its caller has the route's role.
pub(super) async fn guard(
    State((state, role)): State<(AppState, Role)>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if role != Role::Anonymous {
        let caller = sign_in(&state, request.headers(), request.extensions().get()).await?;
        if let Some(presence) = request.extensions().get::<Presence>() {
            presence.vouch();
        }
        if role == Role::Admin && !caller.admin {
            note_denied(&state, &caller, &request);
            return Err(ApiError::not_admin());
        }
        if role == Role::User && opens_only(&caller.who) {
            return Err(ApiError::opens_only());
        }
        request.extensions_mut().insert(caller);
    }
    Ok(next.run(request).await)
}

/// Vouches by the Bearer token where one is shown, else by the connection's agent certificate.
async fn sign_in(
    state: &AppState,
    headers: &HeaderMap,
    peer: Option<&Peer>,
) -> Result<Caller, ApiError> {
    let peer = peer.ok_or_else(|| ApiError::internal("a request without its peer"))?;
    let from = peer.addr.ip().to_canonical();
    match (bearer(headers)?, &peer.agent) {
        (Some(token), _) => Caller::of(state, state.authn.bearer(&token, from).await?, None),
        (None, Some(agent)) => {
            Caller::of(state, state.authn.agent_at(Door::Api, agent, from)?, Some(agent.id))
        }
        (None, None) => Err(ApiError::signed_out()),
    }
}

pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<SecretString>, ApiError> {
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

impl Role {
    /// Its word in the API's document.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Holder => "holder",
            Self::User => "user",
            Self::Admin => "admin",
        }
    }
}

/// Whom a route is for stands in the table of routes.
impl Input for Caller {
    fn describe(_: &mut Operation, _: &mut Schemas) {}
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
