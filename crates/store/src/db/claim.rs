//! The claim on a database: one relay serves from it at a time, or several that each have a name.
//!
//! A file has a lock beside it, which ends with the process. A server has an advisory lock on a
//! connection of its own, and that can break while the relay lives; so each claim has a number
//! too, and whoever writes sees in the same transaction that no later one was made; or, of several
//! relays, that its own row in `relays` still stands.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use access::Name;
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
    ours: watch::Sender<Option<Ours>>,
    taken: watch::Sender<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ours {
    /// The latest claim's, where one relay serves alone.
    Alone(i64),
    /// The epoch of this relay's row, where several do.
    OneOfSeveral(i64),
}

impl Claim {
    /// Claims the database, or says that another relay has it.
    pub(crate) async fn take(at: &Location, fence: &Fence) -> Result<Self, StoreError> {
        match &at.0 {
            Place::File(path) => Ok(Self { _file: Some(lock_file(path)?), keeper: None }),
            Place::Server(options) => {
                let held = lock(options, None).await?.ok_or(StoreError::InUse)?;
                Ok(Self::kept(options, fence, None, held))
            }
        }
    }

    /// Claims the database for one of several relays. Another one of this name, and one that serves
    /// alone, are refused, and refuse it.
    pub(crate) async fn share(
        at: &Location,
        fence: &Fence,
        name: &Name,
    ) -> Result<Self, StoreError> {
        let Place::Server(options) = &at.0 else { return Err(StoreError::OneRelay) };
        match lock(options, Some(name)).await? {
            Some(held) => Ok(Self::kept(options, fence, Some(name.clone()), held)),
            None if serves_alone(options).await? => Err(StoreError::InUse),
            None => Err(StoreError::NameTaken(name.clone())),
        }
    }

    fn kept(
        options: &AnyConnectOptions,
        fence: &Fence,
        name: Option<Name>,
        held: Connection,
    ) -> Self {
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let (options, fence) = (options.clone(), fence.clone());
        let keeper = Keeper { options, name, fence, stop: stop.clone() };
        tracker.spawn(keeper.run(held));
        tracker.close();
        Self { _file: None, keeper: Some((stop.drop_guard(), tracker)) }
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
        self.0.ours.send_replace(Some(Ours::Alone(number)));
    }

    /// The row of this epoch is stored: from now on it is looked at.
    pub(crate) fn stand_among(&self, epoch: i64) {
        self.0.ours.send_replace(Some(Ours::OneOfSeveral(epoch)));
    }

    /// This relay's epoch, where it is one of several.
    pub(crate) fn epoch(&self) -> Option<i64> {
        match *self.0.ours.borrow() {
            Some(Ours::OneOfSeveral(epoch)) => Some(epoch),
            Some(Ours::Alone(_)) | None => None,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.0.ours.borrow().is_some()
    }

    /// Fails if another relay has claimed the database since, or taken this one's row away.
    pub(crate) async fn check(&self, db: &mut Connection) -> Result<(), sqlx::Error> {
        if !self.is_up() || self.is_good(db, Looks::AsWriter).await? {
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

    /// This relay's row is gone.
    pub(crate) fn fell(&self) {
        if !self.0.taken.send_replace(true) {
            tracing::error!("Another relay has taken the database over");
        }
    }

    async fn is_good(&self, db: &mut Connection, looks: Looks) -> Result<bool, sqlx::Error> {
        let ours = *self.0.ours.borrow();
        let is_ours = match ours {
            None => true,
            Some(Ours::Alone(number)) => {
                let latest: Option<i64> = sqlx::query_scalar(looks.of([CLAIM, CLAIM_OF_WRITERS]))
                    .fetch_optional(db)
                    .await?;
                latest == Some(number)
            }
            Some(Ours::OneOfSeveral(epoch)) => {
                let row = sqlx::query(looks.of([ROW, ROW_OF_WRITERS])).bind(epoch);
                row.fetch_optional(db).await?.is_some()
            }
        };
        if !is_ours {
            self.fell();
        }
        Ok(is_ours)
    }
}

/// Whether whoever looks is about to write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looks {
    Only,
    AsWriter,
}

impl Looks {
    fn of(self, [only, as_writer]: [&'static str; 2]) -> &'static str {
        match self {
            Self::Only => only,
            Self::AsWriter => as_writer,
        }
    }
}

/// Keeps the lock of a claim, and takes it again after its connection broke.
struct Keeper {
    options: AnyConnectOptions,
    /// Of one of several relays.
    name: Option<Name>,
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
            drop(timeout(PATIENCE, let_go(connection)).await);
        }
    }

    async fn again(&self) -> Option<Connection> {
        let mut connection = match lock(&self.options, self.name.as_ref()).await {
            Ok(connection) => connection?,
            Err(error) => {
                tracing::debug!(%error, "Could not claim the database again");
                return None;
            }
        };
        let latest = self.fence.is_good(&mut connection, Looks::Only);
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

/// A connection that holds the lock; `None`: another holds it. One of several relays shares it with
/// the others, and has one for its `name` too.
async fn lock(
    options: &AnyConnectOptions,
    name: Option<&Name>,
) -> Result<Option<Connection>, sqlx::Error> {
    let locked = async {
        // A claim may be the first thing that a command does with a database.
        sqlx::any::install_default_drivers();
        let mut connection = options.connect().await?;
        connection.execute(SETTINGS).await?;
        let lock = match name {
            None => sqlx::query_scalar(LOCK).bind(SERVING),
            Some(name) => sqlx::query_scalar(SHARED_LOCK).bind(SERVING).bind(name.to_string()),
        };
        if lock.fetch_one(&mut connection).await? {
            return Ok(Some(connection));
        }
        // One of two may be held.
        let_go(connection).await?;
        Ok(None)
    };
    let slow = |_| sqlx::Error::Io(io::ErrorKind::TimedOut.into());
    timeout(PATIENCE, locked).await.map_err(slow)?
}

/// Whether a relay without a name serves from the database.
async fn serves_alone(options: &AnyConnectOptions) -> Result<bool, sqlx::Error> {
    let mut connection = options.connect().await?;
    let shared = sqlx::query_scalar("SELECT pg_try_advisory_lock_shared($1)").bind(SERVING);
    let shared: bool = shared.fetch_one(&mut connection).await?;
    let_go(connection).await?;
    Ok(!shared)
}

/// Closes a connection whose locks others may have from then on: a server that is only left notices
/// some time later.
async fn let_go(mut connection: Connection) -> Result<(), sqlx::Error> {
    connection.execute("SELECT pg_advisory_unlock_all()").await?;
    connection.close().await
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
const LOCK: &str = "SELECT pg_try_advisory_lock($1)";
const SHARED_LOCK: &str = "SELECT pg_try_advisory_lock_shared($1)
    AND pg_try_advisory_lock(hashtextextended('adit relay ' || $2, 0))";

// A relay whose machine vanished holds its claim for half a minute, not for hours.
const SETTINGS: &str = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 4";

const NEXT_CLAIM: &str = "INSERT INTO counters (name, value) VALUES ('serving', 1)
    ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value";
const CLAIM: &str = "SELECT value FROM counters WHERE name = 'serving'";
// A later claim waits until who has seen this one has written.
const CLAIM_OF_WRITERS: &str = "SELECT value FROM counters WHERE name = 'serving' FOR SHARE";
const ROW: &str = "SELECT epoch FROM relays WHERE epoch = $1";
// Who takes the row away waits until who has seen it has written; its beat does not wait.
const ROW_OF_WRITERS: &str = "SELECT epoch FROM relays WHERE epoch = $1 FOR KEY SHARE";
