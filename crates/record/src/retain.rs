//! Deleting recordings that were kept for long enough.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use access::{Kind, SessionId};
use api::RecordingEvent;
use session::AuditEvent;
use tokio::task::spawn_blocking;

use crate::Archive;
use crate::place;

/// Why recordings that are due could not be deleted. The others were, and the rest is next time's.
#[derive(Debug, thiserror::Error)]
pub enum RetainError {
    #[error("could not use {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("it could not be recorded that a recording is deleted, so it was not")]
    Audit(#[from] session::AuditError),
}

/// Since when recordings are kept; `None`: since ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    pub desktops: Option<SystemTime>,
    pub others: Option<SystemTime>,
}

impl Archive {
    /// Deletes the recordings to which nothing was written since then, each after the audit log
    /// has it; how many. One that is being written is not touched, however long that takes.
    pub async fn remove_before(&self, since: Since) -> Result<u64, RetainError> {
        let archive = self.clone();
        let due = spawn_blocking(move || due(&archive, since)).await;
        let due = due.unwrap_or_else(|error| Err((self.root().to_owned(), error.into())));
        let mut removed = 0;
        for Due { session, path, bytes } in due.map_err(file)? {
            self.audit().append(AuditEvent::RecordingRemoved { session, bytes }).await?;
            tokio::fs::remove_file(&path).await.map_err(|error| file((path, error)))?;
            removed += 1;
        }
        Ok(removed)
    }
}

struct Due {
    session: SessionId,
    path: PathBuf,
    bytes: u64,
}

/// Folders of days that have become empty go with it.
fn due(archive: &Archive, since: Since) -> Result<Vec<Due>, (PathBuf, io::Error)> {
    let (mut due, root) = (Vec::new(), archive.root());
    let last = [since.desktops, since.others].into_iter().flatten().min();
    for day in place::days(root).map_err(|error| (root.to_owned(), error))? {
        let recordings = place::entries(&day).map_err(|error| (day.clone(), error))?;
        if recordings.is_empty() && is_before(&day, last) {
            // Somebody may be faster, with a session of that day.
            drop(fs::remove_dir(&day));
        }
        for path in recordings {
            let Some(session) = place::closed_session_of(&path) else { continue };
            let is_due = match (is_before(&path, since.desktops), is_before(&path, since.others)) {
                (desktops, others) if desktops == others => others,
                (desktops, _) => is_desktop(archive, session).is_some_and(|is| is == desktops),
            };
            if is_due {
                let bytes = fs::metadata(&path).map_err(|error| (path.clone(), error))?.len();
                due.push(Due { session, path, bytes });
            }
        }
    }
    Ok(due)
}

/// What a recording is of; `None`: it can not be read, and stays.
fn is_desktop(archive: &Archive, session: SessionId) -> Option<bool> {
    let first = archive.read(session).ok()??.frame().ok()??;
    let line = first.split(|byte| *byte == b'\n').next()?;
    let RecordingEvent::Session { kind, .. } = serde_json::from_slice(line).ok()? else {
        return None;
    };
    Some(kind == Kind::Rdp)
}

fn is_before(path: &Path, before: Option<SystemTime>) -> bool {
    let Some(before) = before else { return false };
    fs::metadata(path).and_then(|file| file.modified()).is_ok_and(|written| written < before)
}

fn file((path, source): (PathBuf, io::Error)) -> RetainError {
    RetainError::File { path, source }
}
