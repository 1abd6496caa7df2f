//! What is kept of sessions that had to be recorded.

use access::{Code, SessionId};
use api::{RecordingEvent, RecordingPage};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use record::{Mark, ReadError, Reading};
use schemars::JsonSchema;
use serde::Deserialize;
use session::AuditEvent;
use tokio::task::spawn_blocking;

use super::caller::Caller;
use super::error::ApiError;
use super::extract::{Param, Params};
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
    if mark.is_none() {
        let (actor, from) = (caller.who.name().clone(), caller.who.from());
        let viewed = AuditEvent::RecordingViewed { session: id, actor, from };
        state.broker.audit().append(viewed).await?;
    }
    Ok(Json(page))
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
