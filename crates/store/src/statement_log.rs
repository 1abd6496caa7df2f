//! The statements of databases' doors: a queue of its own, stored some hundreds at once, and kept for
//! a while. Who must have one on the disk waits for it.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use access::SessionId;
use async_trait::async_trait;
use session::{AuditError, Outcome, Statement, StatementLog, StatementScope};
use sqlx::any::{Any, AnyTypeInfo};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::{AssertSqlSafe, Database, Encode, FromRow, Row as _, Type};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::batch::fill_up;
use crate::columns::Columns;
use crate::db::{Connection, Engine, Fence, Pool, Row};
use crate::inserts::Inserts;
use crate::search::Search;
use crate::{Store, StoreError, clock};

/// Where statements wait to be stored.
pub(crate) struct Statements {
    waiting: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    dropped: Arc<AtomicU64>,
    /// Told when what waits is to be stored at once.
    urgent: Arc<Notify>,
}

/// Stores statements. Runs until it is stopped and has stored what waited.
pub(crate) struct Keeper {
    waiting: mpsc::Receiver<Waiting>,
    dropped: Arc<AtomicU64>,
    urgent: Arc<Notify>,
    engine: Engine,
    database: Pool,
    fence: Fence,
    stop: CancellationToken,
    inserts: Inserts,
}

/// Statements with the room that they take, and who waits for them.
struct Waiting {
    statements: Vec<Statement>,
    stored: Option<oneshot::Sender<Result<(), AuditError>>>,
    _room: OwnedSemaphorePermit,
}

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

impl Statements {
    pub(crate) fn new(
        engine: Engine,
        database: Pool,
        fence: Fence,
        stop: CancellationToken,
    ) -> (Self, Keeper) {
        let (send, waiting) = mpsc::channel(WAITING);
        let (dropped, urgent) = (Arc::<AtomicU64>::default(), Arc::<Notify>::default());
        let inserts = Inserts::new(engine, "statements", COLUMNS, AGAIN);
        let room = Arc::new(Semaphore::new(ROOM));
        let own = Self { waiting: send, room, dropped: dropped.clone(), urgent: urgent.clone() };
        (own, Keeper { waiting, dropped, urgent, engine, database, fence, stop, inserts })
    }

    /// Waits for room as long as somebody who must not be left out does.
    async fn send(
        &self,
        statements: Vec<Statement>,
        stored: Option<oneshot::Sender<Result<(), AuditError>>>,
    ) -> Result<(), AuditError> {
        let room = self.room.clone().acquire_many_owned(size(&statements)).await;
        let room = room.map_err(|_| AuditError::Stopped)?;
        let is_awaited = stored.is_some();
        let waiting = Waiting { statements, stored, _room: room };
        self.waiting.send(waiting).await.map_err(|_| AuditError::Stopped)?;
        let waiting = self.waiting.max_capacity() - self.waiting.capacity();
        if is_awaited || waiting >= BATCH || self.room.available_permits() < ROOM / 2 {
            self.urgent.notify_one();
        }
        Ok(())
    }

    /// Whether there was room.
    fn send_now(&self, statements: Vec<Statement>) -> bool {
        let room = self.room.clone().try_acquire_many_owned(size(&statements));
        let Ok(room) = room else { return false };
        let waiting = Waiting { statements, stored: None, _room: room };
        self.waiting.try_send(waiting).is_ok()
    }
}

/// The room that statements take.
fn size(statements: &[Statement]) -> u32 {
    let bytes: usize = statements.iter().map(|one| one.text.len() + OVERHEAD).sum();
    u32::try_from(bytes.min(ROOM)).unwrap_or(u32::MAX)
}

#[async_trait]
impl StatementLog for Store {
    async fn note_all(&self, noted: Vec<Statement>) {
        let (statements, count) = (&self.inner.statements, noted.len() as u64);
        let sent = timeout(PATIENCE, statements.send(noted, None)).await;
        if !matches!(sent, Ok(Ok(()))) {
            statements.dropped.fetch_add(count, Relaxed);
        }
    }

    fn note_now(&self, noted: Vec<Statement>) {
        let (statements, count) = (&self.inner.statements, noted.len() as u64);
        if !statements.send_now(noted) {
            statements.dropped.fetch_add(count, Relaxed);
        }
    }

