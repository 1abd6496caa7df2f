//! What anybody may ask, and how machines are enrolled.

use std::time::{Duration, SystemTime};

use access::text::is_hidden;
use access::{AgentId, Authenticated, Code, ConnectorId, Credential, Deny, TokenId, TokenKind};
use api::{Health, Info, JoinRequest, Joined, LoggedIn, LoginRequest};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use uuid::Uuid;

use super::caller::Caller;
use super::change::{Actor, Intent, change, done};
use super::error::ApiError;
use super::extract::{Bearer, Body};
use super::openapi::{Answer, Operation, Schemas};
use crate::ca::CaError;
use crate::{AppState, Peer};

pub(super) async fn healthz(State(state): State<AppState>) -> Readiness {
    Readiness { ready: !state.broker.is_draining() }
}

/// 200 while the relay takes new work, 503 once it is stopping.
pub(super) struct Readiness {
    ready: bool,
}

impl IntoResponse for Readiness {
    fn into_response(self) -> Response {
        let status = if self.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(Health { ready: self.ready })).into_response()
    }
}

impl Answer for Readiness {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        for status in [200, 503] {
            let schema = schemas.given::<Health>();
            operation.answer(status, "application/json", schema);
        }
    }
}

/// The keys that check what the web door says of users (RFC 7517).
pub(super) struct KeySet(serde_json::Value);

pub(super) async fn key_set(State(state): State<AppState>) -> KeySet {
    KeySet(state.info.statement_keys.clone())
}

impl IntoResponse for KeySet {
    fn into_response(self) -> Response {
        Json(self.0).into_response()
    }
}

impl Answer for KeySet {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.answer(200, "application/json", serde_json::json!({ "type": "object" }));
    }
}

pub(super) async fn info(State(state): State<AppState>) -> Json<Info> {
    let info = &state.info;
    Json(Info {
        name: info.name.clone(),
        version: info.version.to_owned(),
        domain: info.domain.clone(),
        quic_port: info.quic_port,
        ssh_port: info.ssh_port,
        https_port: info.https_port,
        mysql_port: info.mysql_port,
        ca_pem: state.ca.certificate_pem().to_owned(),
        ssh_host_keys: info.ssh_host_keys.clone(),
        ssh_host_ca: Some(info.ssh_host_ca.clone()),
    })
}

/// Enrols a connector. Its name is looked at and its request is signed before its token is used up: one
/// that can't be taken costs no token.
pub(super) async fn join(
    State(state): State<AppState>,
    Extension(peer): Extension<Peer>,
    Body(request): Body<JoinRequest>,
) -> Result<Json<Joined>, ApiError> {
    let from = peer.addr.ip().to_canonical();
    let id = ConnectorId(Uuid::new_v4());
    let given = request.name.as_deref().map(connector_name).transpose()?;
    let (certificate_pem, spki) = sign(&state, &request.csr_pem, &format!("connector:{id}"))?;
    let used = state.authn.join_token(&request.token.into_inner(), from).await?;
    let site = site_of(&state, used.site).await?;
    let name = given.unwrap_or_else(|| made_up(&site.name, id));
    let actor = Actor::other(format!("token {}", used.id), from);
    let intent = Intent { action: "join", object: format!("connector {id}") };
    let told = vec![done(&intent, format!("{name} at {}", site.name))];
    let act = async {
        state.store.enrol_connector(id, site.id, &name, spki).await?;
        Ok(((), told))
    };
    change(&state, actor, intent, act).await?;
    Ok(Json(Joined {
        id,
        name,
        site: site.name,
        domain: state.info.domain.clone(),
        quic_port: state.info.quic_port,
        certificate_pem,
        ca_pem: state.ca.certificate_pem().to_owned(),
        update_key: state.info.updates.0.map(|key| key.to_string()),
        update_automatically: state.info.updates.1,
    }))
}

