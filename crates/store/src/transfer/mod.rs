//! Everything that is kept, from one database into another: moving a deployment to a server,
//! backups, and bringing them back.
//!
//! A backup is a database in a file, whatever engine it is of. Sealed values are carried over as
//! they are: the master key is in no backup.

mod backup;
mod copy;
mod restore;
mod rotate;
mod schema;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use access::Code;
use sqlx::ConnectOptions as _;

use crate::StoreError;
use crate::db::{Connection, Location, private_file};

pub use backup::backup;
pub use copy::Count;
pub use restore::{Restore, migrate_to, restore};
pub use rotate::Rotation;

/// Why nothing was carried over.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error("{0} holds something already")]
    NotEmpty(Location),
    #[error("{0} is not there")]
    Absent(Location),
    #[error("only a database in a file is moved to a server")]
    Direction,
    #[error("of {expected} rows of {table}, {arrived} arrived")]
    Lost { table: String, expected: u64, arrived: u64 },
    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TransferError {
    /// For whom operates the relay: the code, and what to do.
    pub fn advice(&self) -> Option<(Code, &'static str)> {
        match self {
            Self::NotEmpty(_) => Some((
                Code("store.not_empty"),
                "name an empty database; only restore takes another's place, with --force",
            )),
            Self::Store(error) => error.advice(),
            Self::Absent(_) | Self::Direction | Self::Lost { .. } | Self::Write { .. } => None,
        }
    }
}

impl From<sqlx::Error> for TransferError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A connection of its own, on which a statement may take as long as it takes.
async fn connect(at: &Location) -> Result<Connection, StoreError> {
    sqlx::any::install_default_drivers();
    Ok(at.options()?.connect().await?)
}

/// What is written into a file is on the disk, and under its name, when this returns.
fn put_in_place(written: &Path, name: &Path) -> Result<(), TransferError> {
    let folder = name.parent().filter(|folder| !folder.as_os_str().is_empty());
    let put = || {
        File::open(written)?.sync_all()?;
        fs::rename(written, name)?;
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    put().map_err(|source| TransferError::Write { path: name.to_owned(), source })
}

/// The name of a file beside `name` that becomes it when it is whole.
fn beside(name: &Path) -> PathBuf {
    let mut beside = name.file_name().unwrap_or_default().to_owned();
    beside.push(".partial");
    name.with_file_name(beside)
}

/// Begins a file of that name anew. Nobody else can read it.
fn begin_file(path: &Path) -> Result<File, TransferError> {
    // What a run that was cut off left behind, with its log.
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(&name) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(TransferError::Write { path: name.into(), source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(private_file(path)?)
}
