//! The claim on a database: one relay serves from it at a time.
//!
//! A file has a lock beside it, which ends with the process. A server has an advisory lock on a
//! connection of its own, and that can break while the relay lives; so each claim has a number
//! too, and whoever writes sees in the same transaction that no later one was made.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::AnyConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::location::Place;
use super::sqlite::private_file;
use super::{Connection, Location};
use crate::StoreError;

/// Ends when dropped.
pub(crate) struct Claim {
    /// The file lets go of its lock when it is closed.
    _file: Option<File>,
    keeper: Option<(DropGuard, TaskTracker)>,
}

/// The number of this process's claim, and whether a later one was seen.
#[derive(Clone, Default)]
pub(crate) struct Fence(Arc<Numbers>);

#[derive(Default)]
struct Numbers {
    ours: watch::Sender<Option<i64>>,
    taken: watch::Sender<bool>,
}

impl Claim {
    /// Claims the database, or says that another relay has it.
    pub(crate) async fn take(at: &Location, fence: &Fence) -> Result<Self, StoreError> {
        match &at.0 {
            Place::File(path) => Ok(Self { _file: Some(lock_file(path)?), keeper: None }),
            Place::Server(options) => {
                let held = lock(options).await?.ok_or(StoreError::InUse)?;
                let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
                let keeper = Keeper {
                    options: options.as_ref().clone(),
                    fence: fence.clone(),
                    stop: stop.clone(),
                };
                tracker.spawn(keeper.run(held));
                tracker.close();
                Ok(Self { _file: None, keeper: Some((stop.drop_guard(), tracker)) })
            }
        }
    }

    /// Whether it has a number.
    pub(crate) fn is_numbered(&self) -> bool {
        self.keeper.is_some()
    }

    /// Lets go, and returns when another may claim.
    pub(crate) async fn release(self) {
        if let Some((guard, tracker)) = self.keeper {
            drop(guard);
            tracker.wait().await;
        }
    }
}

impl Fence {
    /// Makes this claim the latest. What earlier ones wrote until now is seen by the statements
    /// that follow in the transaction, and they write no more.
    pub(crate) async fn raise(&self, db: &mut Connection) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar(NEXT_CLAIM).fetch_one(db).await
    }

    /// The number is stored: from now on it is looked at.
    pub(crate) fn stand(&self, number: i64) {
        self.0.ours.send_replace(Some(number));
    }

    pub(crate) fn is_up(&self) -> bool {
        self.0.ours.borrow().is_some()
    }

    /// Fails if another relay has claimed the database since.
    pub(crate) async fn check(&self, db: &mut Connection) -> Result<(), sqlx::Error> {
        if !self.is_up() || self.is_latest(db, CLAIM_OF_WRITERS).await? {
            return Ok(());
        }
        let taken = io::Error::other("another relay has taken the database over");
        Err(sqlx::Error::Io(taken))
    }

    /// Completes when another relay has claimed the database.
    pub(crate) async fn taken(&self) {
        // The sender lives as long as this does.
        drop(self.0.taken.subscribe().wait_for(|taken| *taken).await);
    }

    async fn is_latest(
        &self,
        db: &mut Connection,
        statement: &'static str,
    ) -> Result<bool, sqlx::Error> {
        let ours = *self.0.ours.borrow();
        let latest: Option<i64> = sqlx::query_scalar(statement).fetch_optional(db).await?;
        let is_ours = ours.is_none() || ours == latest;
        if !is_ours && !self.0.taken.send_replace(true) {
            tracing::error!("Another relay has taken the database over");
        }
        Ok(is_ours)
    }
}

/// Keeps the lock of a claim, and takes it again after its connection broke.
struct Keeper {
    options: AnyConnectOptions,
    fence: Fence,
    stop: CancellationToken,
}

impl Keeper {
    async fn run(self, held: Connection) {
        let mut held = Some(held);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = sleep(EVERY) => {}
            }
            held = match held {
                Some(connection) => alive(connection).await,
                None => self.again().await,
            };
        }
        if let Some(connection) = held {
            // A server that no longer answers lets go by itself.
            drop(timeout(PATIENCE, connection.close()).await);
        }
    }

    async fn again(&self) -> Option<Connection> {
        let mut connection = match lock(&self.options).await {
            Ok(connection) => connection?,
            Err(error) => {
                tracing::debug!(%error, "Could not claim the database again");
                return None;
            }
        };
        let latest = self.fence.is_latest(&mut connection, CLAIM);
        if let Ok(Ok(true)) = timeout(PATIENCE, latest).await {
            tracing::info!("Claimed the database again");
        }
        Some(connection)
    }
}

async fn alive(mut connection: Connection) -> Option<Connection> {
    let broken = match timeout(PATIENCE, connection.ping()).await {
        Ok(Ok(())) => return Some(connection),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer".to_owned(),
    };
    tracing::warn!(error = broken, "The connection that claims the database broke");
    None
}

/// A connection that holds the lock; `None`: another holds it.
async fn lock(options: &AnyConnectOptions) -> Result<Option<Connection>, sqlx::Error> {
    let locked = async {
        // A claim may be the first thing that a command does with a database.
        sqlx::any::install_default_drivers();
        let mut connection = options.connect().await?;
        connection.execute(SETTINGS).await?;
        let lock = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(SERVING);
        let got: bool = lock.fetch_one(&mut connection).await?;
        Ok(got.then_some(connection))
    };
    let slow = |_| sqlx::Error::Io(io::ErrorKind::TimedOut.into());
    timeout(PATIENCE, locked).await.map_err(slow)?
}

fn lock_file(path: &Path) -> Result<File, StoreError> {
    let file = private_file(&path.with_extension("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(source)) => Err(StoreError::File { source }),
    }
}

const EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

/// The name, among a database's advisory locks, of the one that a serving relay holds.
const SERVING: i64 = 0x6164_6974_0002;

// A relay whose machine vanished holds its claim for half a minute, not for hours.
const SETTINGS: &str = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 4";

const NEXT_CLAIM: &str = "INSERT INTO counters (name, value) VALUES ('serving', 1)
    ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value";
const CLAIM: &str = "SELECT value FROM counters WHERE name = 'serving'";
// A later claim waits until who has seen this one has written.
const CLAIM_OF_WRITERS: &str = "SELECT value FROM counters WHERE name = 'serving' FOR SHARE";
