//! What holds for the whole relay: shown and changed.

use api::{Applied, Document, SettingsSpec};
use axum::Json;
use axum::extract::State;
use store::{Apply, Expected};

use super::caller::Caller;
use super::change::Intent;
use super::error::ApiError;
use super::extract::Body;
use super::objects::store_document;
use crate::AppState;

pub(super) async fn show(State(state): State<AppState>) -> Result<Json<SettingsSpec>, ApiError> {
    Ok(Json(state.store.settings().await?.spec()))
}

pub(super) async fn change(
    State(state): State<AppState>,
    caller: Caller,
    Body(spec): Body<SettingsSpec>,
) -> Result<Json<Applied>, ApiError> {
    let intent = Intent { action: "change", object: "settings".to_owned() };
    let document = Document { settings: Some(spec), ..Document::default() };
    Ok(Json(
        store_document(&state, &caller, intent, &Expected::Anything, &document, Apply::default())
            .await?,
    ))
}
