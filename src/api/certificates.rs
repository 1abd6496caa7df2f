//! What is shown for the names of web applications.

use std::time::SystemTime;

use api::{CertificateRow, Page};
use axum::Json;
use axum::extract::State;

use super::error::ApiError;
use super::page::{All, Listing};
use crate::AppState;
use crate::certificates::Named;

pub(super) async fn list(
    State(state): State<AppState>,
    Listing { only: All {}, part }: Listing<All>,
) -> Result<Json<Page<CertificateRow>>, ApiError> {
    let rows = state.certificates.list().into_iter().map(row);
    Ok(Json(part.of_all("certificates", rows, |row| row.name.clone())?))
}

fn row(named: Named) -> CertificateRow {
    let Named { name, application, source, until, due, error } = named;
    let (expires, next) = (until.map(seconds), due.map(seconds));
    CertificateRow { name, application, source, expires, next, error }
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
