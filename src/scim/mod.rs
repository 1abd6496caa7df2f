//! SCIM 2.0 (RFC 7643, RFC 7644): a directory keeps users and groups here as it has them.
//!
//! The part that directories use: users and groups are listed with a filter by name, made, replaced,
//! changed (`active`, `members`) and removed. A provisioner sees and changes only what it has made.

mod answer;
mod filter;
mod groups;
mod patch;
mod users;

use std::net::IpAddr;

use access::{Code, Name, sha256};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use serde::de::DeserializeOwned;
use serde_json::json;
use session::pace;
use tokio::time::Instant;

use crate::api::Actor;
use crate::{AppState, Peer};
use answer::{Failure, resource};

/// What is served below `/scim/v2`. Each request needs the extension [`crate::Peer`].
pub(crate) fn router(state: AppState) -> Router {
    Router::new()
        .route("/scim/v2/Users", get(users::list).post(users::add))
        .route(
            "/scim/v2/Users/{id}",
            get(users::show).put(users::replace).patch(users::change).delete(users::remove),
        )
        .route("/scim/v2/Groups", get(groups::list).post(groups::add))
        .route(
            "/scim/v2/Groups/{id}",
            get(groups::show).put(groups::replace).patch(groups::change).delete(groups::remove),
        )
        .route("/scim/v2/ServiceProviderConfig", get(capabilities))
        .layer(DefaultBodyLimit::max(MOST))
        .route_layer(from_fn_with_state(state.clone(), admit))
        .with_state(state)
}

/// Who asks; an extension of each request.
#[derive(Clone, Debug)]
pub(crate) struct Provisioner {
    name: Name,
    from: IpAddr,
}

impl Provisioner {
    fn actor(&self) -> Actor {
        Actor::other(format!("provisioner {}", self.name), self.from)
    }
}

/// Lets whoever shows the secret of a provisioner through.
async fn admit(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let started = Instant::now();
    let peer = request.extensions().get::<Peer>().map(|peer| peer.addr.ip().to_canonical());
    let from = peer.ok_or_else(|| Failure::internal("a request without its peer"))?;
    state.calls.admit_stranger(from).map_err(|error| Failure::of(&error))?;
    let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|text| text.split_once(' '));
    let secret = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let digest = sha256(secret.map(|(_, secret)| secret.trim()).unwrap_or_default().as_bytes());
    match state.store.provisioner_of(digest).await.map_err(|error| Failure::of(&error.into()))? {
        Some(name) => {
            request.extensions_mut().insert(Provisioner { name, from });
            Ok(next.run(request).await)
        }
        None => {
            let why = (Code("authn.failed"), "SCIM: no provisioner has that secret");
            state.authn.refused_provider(from, None, why);
            pace::even(started, pace::REFUSED).await;
            let words = "show the secret of a provisioner as Bearer";
            Err(Failure::new(StatusCode::UNAUTHORIZED, None, words))
        }
    }
}

/// `GET /ServiceProviderConfig`
async fn capabilities() -> Response {
    let no = json!({ "supported": false });
    resource(
        StatusCode::OK,
        &json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
            "patch": { "supported": true },
            "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
            "filter": { "supported": true, "maxResults": MOST_LISTED },
            "changePassword": no, "sort": no, "etag": no,
            "authenticationSchemes": [{ "type": "oauthbearertoken", "name": "Bearer",
                "description": "The secret of a provisioner" }],
        }),
    )
}

/// A name in a directory as one of ours: what stands before an `@`, in letters, digits and single
/// dashes.
fn name_of(text: &str) -> Option<Name> {
    let local = text.split('@').next().unwrap_or_default().to_ascii_lowercase();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = local.chars().map(plain).collect();
    let words: Vec<_> = name.split('-').filter(|word| !word.is_empty()).collect();
    words.join("-").parse().ok()
}

/// The name of something new, from what a directory says in `attribute`.
fn name_from(attribute: &str, text: &str) -> Result<Name, Failure> {
    name_of(text).ok_or_else(|| Failure::invalid(format!("{attribute}: {text:?} is no name here")))
}

/// What a directory calls something, in `attribute`, where it can be kept.
fn called(attribute: &str, name: String) -> Result<String, Failure> {
    let fits = !name.trim().is_empty() && name.len() <= LONGEST;
    fits.then_some(name)
        .ok_or_else(|| Failure::invalid(format!("{attribute}: 1 to {LONGEST} bytes")))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::unread(&error))
}

const MOST: usize = 1 << 20;
const MOST_LISTED: usize = 1000;
/// Of a name in a directory, in bytes.
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directorys_name_is_one_of_ours_or_none() {
        let named = |text: &str| name_of(text).map(|name| name.to_string());
        assert_eq!(named("Alice.B@example.com").as_deref(), Some("alice-b"));
        assert_eq!(named("Sales (EMEA)").as_deref(), Some("sales-emea"));
        assert_eq!(named("@example.com"), None);
        assert_eq!(named("ü"), None);
    }
}
