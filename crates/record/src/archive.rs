//! Keeps recordings in a folder, and tells the audit log of each.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use access::{Name, SessionId};
use api::RecordingEvent;
use async_trait::async_trait;
use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use session::{About, AuditEvent, AuditLog, RecordingError, Recordings, Tape};
use tokio::task::spawn_blocking;
use tokio_util::task::TaskTracker;

use crate::frame::RecordingsKey;
use crate::line;
use crate::place;
use crate::reading::{ReadError, Reading};
use crate::writing::{self, WriteError, Writing, Written};

/// The recordings of one relay. Cheap to clone.
#[derive(Clone)]
pub struct Archive {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    key: Arc<RecordingsKey>,
    audit: Arc<dyn AuditLog>,
    /// Bytes of one file.
    most: u64,
    writers: TaskTracker,
}

/// Why recordings can not be kept.
#[derive(Debug, thiserror::Error)]
#[error("could not use {}", path.display())]
pub struct ArchiveError {
    path: PathBuf,
    source: io::Error,
}

impl Archive {
    /// Keeps recordings under `root`. Those that a crash cut short are closed as far as they go.
    pub async fn open(
        root: PathBuf,
        key: RecordingsKey,
        audit: Arc<dyn AuditLog>,
    ) -> Result<Self, ArchiveError> {
        Self::holding(root, key, audit, MOST).await
    }

    /// The same, whose files are at most so long: a session that would need more ends.
    pub async fn holding(
        root: PathBuf,
        key: RecordingsKey,
        audit: Arc<dyn AuditLog>,
        most: u64,
    ) -> Result<Self, ArchiveError> {
        let inner = Inner { root, key: Arc::new(key), audit, most, writers: TaskTracker::new() };
        let archive = Self { inner: Arc::new(inner) };
        archive.close_cut().await?;
        Ok(archive)
    }

    /// The recording of a session; `None`: there is none. Blocks.
    pub fn read(&self, session: SessionId) -> Result<Option<Reading>, ReadError> {
        Reading::open(&self.inner.root, session, &self.inner.key)
    }

    /// Whether there is a file of it, whole or still being written. Blocks.
    pub fn holds(&self, session: SessionId) -> bool {
        let root = self.root();
        place::closed(root, session).is_file() || place::open(root, session).is_file()
    }

    pub(crate) fn root(&self) -> &Path {
        &self.inner.root
    }

    pub(crate) fn audit(&self) -> &dyn AuditLog {
        &*self.inner.audit
    }

    /// Completes when every recording that was begun is closed. Call it once no session is open.
    pub async fn finished(&self) {
        self.inner.writers.close();
        self.inner.writers.wait().await;
    }

    /// Whom the first line of a recording names, where it can be read.
    async fn whose(&self, session: SessionId) -> Option<Whose> {
        let archive = self.clone();
        let first =
            spawn_blocking(move || archive.read(session).ok()??.frame().ok()?).await.ok()??;
        match serde_json::from_slice(first.split(|byte| *byte == b'\n').next()?).ok()? {
            RecordingEvent::Session { user, application, site, .. } => {
                Some(Whose { user, application, site })
            }
            RecordingEvent::Began { .. }
            | RecordingEvent::Output { .. }
            | RecordingEvent::Resized { .. }
            | RecordingEvent::Typed { .. }
            | RecordingEvent::Input { .. }
            | RecordingEvent::File { .. }
            | RecordingEvent::Change { .. }
            | RecordingEvent::Screen { .. }
            | RecordingEvent::Repaint { .. }
            | RecordingEvent::Key { .. }
            | RecordingEvent::Lost { .. }
            | RecordingEvent::Ended { .. } => None,
        }
    }

    async fn close_cut(&self) -> Result<(), ArchiveError> {
        let root = self.inner.root.clone();
        let closed = spawn_blocking(move || close_cut(&root)).await;
        let closed = closed.unwrap_or_else(|error| Err((self.inner.root.clone(), error.into())));
        let closed = closed.map_err(|(path, source)| ArchiveError { path, source })?;
        for (session, written) in closed {
            tracing::warn!(%session, "Closed a recording that the last run left open");
            let whose = self.whose(session).await;
            self.inner.tell(session, whose, Some(written), false).await;
        }
        Ok(())
    }
}

#[async_trait]
impl Recordings for Archive {
    async fn begin(&self, about: About) -> Result<Tape, RecordingError> {
        let (session, inner) = (about.session, self.inner.clone());
        let whose = Whose::of(&about);
        let begun = spawn_blocking(move || {
            let seal = inner.key.of(session)?;
            Writing::begin(&inner.root, session, (seal, inner.most), &line::first(&about))
        });
        let begun = begun.await.unwrap_or(Err(WriteError::Panicked));
        let writing = begun.map_err(|error| {
            failed(session, &error);
            RecordingError { detail: error.to_string() }
        })?;
        let (tape, end) = Tape::new();
        let inner = self.inner.clone();
        self.inner.writers.spawn(async move {
            match writing::write(end, writing).await {
                Ok(written) => inner.tell(session, Some(whose), Some(written), true).await,
                Err(error) => {
                    failed(session, &error);
                    inner.tell(session, Some(whose), None, false).await;
                }
            }
        });
        Ok(tape)
    }
}

impl Inner {
    async fn tell(
        &self,
        session: SessionId,
        whose: Option<Whose>,
        written: Option<Written>,
        whole: bool,
    ) {
        let (bytes, sha256) = written.map_or((0, None), |it| (it.bytes, Some(it.sha256)));
        let (user, application, site) = match whose {
            Some(Whose { user, application, site }) => (Some(user), Some(application), Some(site)),
            None => (None, None, None),
        };
        let event =
            AuditEvent::SessionRecorded { session, user, application, site, bytes, sha256, whole };
        if let Err(error) = self.audit.append(event).await {
            tracing::error!(%error, %session, "Could not note a recording");
        }
    }
}

/// Whose session a recording is of.
struct Whose {
    user: Name,
    application: Name,
    site: Name,
}

impl Whose {
    fn of(about: &About) -> Self {
        let About { user, application, site, .. } = about.clone();
        Self { user, application, site }
    }
}

fn failed(session: SessionId, error: &WriteError) {
    let error: &dyn std::error::Error = error;
    tracing::error!(error, %session, "A recording failed");
}

type Cut = (SessionId, Written);

/// Gives each file that was being written its lasting name. What was being written when the crash
/// came is not there; all before it is.
fn close_cut(root: &Path) -> Result<Vec<Cut>, (PathBuf, io::Error)> {
    let mut closed = Vec::new();
    for folder in place::entries(root).map_err(|error| (root.to_owned(), error))? {
        if !folder.is_dir() {
            continue;
        }
        let files = place::entries(&folder).map_err(|error| (folder.clone(), error))?;
        for path in files {
            let Some(session) = place::session_of(&path) else { continue };
            let cut = close(root, &path, session).map_err(|error| (path, error))?;
            closed.push((session, cut));
        }
    }
    Ok(closed)
}

fn close(root: &Path, path: &Path, session: SessionId) -> io::Result<Written> {
    let mut file = File::open(path)?;
    let mut hash = Hash(Context::new(&SHA256));
    let bytes = io::copy(&mut file, &mut hash)?;
    fs::rename(path, place::closed(root, session))?;
    Ok(Written { bytes, sha256: HEXLOWER.encode(hash.0.finish().as_ref()) })
}

/// Of one recording: a target that paints without an end does not fill the disk.
const MOST: u64 = 8 << 30;

struct Hash(Context);

impl io::Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
