//! Carrying over statements that were stored when each had all of its columns.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use access::SessionId;
use session::{Outcome, Statement, StatementScope};
use sqlx::{FromRow, Row as _};

use super::scopes::Scopes;
use super::{AGAIN, COLUMNS, insert};
use crate::columns::Columns;
use crate::db::{Connection, Engine, Row};
use crate::inserts::Inserts;

/// Stores each statement of before as they are stored now, and drops the table that they were in.
/// Belongs into the transaction that renames it.
pub(crate) async fn adopt(db: &mut Connection, engine: Engine) -> Result<(), sqlx::Error> {
    let inserts = Inserts::new(engine, "statements", COLUMNS, AGAIN);
    let (mut scopes, mut last) = (Scopes::default(), String::new());
    loop {
        let page: Vec<Before> = sqlx::query_as(PAGE).bind(&last).fetch_all(&mut *db).await?;
        let Some(end) = page.last() else { break };
        if last.is_empty() {
            tracing::info!("Carrying over the statement log of an earlier version");
        }
        last.clone_from(&end.id);
        let statements: Vec<_> = page.into_iter().map(|before| before.statement).collect();
        let batch = scopes.store(&statements, db).await?;
        for (sql, statements) in inserts.parts(statements) {
            insert(db, sql, statements, &batch).await?;
        }
        scopes.keep(batch);
    }
    sqlx::query("DROP TABLE statements_before").execute(db).await?;
    Ok(())
}

struct Before {
    id: String,
    statement: Statement,
}

impl FromRow<'_, Row> for Before {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        let scope = StatementScope {
            session: row.parsed::<SessionId>("session")?,
            user: row.parsed("user_name")?,
            application: row.try_get("application")?,
            database: row.try_get("database_name")?,
            role: row.try_get("role_name")?,
        };
        let (rows, error) = (row.perhaps_number("row_count")?, row.try_get("error")?);
        let outcome = row.perhaps_number("micros")?;
        let client: Option<String> = row.try_get("client")?;
        let text: String = row.try_get("statement")?;
        let statement = Statement {
            id: row.parsed("id")?,
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(row.number("at_ms")?),
            scope: Arc::new(scope),
            client: client.map(Arc::from),
            text: text.into(),
            cut: row.number("cut")?,
            outcome: outcome.map(|micros| Outcome { micros, rows, error }),
        };
        Ok(Self { id: row.try_get("id")?, statement })
    }
}

const PAGE: &str = "SELECT id, at_ms, session, user_name, application, database_name, role_name,
    client, statement, cut, micros, row_count, error
    FROM statements_before WHERE id > $1 ORDER BY id LIMIT 1000";
