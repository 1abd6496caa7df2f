//! Enrolled connectors, connected or not.

use access::{Code, ConnectorId, Name};
use api::{Checked, ConnectorRow, Page, Removed};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::caller::Caller;
use super::change::{Intent, change, done, finally};
use super::error::ApiError;
use super::extract::Param;
use super::page::Listing;
use super::rows;
use crate::AppState;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Where {
    site: Option<Name>,
}

pub(super) async fn list(
    State(state): State<AppState>,
    Listing { only: Where { site }, part }: Listing<Where>,
) -> Result<Json<Page<ConnectorRow>>, ApiError> {
    let rows = all(&state).await?.into_iter();
    let rows = rows.filter(|row| site.as_ref().is_none_or(|site| row.site == *site));
    let key = |row: &ConnectorRow| (row.site.clone(), row.name.clone(), row.id);
    Ok(Json(part.of_all("connectors", rows, key)?))
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

/// Has each connector of an application's site that is connected dial each of its addresses and close
/// at once.
pub(super) async fn check(
    State(state): State<AppState>,
    caller: Caller,
    Param(text): Param<String>,
) -> Result<Json<Checked>, ApiError> {
    let row = state.store.application(&text).await?;
    let row = row.ok_or_else(|| ApiError::not_found("application", &text))?;
    let reference = row.reference();
    let application = state.policy.current().application(row.id).cloned();
    let application = application.ok_or_else(|| ApiError::not_found("application", &text))?;
    let intent = Intent { action: "check", object: format!("application {reference}") };
    let act = async {
        let found = state.connectors.check(&application).await;
        let rows: Vec<_> = found.iter().map(rows::check).collect();
        if rows.is_empty() {
            return Err(offline(&row.site));
        }
        let told = rows.iter().map(in_words).collect::<Vec<_>>().join("; ");
        Ok((rows, vec![done(&intent, told)]))
    };
    let (connectors, _) = change(&state, (&caller).into(), intent.clone(), act).await?;
    Ok(Json(Checked { application: reference, connectors }))
}

fn in_words(row: &api::CheckRow) -> String {
    let outcome = row.code.as_deref().unwrap_or("reachable");
    format!("{} {} {outcome}", row.name, row.address)
}

fn offline(site: &access::Name) -> ApiError {
    let detail = format!("no connector of {site} is connected");
    ApiError::new(StatusCode::CONFLICT, Code("connector.offline"), detail)
        .hint("`adit admin connector ls` says since when; look at the connector's log")
}

pub(super) async fn all(state: &AppState) -> Result<Vec<ConnectorRow>, ApiError> {
    let live = state.connectors.list();
    let seen = state.authn.sightings().all().await?;
    let (rows, policy) = (state.store.connectors().await?, state.policy.current());
    let reach = |id| {
        let all = state.connectors.reach(id).into_iter();
        let named = all.filter_map(|((id, address), measured)| {
            // What was dialled before the application moved is of no interest.
            let app =
                policy.application(id).filter(|app| app.addresses().any(|a| *a == address))?;
            Some(rows::reach(app, &address, measured))
        });
        let mut named: Vec<_> = named.collect();
        named.sort_by(|a, b| (&a.application, &a.address).cmp(&(&b.application, &b.address)));
        named
    };
    let row = |row: store::ConnectorRow| {
        let reach = reach(row.id);
        rows::connector(row, &live, &seen, reach)
    };
    Ok(rows.into_iter().map(row).collect())
}
