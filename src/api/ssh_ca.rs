//! By what targets know the relay's certificates.

use api::SshCa;
use axum::Json;
use axum::extract::State;

use crate::AppState;

pub(super) async fn show(State(state): State<AppState>) -> Json<SshCa> {
    let info = &state.info;
    let named = format!("[{domain}]:*,{domain}", domain = info.domain);
    let known_hosts = Some(format!("@cert-authority {named} {}", info.ssh_host_ca));
    Json(SshCa { public_key: info.ssh_target_ca.clone(), known_hosts })
}
