//! One object at a time: as it is, and made what it is to be.

use std::time::SystemTime;

use access::{ConnectorId, Name, RuleId};
use api::{ApplicationSpec, Applied, ConnectorRow, GrantSpec, GroupSpec, SiteRow, UserSpec};
use axum::Json;
use axum::extract::State;
use store::Edit;

use super::caller::Caller;
use super::change::{Intent, change};
use super::error::ApiError;
use super::extract::{Body, Param};
use super::tag::{Changing, Seen, Tagged};
use super::{connectors, lists, objects};
use crate::AppState;

type Shown<T> = Result<Tagged<T>, ApiError>;
type Changed = Result<Json<Applied>, ApiError>;

pub(super) async fn user(
    State(state): State<AppState>,
    Param(name): Param<Name>,
    seen: Seen,
) -> Shown<UserSpec> {
    let found = state.store.revised_user(&name).await?;
    let found = found.ok_or_else(|| ApiError::not_found("user", name.as_str()))?;
    Ok(Tagged::new(found, seen))
}

pub(super) async fn group(
    State(state): State<AppState>,
    Param(name): Param<Name>,
    seen: Seen,
) -> Shown<GroupSpec> {
    let found = state.store.revised_group(&name).await?;
    let found = found.ok_or_else(|| ApiError::not_found("group", name.as_str()))?;
    Ok(Tagged::new(found, seen))
}

pub(super) async fn application(
    State(state): State<AppState>,
    caller: Caller,
    Param(text): Param<String>,
    seen: Seen,
) -> Shown<ApplicationSpec> {
    let text = objects::named_by(&state, &caller, &text).await?.reference();
    let found = state.store.revised_application(&text).await?;
    let found = found.ok_or_else(|| ApiError::not_found("application", &text))?;
    Ok(Tagged::new(found, seen))
}

pub(super) async fn grant(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<RuleId>,
    seen: Seen,
) -> Shown<GrantSpec> {
    let found = state.store.revised_grant(id).await?;
    let found = found.filter(|found| caller.sees_grant(&found.spec));
    let found = found.ok_or_else(|| ApiError::not_found("grant", &id.to_string()))?;
    Ok(Tagged::new(found, seen))
}

pub(super) async fn site(
    State(state): State<AppState>,
    caller: Caller,
    Param(name): Param<Name>,
    seen: Seen,
) -> Shown<SiteRow> {
    let found = lists::all_sites(&state).await?.into_iter().find(|site| site.name == name);
    let found = found.filter(|site| caller.sees(&site.name));
    let found = found.ok_or_else(|| ApiError::not_found("site", name.as_str()))?;
    Ok(Tagged::of(found, seen))
}

pub(super) async fn connector(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<ConnectorId>,
    seen: Seen,
) -> Shown<ConnectorRow> {
    let found = connectors::all(&state).await?.into_iter().find(|connector| connector.id == id);
    let found = found.filter(|connector| caller.sees(&connector.site));
    let found = found.ok_or_else(|| ApiError::not_found("connector", &id.to_string()))?;
    Ok(Tagged::of(found, seen))
}

pub(super) async fn change_user(
    State(state): State<AppState>,
    caller: Caller,
    Param(name): Param<Name>,
    changing: Changing,
    Body(spec): Body<UserSpec>,
) -> Changed {
    edit(&state, &caller, format!("user {name}"), &Edit::User(name, spec), changing).await
}

pub(super) async fn change_group(
    State(state): State<AppState>,
    caller: Caller,
    Param(name): Param<Name>,
    changing: Changing,
    Body(spec): Body<GroupSpec>,
) -> Changed {
    edit(&state, &caller, format!("group {name}"), &Edit::Group(name, spec), changing).await
}

pub(super) async fn change_application(
    State(state): State<AppState>,
    caller: Caller,
    Param(text): Param<String>,
    changing: Changing,
    Body(spec): Body<ApplicationSpec>,
) -> Changed {
    let row = objects::named_by(&state, &caller, &text).await?;
    caller.changes(&row.site, || ApiError::not_found("application", &text))?;
    let (text, object) = (row.reference(), format!("application {}.{}", spec.name, spec.site));
    edit(&state, &caller, object, &Edit::Application(text, Box::new(spec)), changing).await
}

pub(super) async fn change_grant(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<RuleId>,
    changing: Changing,
    Body(mut spec): Body<GrantSpec>,
) -> Changed {
    objects::sees_grant(&state, &caller, id).await?;
    objects::of_their_sites(&state, &caller, &mut spec).await?;
    edit(&state, &caller, format!("grant {id}"), &Edit::Grant(id, Box::new(spec)), changing).await
}

pub(super) async fn edit(
    state: &AppState,
    caller: &Caller,
    object: String,
    edit: &Edit,
    Changing(expected): Changing,
) -> Changed {
    let intent = Intent { action: "change", object };
    let act = async {
        let changes =
            state.store.edit_within(&caller.within(), edit, &expected, SystemTime::now()).await?;
        Ok((changes.clone(), changes))
    };
    let (changes, withdrawn) = change(state, caller.into(), intent, act).await?;
    Ok(Json(Applied { changes, applied: true, withdrawn }))
}
