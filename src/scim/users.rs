//! `/Users`

use ::api::{Document, UserSpec};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, Query as Asked, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Object, ProvisionedUser};

use super::answer::{Failure, list as listed, resource};
use super::filter::Query;
use super::patch::{Patch, flag};
use super::{Provisioner, called, name_from, read};
use crate::AppState;
use crate::api;

type Answer = Result<Response, Failure>;

/// A user as a directory sends one; what else stands there is not kept.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    user_name: String,
    external_id: Option<String>,
    #[serde(default)]
    active: Value,
}

pub(super) async fn list(
    State(state): State<AppState>,
    Extension(who): Extension<Provisioner>,
    Asked(query): Asked<Query>,
) -> Answer {
    let filter = query.filter()?;
    let users = state.store.provisioned_users(&who.name).await?.into_iter();
    let fits = |user: &ProvisionedUser| {
        filter.as_ref().is_none_or(|filter| {
            filter.fits(&user.id.to_string(), &user.user_name, user.external_id.as_deref())
        })
    };
    let (start, count) = query.part();
    Ok(listed(users.filter(fits).map(|user| shown(&state, &user)).collect(), start, count))
}

pub(super) async fn show(
    State(state): State<AppState>,
    Extension(who): Extension<Provisioner>,
    Path(id): Path<String>,
) -> Answer {
    let user = find(&state, &who, &id).await?;
    Ok(resource(StatusCode::OK, &shown(&state, &user)))
}

pub(super) async fn add(
    State(state): State<AppState>,
    Extension(who): Extension<Provisioner>,
    body: Bytes,
) -> Answer {
    let sent = sent(&body)?;
    let active = if sent.active.is_null() { true } else { flag(&sent.active)? };
    let name = name_from("userName", &sent.user_name)?;
    if state.store.user(&name).await?.is_some() {
        return Err(Failure::taken(format!("there is a user {name}")));
    }
    let user = UserSpec { enabled: active, ..UserSpec::named(name.clone()) };
    let document = Document { users: vec![user], ..Document::default() };
    api::provision(&state, who.actor(), format!("user {name}"), &document).await?;
    let made = state.store.user(&name).await?.ok_or_else(Failure::absent)?;
    let (user_name, external) = (&sent.user_name, sent.external_id.as_deref());
    state.store.keep_provisioned_user(&who.name, made.id, user_name, external).await?;
    let user = find(&state, &who, &made.id.to_string()).await?;
    Ok(resource(StatusCode::CREATED, &shown(&state, &user)))
}

pub(super) async fn replace(
    State(state): State<AppState>,
    Extension(who): Extension<Provisioner>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let (user, sent) = (find(&state, &who, &id).await?, sent(&body)?);
    let active = if sent.active.is_null() { user.enabled } else { flag(&sent.active)? };
    let wanted = ProvisionedUser {
        user_name: sent.user_name,
        external_id: sent.external_id,
        ..user.clone()
    };
    become_of(&state, &who, &user, &ProvisionedUser { enabled: active, ..wanted }).await
}

pub(super) async fn change(
    State(state): State<AppState>,
    Extension(who): Extension<Provisioner>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let user = find(&state, &who, &id).await?;
    let patch: Patch = read(&body)?;
    let mut wanted = user.clone();
    for step in patch.steps()? {
        let text = step.value.as_str().map(str::to_owned);
        match (step.attribute.as_str(), text) {
            ("active", _) => wanted.enabled = flag(&step.value)?,
            ("username", Some(text)) => wanted.user_name = called("userName", text)?,
            ("externalid", text) => wanted.external_id = text,
            // Names, addresses and the like are not kept.
            _ => {}
        }
    }
    become_of(&state, &who, &user, &wanted).await
}

pub(super) async fn remove(
    State(state): State<AppState>,
    Extension(who): Extension<Provisioner>,
    Path(id): Path<String>,
) -> Answer {
    let user = find(&state, &who, &id).await?;
    let object = format!("user {}", user.name);
    api::remove_provisioned(&state, who.actor(), object, Object::User(user.name)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Makes a user what is wanted. Their name here stays, whatever they are called there.
async fn become_of(
    state: &AppState,
    who: &Provisioner,
    user: &ProvisionedUser,
    wanted: &ProvisionedUser,
) -> Answer {
    if user.enabled != wanted.enabled {
        api::set_enabled(state, who.actor(), &user.name, wanted.enabled).await?;
    }
    if (&user.user_name, &user.external_id) != (&wanted.user_name, &wanted.external_id) {
        let (name, external) = (&wanted.user_name, wanted.external_id.as_deref());
        state.store.keep_provisioned_user(&who.name, user.id, name, external).await?;
    }
    Ok(resource(StatusCode::OK, &shown(state, wanted)))
}

async fn find(state: &AppState, who: &Provisioner, id: &str) -> Result<ProvisionedUser, Failure> {
    let users = state.store.provisioned_users(&who.name).await?;
    users.into_iter().find(|user| user.id.to_string() == id).ok_or_else(Failure::absent)
}

fn sent(body: &[u8]) -> Result<Sent, Failure> {
    let sent: Sent = read(body)?;
    let user_name = called("userName", sent.user_name)?;
    Ok(Sent { user_name, ..sent })
}

fn shown(state: &AppState, user: &ProvisionedUser) -> Value {
    let mut shown = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": user.id.to_string(),
        "userName": user.user_name,
        "displayName": user.name.as_str(),
        "active": user.enabled,
        "meta": { "resourceType": "User",
            "location": format!("{}/scim/v2/Users/{}", state.info.url(), user.id) },
    });
    if let Some(external) = &user.external_id {
        shown["externalId"] = external.as_str().into();
    }
    shown
}
