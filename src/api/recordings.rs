//! What is kept of sessions that had to be recorded.

use std::time::{Duration, Instant};

use access::{Code, Name, SessionId};
use api::{CommandsPage, RecordingEvent, RecordingPage, SearchPage};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use record::{Bounds, Mark, Part, ReadError, Reading, SearchPlace, Sought};
use schemars::JsonSchema;
use serde::Deserialize;
use session::AuditEvent;
use tokio::task::spawn_blocking;

use super::caller::Caller;
use super::error::ApiError;
use super::extract::{Param, Params, moment};
use super::rows;
use crate::AppState;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Only what follows the part whose `next` this is; from the beginning where absent.
    after: Option<String>,
}

/// A part of a session's recording. Who begins to read one is recorded.
pub(super) async fn show(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<SessionId>,
    Params(Asked { after }): Params<Asked>,
) -> Result<Json<RecordingPage>, ApiError> {
    let mark = after.map(|text| text.parse::<Mark>()).transpose().map_err(ApiError::invalid)?;
    // Asked before the file is read: what is written until then is read below.
    let live = state.broker.live().iter().any(|session| session.id == id);
    let archive = state.recordings.clone();
    let read = spawn_blocking(move || match archive.read(id)? {
        Some(reading) => page(reading, mark, live).map(Some),
        None => Ok(None),
    });
    let page = read.await.map_err(ApiError::internal)?.map_err(|error| unread(id, &error))?;
    let page = page.ok_or_else(|| ApiError::not_found("recording", &id.to_string()))?;
    viewed(&state, &caller, id, mark.is_none()).await?;
    Ok(Json(page))
}

/// The command lines that a session's terminals showed to be typed. Who begins to read them is
/// recorded as who reads the recording.
pub(super) async fn commands(
    State(state): State<AppState>,
    caller: Caller,
    Param(id): Param<SessionId>,
    Params(Asked { after }): Params<Asked>,
) -> Result<Json<CommandsPage>, ApiError> {
    let part = after.map(|text| text.parse::<Part>()).transpose().map_err(ApiError::invalid)?;
    let archive = state.recordings.clone();
    let (bounds, _waiting) = Bounds::of(TIME);
    let read = spawn_blocking(move || {
        let read = archive.read(id)?;
        read.map(|reading| record::commands(reading, part.unwrap_or_default(), COMMANDS, &bounds))
            .transpose()
    });
    let page = read.await.map_err(ApiError::internal)?.map_err(|error| unread(id, &error))?;
    let page = page.ok_or_else(|| ApiError::not_found("recording", &id.to_string()))?;
    viewed(&state, &caller, id, part.is_none()).await?;
    Ok(Json(page))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// What was shown, in one line, whatever the case of its letters; 200 characters at most.
    text: String,
    /// Only in sessions of this user.
    user: Option<Name>,
    /// `app` or `app.site`.
    application: Option<String>,
    /// RFC 3339: only what was shown then or later.
    since: Option<String>,
    /// RFC 3339: only what was shown before.
    until: Option<String>,
    /// At most this many; 100 where absent, 1,000 at most.
    limit: Option<usize>,
    /// Only what follows the part whose `next` this is; from the oldest recording on where absent.
    after: Option<String>,
}

/// Where recorded terminals showed a text, the oldest session first. It is recorded before it is
/// done, and ends when nobody waits for it any more.
pub(super) async fn search(
    State(state): State<AppState>,
    caller: Caller,
    Params(wanted): Params<Wanted>,
) -> Result<Json<SearchPage>, ApiError> {
    let sought = wanted.sought()?;
    let searched = AuditEvent::RecordingSearched {
        actor: caller.who.name().clone(),
        from: caller.who.from(),
        text: sought.text.clone(),
        whose: sought.user.clone(),
        application: sought.application.clone(),
        after: sought.after.map(|place| place.session()),
    };
    state.broker.audit().append(searched).await?;
    let archive = state.recordings.clone();
    let (bounds, _waiting) = Bounds::of(TIME);
    let search = spawn_blocking(move || archive.search(&sought, &bounds));
    let page = search.await.map_err(ApiError::internal)?;
    Ok(Json(page.map_err(ApiError::internal)?))
}

impl Wanted {
    fn sought(self) -> Result<Sought, ApiError> {
        let length = self.text.chars().count();
        if !(1..=record::LONGEST_TEXT).contains(&length) || self.text.contains(char::is_control) {
            let detail = format!("text: a line of 1 to {} characters", record::LONGEST_TEXT);
            return Err(ApiError::invalid(detail));
        }
        let time = |field, text: Option<String>| {
            text.map(|text| moment(field, &text).map(rows::millis)).transpose()
        };
        let after = self.after.map(|text| text.parse::<SearchPlace>()).transpose();
        Ok(Sought {
            text: self.text,
            user: self.user,
            application: self.application,
            since_ms: time("since", self.since)?.unwrap_or(0),
            until_ms: time("until", self.until)?.unwrap_or(u64::MAX),
            limit: self.limit.unwrap_or(USUAL_PAGE).clamp(1, LONGEST_PAGE),
            after: after.map_err(ApiError::invalid)?,
        })
    }
}

/// Records who reads, unless they go on with what they began.
pub(super) async fn viewed(
    state: &AppState,
    caller: &Caller,
    session: SessionId,
    begins: bool,
) -> Result<(), ApiError> {
    let (actor, from) = (caller.who.name().clone(), caller.who.from());
    let (views, view) = (&state.calls.views, (actor.clone(), from, session));
    if !begins && views.goes_on(&view, Instant::now()) {
        return Ok(());
    }
    let viewed = AuditEvent::RecordingViewed { session, actor, from };
    state.broker.audit().append(viewed).await?;
    views.begun(view, Instant::now());
    Ok(())
}

fn page(mut reading: Reading, mark: Option<Mark>, live: bool) -> Result<RecordingPage, ReadError> {
    if let Some(mark) = mark {
        reading.go_to(mark);
    }
    let (mut lines, mut none_left) = (Vec::new(), false);
    while lines.len() < MUCH && !none_left {
        match reading.frame()? {
            Some(frame) => lines.extend(frame),
            None => none_left = true,
        }
    }
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let events = lines.filter_map(|line| serde_json::from_slice::<RecordingEvent>(line).ok());
    let over = reading.is_over() || (none_left && !live);
    let next = (!over).then(|| reading.mark().to_string());
    Ok(RecordingPage { events: events.collect(), next, live: live && !over })
}

fn unread(id: SessionId, error: &ReadError) -> ApiError {
    let chain: &dyn std::error::Error = error;
    tracing::error!(error = chain, session = %id, "Could not read a recording");
    let detail = error.to_string();
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, Code("recording.damaged"), detail)
        .hint("the audit log has the hash that its file should have")
}

/// Bytes of lines in one answer.
const MUCH: usize = 512 << 10;
/// Command lines in one answer.
const COMMANDS: usize = 1000;
/// Finds in one answer.
const USUAL_PAGE: usize = 100;
const LONGEST_PAGE: usize = 1000;
/// For one answer: it takes twice as long at most, and requests have half a minute.
const TIME: Duration = Duration::from_secs(8);
