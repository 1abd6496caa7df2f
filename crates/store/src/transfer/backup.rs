//! A backup while the relay is running.

use std::path::Path;

use sqlx::Connection as _;

use super::copy::{Count, clear, copy, count};
use super::{TransferError, begin_file, beside, connect, put_in_place, schema};
use crate::db::{Connection, Engine, Location, migrate};

/// Writes everything that is kept into a new `file`, as it is at one moment. A file of that name is
/// replaced when the new one is whole.
pub async fn backup(of: &Location, file: &Path) -> Result<Vec<Count>, TransferError> {
    if of.file().is_some_and(|path| !path.exists()) {
        return Err(TransferError::Absent(of.clone()));
    }
    let mut from = connect(of).await?;
    migrate::check_version(&mut from).await?;
    let partial = beside(file);
    drop(begin_file(&partial)?);
    let counts = match of.engine() {
        Engine::Sqlite => vacuum(&mut from, &partial).await?,
        Engine::Postgres => export(&mut from, &partial).await?,
    };
    put_in_place(&partial, file)?;
    // It only read.
    drop(from.close().await);
    Ok(counts)
}

async fn vacuum(from: &mut Connection, file: &Path) -> Result<Vec<Count>, TransferError> {
    let path = file.to_str().ok_or(crate::StoreError::Location)?;
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
