//! Lines of JSON in a file that never holds half a record for long, and never more than it may.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use super::batch::{Batch, SendError};
use crate::config::FileTo;

/// Adds the batch. When this returns, its lines are on the disk.
pub(super) async fn append(to: &FileTo, batch: &Batch) -> Result<(), SendError> {
    let (to, lines) = (to.clone(), batch.lines());
    let done = spawn_blocking(move || add(&to, &lines)).await;
    done.unwrap_or_else(|_| Err(SendError::TimedOut))
}

/// Opens the file anew each time: it may have been moved away or removed.
fn add(to: &FileTo, lines: &[u8]) -> Result<(), SendError> {
    let failed = |source| SendError::Write { path: to.path.clone(), source };
    let mut file = open(&to.path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(SendError::NotAFile { path: to.path.clone() });
    }
    let mut length = whole(&mut file).map_err(failed)?;
    if length > 0 && length + lines.len() as u64 > to.max_bytes {
        rotate(&to.path, to.keep).map_err(failed)?;
        (file, length) = (open(&to.path).map_err(failed)?, 0);
    }
    let written = file.write_all(lines).and_then(|()| file.sync_data());
    if written.is_err() {
        // A disk that is full has taken a part of it.
        drop(file.set_len(length));
    }
    written.and_then(|()| sync_folder(&to.path)).map_err(failed)
}

/// For its owner only; never through a link that somebody has put there. Another that writes there,
/// be it a task of ours that hangs on the disk, keeps it.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    // A pipe without a reader would be waited for.
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    file.try_lock()?;
    Ok(file)
}

/// Cuts off half a line that a crash has left at the end, and gives the length of what is left.
fn whole(file: &mut File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut part = [0; 4096];
    while end > 0 {
        let size = end.min(part.len() as u64);
        file.seek(SeekFrom::Start(end - size))?;
        let part = &mut part[..usize::try_from(size).unwrap_or_default()];
        file.read_exact(part)?;
        match part.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => {
                end = end - size + at as u64 + 1;
                break;
            }
            None => end -= size,
        }
    }
    if end < length {
        file.set_len(end)?;
    }
    Ok(end)
}

/// `log` becomes `log.1`, `log.1` becomes `log.2`; the one after the last to keep goes.
fn rotate(path: &Path, keep: usize) -> io::Result<()> {
    let there = |done: io::Result<()>| match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    };
    if keep == 0 {
        return there(fs::remove_file(path));
    }
    for number in (1..keep).rev() {
        there(fs::rename(numbered(path, number), numbered(path, number + 1)))?;
    }
    fs::rename(path, numbered(path, 1))
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

// A name that a power cut takes back is no file.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
