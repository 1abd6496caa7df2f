//! The database file: opening it, and the two ways to it.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, SqlSafeStr, Sqlite, SqliteConnection, Transaction};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::seal::Sealer;
use crate::writer::{Queue, queue};
use crate::{MasterKey, StoreError, clock};

/// What the relay keeps. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) readers: SqlitePool,
    /// SQLite has one writer at a time: so have we, and waiting for it is first come, first served.
    pub(crate) writer: SqlitePool,
    pub(crate) sealer: Sealer,
    pub(crate) queue: Queue,
    version: watch::Sender<u64>,
    tasks: TaskTracker,
    path: PathBuf,
    serving: Mutex<Option<Claim>>,
}

/// The lock that one relay holds on a database; the file it is on lets go of it when dropped.
pub(crate) struct Claim(#[expect(dead_code, reason = "held, never read")] File);

impl Store {
    /// Opens the database at `path`, making it and bringing its tables up to date as needed.
    pub async fn open(path: &Path, key: MasterKey) -> Result<Self, StoreError> {
        Self::open_for(path, key, MAX_SESSIONS).await
    }

    /// As [`open`](Self::open), with places for the closing records of `max_sessions` sessions.
    pub async fn open_for(
        path: &Path,
        key: MasterKey,
        max_sessions: usize,
    ) -> Result<Self, StoreError> {
        let sealer = Sealer::new(&key)?;
        private_file(path)?;
        let writer = writer(path).await?;
        prepare(&writer, &sealer).await?;
        let readers = readers(path).await?;
        let version = watch::Sender::new(version(&mut *readers.acquire().await?).await?);
        let tasks = TaskTracker::new();
        let (queue, task) = queue(writer.clone(), max_sessions);
        tasks.spawn(task.run());
        let (path, serving) = (path.to_owned(), Mutex::default());
        let inner = Inner { readers, writer, sealer, queue, version, tasks, path, serving };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes no more audit events, and returns when all that were taken are stored.
    ///
    /// It waits for the closing records of sessions that are still open: end those first, and put
    /// a deadline around this.
    pub async fn close(self) {
        self.inner.queue.stop();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        // The writer goes last: the last connection to close folds the log into the file.
        self.inner.readers.close().await;
        self.inner.writer.close().await;
        drop(self.serving().take());
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        version(&mut *self.inner.readers.acquire().await?).await.map(drop)
    }

    /// The configuration's version after each change this process stored.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.inner.version.subscribe()
    }

    /// Claims the database for this process, until the store is closed or dropped. `None`: it did
    /// so before.
    pub(crate) fn claim(&self) -> Result<Option<Claim>, StoreError> {
        if self.serving().is_some() {
            return Ok(None);
        }
        let file = private_file(&self.inner.path.with_extension("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Claim(file))),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
            Err(TryLockError::Error(source)) => Err(StoreError::File { source }),
        }
    }

    /// Makes a claim last.
    pub(crate) fn hold(&self, claim: Claim) {
        *self.serving() = Some(claim);
    }

    fn serving(&self) -> MutexGuard<'_, Option<Claim>> {
        self.inner.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A consistent view of everything.
    pub(crate) async fn reading(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.inner.readers.begin().await?)
    }

    /// Begins a change of what policy is made of.
    pub(crate) async fn changing(&self) -> Result<Changing, StoreError> {
        // Immediate: a change that reads before it writes must not lose its place in between.
        let tx = self.inner.writer.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Changing { tx, store: self.clone() })
    }
}

/// A change in progress. Dropping it undoes it.
pub(crate) struct Changing {
    tx: Transaction<'static, Sqlite>,
    store: Store,
}

impl Changing {
    pub(crate) fn db(&mut self) -> &mut SqliteConnection {
        &mut self.tx
    }

    /// As [`commit`](Self::commit), unless no row was changed: then nothing is told to anyone.
    pub(crate) async fn commit_if(self, rows: u64) -> Result<u64, StoreError> {
        if rows > 0 {
            self.commit().await?;
        }
        Ok(rows)
    }

