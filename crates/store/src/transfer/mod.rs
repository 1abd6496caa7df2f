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
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use access::Code;
use sqlx::{ConnectOptions as _, Connection as _};

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
    #[error("{} is there, and is no backup: it was not written over", .0.display())]
    Occupied(PathBuf),
    #[error("{} is no backup, or it is damaged", .0.display())]
    NoBackup(PathBuf),
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
            Self::Occupied(_) => Some((
                Code("store.occupied"),
                "name a new file, or an earlier backup, whose place the new one takes",
            )),
            Self::NoBackup(_) => {
                Some((Code("store.no_backup"), "name a file that `adit-relay backup` has made"))
            }
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

/// The name of what SQLite keeps beside a database.
fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Begins a file of that name anew. Nobody else can read it.
fn begin_file(path: &Path) -> Result<File, TransferError> {
    // What a run that was cut off left behind.
    forget_file(path)?;
    Ok(private_file(path)?)
}

/// Takes away a database in a file, with its log.
fn forget_file(path: &Path) -> Result<(), TransferError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let path = suffixed(path, suffix);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(TransferError::Write { path, source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existing {
    Nothing,
    /// A file without a byte.
    Empty,
    /// A deployment's, kept in a file.
    Database,
    Other,
}

impl Existing {
    async fn at(path: &Path) -> Self {
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Nothing,
            Ok(file) if file.is_file() && file.len() == 0 => Self::Empty,
            Ok(file) if file.is_file() && is_deployment(path).await => Self::Database,
            Ok(_) | Err(_) => Self::Other,
        }
    }
}

/// Whether a file is a database with this software's tables, of whatever version.
async fn is_deployment(file: &Path) -> bool {
    let mut start = [0; SQLITE.len()];
    // Without its first bytes a driver is not asked: it would make a database of it.
    if File::open(file).and_then(|mut file| file.read_exact(&mut start)).is_err()
        || start != *SQLITE
    {
        return false;
    }
    let asked = async {
        let mut database = connect(&file.into()).await?;
        let tables: i64 = sqlx::query_scalar(OURS).fetch_one(&mut database).await?;
        database.close().await?;
        Ok::<_, StoreError>(tables == 3)
    };
    asked.await.unwrap_or(false)
}

/// How a database of SQLite's begins ("Database File Format", 1.3).
const SQLITE: &[u8; 16] = b"SQLite format 3\0";
const OURS: &str = "SELECT count(*) FROM sqlite_master
    WHERE type = 'table' AND name IN ('_sqlx_migrations', 'secrets', 'audit')";
