//! How events come in: waited for, reserved, or by the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use session::{AuditError, AuditEvent, AuditLog, ClosingSlot, Stamped};
use sqlx::SqlitePool;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::table::Row;
use super::writer::Writer;
use crate::Store;

/// Where events wait for the writer.
pub(crate) struct Queue {
    entries: mpsc::Sender<Entry>,
    /// Apart from the others: a place here is kept from a session's opening to its end.
    closings: mpsc::Sender<Stamped>,
    dropped: Arc<AtomicU64>,
    stop: CancellationToken,
}

/// An event, and who waits for it to be stored.
pub(crate) struct Entry {
    pub(crate) row: Row,
    pub(crate) stored: Option<oneshot::Sender<Result<(), AuditError>>>,
}

/// A queue with places for the closing records of `max_sessions` sessions, and its writer.
pub(crate) fn queue(database: SqlitePool, max_sessions: usize) -> (Queue, Writer) {
    let (entries, waiting) = mpsc::channel(ENTRIES);
    let (closings, ended) = mpsc::channel(max_sessions.max(1));
    let dropped = Arc::new(AtomicU64::new(0));
    let stop = CancellationToken::new();
    let writer = Writer::new(database, waiting, ended, dropped.clone(), stop.clone());
    (Queue { entries, closings, dropped, stop }, writer)
}

impl Queue {
    /// Lets the writer end once it has stored what was taken and every reserved place is filled.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }
}

#[async_trait]
impl AuditLog for Store {
    async fn reserve(&self) -> Result<ClosingSlot, AuditError> {
        let place = self.inner.audit.closings.clone().reserve_owned().await;
        place.map(ClosingSlot::new).map_err(|_| AuditError::Stopped)
    }

    async fn append(&self, event: AuditEvent) -> Result<(), AuditError> {
        let row = row(event)?;
        let (stored, answer) = oneshot::channel();
        let entry = Entry { row, stored: Some(stored) };
        self.inner.audit.entries.send(entry).await.map_err(|_| AuditError::Stopped)?;
        answer.await.unwrap_or(Err(AuditError::Stopped))
    }

    fn note(&self, event: AuditEvent) {
        let queue = &self.inner.audit;
        let taken =
            row(event).is_ok_and(|row| queue.entries.try_send(Entry { row, stored: None }).is_ok());
        if !taken {
            // The writer says how many, so that a flood of these is no flood of log lines.
            queue.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Store {
    /// The audit log as gateways and the broker take it.
    pub fn audit(&self) -> Arc<dyn AuditLog> {
        Arc::new(self.clone())
    }
}

/// Events that wait at most; past that, who must record waits and who may miss is counted.
pub(crate) const ENTRIES: usize = 4096;

fn row(event: AuditEvent) -> Result<Row, AuditError> {
    let stamped = Stamped { at: SystemTime::now(), event };
    Row::of(&stamped).map_err(|source| AuditError::Store { source: source.into() })
}
