//! `/Groups`

use std::collections::BTreeSet;

use ::api::{Document, GroupSpec};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, Query as Asked, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Object, ProvisionedGroup, ProvisionedUser};

use super::answer::{Failure, list as listed, resource};
use super::filter::Query;
use super::patch::{Patch, Verb};
use super::{Provisioner, called, name_from, read};
use crate::AppState;
use crate::api;

type Answer = Result<Response, Failure>;

/// A group as a directory sends one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    display_name: String,
    external_id: Option<String>,
    members: Option<Value>,
}

/// The ids of members.
type Members = BTreeSet<String>;

pub(super) async fn list(
    State(state): State<AppState>,
    Extension(who): Extension<Provisioner>,
    Asked(query): Asked<Query>,
) -> Answer {
    let filter = query.filter()?;
    let mut found = Vec::new();
    for group in state.store.provisioned_groups(&who.name).await? {
        let (id, external) = (group.id.to_string(), group.external_id.as_deref());
        if filter.as_ref().is_none_or(|one| one.fits(&id, &group.display_name, external)) {
            let members = members(&state, &who, &group).await?;
            found.push(shown(&state, &group, &members));
        }
    }
    let (start, count) = query.part();
    Ok(listed(found, start, count))
}

pub(super) async fn show(
    State(state): State<AppState>,
    Extension(who): Extension<Provisioner>,
    Path(id): Path<String>,
) -> Answer {
    let group = find(&state, &who, &id).await?;
    let members = members(&state, &who, &group).await?;
    Ok(resource(StatusCode::OK, &shown(&state, &group, &members)))
}

pub(super) async fn add(
    State(state): State<AppState>,
    Extension(who): Extension<Provisioner>,
    body: Bytes,
) -> Answer {
    let sent = sent(&body)?;
    let name = name_from("displayName", &sent.display_name)?;
    if state.store.groups().await?.iter().any(|group| group.name == name) {
        return Err(Failure::taken(format!("there is a group {name}")));
    }
    let group = GroupSpec { name: name.clone(), members: None };
    let document = Document { groups: vec![group], ..Document::default() };
    api::provision(&state, who.actor(), format!("group {name}"), &document).await?;
    let groups = state.store.groups().await?;
    let made = groups.into_iter().find(|group| group.name == name).ok_or_else(Failure::absent)?;
    let (called, external) = (&sent.display_name, sent.external_id.as_deref());
    state.store.keep_provisioned_group(&who.name, made.id, called, external).await?;
    let group = find(&state, &who, &made.id.to_string()).await?;
    let wanted = sent.members.as_ref().map(ids).unwrap_or_default();
    let members = set_members(&state, &who, &group, &wanted).await?;
    Ok(resource(StatusCode::CREATED, &shown(&state, &group, &members)))
}

pub(super) async fn replace(
    State(state): State<AppState>,
    Extension(who): Extension<Provisioner>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let (group, sent) = (find(&state, &who, &id).await?, sent(&body)?);
    let wanted = sent.members.as_ref().map(ids).unwrap_or_default();
    let (display_name, external_id) = (sent.display_name, sent.external_id);
    let group = ProvisionedGroup { display_name, external_id, ..group };
    become_of(&state, &who, &group, &wanted).await
}

pub(super) async fn change(
    State(state): State<AppState>,
    Extension(who): Extension<Provisioner>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let mut group = find(&state, &who, &id).await?;
    let patch: Patch = read(&body)?;
    let mut wanted = members(&state, &who, &group).await?;
    for step in patch.steps()? {
        let text = step.value.as_str().map(str::to_owned);
        match (step.attribute.as_str(), step.verb) {
            ("members", Verb::Add) => wanted.extend(ids(&step.value)),
            ("members", Verb::Replace) => wanted = ids(&step.value),
            ("members", Verb::Remove) => match (step.which, &step.value) {
                (Some(which), _) => drop(wanted.remove(&which)),
                (None, Value::Null) => wanted.clear(),
                (None, some) => {
                    let gone = ids(some);
                    wanted.retain(|id| !gone.contains(id));
                }
            },
            ("displayname", Verb::Add | Verb::Replace) => {
                group.display_name = called("displayName", text.unwrap_or_default())?;
            }
            ("externalid", _) => group.external_id = text,
            _ => {}
        }
    }
    become_of(&state, &who, &group, &wanted).await
}

pub(super) async fn remove(
    State(state): State<AppState>,
    Extension(who): Extension<Provisioner>,
    Path(id): Path<String>,
) -> Answer {
    let group = find(&state, &who, &id).await?;
    let object = format!("group {}", group.name);
    api::remove_provisioned(&state, who.actor(), object, Object::Group(group.name)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn become_of(
    state: &AppState,
    who: &Provisioner,
    group: &ProvisionedGroup,
    wanted: &Members,
) -> Answer {
    let (called, external) = (&group.display_name, group.external_id.as_deref());
    state.store.keep_provisioned_group(&who.name, group.id, called, external).await?;
    let members = set_members(state, who, group, wanted).await?;
    Ok(resource(StatusCode::OK, &shown(state, group, &members)))
}

/// Has those of the provisioner's users be members who are wanted, and no others of them. Members
/// whom admins put there stay.
async fn set_members(
    state: &AppState,
    who: &Provisioner,
    group: &ProvisionedGroup,
    wanted: &Members,
) -> Result<Members, Failure> {
    let now = members(state, who, group).await?;
    let users = state.store.provisioned_users(&who.name).await?;
    let news = |user: &&ProvisionedUser| {
        let id = user.id.to_string();
        wanted.contains(&id) != now.contains(&id)
    };
    for user in users.iter().filter(news) {
        let group = std::slice::from_ref(&group.name);
        let (within, without): (&[_], &[_]) = match wanted.contains(&user.id.to_string()) {
            true => (group, &[]),
            false => (&[], group),
        };
        let whose = (user.id, &user.name);
        api::set_groups(state, who.actor(), whose, (within, without)).await?;
    }
    members(state, who, group).await
}

async fn members(
    state: &AppState,
    who: &Provisioner,
    group: &ProvisionedGroup,
) -> Result<Members, Failure> {
    let members = state.store.provisioned_members(&who.name, group.id).await?;
    Ok(members.into_iter().map(|id| id.to_string()).collect())
}

async fn find(state: &AppState, who: &Provisioner, id: &str) -> Result<ProvisionedGroup, Failure> {
    let groups = state.store.provisioned_groups(&who.name).await?;
    groups.into_iter().find(|group| group.id.to_string() == id).ok_or_else(Failure::absent)
}

/// `[{"value": "…"}]`, or one of them.
fn ids(value: &Value) -> Members {
    let one = |value: &Value| value["value"].as_str().map(str::to_owned);
    match value {
        Value::Array(all) => all.iter().filter_map(one).collect(),
        other => one(other).into_iter().collect(),
    }
}

fn sent(body: &[u8]) -> Result<Sent, Failure> {
    let sent: Sent = read(body)?;
    let display_name = called("displayName", sent.display_name)?;
    Ok(Sent { display_name, ..sent })
}

fn shown(state: &AppState, group: &ProvisionedGroup, members: &Members) -> Value {
    let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
    let mut shown = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
        "id": group.id.to_string(),
        "displayName": group.display_name,
        "members": members,
        "meta": { "resourceType": "Group",
            "location": format!("{}/scim/v2/Groups/{}", state.info.url(), group.id) },
    });
    if let Some(external) = &group.external_id {
        shown["externalId"] = external.as_str().into();
    }
    shown
}
