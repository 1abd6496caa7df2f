//! Sites, applications, users, groups and grants, one at a time or as a whole document.

use std::time::SystemTime;

use access::{Name, RuleId};
use api::{ApplicationSpec, Applied, ApplyRequest, Document, GrantSpec, GroupSpec, Removed};
use api::{SiteSpec, UserSpec};
use axum::Json;
use axum::extract::State;
use store::{ApplicationRow, Apply, Expected, Object, StoreError};

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
    caller.changes(&spec.site, || ApiError::not_of_site(&caller.admin_of))?;
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
    Body(mut grant): Body<GrantSpec>,
) -> Added {
    of_their_sites(&state, &caller, &mut grant).await?;
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
    let row = named_by(&state, &caller, &text).await?;
    caller.changes(&row.site, || ApiError::not_found("application", &text))?;
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
    sees_grant(&state, &caller, id).await?;
    remove(&state, &caller, format!("grant {id}"), Object::Grant(id)).await
}

/// The application of this name, if its caller may see it. Among those that they see: another site's
/// does not make a name ambiguous to who does not know that it is there.
pub(super) async fn named_by(
    state: &AppState,
    caller: &Caller,
    text: &str,
) -> Result<ApplicationRow, ApiError> {
    let absent = || ApiError::not_found("application", text);
    if caller.admin || caller.auditor {
        return state.store.application(text).await?.ok_or_else(absent);
    }
    let all = state.store.applications().await?.into_iter();
    let is_meant = |row: &ApplicationRow| row.name.as_str() == text || row.reference() == text;
    let mut seen = all.filter(|row| caller.sees(&row.site) && is_meant(row));
    match (seen.next(), seen.next()) {
        (Some(row), None) => Ok(row),
        (Some(_), Some(_)) => Err(StoreError::Ambiguous(text.to_owned()).into()),
        (None, _) => Err(absent()),
    }
}

/// Refuses a grant of who administers some sites that is not for one application there; whether what
/// it names is anywhere else is not told.
pub(super) async fn of_their_sites(
    state: &AppState,
    caller: &Caller,
    grant: &mut GrantSpec,
) -> Result<(), ApiError> {
    if caller.admin {
        return Ok(());
    }
    let refused = || ApiError::not_of_site(&caller.admin_of);
    let named = grant.application.as_ref().filter(|_| grant.tag.is_none()).ok_or_else(refused)?;
    let row = named_by(state, caller, named).await;
    let row = row.ok().filter(|row| caller.admin_of.contains(&row.site)).ok_or_else(refused)?;
    grant.application = Some(row.reference());
    Ok(())
}

/// Refuses a grant that its caller may not see as one that is not there.
pub(super) async fn sees_grant(
    state: &AppState,
    caller: &Caller,
    id: RuleId,
) -> Result<(), ApiError> {
    if caller.admin {
        return Ok(());
    }
    let found = state.store.revised_grant(id).await?;
    let seen = found.is_some_and(|found| caller.sees_grant(&found.spec));
    if seen { Ok(()) } else { Err(ApiError::not_found("grant", &id.to_string())) }
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
        let changes = state
            .store
            .apply_within(&caller.within(), expected, document, (how, SystemTime::now()))
            .await?;
        Ok((changes.clone(), changes))
    };
    let (changes, withdrawn) = change(state, caller.into(), intent, act).await?;
    Ok(Applied { changes, applied: true, withdrawn })
}

async fn remove(state: &AppState, caller: &Caller, object: String, what: Object) -> Gone {
    let intent = Intent { action: "remove", object };
    let act = async {
        let changes = state.store.remove_within(&caller.within(), what).await?;
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
