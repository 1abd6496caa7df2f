//! Rows from one database into another, whichever engines they are.

use std::fmt::Write;

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Row as _};

use super::TransferError;
use super::schema::{Kind, Table};
use crate::db::{Connection, Row};

/// How many rows a table has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    pub table: String,
    pub rows: u64,
}

/// Fills the tables of `to`, which are empty, with the rows of `from`, and counts what arrived.
pub(super) async fn copy(
    tables: &[Table],
    from: &mut Connection,
    to: &mut Connection,
) -> Result<Vec<Count>, TransferError> {
    let mut counts = Vec::new();
    for table in tables {
        copy_table(table, from, to).await?;
        let (expected, arrived) = (count(table, from).await?, count(table, to).await?);
        if arrived != expected {
            return Err(TransferError::Lost { table: table.name.clone(), expected, arrived });
        }
        counts.push(Count { table: table.name.clone(), rows: arrived });
    }
    Ok(counts)
}

/// Empties the tables.
pub(super) async fn clear(tables: &[Table], of: &mut Connection) -> Result<(), TransferError> {
    for table in tables.iter().rev() {
        let statement = format!("DELETE FROM {}", table.name);
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *of).await?;
    }
    Ok(())
}

pub(super) async fn count(table: &Table, of: &mut Connection) -> Result<u64, TransferError> {
    let statement = format!("SELECT count(*) FROM {}", table.name);
    let rows: i64 = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(of).await?;
    Ok(rows.unsigned_abs())
}

async fn copy_table(
    table: &Table,
    from: &mut Connection,
    to: &mut Connection,
) -> Result<(), TransferError> {
    let select = format!("SELECT {} FROM {}", names(table), table.name);
    let mut rows = sqlx::query(AssertSqlSafe(select)).fetch(from);
    let mut batch = Vec::with_capacity(AT_ONCE);
    while let Some(row) = rows.try_next().await? {
        batch.push(row);
        if batch.len() == AT_ONCE {
            insert(table, &batch, to).await?;
            batch.clear();
        }
    }
    if !batch.is_empty() {
        insert(table, &batch, to).await?;
    }
    Ok(())
}

async fn insert(table: &Table, rows: &[Row], to: &mut Connection) -> Result<(), TransferError> {
    let statement = AssertSqlSafe(statement(table, rows.len()));
    // Only whole batches are worth remembering.
    let mut query = sqlx::query(statement).persistent(rows.len() == AT_ONCE);
    for row in rows {
        for (index, column) in table.columns.iter().enumerate() {
            query = match column.kind {
                Kind::Text => query.bind(row.try_get::<Option<String>, _>(index)?),
                Kind::Number => query.bind(row.try_get::<Option<i64>, _>(index)?),
            };
        }
    }
    query.execute(to).await?;
    Ok(())
}

fn statement(table: &Table, rows: usize) -> String {
    let mut sql = format!("INSERT INTO {} ({}) VALUES ", table.name, names(table));
    let width = table.columns.len();
    for row in 0..rows {
        let comma = if row == 0 { "" } else { ", " };
        let values: Vec<_> =
            (1..=width).map(|column| format!("${}", row * width + column)).collect();
        // Writing to a String does not fail.
        let _ = write!(sql, "{comma}({})", values.join(", "));
    }
    sql
}

fn names(table: &Table) -> String {
    let names: Vec<_> = table.columns.iter().map(|column| column.name.as_str()).collect();
    names.join(", ")
}

/// Rows of one statement.
const AT_ONCE: usize = 200;
