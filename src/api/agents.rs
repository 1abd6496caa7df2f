//! Enrolled agents, connected or not.

use std::time::SystemTime;

use access::{AgentId, Name};
use api::{AgentRow, Page, Removed};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use store::AgentQuery;

use super::caller::Caller;
use super::change::{Intent, change, done, finally};
use super::error::ApiError;
use super::extract::Param;
use super::page::Listing;
use super::rows;
use crate::AppState;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    user: Option<Name>,
}

pub(super) async fn list(
    State(state): State<AppState>,
    Listing { only: Whose { user }, part }: Listing<Whose>,
) -> Result<Json<Page<AgentRow>>, ApiError> {
    let enrolled = state.store.agents(AgentQuery {
        user,
        enrolled_at: Some(SystemTime::now()),
        after: part.after("agents")?,
        limit: Some(part.look_ahead()),
    });
    let seen = state.authn.sightings().all().await?;
    let row = |row: store::AgentRow| {
        let online = state.agents.is_connected(row.id);
        rows::agent(row, online, &seen)
    };
    let rows = enrolled.await?.into_iter().map(row).collect();
    Ok(Json(part.page("agents", rows, |row| (row.user.clone(), row.created, row.id))))
}

/// Ends its enrolment: its key opens nothing from now on, and its connections are cut.
pub(super) async fn remove(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<AgentId>,
) -> Result<Json<Removed>, ApiError> {
    let intent = Intent { action: "remove", object: format!("agent {id}") };
    let changes = vec![done(&intent, "")];
    let act = async {
        match state.store.revoke_agent(id).await? {
            true => Ok((changes.clone(), changes)),
            false => Err(ApiError::not_found("agent", &id.to_string())),
        }
    };
    let _cut = finally(|| {
        state.agents.disconnect(id);
    });
    let (changes, withdrawn) = change(&state, (&caller).into(), intent, act).await?;
    Ok(Json(Removed { changes, count: 1, withdrawn }))
}
