//! The requests of the web door: a queue of its own, stored some hundreds at once, and kept for a
//! while. What does not fit is counted and left out; no request waits for it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use access::SessionId;
use session::{RequestLog, WebRequest};
use sqlx::{AssertSqlSafe, FromRow, Row as _};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::batch::{fill_up, purge};
use crate::columns::Columns;
use crate::db::{Connection, Engine, Fence, Pool, Row};
use crate::inserts::Inserts;
use crate::search::Search;
use crate::{Store, StoreError, clock};

/// Where requests wait to be stored.
pub(crate) struct Requests {
    waiting: mpsc::Sender<WebRequest>,
    dropped: Arc<AtomicU64>,
}

/// Stores requests. Runs until it is stopped and has stored what waited.
pub(crate) struct Keeper {
    waiting: mpsc::Receiver<WebRequest>,
    dropped: Arc<AtomicU64>,
    engine: Engine,
    database: Pool,
    fence: Fence,
    stop: CancellationToken,
    inserts: Inserts,
}

/// A request as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebRequestRow {
    pub id: Uuid,
    pub client_id: Option<String>,
    /// Unix milliseconds.
    pub at_ms: u64,
    pub from: String,
    pub method: String,
    pub host: String,
    pub path: String,
    pub session: Option<SessionId>,
    pub user: Option<String>,
    /// The application's host label.
    pub application: Option<String>,
    pub status: Option<u16>,
    pub code: Option<String>,
    pub up: u64,
    pub down: u64,
    pub millis: u64,
}

/// Which requests are wanted: those that fit all that is given.
#[derive(Clone, Debug, Default)]
pub struct WebQuery {
    /// Only those before this one.
    pub before: Option<Uuid>,
    pub limit: u32,
    pub session: Option<SessionId>,
    pub user: Option<String>,
    /// Host labels of applications. `None`: whatever the application, and those of none.
    pub applications: Option<Vec<String>>,
    /// Only those that were not answered with a status below 400.
    pub failed: bool,
    /// Came then or later, by their ids.
    pub since: Option<SystemTime>,
    /// Came before.
    pub until: Option<SystemTime>,
}

impl Requests {
    pub(crate) fn new(
        engine: Engine,
        database: Pool,
        fence: Fence,
        stop: CancellationToken,
    ) -> (Self, Keeper) {
        let (send, waiting) = mpsc::channel(WAITING);
        let dropped = Arc::<AtomicU64>::default();
        let inserts = Inserts::new(engine, "web_requests", COLUMNS, "");
        let counted = dropped.clone();
        let keeper = Keeper { waiting, dropped, engine, database, fence, stop, inserts };
        (Self { waiting: send, dropped: counted }, keeper)
    }
}

impl RequestLog for Store {
    fn note(&self, request: WebRequest) {
        let requests = &self.inner.requests;
        if requests.waiting.try_send(request).is_err() {
            requests.dropped.fetch_add(1, Relaxed);
        }
    }
}

impl Store {
    /// How many requests were left out since the start, for want of room or because they could not
    /// be stored.
    pub fn dropped_requests(&self) -> u64 {
        self.inner.requests.dropped.load(Relaxed)
    }

    /// The requests that fit the query, the last one first.
    pub async fn web_requests(&self, query: WebQuery) -> Result<Vec<WebRequestRow>, StoreError> {
        let conditions = [
            ("id <", query.before.map(|id| id.to_string())),
            ("id >=", query.since.map(clock::first_id)),
            ("id <", query.until.map(clock::first_id)),
            ("session =", query.session.map(|id| id.to_string())),
            ("user_name =", query.user),
        ];
        let mut search = Search::new(&format!("SELECT {COLUMNS} FROM web_requests WHERE 1 = 1"));
        for (condition, value) in conditions {
            search.text(condition, value);
        }
        if let Some(labels) = query.applications {
            search.one_of("application", labels);
        }
        if query.failed {
            search.that("(status IS NULL OR status >= 400)");
        }
        search.rows("id DESC", Some(query.limit.min(MAX_ROWS)), &self.inner.readers).await
    }

    /// Removes requests that are older than `after`, and says how many.
    pub async fn purge_requests(
        &self,
        now: SystemTime,
        after: Duration,
    ) -> Result<u64, StoreError> {
        let before = now.checked_sub(after).unwrap_or(SystemTime::UNIX_EPOCH);
        purge(PURGE, clock::first_id(before), &self.inner.writer).await
    }
}

