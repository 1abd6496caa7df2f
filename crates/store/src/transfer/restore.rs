//! A backup brought back, and a deployment moved to a server.

use std::fs::File;
use std::io;
use std::path::Path;

use sqlx::Connection as _;

use super::copy::{Count, clear, copy, count};
use super::{
    Existing, TransferError, begin_file, beside, connect, forget_file, put_in_place, schema,
    suffixed,
};
use crate::db::{Claim, Connection, Engine, Fence, Location, migrate};
use crate::{MasterKey, Store, StoreError};

/// What is brought back, and how.
#[derive(Clone, Debug)]
pub struct Restore<'a> {
    pub backup: &'a Path,
    pub to: &'a Location,
    /// For a copy that is brought up to date before anything is changed; gone afterwards.
    pub folder: &'a Path,
    /// Take the place of what is there.
    pub force: bool,
}

/// Makes the database what the backup holds, whole or not at all.
pub async fn restore(what: Restore<'_>, key: MasterKey) -> Result<Vec<Count>, TransferError> {
    let backup = Location::from(what.backup);
    if !what.backup.is_file() {
        return Err(TransferError::Absent(backup));
    }
    let claim = Claim::take(what.to, &Fence::default()).await?;
    let staged = match what.to.file() {
        Some(path) => beside(path),
        None => what.folder.join("adit.db.partial"),
    };
    let restored = restore_from(&what, &staged, key).await;
    // In place by now, or of no use.
    drop(forget_file(&staged));
    claim.release().await;
    restored
}

async fn restore_from(
    what: &Restore<'_>,
    staged: &Path,
    key: MasterKey,
) -> Result<Vec<Count>, TransferError> {
    let mut copied = begin_file(staged)?;
    let failed = |source| TransferError::Write { path: staged.to_owned(), source };
    let mut backup = File::open(what.backup).map_err(failed)?;
    io::copy(&mut backup, &mut copied).map_err(failed)?;
    if Existing::at(staged).await != Existing::Database || !is_whole(staged).await {
        return Err(TransferError::NoBackup(what.backup.to_owned()));
    }
    // An older release's tables are brought up to date, and another key's are refused.
    Store::open(staged, key).await?.close().await;
    match what.to.file() {
        Some(path) => replace(path, staged, what).await,
        None => {
            let mut from = connect(&staged.into()).await?;
            fill(&mut from, what.to, what.force).await
        }
    }
}

/// Whether every page of a database in a file is there and is what it should be.
async fn is_whole(file: &Path) -> bool {
    let checked = async {
        let mut database = connect(&file.into()).await?;
        let said: String =
            sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut database).await?;
        database.close().await?;
        Ok::<_, StoreError>(said == "ok")
    };
    checked.await.unwrap_or(false)
}

/// Carries a database in a file over to an empty one on a server. Neither may be served from.
pub async fn migrate_to(
    from: &Location,
    to: &Location,
    key: MasterKey,
) -> Result<Vec<Count>, TransferError> {
    let path = from.file().ok_or(TransferError::Direction)?;
    if to.engine() != Engine::Postgres {
        return Err(TransferError::Direction);
    }
    if !path.exists() {
        return Err(TransferError::Absent(from.clone()));
    }
    let fence = Fence::default();
    let source = Claim::take(from, &fence).await?;
    let target = Claim::take(to, &fence).await?;
    // An older release's tables are brought up to date, and another key is refused.
    Store::open(from.clone(), key).await?.close().await;
    let mut reading = connect(from).await?;
    let filled = fill(&mut reading, to, false).await;
    target.release().await;
    source.release().await;
    filled
}

/// Puts the staged file in the place of the database.
async fn replace(
    path: &Path,
    staged: &Path,
    what: &Restore<'_>,
) -> Result<Vec<Count>, TransferError> {
    let holds_something = path.metadata().is_ok_and(|file| file.len() > 0);
    if holds_something && !what.force {
        return Err(TransferError::NotEmpty(what.to.clone()));
    }
    let mut staged_database = connect(&staged.into()).await?;
    let mut counts = Vec::new();
    for table in schema::tables(&mut staged_database).await? {
        counts.push(Count { rows: count(&table, &mut staged_database).await?, table: table.name });
    }
    staged_database.close().await?;
    if holds_something {
        fold(what.to).await;
    }
    // Its log would be taken for the new file's.
    for suffix in ["-wal", "-shm"] {
        let log = suffixed(path, suffix);
        match std::fs::remove_file(&log) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(TransferError::Write { path: log, source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    put_in_place(staged, path)?;
    Ok(counts)
}

/// Folds a database's log into its file, so that the file is whole until another takes its place.
async fn fold(at: &Location) {
    let folded = async {
        let mut database = connect(at).await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut database).await?;
        Ok::<_, StoreError>(database.close().await?)
    };
    if let Err(error) = folded.await {
        // What can not be read is what a backup is for.
        tracing::warn!(error = &error as &dyn std::error::Error, "The database was damaged");
    }
}

/// Fills the tables of a server's database in one transaction.
async fn fill(
    from: &mut Connection,
    to: &Location,
    force: bool,
) -> Result<Vec<Count>, TransferError> {
    let mut connection = connect(to).await?;
    let mut writing = connection.begin().await?;
    let there: i64 = sqlx::query_scalar(THERE).fetch_one(&mut *writing).await?;
    if there > 0 && !force {
        return Err(TransferError::NotEmpty(to.clone()));
    }
    migrate::tables(&mut writing, Engine::Postgres).await?;
    let claims: Option<i64> = sqlx::query_scalar(CLAIMS).fetch_optional(&mut *writing).await?;
    let tables = schema::tables(from).await?;
    clear(&tables, &mut writing).await?;
    let counts = copy(&tables, from, &mut writing).await?;
    // No claim has a number that an earlier one had.
    if let Some(claims) = claims {
        sqlx::query(RAISE_CLAIMS).bind(claims + 1).execute(&mut *writing).await?;
    }
    sqlx::query(AUDIT_GOES_ON).execute(&mut *writing).await?;
    writing.commit().await?;
    drop(connection.close().await);
    Ok(counts)
}

const THERE: &str =
    "SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema()";
const CLAIMS: &str = "SELECT value FROM counters WHERE name = 'serving'";
const RAISE_CLAIMS: &str = "INSERT INTO counters (name, value) VALUES ('serving', $1)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";
// Where the database numbers the rows, it goes on after the last.
const AUDIT_GOES_ON: &str = "SELECT setval(pg_get_serial_sequence('audit', 'seq'),
    (SELECT COALESCE(MAX(seq), 0) + 1 FROM audit), false)";
