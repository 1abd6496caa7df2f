//! Who asks, and whether the route is theirs.

use std::sync::Arc;
use std::time::SystemTime;

use access::{AgentId, Authenticated, Code, Credential, Name};
use api::{GrantSpec, Scope, Scopes};
use axum::Extension;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use secrecy::SecretString;
use session::{AuditEvent, Door};
use store::Within;

use super::browser;
use super::error::ApiError;
use super::openapi::{Input, Operation, Schemas};
use super::rates::Cost;
use crate::listen::presence::Presence;
use crate::portal::cookie;
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
    /// Whoever is signed in and sees what admins see; they do too.
    Auditor,
    /// Whoever is signed in and administers the relay.
    Admin,
}

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    pub(super) role: Role,
    /// What a token with scopes needs for it.
    pub(super) scope: Option<Scope>,
    pub(super) cost: Cost,
    /// Whether it is also for who administers some sites: its handler keeps to those.
    pub(super) sites: bool,
    /// Whether a browser has to have been signed in a short while ago: what this gives lets somebody
    /// in for longer than the browser is.
    pub(super) fresh: bool,
}

/// Somebody who is signed in. Handlers of routes for users and admins get one; nobody else does.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) who: Authenticated,
    /// Never where `who` stands on a token that opens applications.
    pub(super) admin: bool,
    /// Never where `who` stands on a token that opens applications.
    pub(super) auditor: bool,
    /// The sites they administer where they are no admin. None where `who` stands on a token that
    /// opens applications.
    pub(super) admin_of: Arc<[Name]>,
    /// What their token may be used for. `None`: all they may do.
    pub(super) scopes: Option<Scopes>,
    /// The agent that asks, where one does.
    pub(super) agent: Option<AgentId>,
}

impl Caller {
    /// Whoever was vouched for, if they still are a user.
    pub(super) fn of(
        state: &AppState,
        (who, scopes): (Authenticated, Option<Scopes>),
        agent: Option<AgentId>,
    ) -> Result<Self, ApiError> {
        let policy = state.policy.current();
        let user = policy.user(who.user()).filter(|user| user.enabled);
        let user = user.ok_or(session::AuthnError::UserDisabled)?;
        let (admin, auditor, admin_of) = match opens_only(&who) {
            true => (false, false, Arc::default()),
            false if user.admin => (true, user.auditor, Arc::default()),
            false => (false, user.auditor, user.admin_of.as_slice().into()),
        };
        Ok(Self { who, admin, auditor, admin_of, scopes, agent })
    }

    /// Whether they may see what is of a site.
    pub(super) fn sees(&self, site: &Name) -> bool {
        self.admin || self.auditor || self.admin_of.contains(site)
    }

    /// The sites whose things they may see; `None`: all.
    pub(super) fn seen_sites(&self) -> Option<Vec<Name>> {
        (!self.admin && !self.auditor).then(|| self.admin_of.to_vec())
    }

    /// Whether they may see a grant: who administers some sites, one for an application there.
    pub(super) fn sees_grant(&self, grant: &GrantSpec) -> bool {
        let of = |text: &String| {
            let site = text.split_once('.').and_then(|(_, site)| site.parse().ok());
            site.is_some_and(|site| self.sees(&site))
        };
        self.admin || self.auditor || grant.application.as_ref().is_some_and(of)
    }

    /// Refuses to change what is of a site that they do not administer. Those who can not see it
    /// are told that it is not there, by `absent`.
    pub(super) fn changes(
        &self,
        site: &Name,
        absent: impl FnOnce() -> ApiError,
    ) -> Result<(), ApiError> {
        match (self.admin || self.admin_of.contains(site), self.sees(site)) {
            (true, _) => Ok(()),
            (false, true) => Err(ApiError::not_of_site(&self.admin_of)),
            (false, false) => Err(absent()),
        }
    }

    /// How far their changes of the configuration may reach.
    pub(super) fn within(&self) -> Within {
        match self.admin {
            true => Within::Everything,
            false => Within::Sites(self.admin_of.to_vec()),
        }
    }

    /// By what they are signed in, as one text.
    pub(super) fn credential(&self) -> String {
        match self.who.credential() {
            Credential::Token { id, .. } => format!("token {id}"),
            Credential::Agent { id } => format!("agent {id}"),
            Credential::Certificate { serial, .. } => format!("certificate {serial}"),
            Credential::SignIn { id } => format!("sign-in {id}"),
            Credential::SshKey { fingerprint } => format!("key {fingerprint}"),
        }
    }

