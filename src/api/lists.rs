//! Lists of the configuration: sites, applications, users, groups and grants.

use access::{Kind, Name};
use api::{ApplicationRow, GrantRow, GroupRow, Page, SiteRow, UserRow};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::caller::Caller;
use super::error::ApiError;
use super::page::{All, Listing};
use super::{connectors, rows};
use crate::AppState;

type Listed<T> = Result<Json<Page<T>>, ApiError>;

pub(super) async fn sites(
    State(state): State<AppState>,
    caller: Caller,
    Listing { only: All {}, part }: Listing<All>,
) -> Listed<SiteRow> {
    let rows = all_sites(&state).await?.into_iter().filter(|site| caller.sees(&site.name));
    Ok(Json(part.of_all("sites", rows, |site| site.name.clone())?))
}

pub(super) async fn all_sites(state: &AppState) -> Result<Vec<SiteRow>, ApiError> {
    let connectors = connectors::all(state).await?;
    let applications = state.store.applications().await?;
    let sites = state.store.sites().await?.into_iter();
    Ok(sites.map(|site| rows::site(site.name, &connectors, &applications)).collect())
}

/// Which applications.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Applications {
    site: Option<Name>,
    kind: Option<Kind>,
    /// `key=value`.
    tag: Option<String>,
}

pub(super) async fn applications(
    State(state): State<AppState>,
    caller: Caller,
    Listing { only, part }: Listing<Applications>,
) -> Listed<ApplicationRow> {
    let rows = state.store.applications().await?.into_iter();
    let rows = rows.filter(|app| only.has(app) && caller.sees(&app.site)).map(rows::application);
    Ok(Json(part.of_all("applications", rows, |app| (app.name.clone(), app.site.clone()))?))
}

impl Applications {
    fn has(&self, app: &store::ApplicationRow) -> bool {
        let tagged = |tag: &String| app.tags.iter().any(|(key, v)| *tag == format!("{key}={v}"));
        self.site.as_ref().is_none_or(|site| app.site == *site)
            && self.kind.is_none_or(|kind| app.kind == kind)
            && self.tag.as_ref().is_none_or(tagged)
    }
}

/// Which users.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Users {
    group: Option<Name>,
    enabled: Option<bool>,
    admin: Option<bool>,
    auditor: Option<bool>,
    /// What their names begin with.
    prefix: Option<String>,
}

pub(super) async fn users(
    State(state): State<AppState>,
    Listing { only, part }: Listing<Users>,
) -> Listed<UserRow> {
    let seen = state.authn.sightings().all().await?;
    let rows = state.store.users().await?.into_iter();
    let rows = rows.filter(|user| only.has(user)).map(|user| rows::user(user, &seen));
    Ok(Json(part.of_all("users", rows, |user| user.name.clone())?))
}

impl Users {
    fn has(&self, user: &store::UserRow) -> bool {
        self.group.as_ref().is_none_or(|group| user.groups.contains(group))
            && self.enabled.is_none_or(|enabled| user.enabled == enabled)
            && self.admin.is_none_or(|admin| user.admin == admin)
            && self.auditor.is_none_or(|auditor| user.auditor == auditor)
            && self.prefix.as_ref().is_none_or(|start| user.name.as_str().starts_with(start))
    }
}

pub(super) async fn groups(
    State(state): State<AppState>,
    Listing { only: All {}, part }: Listing<All>,
) -> Listed<GroupRow> {
    let rows = state.store.groups().await?.into_iter().map(rows::group);
    Ok(Json(part.of_all("groups", rows, |group| group.name.clone())?))
}

/// Which grants: by what they name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Grants {
    user: Option<Name>,
    group: Option<Name>,
    /// `app` or `app.site`.
    application: Option<String>,
    /// `key=value`.
    tag: Option<String>,
}

pub(super) async fn grants(
    State(state): State<AppState>,
    caller: Caller,
    Listing { only, part }: Listing<Grants>,
) -> Listed<GrantRow> {
    let rows = state.store.grants().await?.into_iter();
    let rows = rows
        .filter(|grant| only.has(&grant.spec) && caller.sees_grant(&grant.spec))
        .map(rows::grant);
    Ok(Json(part.of_all("grants", rows, |row| {
        let api::GrantSpec { user, group, application, tag, .. } = &row.grant;
        // Users come before groups, applications before tags.
        (
            user.is_none(),
            user.clone().or(group.clone()),
            application.is_none(),
            tag.clone().or(application.clone()),
        )
    })?))
}

impl Grants {
    fn has(&self, grant: &api::GrantSpec) -> bool {
        let opens = |asked: &String| {
            let named = grant.application.as_deref();
            named.is_some_and(|app| app == asked || app.split('.').next() == Some(asked))
        };
        self.user.as_ref().is_none_or(|user| grant.user.as_ref() == Some(user))
            && self.group.as_ref().is_none_or(|group| grant.group.as_ref() == Some(group))
            && self.application.as_ref().is_none_or(opens)
            && self.tag.as_ref().is_none_or(|tag| grant.tag.as_ref() == Some(tag))
    }
}
