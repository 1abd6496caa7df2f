//! Enrolled agents, connected or not.

use std::time::SystemTime;

use access::{AgentId, Name};
use api::{AgentRow, Removed};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::caller::Caller;
use super::change::{Intent, change, done, finally};
use super::error::ApiError;
use super::extract::{Param, Params};
use super::rows;
use crate::AppState;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    user: Option<Name>,
}

pub(super) async fn list(
    State(state): State<AppState>,
    Params(whose): Params<Whose>,
) -> Result<Json<Vec<AgentRow>>, ApiError> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let enrolled = state.store.agents(whose.user.as_ref()).await?.into_iter();
    let enrolled = enrolled.filter(|row| row.expires > now.as_secs());
    let seen = state.authn.sightings().all().await?;
    let row = |row: store::AgentRow| {
        let online = state.agents.is_connected(row.id);
        rows::agent(row, online, &seen)
    };
    Ok(Json(enrolled.map(row).collect()))
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
