//! The host key by which the relay knows an SSH application's target.

use api::{HostKey, Removed};
use axum::Json;
use axum::extract::State;

use super::caller::Caller;
use super::change::{Intent, change, done};
use super::error::ApiError;
use super::extract::Param;
use super::objects::named_by;
use crate::AppState;

/// What it is known by.
pub(super) async fn show(
    State(state): State<AppState>,
    caller: Caller,
    Param(text): Param<String>,
) -> Result<Json<HostKey>, ApiError> {
    let app = named_by(&state, &caller, &text).await?;
    let learned = state.store.learned_host_key(app.id).await?;
    Ok(Json(HostKey { application: app.reference(), pinned: app.host_key, learned }))
}

/// Forgets what was learned: the next connection learns anew. What an admin has said stays.
pub(super) async fn forget(
    State(state): State<AppState>,
    caller: Caller,
    Param(text): Param<String>,
) -> Result<Json<Removed>, ApiError> {
    let app = named_by(&state, &caller, &text).await?;
    caller.changes(&app.site, || ApiError::not_found("application", &text))?;
    let intent =
        Intent { action: "forget", object: format!("host key of application {}", app.reference()) };
    let act = async {
        let forgotten = state.store.forget_host_key(app.id).await?;
        let changes: Vec<_> = forgotten.into_iter().map(|key| done(&intent, key)).collect();
        Ok((changes.clone(), changes))
    };
    let (changes, withdrawn) = change(&state, (&caller).into(), intent.clone(), act).await?;
    Ok(Json(Removed { count: changes.len() as u64, changes, withdrawn }))
}