    async fn keep(&self, kept: Vec<Statement>) -> Result<(), AuditError> {
        let (stored, told) = oneshot::channel();
        self.inner.statements.send(kept, Some(stored)).await?;
        told.await.map_err(|_| AuditError::Stopped)?
    }
}

impl Store {
    /// How many statements were left out since the start, for want of room or because they could
    /// not be stored.
    pub fn dropped_statements(&self) -> u64 {
        self.inner.statements.dropped.load(Relaxed)
    }

    /// The statements that fit the query, the last one first.
    pub async fn statements(&self, query: StatementQuery) -> Result<Vec<StatementRow>, StoreError> {
        let limit = query.limit.min(MAX_ROWS);
        let mut rows: Vec<StatementRow> = Vec::new();
        // One after the other, for an index gives the order of one application's only.
        for application in query.each_application() {
            let search = query.search(application);
            let found: Vec<StatementRow> =
                search.rows("id DESC", Some(limit), &self.inner.readers).await?;
            rows.extend(found);
        }
        rows.sort_by_key(|row| Reverse(row.id));
        rows.truncate(limit as usize);
        Ok(rows)
    }

    /// Removes statements that are older than `after`, and says how many.
    pub async fn purge_statements(
        &self,
        now: SystemTime,
        after: Duration,
    ) -> Result<u64, StoreError> {
        let before = clock::first_id(now.checked_sub(after).unwrap_or(SystemTime::UNIX_EPOCH));
        let mut purged = 0;
        loop {
            // In parts: one that takes long would hold up those who open sessions.
            let part = sqlx::query(PURGE).bind(&before).execute(&self.inner.writer).await?;
            purged += part.rows_affected();
            if part.rows_affected() < PART {
                return Ok(purged);
            }
        }
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

    fn search(&self, application: Option<&str>) -> Search {
        let conditions = [
            ("id <", self.before.map(|id| id.to_string())),
            ("id >=", self.since.map(clock::first_id)),
            ("id <", self.until.map(clock::first_id)),
            ("session =", self.session.map(|id| id.to_string())),
            ("user_name =", self.user.clone()),
            ("application =", application.map(str::to_owned)),
            ("database_name =", self.database.clone()),
            ("error >=", self.failed.then(String::new)),
        ];
        let mut search = Search::new(&format!("SELECT {COLUMNS} FROM statements WHERE 1 = 1"));
        for (condition, value) in conditions {
            search.text(condition, value);
        }
        search
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
        // What was taken and not stored before the stop comes first.
        self.store(&mut batch).await;
        while self.waiting.recv_many(&mut batch, BATCH).await > 0 {
            self.store(&mut batch).await;
        }
    }

    /// Waits a moment for more, as a commit costs the same for many, unless somebody waits for one of
    /// them; and sleeps meanwhile, as being woken for each costs as much as storing it.
    async fn fill(&mut self, batch: &mut Vec<Waiting>) {
        let is_awaited = batch.iter().any(|one| one.stored.is_some());
        if !is_awaited && batch.len() + self.waiting.len() < BATCH {
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.urgent.notified() => {}
                () = sleep(LINGER) => {}
            }
        }
        fill_up(batch, &mut self.waiting, BATCH);
    }

    async fn store(&mut self, batch: &mut Vec<Waiting>) {
        let statements = merged(batch);
        if statements.is_empty() {
            return;
        }
        let count = statements.len();
        let stored = self.attempt(statements).await;
        if let Err(error) = &stored {
            self.dropped.fetch_add(count as u64, Relaxed);
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, statements = count, "Could not keep statements");
        }
        for waiter in batch.drain(..).filter_map(|one| one.stored) {
            let told = match &stored {
                Ok(()) => Ok(()),
                Err(error) => Err(AuditError::Store { source: error.to_string().into() }),
            };
            // Who has left is told nothing.
            drop(waiter.send(told));
        }
        if stored.is_err() {
            sleep(PAUSE).await;
        }
    }

    async fn attempt(&self, batch: Vec<Statement>) -> Result<(), sqlx::Error> {
        let mut connection = self.database.acquire().await?;
        let mut tx = self.engine.begin_records(&mut connection, false).await?;
        self.fence.check(&mut tx).await?;
        let mut scopes = Scopes::default();
        for (sql, statements) in self.inserts.parts(batch) {
            insert(&mut tx, sql, statements, &mut scopes).await?;
        }
        tx.commit().await
    }
}

