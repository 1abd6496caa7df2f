//! The database: opening it, and the ways to it.

mod change;
mod claim;
mod engine;
mod location;
pub(crate) mod migrate;
mod postgres;
mod sqlite;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use chain::HeadKey;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use change::{Changing, version};
pub(crate) use claim::{Claim, Fence};
pub use location::{Engine, Location};
pub(crate) use sqlite::private_file;

use crate::config::OwnHosts;
use crate::seal::Sealer;
use crate::statements::Statements;
use crate::web_log::Requests;
use crate::writer::{Queue, Recorder, queue};
use crate::{MasterKey, StoreError};
use location::Place;

// Statements are written once, for either engine.
pub(crate) type Connection = sqlx::AnyConnection;
pub(crate) type Pool = sqlx::AnyPool;
pub(crate) type Row = sqlx::any::AnyRow;
pub(crate) type Transaction = sqlx::Transaction<'static, sqlx::Any>;

/// What the relay keeps. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) readers: Pool,
    pub(crate) writer: Pool,
    recorder: Pool,
    pub(crate) engine: Engine,
    pub(crate) sealer: Sealer,
    pub(crate) head_key: Arc<HeadKey>,
    pub(crate) queue: Queue,
    pub(crate) requests: Requests,
    pub(crate) statements: Statements,
    stop_requests: CancellationToken,
    pub(crate) fence: Fence,
    version: watch::Sender<u64>,
    tasks: TaskTracker,
    at: Location,
    serving: Mutex<Option<Claim>>,
    pub(crate) own_hosts: RwLock<OwnHosts>,
}

struct Pools {
    readers: Pool,
    writer: Pool,
    /// For the audit log and the uses of tokens.
    recorder: Pool,
}

impl Store {
    /// Opens the database, bringing its tables up to date; a file is made as needed.
    pub async fn open(at: impl Into<Location>, key: MasterKey) -> Result<Self, StoreError> {
        Self::open_for(at, key, MAX_SESSIONS).await
    }

    /// As [`open`](Self::open), with places for the closing records of `max_sessions` sessions.
    pub async fn open_for(
        at: impl Into<Location>,
        key: MasterKey,
        max_sessions: usize,
    ) -> Result<Self, StoreError> {
        let at = at.into();
        let engine = at.engine();
        let (sealer, head_key) = (Sealer::new(&key)?, Arc::new(key.head_key()));
        let Pools { readers, writer, recorder } = pools(&at).await?;
        migrate::prepare(&writer, engine, &sealer, &head_key).await?;
        let version = watch::Sender::new(version(&mut *readers.acquire().await?).await?);
        let tasks = TaskTracker::new();
        let fence = Fence::default();
        let records = Recorder::new(engine, recorder.clone(), fence.clone(), head_key.clone());
        let (queue, task) = queue(records, max_sessions);
        tasks.spawn(task.run());
        let stop_requests = CancellationToken::new();
        let (requests, keeper) =
            Requests::new(engine, writer.clone(), fence.clone(), stop_requests.clone());
        tasks.spawn(keeper.run());
        let (statements, keeper) =
            Statements::new(engine, writer.clone(), fence.clone(), stop_requests.clone());
        tasks.spawn(keeper.run());
        let serving = Mutex::default();
        let inner = Inner {
            readers,
            writer,
            recorder,
            engine,
            sealer,
            head_key,
            queue,
            requests,
            statements,
            stop_requests,
            fence,
            version,
            tasks,
            at,
            serving,
            own_hosts: RwLock::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes no more audit events, and returns when all that were taken are stored.
    ///
    /// It waits for the closing records of sessions that are still open: end those first, and put
    /// a deadline around this.
    pub async fn close(self) {
        self.inner.queue.stop();
        self.inner.stop_requests.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.leave_relays().await;
        // The writer goes last: the last connection to close folds the log into the file.
        self.inner.readers.close().await;
        self.inner.recorder.close().await;
        self.inner.writer.close().await;
        let claim = self.serving().take();
        if let Some(claim) = claim {
            claim.release().await;
        }
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        version(&mut *self.inner.readers.acquire().await?).await.map(drop)
    }

    /// The configuration's version after each change this process stored.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.inner.version.subscribe()
    }

    /// Completes when another relay has claimed the database while this one could not reach it:
    /// this one's sessions have their ends in the audit log already, so it must end them.
    pub async fn taken_over(&self) {
        self.inner.fence.taken().await;
    }

    /// Claims the database for this process, until the store is closed or dropped. `None`: it did
    /// so before.
    pub(crate) async fn claim(&self) -> Result<Option<Claim>, StoreError> {
        if self.serving().is_some() {
            return Ok(None);
        }
        Claim::take(&self.inner.at, &self.inner.fence).await.map(Some)
    }

    pub(crate) fn at(&self) -> &Location {
        &self.inner.at
    }

    /// Makes a claim last.
    pub(crate) fn hold(&self, claim: Claim) {
        *self.serving() = Some(claim);
    }

    fn serving(&self) -> MutexGuard<'_, Option<Claim>> {
        self.inner.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A consistent view of everything.
    pub(crate) async fn reading(&self) -> Result<Transaction, StoreError> {
        Ok(self.inner.engine.begin_read(&self.inner.readers).await?)
    }
}

async fn pools(at: &Location) -> Result<Pools, StoreError> {
    sqlx::any::install_default_drivers();
    match &at.0 {
        Place::File(path) => sqlite::pools(path).await,
        Place::Server(options) => postgres::pools(options).await,
    }
}

/// Places for closing records, where nobody says how many sessions there may be.
const MAX_SESSIONS: usize = 1 << 16;
