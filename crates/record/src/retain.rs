//! Deleting recordings that were kept for long enough.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use access::SessionId;
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

impl Archive {
    /// Deletes the recordings to which nothing was written since `before`, each after the audit log
    /// has it; how many. One that is being written is not touched, however long that takes.
    pub async fn remove_before(&self, before: SystemTime) -> Result<u64, RetainError> {
        let root = self.root().to_owned();
        let due = spawn_blocking(move || due(&root, before)).await;
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
fn due(root: &Path, before: SystemTime) -> Result<Vec<Due>, (PathBuf, io::Error)> {
    let mut due = Vec::new();
    for day in place::days(root).map_err(|error| (root.to_owned(), error))? {
        let recordings = place::entries(&day).map_err(|error| (day.clone(), error))?;
        if recordings.is_empty() && is_before(&day, before) {
            // Somebody may be faster, with a session of that day.
            drop(fs::remove_dir(&day));
        }
        for path in recordings {
            let Some(session) = place::closed_session_of(&path) else { continue };
            if is_before(&path, before) {
                let bytes = fs::metadata(&path).map_err(|error| (path.clone(), error))?.len();
                due.push(Due { session, path, bytes });
            }
        }
    }
    Ok(due)
}

fn is_before(path: &Path, before: SystemTime) -> bool {
    fs::metadata(path).and_then(|file| file.modified()).is_ok_and(|written| written < before)
}

fn file((path, source): (PathBuf, io::Error)) -> RetainError {
    RetainError::File { path, source }
}
