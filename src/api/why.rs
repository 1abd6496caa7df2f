//! Whether somebody may reach something, and by which grant or for want of what.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use access::{Explanation, Name, Question, RuleId, Shortfall};
use api::{AccessRequest, GrantRow, GrantSpec, Why};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::error::ApiError;
use super::extract::{Params, moment};
use super::rows;
use crate::AppState;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    user: Name,
    /// `app` or `app.site`.
    application: String,
    /// RFC 3339; now where absent.
    at: Option<String>,
    /// The address that the user comes from.
    from: Option<IpAddr>,
    /// The account at the target.
    login: Option<String>,
}

pub(super) async fn why(
    State(state): State<AppState>,
    Params(asked): Params<Asked>,
) -> Result<Json<Why>, ApiError> {
    let at = asked.at.as_deref().map(|at| moment("at", at)).transpose()?;
    let at = at.unwrap_or_else(SystemTime::now);
    let user = state.store.user(&asked.user).await?;
    let user = user.ok_or_else(|| ApiError::not_found("user", asked.user.as_str()))?;
    let application = state.store.application(&asked.application).await?;
    let application =
        application.ok_or_else(|| ApiError::not_found("application", &asked.application))?;
    let question = Question {
        user: user.id,
        application: application.id,
        from: asked.from,
        login: asked.login.clone(),
    };
    // The snapshot that the doors decide by, so that the answer is what they would say.
    let explanation = state.policy.subscribe().borrow().explain(&question, at);
    let grant = match rule(&explanation) {
        Some(id) => grant(&state, id).await?,
        None => None,
    };
    let request = match (rule(&explanation), &grant) {
        (Some(id), None) => state.store.access_request(id).await?.and_then(rows::request),
        (Some(_) | None, _) => None,
    };
    let why = Why {
        user: user.name,
        application: application.reference(),
        at: unix(at),
        from: asked.from,
        login: asked.login,
        allowed: false,
        answer: String::new(),
        grant,
        request,
        short_by: Vec::new(),
        provided: Vec::new(),
        ends: None,
    };
    Ok(Json(answer(why, &explanation)))
}

/// Puts the decision into the answer, as data and as a sentence.
fn answer(why: Why, explanation: &Explanation) -> Why {
    let Why { user, application, .. } = &why;
    let spec = why.grant.as_ref().map(|row| &row.grant);
    // A grant that was removed a moment ago has no name any more.
    let (noun, title) = match (spec, &why.request) {
        (Some(spec), _) => ("grant", spec.title()),
        (None, Some(request)) => ("request", asked(request)),
        (None, None) => ("grant", "that is just being changed".to_owned()),
    };
    let listed = |terms: &[Shortfall], say: fn(Shortfall, &GrantSpec) -> Option<String>| {
        let told = |term: &Shortfall| match spec.and_then(|spec| say(*term, spec)) {
            Some(value) => format!("{} ({value})", term.as_str()),
            None => term.as_str().to_owned(),
        };
        terms.iter().map(told).collect::<Vec<_>>()
    };
    let names = |terms: &[Shortfall]| -> Vec<String> {
        terms.iter().map(|term| term.as_str().to_owned()).collect()
    };
    match explanation {
        Explanation::User => {
            let answer = format!("{user} may not reach {application}: the user is disabled");
            Why { answer, ..why }
        }
        Explanation::Gone | Explanation::NoRule => {
            let answer = format!(
                "{user} may not reach {application}: no grant names both, by themselves, by a \
                 group or by a tag"
            );
            Why { answer, ..why }
        }
        Explanation::Short { by, .. } => {
            let answer = format!(
                "{user} may not reach {application}: the nearest {noun}, {title}, falls short by {}",
                listed(by, missing).join(" and by ")
            );
            Why { answer, short_by: names(by), ..why }
        }
        Explanation::Allowed { provided, ends, .. } => {
            let mut answer = format!("{user} may reach {application} by the {noun} {title}");
            if !provided.is_empty() {
                answer.push_str(&format!(", within {}", listed(provided, value).join(" and ")));
            }
            if let Some(ends) = ends {
                answer.push_str(&format!("; a session ends by {}", told(*ends)));
            }
            let (provided, ends) = (names(provided), ends.map(unix));
            Why { answer, allowed: true, provided, ends, ..why }
        }
    }
}

/// A request as the rule that it is.
fn asked(request: &AccessRequest) -> String {
    let by = request.decided_by.as_deref().unwrap_or("nobody");
    format!("{} ({}) that {by} approved", request.id, request.reason)
}

/// What a term says: `mon-fri 08:00-18:00 Europe/Berlin` of hours.
fn value(term: Shortfall, spec: &GrantSpec) -> Option<String> {
    match term {
        Shortfall::Login => Some(list(&spec.logins)),
        Shortfall::Source => Some(list(&spec.sources)),
        Shortfall::Hours => {
            Some(format!("{} {}", list(&spec.hours), spec.zone.as_deref().unwrap_or_default()))
        }
        Shortfall::NotYetValid => spec.valid_from.clone(),
        Shortfall::NoLongerValid => spec.valid_until.clone(),
        Shortfall::FileTransfer | Shortfall::Printer | Shortfall::Audio => Some("no".to_owned()),
        Shortfall::Ssh => Some(spec.ssh.to_string()),
        Shortfall::Level => spec.level.map(|level| level.to_string()),
        Shortfall::Databases => Some(list(&spec.databases)),
        Shortfall::Clipboard => Some(spec.clipboard.to_string()),
        Shortfall::Recording | Shortfall::Session => Some("required".to_owned()),
        Shortfall::Authentication => Some(match &spec.ssh.authentication {
            Some(ways) if !ways.is_empty() => {
                ways.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
            }
            Some(_) | None => "no way of signing in".to_owned(),
        }),
    }
}

/// The same, with why it is not met where that is not plain.
fn missing(term: Shortfall, spec: &GrantSpec) -> Option<String> {
    let value = value(term, spec)?;
    let why = match term {
        Shortfall::FileTransfer | Shortfall::Ssh => "raw bytes do not show it",
        Shortfall::Level => UNMAPPED,
        Shortfall::Databases | Shortfall::Clipboard | Shortfall::Printer | Shortfall::Audio => {
            UNKEPT
        }
        Shortfall::Recording => "no door for its kind records",
        Shortfall::Session => "the user is signed in nowhere",
        Shortfall::Login
        | Shortfall::Source
        | Shortfall::Hours
        | Shortfall::NotYetValid
        | Shortfall::NoLongerValid
        | Shortfall::Authentication => return Some(value),
    };
    Some(format!("{value}: {why}"))
}

fn list(items: &Option<Vec<String>>) -> String {
    match items.as_deref().unwrap_or_default() {
        [] => "none".to_owned(),
        items => items.join(", "),
    }
}

const UNMAPPED: &str = "no door for its kind keeps that, or it has no account for it";
const UNKEPT: &str = "no door for its kind keeps that";

fn rule(explanation: &Explanation) -> Option<RuleId> {
    match explanation {
        Explanation::Short { rule, .. } | Explanation::Allowed { rule, .. } => Some(rule.id),
        Explanation::User | Explanation::Gone | Explanation::NoRule => None,
    }
}

async fn grant(state: &AppState, id: RuleId) -> Result<Option<GrantRow>, ApiError> {
    let row = state.store.grants().await?.into_iter().find(|row| row.id == id);
    Ok(row.map(rows::grant))
}

fn unix(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn told(at: SystemTime) -> String {
    let seconds = i64::try_from(unix(at)).ok();
    let at = seconds.and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| "the end of time".to_owned())
}
