//! Searching the audit log, verifying it, and where it is sent.

use std::time::{Duration, Instant};

use access::{Name, SessionId};
use api::{AuditCheck, AuditDamage, AuditDestination, AuditPage};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use store::{AuditPart, AuditQuery, Damage, Head, HeadError};

use super::error::ApiError;
use super::extract::{Params, span};
use super::rows;
use crate::AppState;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Only records after the one with this `seq`.
    #[serde(default)]
    after: u64,
    /// Only records before the one with this `seq`.
    before: Option<u64>,
    /// At most this many; 100 where absent, 1,000 at most.
    limit: Option<u32>,
    /// The last ones, the very last one first, rather than the first ones.
    #[serde(default)]
    latest: bool,
    /// Only records with this action, such as `session.opened`, or of this family: `session.*`.
    action: Option<String>,
    session: Option<SessionId>,
    /// Only records of what this user did, or somebody who said they were.
    user: Option<String>,
    /// Only changes that this user made.
    actor: Option<String>,
    /// `app` or `app.site`.
    application: Option<String>,
    site: Option<Name>,
    /// RFC 3339: only what happened then or later.
    since: Option<String>,
    /// RFC 3339: only what happened before.
    until: Option<String>,
}

pub(super) async fn list(
    State(state): State<AppState>,
    Params(asked): Params<Asked>,
) -> Result<Json<AuditPage>, ApiError> {
    let query = asked.query()?;
    let limit = query.limit as usize;
    let events: Vec<_> =
        state.store.audit_events(query).await?.into_iter().map(rows::audit).collect();
    let full = events.len() == limit;
    let next = events.last().filter(|_| full).map(|event| event.seq);
    Ok(Json(AuditPage { events, next }))
}

impl Asked {
    fn query(self) -> Result<AuditQuery, ApiError> {
        let (since, until) = span(self.since.as_deref(), self.until.as_deref())?;
        if let Some(action) = self.action.as_deref().filter(|action| !is_action(action)) {
            return Err(ApiError::invalid(format!(
                "action: {action:?} is not an action such as session.opened, nor a family such as \
                 session.*"
            )));
        }
        Ok(AuditQuery {
            after: self.after,
            before: self.before,
            limit: self.limit.unwrap_or(USUAL_PAGE).clamp(1, LONGEST_PAGE),
            latest: self.latest,
            action: self.action,
            session: self.session,
            user: self.user,
            actor: self.actor,
            application: self.application,
            site: self.site.map(|site| site.to_string()),
            since: since.map(rows::millis),
            until: until.map(rows::millis),
        })
    }
}

/// `family.word` or `family.*`.
fn is_action(text: &str) -> bool {
    let word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    text.split_once('.').is_some_and(|(family, rest)| word(family) && (rest == "*" || word(rest)))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// `SEQ:HASH`, as `at` of the part before; absent: from the first record on.
    after: Option<String>,
    /// `SEQ:HASH`, as somebody noted it earlier: a record that must still be there.
    expect: Option<String>,
}

pub(super) async fn verify(
    State(state): State<AppState>,
    Params(part): Params<Part>,
) -> Result<Json<AuditCheck>, ApiError> {
    let (mut after, noted) = (head("after", part.after)?, head("expect", part.expect)?);
    let (began, mut whole) = (Instant::now(), AuditCheck::default());
    loop {
        let part = AuditPart { after, noted, most: AT_ONCE };
        let check = state.store.verify_audit(part).await?;
        after = check.at;
        whole.rows += check.rows;
        whole.damages.extend(check.damages.into_iter().map(damage));
        (whole.done, whole.end) = (check.done, check.end);
        if check.done || whole.damages.len() >= MANY || began.elapsed() > LONG {
            break;
        }
    }
    Ok(Json(AuditCheck { at: after.map(|at| at.to_string()), ..whole }))
}

pub(super) async fn destinations(
    State(state): State<AppState>,
) -> Result<Json<Vec<AuditDestination>>, ApiError> {
    Ok(Json(state.deliveries.list().await?))
}

fn head(field: &str, text: Option<String>) -> Result<Option<Head>, ApiError> {
    let read = text.map(|text| text.parse()).transpose();
    read.map_err(|error: HeadError| ApiError::invalid(format!("{field}: {error}")))
}

fn damage(damage: Damage) -> AuditDamage {
    let Damage { seq, last, kind } = damage;
    AuditDamage { seq, last, kind: kind.as_str().to_owned(), detail: damage.to_string() }
}

const USUAL_PAGE: u32 = 100;
const LONGEST_PAGE: u32 = 1000;
/// Records between two looks at the clock.
const AT_ONCE: u64 = 5000;
/// Damages that an answer does not grow beyond by much.
const MANY: usize = 100;
/// For one call, of the thirty seconds that it may take.
const LONG: Duration = Duration::from_secs(5);
