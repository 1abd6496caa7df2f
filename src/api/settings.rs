//! What holds for the whole relay: shown and changed.

use api::{Applied, SettingsSpec};
use axum::Json;
use axum::extract::State;
use store::Edit;

use super::caller::Caller;
use super::edit::edit;
use super::error::ApiError;
use super::extract::Body;
use super::tag::{Changing, Seen, Tagged};
use crate::AppState;

pub(super) async fn show(
    State(state): State<AppState>,
    seen: Seen,
) -> Result<Tagged<SettingsSpec>, ApiError> {
    Ok(Tagged::new(state.store.revised_settings().await?, seen))
}

pub(super) async fn change(
    State(state): State<AppState>,
    caller: Caller,
    changing: Changing,
    Body(spec): Body<SettingsSpec>,
) -> Result<Json<Applied>, ApiError> {
    edit(&state, &caller, "settings".to_owned(), &Edit::Settings(spec), changing).await
}