    /// Stores the change together with the next version, and tells who listens.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        let Self { mut tx, store } = self;
        let tasks = store.inner.tasks.clone();
        // A task of its own: whoever asked may go away in the middle, and then a withdrawal would
        // be stored but told to nobody.
        let stored = tasks.spawn(async move {
            let next = sqlx::query_scalar(NEXT_VERSION).fetch_one(&mut *tx).await?;
            let next = clock::number(next, "policy version")?;
            tx.commit().await?;
            store.inner.version.send_if_modified(|version| {
                let newer = next > *version;
                *version = next.max(*version);
                newer
            });
            Ok(())
        });
        stored.await.unwrap_or_else(|_| Err(sqlx::Error::WorkerCrashed.into()))
    }
}

/// The version of the configuration that `db` sees.
pub(crate) async fn version(db: &mut SqliteConnection) -> Result<u64, StoreError> {
    let version = "SELECT value FROM counters WHERE name = 'policy'";
    let version = sqlx::query_scalar(version).fetch_one(db).await?;
    clock::number(version, "policy version")
}

const NEXT_VERSION: &str =
    "UPDATE counters SET value = value + 1 WHERE name = 'policy' RETURNING value";

/// Places for closing records, where nobody says how many sessions there may be.
const MAX_SESSIONS: usize = 1 << 16;
const READERS: u32 = 4;
/// How long one statement waits for another process to let go of the file.
const BUSY: Duration = Duration::from_secs(5);
/// How long a request waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(10);

fn private_file(path: &Path) -> Result<File, StoreError> {
    // SQLite gives its log and index the permissions of the file.
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(|source| StoreError::File { source })
}

async fn writer(path: &Path) -> Result<SqlitePool, StoreError> {
    let options = options(path)
        .journal_mode(SqliteJournalMode::Wal)
        // What was acknowledged survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true);
    Ok(pool(1).connect_with(options).await?)
}

async fn readers(path: &Path) -> Result<SqlitePool, StoreError> {
    Ok(pool(READERS).connect_with(options(path).pragma("query_only", "on")).await?)
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(BUSY).disable_statement_logging()
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .idle_timeout(None)
        .max_lifetime(None)
        // A file does not hang up.
        .test_before_acquire(false)
}

/// Brings the tables up to date and checks the key, in one transaction that no other process can
/// enter.
async fn prepare(writer: &SqlitePool, sealer: &Sealer) -> Result<(), StoreError> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    migrate(&mut tx).await?;
    check_key(&mut tx, sealer).await?;
    Ok(tx.commit().await?)
}

async fn migrate(db: &mut SqliteConnection) -> Result<(), StoreError> {
    let migrations = MIGRATIONS.iter().map(|&(number, name, sql)| {
        Migration::new(number, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    // `run` takes anything that acquires, and its future can then not change threads.
    Ok(migrator.run_direct(None, db, false).await?)
}

const MIGRATIONS: [(i64, &str, &str); 2] = [
    (1, "tables", include_str!("../migrations/0001_tables.sql")),
    (2, "agents by token", include_str!("../migrations/0002_agents_by_token.sql")),
];

/// Refuses a key that is not the one the database was made with.
async fn check_key(db: &mut SqliteConnection, sealer: &Sealer) -> Result<(), StoreError> {
    let known = sqlx::query_scalar("SELECT sealed FROM secrets WHERE name = $1").bind(KEY_CHECK);
    let known: Option<String> = known.fetch_optional(&mut *db).await?;
    if let Some(sealed) = known {
        return sealer.open(KEY_CHECK, &sealed).map(drop);
    }
    let sealed = sealer.seal(KEY_CHECK, b"")?;
    let insert = "INSERT INTO secrets (name, sealed) VALUES ($1, $2)";
    sqlx::query(insert).bind(KEY_CHECK).bind(sealed).execute(db).await?;
    Ok(())
}

const KEY_CHECK: &str = "master key check";
