//! A backup while the relay is running.

use std::io;
use std::path::Path;

use sqlx::Connection as _;

use super::copy::{Count, clear, copy, count};
use super::{
    Existing, TransferError, begin_file, beside, connect, forget_file, put_in_place, schema,
    suffixed,
};
use crate::db::{Connection, Engine, Location, migrate};

/// Writes everything that is kept into a new `file`, as it is at one moment. An earlier backup of that
/// name is replaced when the new one is whole; nothing else is.
pub async fn backup(of: &Location, file: &Path) -> Result<Vec<Count>, TransferError> {
    if of.file().is_some_and(|path| !path.exists()) {
        return Err(TransferError::Absent(of.clone()));
    }
    if !is_free(of, file).await {
        return Err(TransferError::Occupied(file.to_owned()));
    }
    let mut from = connect(of).await?;
    migrate::check_version(&mut from).await?;
    let partial = beside(file);
    let written = write(of, &mut from, &partial).await;
    let placed = written.and_then(|counts| put_in_place(&partial, file).map(|()| counts));
    if placed.is_err() {
        // It holds everything, and nobody would look for it.
        drop(forget_file(&partial));
    }
    // It only read.
    drop(from.close().await);
    placed
}

/// Whether a backup may take this name: nothing is there, or an earlier one, or a file that somebody
/// made for it.
async fn is_free(of: &Location, file: &Path) -> bool {
    let is_own = of.file().is_some_and(|own| is_same(own, file));
    match Existing::at(file).await {
        Existing::Nothing | Existing::Empty => true,
        // One that is served from has a log beside it.
        Existing::Database => !is_own && !suffixed(file, "-wal").exists(),
        Existing::Other => false,
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize();
    real(one).is_ok_and(|one| real(other).is_ok_and(|other| one == other))
}

async fn write(
    of: &Location,
    from: &mut Connection,
    partial: &Path,
) -> Result<Vec<Count>, TransferError> {
    drop(begin_file(partial)?);
    match of.engine() {
        Engine::Sqlite => vacuum(from, partial).await,
        Engine::Postgres => export(from, partial).await,
    }
}

async fn vacuum(from: &mut Connection, file: &Path) -> Result<Vec<Count>, TransferError> {
    let path = file
        .to_str()
        .ok_or_else(|| crate::StoreError::File { source: io::ErrorKind::InvalidFilename.into() })?;
    sqlx::query("VACUUM INTO $1").bind(path).execute(from).await?;
    let mut written = connect(&file.into()).await?;
    let mut counts = Vec::new();
    for table in schema::tables(&mut written).await? {
        counts.push(Count { rows: count(&table, &mut written).await?, table: table.name });
    }
    written.close().await?;
    Ok(counts)
}

async fn export(from: &mut Connection, file: &Path) -> Result<Vec<Count>, TransferError> {
    let mut from = from.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let mut to = connect(&file.into()).await?;
    let mut writing = to.begin().await?;
    migrate::tables(&mut writing, Engine::Sqlite).await?;
    let tables = schema::tables(&mut writing).await?;
    clear(&tables, &mut writing).await?;
    let counts = copy(&tables, &mut from, &mut writing).await?;
    writing.commit().await?;
    to.close().await?;
    Ok(counts)
}
