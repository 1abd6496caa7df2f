//! Finding statements.

use std::cmp::Reverse;
use std::time::SystemTime;

use access::SessionId;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::ids::Halves;
use super::scopes::AHEAD;
use crate::columns::Columns;
use crate::db::{Connection, Row};
use crate::search::Search;
use crate::{Store, StoreError};

/// A statement as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementRow {
    pub id: Uuid,
    /// Unix milliseconds.
    pub at_ms: u64,
    pub session: SessionId,
    pub user: String,
    /// The application's host label.
    pub application: String,
    pub database: String,
    pub role: String,
    pub client: Option<String>,
    pub text: String,
    /// How many bytes of the text were left out.
    pub cut: u64,
    pub micros: Option<u64>,
    pub rows: Option<u64>,
    pub error: Option<String>,
}

/// Which statements are wanted: those that fit all that is given.
#[derive(Clone, Debug, Default)]
pub struct StatementQuery {
    /// Only those before this one.
    pub before: Option<Uuid>,
    pub limit: u32,
    pub session: Option<SessionId>,
    pub user: Option<String>,
    /// Host labels of applications. `None`: whatever the application.
    pub applications: Option<Vec<String>>,
    pub database: Option<String>,
    /// Only those that failed.
    pub failed: bool,
    /// Sent then or later, by their ids.
    pub since: Option<SystemTime>,
    /// Sent before.
    pub until: Option<SystemTime>,
}

/// The statements found, the last one first, up to as many as are wanted.
struct Page {
    rows: Vec<StatementRow>,
    limit: u32,
}

/// What a row of a scope says of where its statements are.
#[derive(Clone, Copy)]
struct Scope {
    id: i64,
    last_high: i64,
}

impl Store {
    /// The statements that fit the query, the last one first.
    pub async fn statements(&self, query: StatementQuery) -> Result<Vec<StatementRow>, StoreError> {
        let limit = query.limit.min(MAX_ROWS);
        let mut page = Page { rows: Vec::new(), limit };
        if limit == 0 {
            return Ok(page.rows);
        }
        // Of one moment: a scope that went on in between would be passed over.
        let mut moment = self.reading().await?;
        // One after the other, for an index gives the order of one application's only.
        for application in query.each_application() {
            if query.is_of_few_or_any(application) {
                let search = query.search(None, application);
                page.add(search.rows(ORDER, Some(limit), &mut *moment).await?);
            } else {
                query.add_of(application, &mut page, &mut moment).await?;
            }
        }
        Ok(page.rows)
    }
}

impl StatementQuery {
    /// The applications to ask for, each by itself; `[None]`: whatever the application.
    fn each_application(&self) -> Vec<Option<&str>> {
        match &self.applications {
            None => vec![None],
            Some(labels) => labels.iter().map(|label| Some(label.as_str())).collect(),
        }
    }

    /// Whether an index of all scopes' statements gives what fits: as few fail, or as all fit. A session's
    /// own are fewer yet.
    fn is_of_few_or_any(&self, application: Option<&str>) -> bool {
        let Self { session, user, database, failed, .. } = self;
        let any = user.is_none() && database.is_none() && application.is_none();
        session.is_none() && (*failed || any)
    }

    /// Adds what fits of an application: scope by scope, the one that ended last first, until no other
    /// has a statement that is late enough.
    async fn add_of(
        &self,
        application: Option<&str>,
        page: &mut Page,
        db: &mut Connection,
    ) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let search = self.scopes(application, after);
            let scopes: Vec<Scope> = search.rows(LAST_FIRST, Some(SCOPES), &mut *db).await?;
            for Scope { id, last_high } in &scopes {
                let least = page.least();
                if least
                    .is_some_and(|least| Halves::from(least).high > last_high.saturating_add(AHEAD))
                {
                    return Ok(());
                }
                let mut search = self.search(Some(*id), application);
                search.ids(">", least.map(Halves::from));
                page.add(search.rows(ORDER, Some(page.limit), &mut *db).await?);
            }
            match scopes.last() {
                Some(last) if scopes.len() == SCOPES as usize => after = Some(*last),
                _ => return Ok(()),
            }
        }
    }

    /// The scopes that may have statements which fit; those behind one in the order of their ends.
    fn scopes(&self, application: Option<&str>, after: Option<Scope>) -> Search {
        let mut search = Search::new("SELECT id, last_high FROM statement_scopes WHERE 1 = 1");
        // A session has few, and SQLite would take the index of another condition.
        match self.session {
            Some(session) => search.text("session =", Some(session.to_string())),
            None => self.narrow(&mut search, application),
        }
        let before = self.before.map(|id| Halves::from(id).high);
        search.signed("first_high <=", before);
        search.signed("first_high <", self.until.map(|at| Halves::first(at).high));
        let since = self.since.map(|at| Halves::first(at).high.saturating_sub(AHEAD));
        search.signed("last_high >=", since);
        search.pair("(last_high, id) <", after.map(|scope| (scope.last_high, scope.id)));
        search
    }

    /// The statements which fit, of one scope or of any.
    fn search(&self, scope: Option<i64>, application: Option<&str>) -> Search {
        let mut search = Search::new(STATEMENTS);
        search.signed("statements.scope =", scope);
        search.text("session =", self.session.map(|id| id.to_string()));
        self.narrow(&mut search, application);
        search.ids("<", self.before.map(Halves::from));
        search.signed("id_high >=", self.since.map(|at| Halves::first(at).high));
        search.signed("id_high <", self.until.map(|at| Halves::first(at).high));
        if self.failed {
            search.that("error IS NOT NULL");
        }
        search
    }

    fn narrow(&self, search: &mut Search, application: Option<&str>) {
        search.text("user_name =", self.user.clone());
        search.text("application =", application);
        search.text("database_name =", self.database.clone());
    }
}

