//! The statements of databases' doors: a queue of its own, stored some hundreds at once, and kept for
//! a while. Who must have one on the disk waits for it.

mod adopt;
mod ids;
mod query;
mod scopes;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use access::{EndReason, Explain as _, SessionId};
use async_trait::async_trait;
use session::{AuditError, Outcome, Statement, StatementLog};
use sqlx::AssertSqlSafe;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::ids::Halves;
use self::scopes::Scopes;
use crate::batch::{fill_up, purge};
use crate::db::{Connection, Engine, Fence, Pool};
use crate::inserts::Inserts;
use crate::{Store, StoreError, clock};

pub(crate) use self::adopt::adopt;
pub use self::query::{StatementQuery, StatementRow};

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
    scopes: Scopes,
}

/// Statements with the room that they take, and who waits for them.
struct Waiting {
    statements: Vec<Statement>,
    stored: Option<oneshot::Sender<Result<(), AuditError>>>,
    _room: OwnedSemaphorePermit,
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
        let scopes = Scopes::default();
        (own, Keeper { waiting, dropped, urgent, engine, database, fence, stop, inserts, scopes })
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

    /// Removes statements that are older than `after`, and says how many.
    pub async fn purge_statements(
        &self,
        now: SystemTime,
        after: Duration,
    ) -> Result<u64, StoreError> {
        let before = now.checked_sub(after).unwrap_or(SystemTime::UNIX_EPOCH);
        let before = Halves::first(before).high;
        let purged = purge(PURGE, before, &self.inner.writer).await?;
        purge(PURGE_SCOPES, before.saturating_sub(scopes::AHEAD), &self.inner.writer).await?;
        Ok(purged)
    }
}

/// Says of a session's statements of whose ends nothing is known that they ended with it: those of the last
/// ones, for no session has more under way.
pub(crate) async fn end_with(
    session: SessionId,
    reason: EndReason,
    db: &mut Connection,
) -> Result<(), sqlx::Error> {
    let ended = sqlx::query(END_WITH).bind(session.to_string()).bind(reason.code().to_string());
    ended.execute(db).await.map(drop)
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

    async fn attempt(&mut self, statements: Vec<Statement>) -> Result<(), sqlx::Error> {
        let mut connection = self.database.acquire().await?;
        let mut tx = self.engine.begin_records(&mut connection, false).await?;
        self.fence.check(&mut tx).await?;
        let scopes = self.scopes.store(&statements, &mut tx).await?;
        for (sql, statements) in self.inserts.parts(statements) {
            insert(&mut tx, sql, statements, &scopes).await?;
        }
        tx.commit().await?;
        self.scopes.keep(scopes);
        Ok(())
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
    scopes: &scopes::Batch,
) -> Result<(), sqlx::Error> {
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for one in statements {
        let (micros, rows, error) = match one.outcome {
            Some(Outcome { micros, rows, error }) => (Some(micros), rows, error),
            None => (None, None, None),
        };
        let id = Halves::from(one.id);
        query = query
            .bind(id.high)
            .bind(id.low)
            .bind(scopes.id(&one.scope))
            .bind(clock::column(clock::millis(one.at)))
            .bind(one.client.as_deref())
            .bind(&*one.text)
            .bind(clock::column(one.cut))
            .bind(micros.map(clock::column))
            .bind(rows.map(clock::column))
            .bind(error);
    }
    query.execute(db).await.map(drop)
}

const COLUMNS: &str =
    "id_high, id_low, scope, at_ms, client, statement, cut, micros, row_count, error";
const AGAIN: &str = " ON CONFLICT (id_high, id_low) DO UPDATE SET micros = excluded.micros,
    row_count = excluded.row_count, error = excluded.error";

const END_WITH: &str = "UPDATE statements SET error = $2
    WHERE micros IS NULL AND error IS NULL AND (id_high, id_low) IN
    (SELECT id_high, id_low FROM statements WHERE scope IN
        (SELECT id FROM statement_scopes WHERE session = $1)
    ORDER BY id_high DESC, id_low DESC LIMIT 20000)";

const PURGE: &str = "DELETE FROM statements WHERE (id_high, id_low) IN
    (SELECT id_high, id_low FROM statements WHERE id_high < $1 LIMIT 1000)";
// Asked once more behind the list: PostgreSQL lets one that was widened meanwhile out by that.
const PURGE_SCOPES: &str = "DELETE FROM statement_scopes WHERE last_high < $1 AND id IN
    (SELECT id FROM statement_scopes WHERE last_high < $1 LIMIT 1000)";

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
