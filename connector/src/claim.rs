//! One process at a time runs with a state directory.

use std::borrow::Cow;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use access::{Code, Explain};
use tunnel::identity::give_to_owner_of_folder;

/// A state directory that no other process runs with for as long as this is held. The kernel lets go
/// of it with the process; a program that an update starts in this process's place takes it anew.
#[derive(Debug)]
pub struct Claim(Option<File>);

/// Another connector runs with the same state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.public())]
pub struct Running {
    /// Its process, where that is known.
    pub pid: Option<u32>,
}

impl Claim {
    /// Claims a state directory. Where there are no locks to be had, nobody is kept out.
    ///
    /// # Errors
    ///
    /// When another process has it.
    pub fn take(state: &Path) -> Result<Self, Running> {
        let path = state.join(FILE);
        match lock(&path) {
            Ok(file) => Ok(Self(Some(file))),
            Err(TryLockError::WouldBlock) => {
                let text = std::fs::read_to_string(&path);
                Err(Running { pid: text.ok().and_then(|text| text.trim().parse().ok()) })
            }
            Err(TryLockError::Error(error)) => {
                tracing::warn!(%error, "Nothing keeps a second connector from this state");
                Ok(Self(None))
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // A child that is just being started has the descriptor too, and would keep the lock.
        if let Some(file) = &self.0 {
            drop(file.unlock());
        }
    }
}

/// The file stays: who removed it could remove one that another process has just locked.
fn lock(path: &Path) -> Result<File, TryLockError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(path).map_err(TryLockError::Error)?;
    give_to_owner_of_folder(&file, path).map_err(TryLockError::Error)?;
    file.try_lock()?;
    // For whoever is kept out, and for nothing else.
    if let Err(error) = tell_pid(&mut file) {
        tracing::debug!(%error, "Could not write which process this is");
    }
    Ok(file)
}

fn tell_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

impl Explain for Running {
    fn code(&self) -> Code {
        Code("connector.running")
    }

    fn public(&self) -> Cow<'static, str> {
        match self.pid {
            Some(pid) => format!("a connector runs with this state already (pid {pid})").into(),
            None => "a connector runs with this state already".into(),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some("stop that one, or join again, into a state directory of its own".into())
    }
}

/// In the state directory.
const FILE: &str = "run.lock";
