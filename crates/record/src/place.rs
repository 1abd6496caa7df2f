//! Where the recording of a session is.

use std::path::{Path, PathBuf};
use std::{fs, io};

use access::SessionId;
use time::OffsetDateTime;

/// The folder of a session's day, from its id alone: ids of sessions hold the time they were made.
pub(crate) fn folder(root: &Path, session: SessionId) -> PathBuf {
    let seconds = session.0.get_timestamp().map_or(0, |stamp| stamp.to_unix().0);
    let at = i64::try_from(seconds).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    root.join(at.unwrap_or(OffsetDateTime::UNIX_EPOCH).date().to_string())
}

/// While it is written.
pub(crate) fn open(root: &Path, session: SessionId) -> PathBuf {
    folder(root, session).join(format!("{session}.{OPEN}"))
}

/// Once it is whole.
pub(crate) fn closed(root: &Path, session: SessionId) -> PathBuf {
    folder(root, session).join(format!("{session}.{CLOSED}"))
}

/// The session of a file that is, or was, being written.
pub(crate) fn session_of(path: &Path) -> Option<SessionId> {
    let open = path.extension().is_some_and(|extension| extension == OPEN);
    open.then(|| path.file_stem()?.to_str()?.parse().ok()).flatten()
}

/// The session of a file that is written no more.
pub(crate) fn closed_session_of(path: &Path) -> Option<SessionId> {
    let closed = path.extension().is_some_and(|extension| extension == CLOSED);
    closed.then(|| path.file_stem()?.to_str()?.parse().ok()).flatten()
}

/// The folders of days, the first one first.
pub(crate) fn days(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut days = entries(root)?;
    days.retain(|folder| folder.is_dir());
    days.sort_unstable();
    Ok(days)
}

/// The recordings of a day, in the order of their sessions.
pub(crate) fn recordings(day: &Path) -> io::Result<Vec<(SessionId, PathBuf)>> {
    let session = |path: PathBuf| {
        let extension = path.extension()?;
        let session = path.file_stem()?.to_str()?.parse().ok()?;
        (extension == OPEN || extension == CLOSED).then_some((session, path))
    };
    let mut recordings: Vec<_> = entries(day)?.into_iter().filter_map(session).collect();
    recordings.sort_unstable_by_key(|(session, _): &(SessionId, _)| session.0);
    // One that is given its lasting name meanwhile may have both.
    recordings.dedup_by_key(|(session, _)| *session);
    Ok(recordings)
}

pub(crate) fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

const OPEN: &str = "part";
const CLOSED: &str = "rec";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_lies_under_the_day_of_its_session() {
        let session: SessionId = "01936f1e-5c00-7000-8000-000000000001".parse().unwrap();
        let root = Path::new("/r");
        assert_eq!(
            closed(root, session),
            Path::new("/r/2024-11-27/01936f1e-5c00-7000-8000-000000000001.rec")
        );
        assert_eq!(session_of(&open(root, session)), Some(session));
        assert_eq!(session_of(&closed(root, session)), None);
        assert_eq!(session_of(Path::new("/r/2024-11-27/notes.part")), None);
    }
}