/// All of a batch, each once: one that was recorded anew stands as it was last.
fn merged(batch: &mut [Waiting]) -> Vec<Statement> {
    let mut places: HashMap<Uuid, usize> = HashMap::new();
    let mut all: Vec<Statement> = Vec::with_capacity(batch.len());
    for statement in batch.iter_mut().flat_map(|one| std::mem::take(&mut one.statements)) {
        match places.get(&statement.id) {
            Some(place) => all[*place] = statement,
            None => {
                places.insert(statement.id, all.len());
                all.push(statement);
            }
        }
    }
    all
}

/// Stores statements in one of ours.
async fn insert(
    db: &mut Connection,
    sql: Arc<str>,
    statements: Vec<Statement>,
    scopes: &mut Scopes,
) -> Result<(), sqlx::Error> {
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for one in statements {
        let (micros, rows, error) = match one.outcome {
            Some(Outcome { micros, rows, error }) => (Some(micros), rows, error),
            None => (None, None, None),
        };
        query = query
            .bind(one.id.to_string())
            .bind(clock::column(clock::millis(one.at)))
            .bind(scopes.of(&one.scope)?)
            .bind(one.client.as_deref())
            .bind(&*one.text)
            .bind(clock::column(one.cut))
            .bind(micros.map(clock::column))
            .bind(rows.map(clock::column))
            .bind(error);
    }
    query.execute(db).await.map(drop)
}

/// The scopes of a batch's statements, by where they are: all of a batch are there before its first
/// statement is stored, so no two of them are in one place.
#[derive(Default)]
struct Scopes(HashMap<usize, ScopeColumns>);

impl Scopes {
    fn of(&mut self, scope: &Arc<StatementScope>) -> Result<ScopeColumns, sqlx::Error> {
        Ok(match self.0.entry(Arc::as_ptr(scope).addr()) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(place) => place.insert(ScopeColumns::of(scope)?).clone(),
        })
    }
}

/// Five columns, written once for all of a scope's statements: most of what a row costs is copying
/// texts for the database's thread.
#[derive(Clone)]
struct ScopeColumns(Arc<Arguments>);

type Arguments = <Any as Database>::ArgumentBuffer;

impl ScopeColumns {
    fn of(scope: &StatementScope) -> Result<Self, sqlx::Error> {
        let StatementScope { session, user, application, database, role } = scope;
        let mut written = Arguments::default();
        for text in [&session.to_string(), &user.to_string(), application, database, role] {
            let put = Encode::<Any>::encode_by_ref(text, &mut written);
            let _: IsNull = put.map_err(sqlx::Error::Encode)?;
        }
        Ok(Self(Arc::new(written)))
    }
}

impl Type<Any> for ScopeColumns {
    fn type_info() -> AnyTypeInfo {
        <str as Type<Any>>::type_info()
    }
}

impl Encode<'_, Any> for ScopeColumns {
    fn encode_by_ref(&self, to: &mut Arguments) -> Result<IsNull, BoxDynError> {
        to.0.extend_from_slice(&self.0.0);
        Ok(IsNull::No)
    }
}

impl FromRow<'_, Row> for StatementRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.parsed("id")?,
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

const COLUMNS: &str = "id, at_ms, session, user_name, application, database_name, role_name,
    client, statement, cut, micros, row_count, error";
const AGAIN: &str = " ON CONFLICT (id) DO UPDATE SET micros = excluded.micros,
    row_count = excluded.row_count, error = excluded.error";

const PURGE: &str = "DELETE FROM statements WHERE id IN
    (SELECT id FROM statements WHERE id < $1 LIMIT 1000)";
const PART: u64 = 1000;

/// Statements that wait at most.
const WAITING: usize = 8192;
/// Bytes of statements that wait at most, with what each takes besides its text.
const ROOM: usize = 16 * 1024 * 1024;
const OVERHEAD: usize = 256;
/// How long a session waits for room: longer than the store needs for all that waits.
const PATIENCE: Duration = Duration::from_secs(2);
/// Statements in one transaction.
const BATCH: usize = 512;
const LINGER: Duration = Duration::from_millis(200);
/// After a failure; what comes meanwhile waits.
const PAUSE: Duration = Duration::from_secs(1);
const MAX_ROWS: u32 = 1000;