impl Keeper {
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let stopping = tokio::select! {
                biased;
                () = self.stop.cancelled() => true,
                taken = self.waiting.recv_many(&mut batch, BATCH) => taken == 0,
            };
            if stopping {
                break;
            }
            self.fill(&mut batch).await;
            self.store(&mut batch).await;
        }
        self.waiting.close();
        while self.waiting.recv_many(&mut batch, BATCH).await > 0 {
            self.store(&mut batch).await;
        }
    }

    /// Waits a moment for more, as a commit costs the same for many; and sleeps meanwhile, as being woken
    /// for each costs as much as storing it.
    async fn fill(&mut self, batch: &mut Vec<WebRequest>) {
        if batch.len() + self.waiting.len() < BATCH {
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = sleep(LINGER) => {}
            }
        }
        fill_up(batch, &mut self.waiting, BATCH);
    }

    async fn store(&mut self, batch: &mut Vec<WebRequest>) {
        let requests = batch.len();
        let batch = std::mem::take(batch);
        if let Err(error) = self.attempt(batch).await {
            self.dropped.fetch_add(requests as u64, Relaxed);
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                requests,
                "Could not keep requests"
            );
            sleep(PAUSE).await;
        }
    }

    async fn attempt(&self, batch: Vec<WebRequest>) -> Result<(), sqlx::Error> {
        let mut connection = self.database.acquire().await?;
        let mut tx = self.engine.begin_records(&mut connection, false).await?;
        self.fence.check(&mut tx).await?;
        for (sql, requests) in self.inserts.parts(batch) {
            insert(&mut tx, sql, requests).await?;
        }
        tx.commit().await
    }
}

/// Stores requests in one statement.
async fn insert(
    db: &mut Connection,
    sql: Arc<str>,
    requests: Vec<WebRequest>,
) -> Result<(), sqlx::Error> {
    let mut statement = sqlx::query(AssertSqlSafe(sql));
    // Most come from where the one before came from.
    let mut address: Option<(IpAddr, String)> = None;
    for request in requests {
        let from = match &address {
            Some((from, text)) if *from == request.from => text.clone(),
            Some(_) | None => address.insert((request.from, request.from.to_string())).1.clone(),
        };
        statement = statement
            .bind(request.id.to_string())
            .bind(clock::column(clock::millis(request.at)))
            .bind(from)
            .bind(request.method)
            .bind(request.host)
            .bind(request.path)
            .bind(request.session.map(|session| session.to_string()))
            .bind(request.user.as_ref().map(ToString::to_string))
            .bind(request.application)
            .bind(request.status.map(i64::from))
            .bind(request.code)
            .bind(clock::column(request.up))
            .bind(clock::column(request.down))
            .bind(clock::column(request.millis))
            .bind(request.client_id);
    }
    statement.execute(db).await.map(drop)
}

impl FromRow<'_, Row> for WebRequestRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.parsed("id")?,
            at_ms: row.number("at_ms")?,
            from: row.try_get("from_address")?,
            method: row.try_get("method")?,
            host: row.try_get("host")?,
            path: row.try_get("path")?,
            session: row.perhaps("session")?,
            user: row.try_get("user_name")?,
            application: row.try_get("application")?,
            status: row.perhaps_number("status")?,
            code: row.try_get("code")?,
            up: row.number("up")?,
            down: row.number("down")?,
            millis: row.number("millis")?,
            client_id: row.try_get("client_id")?,
        })
    }
}

const COLUMNS: &str =
    "id, at_ms, from_address, method, host, path, session, user_name, application,
    status, code, up, down, millis, client_id";

const PURGE: &str = "DELETE FROM web_requests WHERE id IN
    (SELECT id FROM web_requests WHERE id < $1 LIMIT 1000)";

/// Requests that wait at most; more are counted and left out.
const WAITING: usize = 8192;
/// Requests in one transaction.
const BATCH: usize = 1024;
const LINGER: Duration = Duration::from_millis(100);
/// After a failure; what comes meanwhile waits.
const PAUSE: Duration = Duration::from_secs(1);
const MAX_ROWS: u32 = 1000;
