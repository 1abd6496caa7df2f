//! Sessions that have ended, read off the audit log.
//!
//! Their ids hold when they were opened, so the order of ids is the order in which they are listed, and
//! an index gives it without sorting.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::time::SystemTime;

use access::{Kind, Name, SessionId};
use serde::Deserialize;
use sqlx::{FromRow, Row as _};

use crate::columns::Columns;
use crate::db::{Engine, Row};
use crate::search::Search;
use crate::{Store, StoreError, clock};

/// Which sessions that have ended are wanted: those that fit all that is given.
#[derive(Clone, Debug, Default)]
pub struct EndedQuery {
    /// Only those that were opened before this one.
    pub before: Option<SessionId>,
    /// At most this many, and never more than 10,000.
    pub limit: u32,
    pub user: Option<Name>,
    /// Name and, where it is of one site only, that.
    pub application: Option<(Name, Option<Name>)>,
    /// Only those at these sites. `None`: at any.
    pub sites: Option<Vec<Name>>,
    /// Only those of which a recording was made.
    pub recorded: bool,
    /// Opened then or later.
    pub since: Option<SystemTime>,
    /// Opened before.
    pub until: Option<SystemTime>,
}

/// A session that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedRow {
    pub session: SessionId,
    pub user: Name,
    pub application: Name,
    pub site: Name,
    pub door: String,
    /// `None`: its opening is not in the log, as are `from` and `login`.
    pub kind: Option<Kind>,
    pub from: Option<IpAddr>,
    pub login: Option<String>,
    /// Unix milliseconds, as is `ended_ms`.
    pub opened_ms: u64,
    pub ended_ms: u64,
    /// A word of [`EndReason`](access::EndReason), and one of [`Side`](access::Side).
    pub reason: String,
    pub side: String,
    /// Bytes from the client to the target, and back.
    pub up: u64,
    pub down: u64,
    /// What was recorded of it.
    pub recording: Option<RecordingRow>,
}

/// A recording as the audit log knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordingRow {
    /// Of its file.
    pub bytes: u64,
    /// Whether it goes to the session's end.
    pub whole: bool,
    /// When it was deleted, in Unix milliseconds.
    pub removed_ms: Option<u64>,
}

impl Store {
    /// The sessions that have ended, the one that was opened last first.
    pub async fn ended_sessions(&self, query: EndedQuery) -> Result<Vec<EndedRow>, StoreError> {
        let limit = query.limit.min(MAX_ROWS);
        let mut rows: Vec<EndedRow> = Vec::new();
        // One after the other, for an index gives the order of one site's only.
        for site in query.each_site() {
            rows.extend(self.ended_at(&query, site, limit).await?);
        }
        rows.sort_by_key(|row| Reverse(row.session.0));
        rows.truncate(limit as usize);
        Ok(rows)
    }

    /// Each session once: a recording that a crash cut short may have been told of twice.
    async fn ended_at(
        &self,
        query: &EndedQuery,
        site: Option<&Name>,
        limit: u32,
    ) -> Result<Vec<EndedRow>, StoreError> {
        let (mut rows, mut before) = (Vec::new(), query.before);
        loop {
            let left = limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(limit));
            let search = query.search(self.inner.engine, site, before);
            let found: Vec<EndedRow> =
                search.rows(query.order(), Some(left), &self.inner.readers).await?;
            let is_last = found.len() < left as usize || left == 0;
            before = found.last().map(|row| row.session);
            rows.extend(found);
            rows.dedup_by_key(|row: &mut EndedRow| row.session);
            if is_last || rows.len() >= limit as usize {
                return Ok(rows);
            }
        }
    }
}

impl EndedQuery {
    /// The sites to ask for, each by itself; `[None]`: whatever the site.
    fn each_site(&self) -> Vec<Option<&Name>> {
        let named = self.application.as_ref().and_then(|(_, site)| site.as_ref());
        match (named, &self.sites) {
            (None, None) => vec![None],
            (Some(site), None) => vec![Some(site)],
            (None, Some(sites)) => sites.iter().map(Some).collect(),
            (Some(site), Some(sites)) => {
                sites.contains(site).then_some(Some(site)).into_iter().collect()
            }
        }
    }