impl Search {
    /// Only statements whose ids are before or after one.
    fn ids(&mut self, sign: &str, than: Option<Halves>) {
        let halves = than.map(|Halves { high, low }| (high, low));
        self.pair(&format!("(id_high, id_low) {sign}"), halves);
    }
}

impl Page {
    /// Takes these in, and leaves out what there is no room for.
    fn add(&mut self, found: Vec<StatementRow>) {
        self.rows.extend(found);
        self.rows.sort_by_key(|row| Reverse(row.id));
        self.rows.truncate(self.limit as usize);
    }

    /// The id of the earliest of a page that is full: no earlier one is wanted.
    fn least(&self) -> Option<Uuid> {
        let is_full = self.rows.len() == self.limit as usize;
        self.rows.last().filter(|_| is_full).map(|row| row.id)
    }
}

impl FromRow<'_, Row> for Scope {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self { id: row.try_get("id")?, last_high: row.try_get("last_high")? })
    }
}

impl FromRow<'_, Row> for StatementRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: Halves::of(row)?.into(),
            at_ms: row.number("at_ms")?,
            session: row.parsed("session")?,
            user: row.try_get("user_name")?,
            application: row.try_get("application")?,
            database: row.try_get("database_name")?,
            role: row.try_get("role_name")?,
            client: row.try_get("client")?,
            text: row.try_get("statement")?,
            cut: row.number("cut")?,
            micros: row.perhaps_number("micros")?,
            rows: row.perhaps_number("row_count")?,
            error: row.try_get("error")?,
        })
    }
}

const STATEMENTS: &str = "SELECT id_high, id_low, at_ms, session, user_name, application,
    database_name, role_name, client, statement, cut, micros, row_count, error
    FROM statements CROSS JOIN statement_scopes WHERE statement_scopes.id = statements.scope";
const ORDER: &str = "id_high DESC, id_low DESC";
const LAST_FIRST: &str = "last_high DESC, id DESC";

/// Scopes that are asked for at once.
const SCOPES: u32 = 200;
const MAX_ROWS: u32 = 1000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::db::Engine;
    use crate::plans;

    #[tokio::test]
    async fn statements_of_a_large_log_are_found_in_a_file_by_indexes_alone() {
        let (_folder, store) = plans::in_a_file().await;
        plans_are_good(&store).await;
        store.close().await;
    }

    #[tokio::test]
    async fn statements_of_a_large_log_are_found_at_a_server_by_indexes_alone() {
        let (_database, store) = plans::at_a_server().await;
        plans_are_good(&store).await;
        store.close().await;
    }

    async fn plans_are_good(store: &Store) {
        let engine = store.inner.engine;
        fill(store).await;
        let any = StatementQuery { limit: 20, ..StatementQuery::default() };
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let before = Some(Uuid::from_u128(10_000 << 64));
        let span = StatementQuery {
            since: Some(at),
            until: Some(at + Duration::from_secs(9)),
            ..any.clone()
        };
        let user = StatementQuery { user: Some("user-1".to_owned()), ..any.clone() };
        let session = StatementQuery { session: Some(SessionId(Uuid::nil())), ..user.clone() };
        let mut plans = Vec::new();
        for query in [&any, &span, &user, &session] {
            for before in [None, before] {
                let query = StatementQuery { before, ..query.clone() };
                plans.push((query.search(Some(7), None), ORDER));
            }
        }
        let failed = StatementQuery { failed: true, ..user.clone() };
        for query in [&any, &failed] {
            let query = StatementQuery { before, ..query.clone() };
            plans.push((query.search(None, None), ORDER));
        }
        for after in [None, Some(Scope { id: 15_000, last_high: 15_000 })] {
            plans.push((user.scopes(None, after), LAST_FIRST));
            plans.push((any.scopes(Some("app-1"), after), LAST_FIRST));
            plans.push((session.scopes(Some("app-1"), after), LAST_FIRST));
        }
        for (search, order) in plans {
            let plan = search.plan(engine, (order, 20), &store.inner.readers).await.unwrap();
            assert!(is_good(engine, &plan), "{plan:#?}");
        }
    }

    async fn fill(store: &Store) {
        let numbers = plans::numbers(store.inner.engine, 20_000);
        for fill in [
            format!(
                "{numbers} INSERT INTO statement_scopes
                SELECT n, 'session-' || n, 'user-' || (n % 5), 'app-' || (n % 4), 'db', 'ro', n, n
                FROM numbers"
            ),
            format!(
                "{numbers} INSERT INTO statements
                    (id_high, id_low, scope, at_ms, statement, cut, error)
                SELECT n - 9223372036854775807, 0, n % 20, n, 'select', 0,
                    CASE WHEN n % 7 = 0 THEN '42601' END
                FROM numbers"
            ),
        ] {
            sqlx::query(sqlx::AssertSqlSafe(fill)).execute(&store.inner.writer).await.unwrap();
        }
        if store.inner.engine == Engine::Postgres {
            for table in ["ANALYZE statements", "ANALYZE statement_scopes"] {
                sqlx::query(table).execute(&store.inner.writer).await.unwrap();
            }
        }
    }

    /// Nothing is gone through that is not wanted, and nothing sorted.
    fn is_good(engine: Engine, plan: &[(i64, String)]) -> bool {
        let bad = match engine {
            Engine::Sqlite => ["SCAN", "TEMP B-TREE"],
            Engine::Postgres => ["Seq Scan", "Sort"],
        };
        !plan.iter().any(|(_, step)| bad.iter().any(|bad| step.contains(bad)))
    }
}