/// Enrols an agent: for the owner of a login or admin token, or for who holds a token that opens an
/// application. The latter agent stands on its token and may do no more than it. Only a token
/// enrols: an agent's certificate must not multiply into more agents.
pub(super) async fn login(
    State(state): State<AppState>,
    Extension(peer): Extension<Peer>,
    Bearer(token): Bearer,
    Body(request): Body<LoginRequest>,
) -> Result<Json<LoggedIn>, ApiError> {
    let id = AgentId(Uuid::new_v4());
    let (certificate_pem, spki) = sign(&state, &request.csr_pem, &format!("agent:{id}"))?;
    let vouched = state.authn.enrolling(&token, peer.addr.ip().to_canonical()).await?;
    let caller = Caller::of(&state, vouched, None)?;
    if caller.scopes.is_some() {
        let detail = "a token with scopes enrols no agent, which could do all its user may";
        return Err(ApiError::out_of_scope(detail));
    }
    may_use_api(&state, &caller.who)?;
    let device = label(Some(&request.device)).unwrap_or_else(|| "unnamed".to_owned());
    let expires = enrolled_until(&caller, SystemTime::now());
    let intent = Intent { action: "login", object: format!("agent {id}") };
    let told = vec![done(&intent, format!("{} on {device}", caller.who.name()))];
    let act = async {
        let (user, token) = (caller.who.user(), stands_on(&caller.who));
        state.store.enrol_agent(id, user, &device, spki, expires, token).await?;
        Ok(((), told))
    };
    change(&state, (&caller).into(), intent, act).await?;
    let info = &state.info;
    Ok(Json(LoggedIn {
        id,
        user: caller.who.name().clone(),
        domain: info.domain.clone(),
        quic_port: info.quic_port,
        ssh_port: info.ssh_port,
        https_port: info.https_port,
        certificate_pem,
        ca_pem: state.ca.certificate_pem().to_owned(),
        ssh_host_keys: info.ssh_host_keys.clone(),
        ssh_host_ca: Some(info.ssh_host_ca.clone()),
        expires: expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
    }))
}

/// What a token enrols ends with it; only a login token is but the way in.
fn enrolled_until(caller: &Caller, now: SystemTime) -> SystemTime {
    let usual = now + AGENT_LIFETIME;
    match caller.who.credential() {
        Credential::Token { kind: TokenKind::Login, .. } => usual,
        Credential::Token { expires: Some(end), .. } => usual.min(*end),
        Credential::Token { .. }
        | Credential::SshKey { .. }
        | Credential::Agent { .. }
        | Credential::Certificate { .. }
        | Credential::SignIn { .. } => usual,
    }
}

/// The token that opens the agent's application, and that the agent stands on.
fn stands_on(who: &Authenticated) -> Option<&TokenId> {
    match who.credential() {
        Credential::Token { id, kind, .. } => kind.opens().then_some(id),
        Credential::SshKey { .. }
        | Credential::Agent { .. }
        | Credential::Certificate { .. }
        | Credential::SignIn { .. } => None,
    }
}

/// Refuses an api token at once whose application no longer takes any. Who has no rule for the
/// application learns nothing of it here; they are refused when they open it.
fn may_use_api(state: &AppState, who: &Authenticated) -> Result<(), ApiError> {
    let Credential::Token { kind: TokenKind::Api, .. } = who.credential() else { return Ok(()) };
    let policy = state.policy.current();
    match policy.reachable(who).iter().all(|application| application.allow_api) {
        true => Ok(()),
        false => Err(ApiError::explained(StatusCode::FORBIDDEN, &Deny::ApiNotAllowed)),
    }
}

fn sign(state: &AppState, csr_pem: &str, cn: &str) -> Result<(String, [u8; 32]), ApiError> {
    state.ca.sign_client(csr_pem, cn).map_err(|error| match error {
        CaError::Form | CaError::Key => {
            ApiError::new(StatusCode::BAD_REQUEST, Code("request.csr"), error.to_string())
        }
        CaError::Absent | CaError::Stored | CaError::Store(_) | CaError::Sign(_) => {
            ApiError::internal(error)
        }
    })
}

async fn site_of(state: &AppState, id: Option<access::SiteId>) -> Result<store::SiteRow, ApiError> {
    let sites = state.store.sites().await?;
    let site = sites.into_iter().find(|site| Some(site.id) == id);
    site.ok_or_else(|| ApiError::not_found("site", "of this token"))
}

/// What somebody wants a connector to be called: as other names are, and as host names may be.
fn connector_name(text: &str) -> Result<String, ApiError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_name = (1..=LONGEST_LABEL).contains(&text.len())
        && text.chars().all(|c| plain(c) || c == '-' || c == '.')
        && text.starts_with(plain)
        && text.ends_with(plain);
    if is_name {
        return Ok(text.to_owned());
    }
    let detail = format!(
        "a connector's name has 1 to {LONGEST_LABEL} characters of a-z, 0-9, - and ., and begins and \
         ends with a letter or digit"
    );
    let error = ApiError::new(StatusCode::BAD_REQUEST, Code("connector.name"), detail);
    Err(error.hint("join with another --name, or with none; the token is still good"))
}

/// A machine's name as it says itself, fit for lists and terminals.
fn label(text: Option<&str>) -> Option<String> {
    let shown: String =
        text?.trim().chars().filter(|c| !is_hidden(*c)).take(LONGEST_LABEL).collect();
    (!shown.is_empty()).then_some(shown)
}

fn made_up(site: &access::Name, id: ConnectorId) -> String {
    let id = id.0.simple().to_string();
    format!("{site}-{}", &id[..6])
}

const LONGEST_LABEL: usize = 64;

/// How long an agent is enrolled; then its user logs in again.
const AGENT_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
