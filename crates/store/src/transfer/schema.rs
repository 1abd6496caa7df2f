//! The tables and their columns, as a database in a file tells them.

use sqlx::Row as _;

use crate::StoreError;
use crate::db::{Connection, Row};

/// A table that is carried over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
}

/// Every table, each after those its rows point to. Only a database in a file is asked: it is one
/// side of each transfer, and both sides have the same tables.
pub(super) async fn tables(sqlite: &mut Connection) -> Result<Vec<Table>, StoreError> {
    let mut waiting = Vec::new();
    for row in sqlx::query(NAMES).fetch_all(&mut *sqlite).await? {
        let name: String = row.try_get(0)?;
        let table = Table { columns: columns(sqlite, &name).await?, name };
        let points_to = sqlx::query(POINTS_TO).bind(&table.name).fetch_all(&mut *sqlite).await?;
        let points_to: Vec<String> =
            points_to.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        waiting.push((table, points_to));
    }
    Ok(in_order(waiting))
}

async fn columns(sqlite: &mut Connection, table: &str) -> Result<Vec<Column>, StoreError> {
    let rows = sqlx::query(COLUMNS).bind(table).fetch_all(sqlite).await?;
    let column = |row: &Row| {
        let (name, kind): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let kind = match kind.as_str() {
            "TEXT" => Kind::Text,
            "BIGINT" | "INTEGER" => Kind::Number,
            other => {
                let detail = format!("column {table}.{name} is {other}");
                return Err(StoreError::Corrupt { what: "table", detail });
            }
        };
        Ok(Column { name, kind })
    };
    rows.iter().map(column).collect()
}

fn in_order(mut waiting: Vec<(Table, Vec<String>)>) -> Vec<Table> {
    let mut done: Vec<Table> = Vec::new();
    while !waiting.is_empty() {
        let is_done = |name: &String| done.iter().any(|table| table.name == *name);
        let next = waiting.iter().position(|(table, points_to)| {
            points_to.iter().all(|name| *name == table.name || is_done(name))
        });
        // Tables that point at each other in a ring have no order; the database will say so.
        done.push(waiting.remove(next.unwrap_or(0)).0);
    }
    done
}

const NAMES: &str = "SELECT name FROM sqlite_master
    WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> '_sqlx_migrations'
    ORDER BY name";
const POINTS_TO: &str = "SELECT \"table\" FROM pragma_foreign_key_list($1)";
const COLUMNS: &str = "SELECT name, type FROM pragma_table_info($1) ORDER BY cid";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_comes_after_those_it_points_to() {
        let table = |name: &str| Table { name: name.to_owned(), columns: Vec::new() };
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        let ordered = in_order(vec![
            (table("agents"), names(&["tokens", "users"])),
            (table("tokens"), names(&["tokens", "users"])),
            (table("users"), Vec::new()),
        ]);
        let ordered: Vec<_> = ordered.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(ordered, ["users", "tokens", "agents"]);
    }
}
