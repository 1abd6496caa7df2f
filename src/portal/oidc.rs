//! To an OpenID provider, and back from it.

use ::api::{Document, UserSpec};
use access::{Code, Explain as _, Name, UserId};
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use session::AuthnError;

use super::asking::{Asking, cookie_named};
use super::pages::{Refused, fields, redirect, with_cookie};
use super::sign_in::go_on_with;
use crate::AppState;
use crate::api::{self, Actor, ApiError};
use crate::authn::{How, Known, Unfinished};
use crate::config::OidcProvider;
use crate::oidc::{OidcError, Vouched};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Onward {
    next: String,
}

/// `GET /sign-in/with/{provider}`: to the provider. A link and no form: what follows a form directly
/// may not go to other hosts.
pub(super) async fn begin(
    State(state): State<AppState>,
    Extension(asking): Extension<Asking>,
    Path(name): Path<String>,
    uri: Uri,
) -> Response {
    let next = fields::<Onward>(uri.query().unwrap_or_default()).unwrap_or_default().next;
    let back = back(&state, &asking, &name);
    match state.oidc.begin(&name, &back, next).await {
        Ok((url, secret)) => {
            let secret = secret.expose_secret();
            let cookie = format!("{COOKIE}={secret}; Max-Age=600; {ATTRIBUTES}");
            with_cookie(redirect(StatusCode::FOUND, &url), &cookie)
        }
        Err(error) => refused(&state, &asking, &name, &error),
    }
}

/// `GET /sign-in/from/{provider}`: back from it.
pub(super) async fn finish(
    State(state): State<AppState>,
    Extension(asking): Extension<Asking>,
    Path(name): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let answered = fields(uri.query().unwrap_or_default()).unwrap_or_default();
    let secret = cookie_named(&headers, COOKIE).unwrap_or_default();
    let back = back(&state, &asking, &name);
    let response = match state.oidc.finish(&name, &back, &secret, answered).await {
        Ok((vouched, next)) => {
            let Some(config) = state.oidc.config(&name).cloned() else {
                return Refused::nothing().with(asking.id).into_response();
            };
            let vouched = (&config, vouched);
            vouched_for(&state, &asking, &headers, vouched, next).await
        }
        Err(error) => refused(&state, &asking, &name, &error),
    };
    with_cookie(response, &format!("{COOKIE}=; Max-Age=0; {ATTRIBUTES}"))
}

/// Signs in whom a provider vouches for.
async fn vouched_for(
    state: &AppState,
    asking: &Asking,
    headers: &HeaderMap,
    (config, vouched): (&OidcProvider, Vouched),
    next: String,
) -> Response {
    let (user, name) = match who(state, asking, config, &vouched).await {
        Ok(known) => known,
        Err(Unknown::Told(refused)) => return *refused,
        Err(Unknown::Failed(error)) => return Refused::of(&error).with(asking.id).into_response(),
    };
    if let Err(error) = join(state, asking, config, &vouched, (user, &name)).await {
        return Refused::of(&error).with(asking.id).into_response();
    }
    let known = Known { user, name, how: How::Provider(config.name.clone()) };
    let begun = Unfinished { known, second: None, steps: Vec::new(), next };
    go_on_with(state, asking, headers, begun).await
}

/// Why a provider's user is none here.
enum Unknown {
    Told(Box<Response>),
    Failed(ApiError),
}