    fn search(&self, engine: Engine, site: Option<&Name>, before: Option<SessionId>) -> Search {
        let key = if self.recorded { "made" } else { "ended" };
        let mut search = Search::new(&statement(engine, self.recorded));
        let column = |name: &str, compared: &str| format!("{key}.{name} {compared}");
        search.text(&column("user_name", "="), self.user.clone());
        let application = self.application.as_ref().map(|(name, _)| name.clone());
        // A site may have many applications, and one name is at few sites. PostgreSQL counts them.
        let by_site = match engine {
            Engine::Sqlite if application.is_some() => "|| '' =",
            Engine::Sqlite | Engine::Postgres => "=",
        };
        search.text(&column("application", "="), application);
        search.text(&column("site", by_site), site.cloned());
        search.text(&column("session", "<"), before.map(|id| id.to_string()));
        search.text(&column("session", ">="), self.since.map(clock::first_id));
        search.text(&column("session", "<"), self.until.map(clock::first_id));
        search
    }

    fn order(&self) -> &'static str {
        if self.recorded { "made.session DESC" } else { "ended.session DESC" }
    }
}

/// What is taken out of a closing record.
#[derive(Deserialize)]
struct End {
    user: Name,
    application: Name,
    site: Name,
    door: String,
    reason: String,
    side: String,
    up: u64,
    down: u64,
    millis: u64,
}

/// What is taken out of an opening record.
#[derive(Deserialize)]
struct Opening {
    kind: Kind,
    from: IpAddr,
    #[serde(default)]
    login: Option<String>,
}

#[derive(Deserialize)]
struct Recorded {
    bytes: u64,
    whole: bool,
}

impl FromRow<'_, Row> for EndedRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        let ended: End = row.json("ended_event")?;
        let ended_ms: u64 = row.number("ended_ms")?;
        let opened_ms: Option<u64> = row.perhaps_number("opened_ms")?;
        let opening = row.try_get::<Option<String>, _>("opened_event")?;
        let opening = opening.map(|_| row.json::<Opening>("opened_event")).transpose()?;
        let recorded = row.try_get::<Option<String>, _>("recorded_event")?;
        let recorded = recorded.map(|_| row.json::<Recorded>("recorded_event")).transpose()?;
        let removed_ms = row.perhaps_number("removed_ms")?;
        let (kind, from, login) = match opening {
            Some(Opening { kind, from, login }) => (Some(kind), Some(from), login),
            None => (None, None, None),
        };
        Ok(Self {
            session: row.parsed("session_id")?,
            user: ended.user,
            application: ended.application,
            site: ended.site,
            door: ended.door,
            kind,
            from,
            login,
            opened_ms: opened_ms.unwrap_or_else(|| ended_ms.saturating_sub(ended.millis)),
            ended_ms,
            reason: ended.reason,
            side: ended.side,
            up: ended.up,
            down: ended.down,
            recording: recorded.map(|it| RecordingRow {
                bytes: it.bytes,
                whole: it.whole,
                removed_ms,
            }),
        })
    }
}

/// The statement up to its conditions, with `{among}` where SQLite has to be told which partial index is
/// meant: by its condition, word for word. PostgreSQL sees that by itself, and would take the same thing
/// said twice for two things, each of which few records are.
fn statement(engine: Engine, recorded: bool) -> String {
    let statement = if recorded { RECORDED } else { ENDED };
    let statement = format!("SELECT {COLUMNS} {statement}");
    RECORDS.iter().fold(statement, |statement, (mark, actions)| {
        let told = match engine {
            Engine::Sqlite => actions,
            Engine::Postgres => "",
        };
        statement.replace(mark, told)
    })
}

/// Marks in statements, and the conditions of the partial indexes.
const RECORDS: [(&str, &str); 4] = [
    ("{ended among sessions}", "AND ended.action IN ('session.ended', 'session.recorded')"),
    ("{made among sessions}", "AND made.action IN ('session.ended', 'session.recorded')"),
    ("{made among recordings}", "AND made.action IN ('session.recorded', 'recording.removed')"),
    ("{it among recordings}", "AND it.action IN ('session.recorded', 'recording.removed')"),
];

// What is put together (`|| ''`, `+ 0`) has no order in an index: so a session's own few records are gone
// through, and never all that are of a kind.
const COLUMNS: &str = "ended.session AS session_id, ended.at_ms AS ended_ms,
    ended.event AS ended_event,
    (SELECT begun.at_ms FROM audit AS begun
        WHERE begun.session = ended.session AND begun.action || '' = 'session.opened'
        ORDER BY begun.seq LIMIT 1) AS opened_ms,
    (SELECT begun.event FROM audit AS begun
        WHERE begun.session = ended.session AND begun.action || '' = 'session.opened'
        ORDER BY begun.seq LIMIT 1) AS opened_event,
    (SELECT it.event FROM audit AS it
        WHERE it.action = 'session.recorded' {it among recordings}
            AND it.session = ended.session
        ORDER BY it.seq + 0 DESC LIMIT 1) AS recorded_event,
    (SELECT it.at_ms FROM audit AS it
        WHERE it.action = 'recording.removed' {it among recordings}
            AND it.session = ended.session
        ORDER BY it.seq + 0 DESC LIMIT 1) AS removed_ms";

