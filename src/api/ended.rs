//! Sessions that have ended, as the audit log has them, and whether their recordings are here.
//!
//! A list of its own beside that of open sessions: what people did some time ago is the audit log's to
//! tell, so its scope and its cost are that log's.

use std::collections::HashSet;

use access::{Kind, Name, SessionId};
use api::{EndedSessionRow, KeptRecording, Page};
use axum::Json;
use axum::extract::State;
use record::Archive;
use schemars::JsonSchema;
use serde::Deserialize;
use store::{EndedQuery, EndedRow, RecordingRow};
use tokio::task::spawn_blocking;

use super::caller::Caller;
use super::error::ApiError;
use super::extract::span;
use super::page::Listing;
use super::reference::reference;
use crate::AppState;

/// Which of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    user: Option<Name>,
    /// `app` or `app.site`.
    application: Option<String>,
    /// RFC 3339: only sessions that were opened then or later.
    since: Option<String>,
    /// RFC 3339: only sessions that were opened before.
    until: Option<String>,
    /// Whether only those of which a recording was made are wanted.
    recorded: Option<bool>,
}

pub(super) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    Listing { only, part }: Listing<Wanted>,
) -> Result<Json<Page<EndedSessionRow>>, ApiError> {
    let (before, limit) = (part.after::<SessionId>(LIST)?, part.look_ahead());
    let query = EndedQuery { before, limit, sites: caller.seen_sites(), ..only.query()? };
    let rows = state.store.ended_sessions(query).await?;
    let here = here(state.recordings.clone(), &rows).await?;
    let rows = rows.into_iter().map(|row| told(row, &here)).collect();
    Ok(Json(part.page(LIST, rows, |row| row.id)))
}

impl Wanted {
    fn query(self) -> Result<EndedQuery, ApiError> {
        let (since, until) = span(self.since.as_deref(), self.until.as_deref())?;
        Ok(EndedQuery {
            user: self.user,
            application: self.application.as_deref().map(reference).transpose()?,
            recorded: self.recorded.unwrap_or_default(),
            since,
            until,
            ..EndedQuery::default()
        })
    }
}

/// Those of them of whose recordings there is a file.
async fn here(archive: Archive, rows: &[EndedRow]) -> Result<HashSet<SessionId>, ApiError> {
    let recorded = rows.iter().filter(|row| row.recording.is_some());
    let recorded: Vec<_> = recorded.map(|row| row.session).collect();
    let look = move || recorded.into_iter().filter(|id| archive.holds(*id)).collect();
    spawn_blocking(look).await.map_err(ApiError::internal)
}

fn told(row: EndedRow, here: &HashSet<SessionId>) -> EndedSessionRow {
    let is_here = here.contains(&row.session);
    let recording = row.recording.map(|recording| kept(recording, row.kind, is_here));
    EndedSessionRow {
        id: row.session,
        user: row.user,
        application: row.application,
        site: row.site,
        kind: row.kind,
        door: row.door,
        from: row.from,
        login: row.login,
        opened_ms: row.opened_ms,
        ended_ms: row.ended_ms,
        code: format!("session.{}", row.reason),
        side: row.side,
        up: row.up,
        down: row.down,
        recording,
    }
}

fn kept(row: RecordingRow, kind: Option<Kind>, is_here: bool) -> KeptRecording {
    let shows = match kind {
        Some(Kind::Rdp) => "desktop",
        Some(Kind::Postgres | Kind::Mysql | Kind::Redis) => "statements",
        Some(Kind::Ssh | Kind::Tcp | Kind::Web) | None => "terminal",
    };
    let state = match (is_here, row.removed_ms) {
        (true, _) => "kept",
        (false, Some(_)) => "removed",
        (false, None) => "absent",
    };
    let RecordingRow { bytes, whole, removed_ms } = row;
    KeptRecording { shows: shows.to_owned(), state: state.to_owned(), bytes, whole, removed_ms }
}

/// Its name in cursors.
const LIST: &str = "ended sessions";

#[cfg(test)]
mod tests {
    use access::{EndReason, Explain};

    #[test]
    fn the_code_of_an_end_is_made_of_its_word_in_the_log() {
        for number in 0..=10 {
            let reason = EndReason::from_number(number);
            assert_eq!(reason.code().0, format!("session.{}", reason.as_str()));
        }
    }
}
