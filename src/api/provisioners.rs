//! Programs that keep users and groups as a directory has them: added and removed by admins.

use std::time::SystemTime;

use access::{Code, Name, sha256};
use api::{AddProvisioner, AddedProvisioner, DirectoryRow, Page, ProvisionerRow, Removed};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use data_encoding::BASE64URL_NOPAD;

use super::caller::Caller;
use super::change::{Intent, change, done};
use super::error::ApiError;
use super::extract::{Body, Param};
use super::openapi::Created;
use super::page::{All, Listing};
use super::passwords::whole;
use crate::AppState;

/// The directories that know people's passwords.
pub(super) async fn directories(State(state): State<AppState>) -> Json<Vec<DirectoryRow>> {
    Json(state.directories.list())
}

pub(super) async fn list(
    State(state): State<AppState>,
    Listing { only: All {}, part }: Listing<All>,
) -> Result<Json<Page<ProvisionerRow>>, ApiError> {
    let rows = state.store.provisioners().await?.into_iter();
    let rows = rows.map(|row| ProvisionerRow { name: row.name, created: row.created });
    Ok(Json(part.of_all("provisioners", rows, |row| row.name.clone())?))
}

/// Whoever holds the secret makes users and says who is in groups: a token with scopes gives none.
pub(super) async fn add(
    State(state): State<AppState>,
    caller: Caller,
    Body(AddProvisioner { name }): Body<AddProvisioner>,
) -> Result<Created<AddedProvisioner>, ApiError> {
    whole(&caller)?;
    let random: [u8; 32] = rand::random();
    let secret = format!("adit_scim_{}", BASE64URL_NOPAD.encode(&random));
    let digest = sha256(secret.as_bytes());
    let intent = Intent { action: "add", object: format!("provisioner {name}") };
    let act = async {
        match state.store.add_provisioner(&name, digest, SystemTime::now()).await? {
            true => Ok(((), vec![done(&intent, "")])),
            false => Err(ApiError::new(
                StatusCode::CONFLICT,
                Code("provisioner.exists"),
                format!("there is a provisioner {name}"),
            )),
        }
    };
    change(&state, (&caller).into(), intent.clone(), act).await?;
    let info = &state.info;
    let url = format!("{}/scim/v2", info.url());
    Ok(Created(AddedProvisioner { name, secret: secret.into(), url }))
}

/// What it has made stays, as the admins' own.
pub(super) async fn remove(
    State(state): State<AppState>,
    caller: Caller,
    Param(name): Param<Name>,
) -> Result<Json<Removed>, ApiError> {
    let intent = Intent { action: "remove", object: format!("provisioner {name}") };
    let changes = vec![done(&intent, "")];
    let act = async {
        match state.store.remove_provisioner(&name).await? {
            true => Ok((changes.clone(), changes)),
            false => Err(ApiError::new(
                StatusCode::NOT_FOUND,
                Code("provisioner.not_found"),
                format!("there is no provisioner {name}"),
            )
            .hint("`adit admin provisioner ls` lists them")),
        }
    };
    let (changes, withdrawn) = change(&state, (&caller).into(), intent, act).await?;
    Ok(Json(Removed { changes, count: 1, withdrawn }))
}
