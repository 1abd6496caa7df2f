//! Enrolled connectors, connected or not.

use access::ConnectorId;
use api::{ConnectorRow, Removed};
use axum::Json;
use axum::extract::State;

use super::caller::Caller;
use super::change::{Intent, change, done, finally};
use super::error::ApiError;
use super::extract::Param;
use super::rows;
use crate::AppState;

pub(super) async fn list(
    State(state): State<AppState>,
) -> Result<Json<Vec<ConnectorRow>>, ApiError> {
    Ok(Json(all(&state).await?))
}

/// Ends its enrolment: its key opens nothing from now on, and its connection is cut.
pub(super) async fn remove(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<ConnectorId>,
) -> Result<Json<Removed>, ApiError> {
    let intent = Intent { action: "remove", object: format!("connector {id}") };
    let changes = vec![done(&intent, "")];
    let act = async {
        match state.store.remove_connector(id).await? {
            true => Ok((changes.clone(), changes)),
            false => Err(ApiError::not_found("connector", &id.to_string())),
        }
    };
    let _cut = finally(|| {
        state.connectors.disconnect(id);
    });
    let (changes, withdrawn) = change(&state, (&caller).into(), intent, act).await?;
    Ok(Json(Removed { changes, count: 1, withdrawn }))
}

pub(super) async fn all(state: &AppState) -> Result<Vec<ConnectorRow>, ApiError> {
    let live = state.connectors.list();
    let rows = state.store.connectors().await?;
    Ok(rows.into_iter().map(|row| rows::connector(row, &live)).collect())
}