const ENDED: &str = "FROM audit AS ended
    WHERE ended.action = 'session.ended' {ended among sessions}";

// CROSS JOIN: SQLite goes through the recordings then, and looks up their sessions.
const RECORDED: &str = "FROM audit AS made CROSS JOIN audit AS ended
    WHERE made.action = 'session.recorded' {made among recordings} {made among sessions}
        AND ended.action = 'session.ended' AND ended.session = made.session";

const MAX_ROWS: u32 = 10_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::plans;

    #[tokio::test]
    async fn ended_sessions_of_a_large_log_are_found_in_a_file_by_indexes_alone() {
        let (_folder, store) = plans::in_a_file().await;
        plans_are_good(&store).await;
        store.close().await;
    }

    #[tokio::test]
    async fn ended_sessions_of_a_large_log_are_found_at_a_server_by_indexes_alone() {
        let (_database, store) = plans::at_a_server().await;
        plans_are_good(&store).await;
        store.close().await;
    }

    async fn plans_are_good(store: &Store) {
        let engine = store.inner.engine;
        let numbers = plans::numbers(engine, 10_000);
        // Of each session four records; of each second one a recording.
        for (offset, action, every) in [
            (0, "session.opened", 1),
            (10_000, "session.action", 1),
            (20_000, "session.ended", 1),
            (30_000, "session.recorded", 2),
        ] {
            let fill = format!(
                "{numbers} INSERT INTO audit
                    (seq, at_ms, action, session, user_name, application, site, event, hash)
                SELECT {offset} + n, n, '{action}', 'session-' || (100000 + n), 'user-' || (n % 5),
                    'app-' || (n % 4), 'site-' || (n % 3), '{{}}', ''
                FROM numbers WHERE n % {every} = 0"
            );
            sqlx::query(sqlx::AssertSqlSafe(fill)).execute(&store.inner.writer).await.unwrap();
        }
        if engine == Engine::Postgres {
            sqlx::query("ANALYZE audit").execute(&store.inner.writer).await.unwrap();
        }
        let name = |text: &str| text.parse::<Name>().unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let all = EndedQuery { limit: 20, ..EndedQuery::default() };
        let last = Some(SessionId(Uuid::from_u128(7)));
        let queries = [
            all.clone(),
            EndedQuery { before: last, ..all.clone() },
            EndedQuery { user: Some(name("user-1")), ..all.clone() },
            EndedQuery { application: Some((name("app-1"), None)), before: last, ..all.clone() },
            EndedQuery { application: Some((name("app-1"), Some(name("site-1")))), ..all.clone() },
            EndedQuery { sites: Some(vec![name("site-1")]), ..all.clone() },
            EndedQuery { since: Some(at), until: Some(at + Duration::from_secs(9)), ..all },
        ];
        for recorded in [false, true] {
            for query in &queries {
                let query = EndedQuery { recorded, ..query.clone() };
                for site in query.each_site() {
                    let search = query.search(engine, site, query.before);
                    let plan = search.plan(engine, (query.order(), 20), &store.inner.readers).await;
                    let plan = plan.unwrap();
                    assert!(is_good(engine, &plan), "{query:?}: {plan:#?}");
                }
            }
        }
    }

    /// Nothing is gone through that is not wanted, and nothing sorted but the few records of one session.
    fn is_good(engine: Engine, plan: &[(i64, String)]) -> bool {
        // By it all records of a kind would be gone through.
        if plan.iter().any(|(_, step)| step.contains("audit_action")) {
            return false;
        }
        match engine {
            Engine::Sqlite => plan.iter().all(|(parent, step)| {
                !(step.starts_with("SCAN") || *parent == 0 && step.contains("TEMP B-TREE"))
            }),
            Engine::Postgres => {
                let first = |(_, step): &&(i64, String)| !step.contains("SubPlan");
                let outer = plan.iter().take_while(first);
                !plan.iter().any(|(_, step)| step.contains("Seq Scan"))
                    && !outer.map(|(_, step)| step).any(|step| step.contains("Sort"))
            }
        }
    }
}
