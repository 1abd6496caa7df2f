//! Writing one recording: what is said within a moment becomes one frame.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use access::SessionId;
use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use session::TapeEnd;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use crate::frame::{FrameError, MAGIC, Part, Seal};
use crate::line::Lines;
use crate::place;

/// A file that grows by whole frames.
pub(crate) struct Writing {
    file: File,
    open: PathBuf,
    closed: PathBuf,
    seal: Seal,
    number: u64,
    bytes: u64,
    /// Bytes that it may take at most.
    most: u64,
    hash: Context,
}

/// What became of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) bytes: u64,
    /// SHA-256 of the file, in hex.
    pub(crate) sha256: String,
}

/// Why a recording could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("the file could not be written")]
    File(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the file would be longer than {most} bytes")]
    Long { most: u64 },
    #[error("writing it panicked")]
    Panicked,
}

impl Writing {
    /// Makes the file of a session, with these lines in it, and makes sure of it.
    pub(crate) fn begin(
        root: &Path,
        session: SessionId,
        (seal, most): (Seal, u64),
        lines: &[u8],
    ) -> Result<Self, WriteError> {
        let folder = place::folder(root, session);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let open = place::open(root, session);
        let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(&open)?;
        File::open(&folder)?.sync_all()?;
        let closed = place::closed(root, session);
        let hash = Context::new(&SHA256);
        let mut writing = Self { file, open, closed, seal, number: 0, bytes: 0, most, hash };
        let mut first = MAGIC.to_vec();
        writing.seal.seal(0, Part::More, lines, &mut first)?;
        writing.append(&first)?;
        Ok(writing)
    }

    fn frame(&mut self, part: Part, lines: &[u8]) -> Result<(), WriteError> {
        let mut bytes = Vec::new();
        self.seal.seal(self.number, part, lines, &mut bytes)?;
        self.append(&bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let bytes_then = self.bytes + bytes.len() as u64;
        if bytes_then > self.most {
            return Err(WriteError::Long { most: self.most });
        }
        self.file.write_all(bytes)?;
        self.file.sync_data()?;
        self.hash.update(bytes);
        self.bytes = bytes_then;
        self.number += 1;
        Ok(())
    }

    /// Writes the last frame and gives the file its lasting name.
    fn close(mut self, lines: &[u8]) -> Result<Written, WriteError> {
        self.frame(Part::Last, lines)?;
        fs::rename(&self.open, &self.closed)?;
        if let Some(folder) = self.closed.parent() {
            File::open(folder)?.sync_all()?;
        }
        let sha256 = HEXLOWER.encode(self.hash.finish().as_ref());
        Ok(Written { bytes: self.bytes, sha256 })
    }
}

/// Writes what comes from `tape` until its session is over.
pub(crate) async fn write(mut tape: TapeEnd, mut writing: Writing) -> Result<Written, WriteError> {
    let mut lines = Lines::default();
    loop {
        let (batch, over) = batch(&mut tape, &mut lines).await;
        if over {
            return blocking(move || writing.close(&batch)).await;
        }
        let written = blocking(move || writing.frame(Part::More, &batch).map(|()| writing)).await;
        writing = written.inspect_err(|_| tape.fail())?;
    }
}

/// What is said from the first entry on within a moment, or until it is much; and whether that was
/// all.
async fn batch(tape: &mut TapeEnd, lines: &mut Lines) -> (Vec<u8>, bool) {
    let mut batch = Vec::new();
    let Some((at, entry)) = tape.next().await else { return (batch, true) };
    lines.add(at, entry, &mut batch);
    let until = Instant::now() + MOMENT;
    while batch.len() < MUCH {
        match timeout_at(until, tape.next()).await {
            Ok(Some((at, entry))) => lines.add(at, entry, &mut batch),
            Ok(None) => return (batch, true),
            Err(_) => break,
        }
    }
    (batch, false)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WriteError> + Send + 'static,
) -> Result<T, WriteError> {
    spawn_blocking(work).await.unwrap_or(Err(WriteError::Panicked))
}

/// So much later at most is what happened on the disk, and the time the disk takes for it.
const MOMENT: Duration = Duration::from_millis(500);
/// Bytes of lines.
const MUCH: usize = 256 << 10;
