//! Where the recording of a session is.

use std::path::{Path, PathBuf};

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
