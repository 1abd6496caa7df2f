//! Sites, applications, users, groups and grants, one at a time or as a whole document.

use std::time::SystemTime;

use access::{Name, RuleId};
use api::{ApplicationSpec, Applied, ApplyRequest, Document, GrantSpec, GroupSpec, Removed};
use api::{SiteSpec, UserSpec};
use axum::Json;
use axum::extract::State;
use store::{Apply, Expected, Object};

use super::caller::Caller;
use super::change::{Intent, change, done, finally};
use super::connectors;
use super::error::ApiError;
use super::extract::{Body, Param};
use super::openapi::Created;
use super::tag::{Changing, Seen, Tagged};
use crate::AppState;

type Added = Result<Created<Applied>, ApiError>;
type Gone = Result<Json<Removed>, ApiError>;

pub(super) async fn export(
    State(state): State<AppState>,
    seen: Seen,
) -> Result<Tagged<Document>, ApiError> {
    Ok(Tagged::new(state.store.export().await?, seen))
}

pub(super) async fn add_site(
    State(state): State<AppState>,
    caller: Caller,
    Body(site): Body<SiteSpec>,
) -> Added {
    let object = format!("site {}", site.name);
    create(&state, &caller, object, Document { sites: vec![site], ..Document::default() }).await
}

pub(super) async fn add_application(
    State(state): State<AppState>,
    caller: Caller,
    Body(spec): Body<ApplicationSpec>,
) -> Added {
    let object = format!("application {}.{}", spec.name, spec.site);
    let document = Document { applications: vec![spec], ..Document::default() };
    create(&state, &caller, object, document).await
}

pub(super) async fn add_user(
    State(state): State<AppState>,
    caller: Caller,
    Body(user): Body<UserSpec>,
) -> Added {
    let object = format!("user {}", user.name);
    create(&state, &caller, object, Document { users: vec![user], ..Document::default() }).await
}

pub(super) async fn add_group(
    State(state): State<AppState>,
    caller: Caller,
    Body(group): Body<GroupSpec>,
) -> Added {
    let object = format!("group {}", group.name);
    create(&state, &caller, object, Document { groups: vec![group], ..Document::default() }).await
}

pub(super) async fn add_grant(
    State(state): State<AppState>,
    caller: Caller,
    Body(grant): Body<GrantSpec>,
) -> Added {
    let document = Document { grants: vec![grant], ..Document::default() };
    create(&state, &caller, "grant".to_owned(), document).await
}

pub(super) async fn remove_site(
    State(state): State<AppState>,
    caller: Caller,
    Param(name): Param<Name>,
) -> Gone {
    let connectors = connectors::all(&state).await?;
    let _cut = finally(|| {
        for connector in connectors.iter().filter(|connector| connector.site == name) {
            state.connectors.disconnect(connector.id);
        }
    });
    remove(&state, &caller, format!("site {name}"), Object::Site(name.clone())).await
}

/// `name` is `app`, where only one site has it, or `app.site`.
pub(super) async fn remove_application(
    State(state): State<AppState>,
    caller: Caller,
    Param(text): Param<String>,
) -> Gone {
    let row = state.store.application(&text).await?;
    let row = row.ok_or_else(|| ApiError::not_found("application", &text))?;
    let object = format!("application {}", row.reference());
    let what = Object::Application { name: row.name, site: Some(row.site) };
    remove(&state, &caller, object, what).await
}

pub(super) async fn remove_user(
    State(state): State<AppState>,
    caller: Caller,
    Param(name): Param<Name>,
) -> Gone {
    remove(&state, &caller, format!("user {name}"), Object::User(name)).await
}

pub(super) async fn remove_group(
    State(state): State<AppState>,
    caller: Caller,
    Param(name): Param<Name>,
) -> Gone {
    remove(&state, &caller, format!("group {name}"), Object::Group(name)).await
}

pub(super) async fn remove_grant(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<RuleId>,
) -> Gone {
    remove(&state, &caller, format!("grant {id}"), Object::Grant(id)).await
}

pub(super) async fn enable_user(
    State(state): State<AppState>,
    caller: Caller,
    Param(name): Param<Name>,
) -> Gone {
    set_enabled(&state, &caller, &name, true).await
}

pub(super) async fn disable_user(
    State(state): State<AppState>,
    caller: Caller,
    Param(name): Param<Name>,
) -> Gone {
    set_enabled(&state, &caller, &name, false).await
}

pub(super) async fn apply(
    State(state): State<AppState>,
    caller: Caller,
    Changing(expected): Changing,
    Body(request): Body<ApplyRequest>,
) -> Result<Json<Applied>, ApiError> {
    let ApplyRequest { document, plan, prune } = request;
    let how = Apply { plan, prune, create_only: false };
    if plan {
        let changes = state.store.apply_to(&expected, &document, how, SystemTime::now()).await?;
        return Ok(Json(Applied { changes, ..Applied::default() }));
    }
    let intent = Intent { action: "apply", object: "a document".to_owned() };
    Ok(Json(store_document(&state, &caller, intent, &expected, &document, how).await?))
}

async fn create(state: &AppState, caller: &Caller, object: String, document: Document) -> Added {
    let how = Apply { create_only: true, ..Apply::default() };
    let intent = Intent { action: "add", object };
    let expected = Expected::Anything;
    let applied = store_document(state, caller, intent, &expected, &document, how).await?;
    Ok(Created(applied))
}

pub(super) async fn store_document(
    state: &AppState,
    caller: &Caller,
    intent: Intent,
    expected: &Expected,
    document: &Document,
    how: Apply,
) -> Result<Applied, ApiError> {
    let act = async {
        let changes = state.store.apply_to(expected, document, how, SystemTime::now()).await?;
        Ok((changes.clone(), changes))
    };
    let (changes, withdrawn) = change(state, caller.into(), intent, act).await?;
    Ok(Applied { changes, applied: true, withdrawn })
}

async fn remove(state: &AppState, caller: &Caller, object: String, what: Object) -> Gone {
    let intent = Intent { action: "remove", object };
    let act = async {
        let changes = state.store.remove(what).await?;
        Ok((changes.clone(), changes))
    };
    let (changes, withdrawn) = change(state, caller.into(), intent, act).await?;
    Ok(Json(Removed { changes, count: 1, withdrawn }))
}

async fn set_enabled(state: &AppState, caller: &Caller, name: &Name, enabled: bool) -> Gone {
    let action = if enabled { "enable" } else { "disable" };
    let intent = Intent { action, object: format!("user {name}") };
    let changes = vec![done(&intent, "")];
    let act = async {
        state.store.set_enabled(name, enabled).await?;
        Ok((changes.clone(), changes))
    };
    let (changes, withdrawn) = change(state, caller.into(), intent, act).await?;
    Ok(Json(Removed { changes, count: 1, withdrawn }))
}
