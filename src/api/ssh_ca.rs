//! By what targets know the relay's certificates.

use api::SshCa;
use axum::Json;
use axum::extract::State;

use crate::AppState;

pub(super) async fn show(State(state): State<AppState>) -> Json<SshCa> {
    Json(SshCa { public_key: state.info.ssh_target_ca.clone() })
}
