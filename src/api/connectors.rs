//! Enrolled connectors, connected or not.

use std::time::{SystemTime, UNIX_EPOCH};

use access::{Code, ConnectorId, Name};
use api::{Checked, ConnectorDoctor, ConnectorRow, DoctorRow, Page, Removed};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use session::DialError;

use super::caller::Caller;
use super::change::{Intent, change, done, finally};
use super::error::ApiError;
use super::extract::Param;
use super::page::Listing;
use super::{objects, rows};
use crate::AppState;
use crate::cluster::Cluster;
use crate::connectors::{Examined, Finding};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Where {
    site: Option<Name>,
}

pub(super) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Listing { only: Where { site }, part }: Listing<Where>,
) -> Result<Json<Page<ConnectorRow>>, ApiError> {
    let rows = all(&state).await?.into_iter().filter(|row| caller.sees(&row.site));
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
    if !caller.admin {
        let row = one(&state, &caller, id).await?;
        caller.changes(&row.site_name, || ApiError::not_found("connector", &id.to_string()))?;
    }
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

/// What it said last of its ways.
pub(super) async fn examined(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<ConnectorId>,
) -> Result<Json<ConnectorDoctor>, ApiError> {
    let row = one(&state, &caller, id).await?;
    Ok(Json(told(&row, state.connectors.examined(id))))
}

/// Has it look at its ways now.
pub(super) async fn examine(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<ConnectorId>,
) -> Result<Json<ConnectorDoctor>, ApiError> {
    let row = one(&state, &caller, id).await?;
    caller.changes(&row.site_name, || ApiError::not_found("connector", &id.to_string()))?;
    let intent = Intent { action: "check", object: format!("connector {}", row.name) };
    let act = async {
        let looked = state.connectors.examine(id).await.ok_or_else(|| offline(&row.site_name))?;
        let examined = looked.map_err(|error| mute(&error))?;
        let worst = examined.worst();
        Ok((examined, vec![done(&intent, worst)]))
    };
    let (examined, _) = change(&state, (&caller).into(), intent.clone(), act).await?;
    Ok(Json(told(&row, Some(examined))))
}

/// The connector of this id, if its caller may see it.
async fn one(
    state: &AppState,
    caller: &Caller,
    id: ConnectorId,
) -> Result<store::ConnectorRow, ApiError> {
    let mut all = state.store.connectors().await?.into_iter();
    let found = all.find(|row| row.id == id && caller.sees(&row.site_name));
    found.ok_or_else(|| ApiError::not_found("connector", &id.to_string()))
}

fn told(row: &store::ConnectorRow, examined: Option<Examined>) -> ConnectorDoctor {
    let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let at = examined.as_ref().map(|examined| seconds(examined.at));
    let findings = examined.map(|examined| examined.findings).unwrap_or_default().into_iter();
    let findings = findings.map(|Finding { check, outcome, found, code, fix }| DoctorRow {
        check,
        outcome: outcome.to_owned(),
        found,
        code,
        fix,
    });
    let (name, site) = (row.name.clone(), row.site_name.clone());
    ConnectorDoctor { id: row.id, name, site, at, findings: findings.collect() }
}

fn mute(error: &DialError) -> ApiError {
    let detail = format!("the connector does not say how its ways are: {error}");
    ApiError::new(StatusCode::BAD_GATEWAY, Code("connector.mute"), detail)
        .hint("update it, or run `adit-connector doctor` on its machine")
}

/// Has each connector of an application's site that is connected dial each of its addresses and close
/// at once.
pub(super) async fn check(
    State(state): State<AppState>,
    caller: Caller,
    Param(text): Param<String>,
) -> Result<Json<Checked>, ApiError> {
    let row = objects::named_by(&state, &caller, &text).await?;
    caller.changes(&row.site, || ApiError::not_found("application", &text))?;
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

/// Adds at which relays it is. What is shown of its connection is this relay's, else another's.
fn at_relays(row: &mut ConnectorRow, id: ConnectorId, cluster: &Cluster) {
    let others = cluster.others();
    if row.online {
        row.relays.push(cluster.name().clone());
    }
    for place in others.of(id) {
        row.relays.extend(others.name(place.relay).cloned());
        if !row.online {
            let shown = &place.shown;
            row.online = true;
            row.address = Some(shown.address.clone());
            row.transport = Some(shown.transport.clone());
            row.since = Some(shown.since);
            row.version = Some(shown.version.clone());
            row.certificate_expires = Some(shown.certificate_expires);
            row.sessions = shown.sessions;
            row.draining = shown.draining;
        }
        row.cloned = row.cloned.or(place.shown.cloned);
    }
    row.relays.sort();
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
        let doctor = state.connectors.examined(row.id).map(|examined| examined.worst().to_owned());
        let id = row.id;
        let mut row = ConnectorRow { doctor, ..rows::connector(row, &live, &seen, reach) };
        if let Some(cluster) = &state.cluster {
            at_relays(&mut row, id, cluster);
        }
        row
    };
    Ok(rows.into_iter().map(row).collect())
}