impl From<ApiError> for Unknown {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

impl From<store::StoreError> for Unknown {
    fn from(error: store::StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// Our user who the provider's is: by its own id for them. At the first time by name, or made, where
/// the relay's file says so.
async fn who(
    state: &AppState,
    asking: &Asking,
    config: &OidcProvider,
    vouched: &Vouched,
) -> Result<(UserId, Name), Unknown> {
    let Vouched { issuer, subject, claims } = vouched;
    let no = |name: Option<&Name>, detail: &str| {
        let detail = format!("{} of {issuer}: {detail}", quoted(subject));
        state.authn.refused_provider(asking.from, name, (NO_USER, &detail));
        let told = "the provider knows you, and this relay has no user for you";
        let hint = "ask your administrator for one";
        let refused = Refused::new(StatusCode::FORBIDDEN, NO_USER.0, told, Some(hint));
        Unknown::Told(Box::new(refused.with(asking.id).into_response()))
    };
    let known = match state.store.user_by_identity(issuer, subject).await? {
        Some(id) => id,
        None => {
            let claim = claims[&config.user_claim].as_str().and_then(name_of);
            let name = claim.ok_or_else(|| no(None, "its claim of a name is none"))?;
            let id = match state.store.user(&name).await? {
                Some(user) if config.link_users => user.id,
                Some(_) => return Err(no(Some(&name), "a user of that name is not linked")),
                None if config.provision => provision(state, asking, config, &name).await?,
                None => return Err(no(None, "there is no such user, and none is made")),
            };
            let (pair, now) = ((issuer.as_str(), subject.as_str()), std::time::SystemTime::now());
            match state.store.link_identity(pair, id, now).await? {
                true => id,
                false => return Err(no(Some(&name), "the user is somebody else there")),
            }
        }
    };
    state.policy.refresh().await;
    let policy = state.policy.current();
    match policy.user(known) {
        Some(user) if user.machine => Err(no(Some(&user.name), "the user is a machine")),
        Some(user) if !user.enabled => {
            let told = AuthnError::UserDisabled;
            let detail = format!("by {}", config.name);
            state.authn.refused_provider(asking.from, Some(&user.name), (told.code(), &detail));
            let refused = Refused::explained(StatusCode::UNAUTHORIZED, &told);
            Err(Unknown::Told(Box::new(refused.with(asking.id).into_response())))
        }
        Some(user) => Ok((user.id, user.name.clone())),
        None => Err(no(None, "its user is gone")),
    }
}

/// Makes a user whom a provider vouches for.
async fn provision(
    state: &AppState,
    asking: &Asking,
    config: &OidcProvider,
    name: &Name,
) -> Result<UserId, ApiError> {
    let document = Document { users: vec![UserSpec::named(name.clone())], ..Document::default() };
    let object = format!("user {name}");
    api::provision(state, actor(config, asking), object, &document).await?;
    let made = state.store.user(name).await?;
    made.map(|user| user.id).ok_or_else(|| AuthnError::UserDisabled.into())
}

/// Has the user be in those of our groups that the file maps the provider's to, and in none of the
/// others that it maps.
async fn join(
    state: &AppState,
    asking: &Asking,
    config: &OidcProvider,
    vouched: &Vouched,
    (user, name): (UserId, &Name),
) -> Result<(), ApiError> {
    if config.groups.is_empty() {
        return Ok(());
    }
    let theirs: Vec<&str> = match &vouched.claims[&config.groups_claim] {
        serde_json::Value::Array(all) => all.iter().filter_map(|one| one.as_str()).collect(),
        serde_json::Value::String(only) => vec![only],
        _ => Vec::new(),
    };
    let is_in = |ours: &Name| {
        config.groups.iter().any(|(their, our)| our == ours && theirs.contains(&their.as_str()))
    };
    let all = config.groups.iter().map(|(_, ours)| ours.clone());
    let (within, without): (Vec<Name>, Vec<Name>) = all.partition(is_in);
    api::set_groups(state, actor(config, asking), (user, name), (&within, &without)).await
}

fn refused(state: &AppState, asking: &Asking, name: &str, error: &OidcError) -> Response {
    let mut detail = format!("by {}: {error}", quoted(name));
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        detail.push_str(&format!(": {next}"));
        cause = next.source();
    }
    state.authn.refused_provider(asking.from, None, (error.code(), &detail));
    let status = match error {
        OidcError::Unknown => StatusCode::NOT_FOUND,
        OidcError::NotBegun | OidcError::Foreign(_) => StatusCode::UNAUTHORIZED,
        OidcError::Refused(_) | OidcError::Statement(_) => StatusCode::FORBIDDEN,
        OidcError::Fetch(_) | OidcError::Slow => StatusCode::BAD_GATEWAY,
    };
    Refused::explained(status, error).with(asking.id).into_response()
}

/// Who changes something in a provider's name.
fn actor(config: &OidcProvider, asking: &Asking) -> Actor {
    Actor::other(format!("provider {}", config.name), asking.from)
}

/// Where the provider sends browsers back to.
fn back(state: &AppState, asking: &Asking, name: &str) -> String {
    format!("https://{}{}/sign-in/from/{name}", state.info.domain, asking.port)
}

/// A claim as a name of ours: what stands before an `@`, in letters, digits and dashes.
pub(super) fn name_of(claim: &str) -> Option<Name> {
    let local = claim.split('@').next().unwrap_or_default().to_ascii_lowercase();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = local.chars().map(plain).collect();
    name.parse().ok()
}

fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(128).collect::<String>())
}

const NO_USER: Code = Code("oidc.no_user");
/// The name of a sign-in on its way, in its browser. Lax: the provider sends the browser back.
const COOKIE: &str = "__Host-adit-oidc";
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_a_name_of_ours_or_none() {
        let named = |claim: &str| name_of(claim).map(|name| name.to_string());
        assert_eq!(named("Alice@example.com").as_deref(), Some("alice"));
        assert_eq!(named("alice.b_c").as_deref(), Some("alice-b-c"));
        for none in ["", "@example.com", "ü", "a b?c\u{0}-"] {
            assert_eq!(named(none).filter(|name| name.parse::<Name>().is_err()), None, "{none:?}");
        }
    }
}
