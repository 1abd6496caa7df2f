//! To an OpenID provider, and back from it.

use access::text::in_full;
use access::{Code, Explain as _, Name, UserId};
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use session::AuthnError;

use super::asking::{Asking, cookie_named};
use super::linked::{NotOurs, Stranger, ours};
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
        Err(told) => return *told,
    };
    if let Err(error) = join(state, asking, config, &vouched, (user, &name)).await {
        return Refused::of(&error).with(asking.id).into_response();
    }
    let known = Known { user, name, how: How::Provider(config.name.clone()) };
    let begun = Unfinished { known, second: None, steps: Vec::new(), next };
    go_on_with(state, asking, headers, begun).await
}

/// Our user who the provider's is; else what they are told.
async fn who(
    state: &AppState,
    asking: &Asking,
    config: &OidcProvider,
    vouched: &Vouched,
) -> Result<(UserId, Name), Box<Response>> {
    let Vouched { issuer, subject, claims } = vouched;
    let name = claims[&config.user_claim].as_str().and_then(name_of);
    let stranger = Stranger {
        issuer,
        subject,
        name: name.ok_or("its claim of a name is none"),
        link: config.link_users,
        provision: config.provision,
    };
    let found = ours(state, actor(config, asking), stranger).await;
    found.map_err(|not| Box::new(stranger_is_told(state, asking, (config, vouched), not)))
}

fn stranger_is_told(
    state: &AppState,
    asking: &Asking,
    (config, vouched): (&OidcProvider, &Vouched),
    not: NotOurs,
) -> Response {
    let refused = match not {
        NotOurs::NoUser(detail, user) => {
            let detail = format!("{} of {}: {detail}", quoted(&vouched.subject), vouched.issuer);
            state.authn.refused_provider(asking.from, user.as_ref(), (NO_USER, &detail));
            let told = "the provider knows you, and this relay has no user for you";
            let hint = "ask your administrator for one";
            Refused::new(StatusCode::FORBIDDEN, NO_USER.0, told, Some(hint))
        }
        NotOurs::Disabled(user) => {
            let (told, detail) = (AuthnError::UserDisabled, format!("by {}", config.name));
            state.authn.refused_provider(asking.from, Some(&user), (told.code(), &detail));
            Refused::explained(StatusCode::UNAUTHORIZED, &told)
        }
        NotOurs::Gone(_) => Refused::of(&AuthnError::UserDisabled.into()),
        NotOurs::Store(error) => Refused::of(&error.into()),
        NotOurs::Failed(error) => Refused::of(&error),
    };
    refused.with(asking.id).into_response()
}

/// Has the user be in those of our groups that the file maps the provider's to, and in none of the
/// others that it maps.
async fn join(
    state: &AppState,
    asking: &Asking,
    config: &OidcProvider,
    vouched: &Vouched,
    user: (UserId, &Name),
) -> Result<(), ApiError> {
    let theirs: Vec<&str> = match &vouched.claims[&config.groups_claim] {
        serde_json::Value::Array(all) => all.iter().filter_map(|one| one.as_str()).collect(),
        serde_json::Value::String(only) => vec![only],
        _ => Vec::new(),
    };
    let is_theirs = |group: &str| theirs.contains(&group);
    api::follow_groups(state, actor(config, asking), user, &config.groups, is_theirs).await
}

fn refused(state: &AppState, asking: &Asking, name: &str, error: &OidcError) -> Response {
    let detail = format!("by {}: {}", quoted(name), in_full(error));
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
    format!("{}/sign-in/from/{name}", state.info.url_at(&asking.port))
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
