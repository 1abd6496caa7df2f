//! The way to the database for what happens with every session: all that waits goes into one
//! transaction, because what costs is the commit.

mod recorder;
mod task;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use session::{AuditError, Stamped};
use tokio::sync::mpsc::OwnedPermit;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::audit::Row;
use crate::tokens::Spend;
pub(crate) use recorder::Recorder;
use task::Writer;

/// Where work waits for the writer.
pub(crate) struct Queue {
    work: mpsc::Sender<Work>,
    /// Apart from the other work: a place here is kept from a session's opening to its end.
    closings: mpsc::Sender<Stamped>,
    dropped: Arc<Dropped>,
    /// The last record this process stored.
    recorded: watch::Receiver<u64>,
    stop: CancellationToken,
}

/// Events that were left out, since the start and since it was last logged.
#[derive(Default)]
pub(crate) struct Dropped {
    total: AtomicU64,
    unsaid: AtomicU64,
}

impl Dropped {
    fn count(&self) {
        self.total.fetch_add(1, Relaxed);
        self.unsaid.fetch_add(1, Relaxed);
    }

    fn take_unsaid(&self) -> u64 {
        self.unsaid.swap(0, Relaxed)
    }
}

/// Something to store, and who waits to hear that it is.
pub(crate) enum Work {
    Record { row: Row, stored: oneshot::Sender<Result<(), AuditError>> },
    Note { row: Row },
    Spend { spend: Spend, spent: oneshot::Sender<Result<Option<u32>, Arc<sqlx::Error>>> },
}

/// The writer has ended, or does so.
#[derive(Debug)]
pub(crate) struct Stopped;

/// A queue with places for the closing records of `max_sessions` sessions, and its writer.
pub(crate) fn queue(recorder: Recorder, max_sessions: usize) -> (Queue, Writer) {
    let (work, waiting) = mpsc::channel(WAITING);
    let (closings, ended) = mpsc::channel(max_sessions.max(1));
    let dropped = Arc::new(Dropped::default());
    let stop = CancellationToken::new();
    let recorded = recorder.recorded();
    let writer = Writer::new(recorder, waiting, ended, dropped.clone(), stop.clone());
    (Queue { work, closings, dropped, recorded, stop }, writer)
}

impl Queue {
    /// Stores the row; waits for its turn and for the disk.
    pub(crate) async fn record(&self, row: Row) -> Result<(), AuditError> {
        let (stored, answer) = oneshot::channel();
        self.send(Work::Record { row, stored }).await.map_err(|Stopped| AuditError::Stopped)?;
        answer.await.unwrap_or(Err(AuditError::Stopped))
    }

    /// Stores the row if there is room for it now.
    pub(crate) fn note(&self, row: Row) {
        if self.work.try_send(Work::Note { row }).is_err() {
            // The writer says how many, so that a flood of these is no flood of log lines.
            self.dropped.count();
        }
    }

    /// Spends one use of a token; `None`: there was none to spend.
    pub(crate) async fn spend(&self, spend: Spend) -> Result<Option<u32>, Arc<sqlx::Error>> {
        let stopped = || Arc::new(sqlx::Error::PoolClosed);
        let (spent, answer) = oneshot::channel();
        self.send(Work::Spend { spend, spent }).await.map_err(|Stopped| stopped())?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Keeps a place for a closing record.
    pub(crate) async fn reserve(&self) -> Result<OwnedPermit<Stamped>, Stopped> {
        self.closings.clone().reserve_owned().await.map_err(|_| Stopped)
    }

    /// How many events were left out since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.total.load(Relaxed)
    }

    /// The last record this process stored, after each batch.
    pub(crate) fn recorded(&self) -> watch::Receiver<u64> {
        self.recorded.clone()
    }

    /// Lets the writer end once it has stored what was taken and every reserved place is filled.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    async fn send(&self, work: Work) -> Result<(), Stopped> {
        self.work.send(work).await.map_err(|_| Stopped)
    }
}

/// Work that waits at most; past that, who must be answered waits and who may miss is counted.
const WAITING: usize = 4096;