    /// Refuses a browser that was signed in long ago, where that counts.
    fn is_fresh(&self, state: &AppState, gate: Gate) -> Result<(), ApiError> {
        let Credential::SignIn { id } = self.who.credential() else { return Ok(()) };
        match gate.fresh && !state.authn.browsers().is_fresh(*id, SystemTime::now()) {
            true => Err(ApiError::stale_sign_in()),
            false => Ok(()),
        }
    }

    /// Refuses what is for who administers all of the relay.
    fn of_sites(&self, gate: Gate, other: fn() -> ApiError) -> Result<(), ApiError> {
        match (self.admin_of.is_empty(), gate.sites) {
            (true, _) => Err(other()),
            (false, true) => Ok(()),
            (false, false) => Err(ApiError::not_of_site(&self.admin_of)),
        }
    }

    /// Refuses what their role or their token does not reach.
    fn may(&self, gate: Gate) -> Result<(), ApiError> {
        match gate.role {
            Role::Admin if !self.admin => self.of_sites(gate, ApiError::not_admin)?,
            Role::Auditor if !self.admin && !self.auditor => {
                self.of_sites(gate, ApiError::not_auditor)?;
            }
            Role::User if opens_only(&self.who) => return Err(ApiError::opens_only()),
            Role::Anonymous | Role::Holder | Role::User | Role::Auditor | Role::Admin => {}
        }
        match (self.scopes, gate.scope) {
            (Some(scopes), Some(needed)) if !scopes.has(needed) => {
                let detail = format!("this token has not the scope {needed}, only {scopes}");
                Err(ApiError::out_of_scope(detail))
            }
            (Some(_) | None, _) => Ok(()),
        }
    }
}

/// Whether this is the holder of a token that opens applications and changes nothing.
fn opens_only(who: &Authenticated) -> bool {
    match who.credential() {
        Credential::Token { kind, .. } => kind.opens(),
        Credential::SshKey { .. }
        | Credential::Agent { .. }
        | Credential::Certificate { .. }
        | Credential::SignIn { .. } => false,
    }
}

/// Lets a request through to its handler when its caller has the route's role.
pub(super) async fn guard(
    State((state, gate)): State<(AppState, Gate)>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if gate.role == Role::Anonymous {
        if let Some(Peer { addr, .. }) = request.extensions().get() {
            state.calls.rates.admit_stranger(addr.ip(), gate.cost)?;
        }
    } else {
        let own = browser::is_own(request.method(), request.uri(), request.headers());
        let peer = request.extensions().get();
        let caller = sign_in(&state, request.headers(), peer, own).await?;
        if let Some(presence) = request.extensions().get::<Presence>() {
            presence.vouch();
        }
        state.calls.rates.admit(&caller, gate.cost)?;
        if let Err(refused) = caller.may(gate).and_then(|()| caller.is_fresh(&state, gate)) {
            if matches!(gate.role, Role::Admin | Role::Auditor) {
                note_denied(&state, &caller, &request, refused.code());
            }
            return Err(refused);
        }
        request.extensions_mut().insert(caller);
    }
    Ok(next.run(request).await)
}

/// Vouches by the Bearer token where one is shown, else by the connection's agent certificate, else
/// by the cookie of a browser's sign-in, where a page of the relay's `own` host asks.
async fn sign_in(
    state: &AppState,
    headers: &HeaderMap,
    peer: Option<&Peer>,
    own: bool,
) -> Result<Caller, ApiError> {
    let peer = peer.ok_or_else(|| ApiError::internal("a request without its peer"))?;
    let from = peer.addr.ip().to_canonical();
    match (bearer(headers)?, &peer.agent, cookie(headers)) {
        (Some(_), _, Some(_)) | (None, Some(_), Some(_)) => Err(browser::two_sign_ins()),
        (Some(token), _, None) => Caller::of(state, state.authn.bearer(&token, from).await?, None),
        (None, Some(agent), None) => {
            let who = state.authn.agent_at(Door::Api, agent, from)?;
            Caller::of(state, (who, None), Some(agent.id))
        }
        (None, None, Some(_)) if !own => Err(browser::foreign()),
        (None, None, Some(cookie)) => {
            let who = state.authn.browser(&cookie, from).ok_or_else(ApiError::signed_out)?;
            Caller::of(state, (who, None), None)
        }
        (None, None, None) => Err(ApiError::signed_out()),
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

fn note_denied(state: &AppState, caller: &Caller, request: &Request, code: Code) {
    let path: String = request.uri().path().chars().take(LONGEST_PATH).collect();
    state.broker.audit().note(AuditEvent::AccessDenied {
        door: Door::Api,
        from: caller.who.from(),
        user: caller.who.name().clone(),
        application: "the admin API".to_owned(),
        code,
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
            Self::Auditor => "auditor",
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
