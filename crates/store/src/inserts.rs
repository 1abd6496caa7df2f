//! Statements that store many rows each: most of what a row costs is handing a statement over.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::db::Engine;

/// How the rows of a table are stored.
pub(crate) struct Inserts {
    /// How many rows each stores; the one of most comes first. Few kinds: each is prepared once and
    /// kept.
    statements: [(usize, Arc<str>); 3],
}

impl Inserts {
    /// `columns` with commas between them; `again` is what follows the rows.
    pub(crate) fn new(engine: Engine, table: &str, columns: &str, again: &str) -> Self {
        Self {
            statements: ROWS.map(|rows| (rows, sql(engine, table, columns, again, rows).into())),
        }
    }

    /// A batch in parts, each with the statement that stores it.
    pub(crate) fn parts<T>(&self, batch: Vec<T>) -> Vec<(Arc<str>, Vec<T>)> {
        let (mut left, mut parts) = (batch.into_iter(), Vec::new());
        for (rows, sql) in &self.statements {
            while left.len() >= *rows {
                parts.push((sql.clone(), left.by_ref().take(*rows).collect()));
            }
        }
        parts
    }
}

/// SQLite looks for the name of each parameter among those before it, so they have none there.
fn sql(engine: Engine, table: &str, columns: &str, again: &str, rows: usize) -> String {
    let width = columns.split(',').count();
    let mut sql = format!("INSERT INTO {table} ({columns}) VALUES ");
    for value in 0..rows * width {
        let (before, after) = match value % width {
            0 if value == 0 => ("(", ""),
            0 => (", (", ""),
            at if at == width - 1 => (", ", ")"),
            _ => (", ", ""),
        };
        // Writing to a String does not fail.
        let _ = match engine {
            Engine::Sqlite => write!(sql, "{before}?{after}"),
            Engine::Postgres => write!(sql, "{before}${}{after}", value + 1),
        };
    }
    sql + again
}

const ROWS: [usize; 3] = [64, 8, 1];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_a_batch_is_in_one_part_in_order() {
        let inserts = Inserts::new(Engine::Postgres, "t", "a, b", " ON CONFLICT DO NOTHING");
        let batch: Vec<usize> = (0..150).collect();
        let parts = inserts.parts(batch.clone());
        let sizes: Vec<_> = parts.iter().map(|(_, part)| part.len()).collect();
        assert_eq!(sizes, [64, 64, 8, 8, 1, 1, 1, 1, 1, 1]);
        let all: Vec<usize> = parts.iter().flat_map(|(_, part)| part.iter().copied()).collect();
        assert_eq!(all, batch);
        let one = "INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        assert_eq!(&*parts[9].0, one);
        assert!(parts[2].0.ends_with("($15, $16) ON CONFLICT DO NOTHING"), "{}", parts[2].0);
        let sqlite = Inserts::new(Engine::Sqlite, "t", "a, b", "");
        let parts = sqlite.parts(batch);
        let (text, _) = parts.last().unwrap();
        assert_eq!(&**text, "INSERT INTO t (a, b) VALUES (?, ?)");
    }
}
