//! The one task that writes audit events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use session::{AuditError, Stamped};
use sqlx::SqlitePool;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::queue::{ENTRIES, Entry};
use super::table::{Row, insert};

/// Takes all that waits, stores it in one transaction, and answers everyone who waits for it: the
/// more come at once, the less each costs.
pub(crate) struct Writer {
    database: SqlitePool,
    entries: Receiver<Entry>,
    closings: Receiver<Stamped>,
    /// Closing records that must not be lost. While they can not be stored no more are taken, so
    /// they and their places are as many as there may be sessions.
    kept: Vec<Row>,
    dropped: Arc<AtomicU64>,
    stop: CancellationToken,
    stopping: bool,
    /// Whether more events can come.
    open: Open,
    failures: u32,
    retry: Instant,
}

#[derive(Clone, Copy)]
struct Open {
    entries: bool,
    closings: bool,
}

impl Writer {
    pub(crate) fn new(
        database: SqlitePool,
        entries: Receiver<Entry>,
        closings: Receiver<Stamped>,
        dropped: Arc<AtomicU64>,
        stop: CancellationToken,
    ) -> Self {
        let open = Open { entries: true, closings: true };
        let retry = Instant::now();
        Self {
            database,
            entries,
            closings,
            kept: Vec::new(),
            dropped,
            stop,
            stopping: false,
            open,
            failures: 0,
            retry,
        }
    }

    /// Writes until no more events can come and all that were promised are stored.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(ENTRIES);
        while self.gather(&mut batch).await {
            self.report_dropped();
            if !batch.is_empty() || !self.kept.is_empty() {
                let stored = self.store(&batch).await;
                self.settle(&mut batch, stored);
            }
        }
        self.report_dropped();
    }

    /// Waits for work and takes all there is; `false` once there will be none.
    async fn gather(&mut self, batch: &mut Vec<Entry>) -> bool {
        let mut ended = Vec::new();
        tokio::select! {
            biased;
            () = self.stop.cancelled(), if !self.stopping => self.take_no_more(),
            taken = self.closings.recv_many(&mut ended, ENTRIES),
                if self.open.closings && self.kept.is_empty() => self.open.closings = taken > 0,
            taken = self.entries.recv_many(batch, ENTRIES),
                if self.open.entries => self.open.entries = taken > 0,
            () = sleep_until(self.retry), if !self.kept.is_empty() => {}
            else => return false,
        }
        if self.kept.is_empty() {
            while ended.len() < ENTRIES
                && let Ok(event) = self.closings.try_recv()
            {
                ended.push(event);
            }
            self.kept = ended.iter().filter_map(closing).collect();
        }
        // After the closings: what a session did was noted before it ended, and is stored before.
        while batch.len() < ENTRIES
            && let Ok(entry) = self.entries.try_recv()
        {
            batch.push(entry);
        }
        true
    }

    /// Ends the queue for new events; reserved places stay good.
    fn take_no_more(&mut self) {
        self.stopping = true;
        self.entries.close();
        self.closings.close();
    }

    async fn store(&self, batch: &[Entry]) -> Result<(), sqlx::Error> {
        let rows: Vec<_> = batch.iter().map(|entry| &entry.row).chain(&self.kept).collect();
        let mut tx = self.database.begin_with("BEGIN IMMEDIATE").await?;
        insert(&mut tx, &rows).await?;
        tx.commit().await
    }

    /// Tells everyone how it went.
    fn settle(&mut self, batch: &mut Vec<Entry>, stored: Result<(), sqlx::Error>) {
        let failed = match stored {
            Ok(()) => {
                self.kept.clear();
                self.failures = 0;
                None
            }
            Err(error) => Some(self.keep(error)),
        };
        for entry in batch.drain(..) {
            match (entry.stored, &failed) {
                // Who no longer waits no longer needs to know.
                (Some(waiter), None) => drop(waiter.send(Ok(()))),
                (Some(waiter), Some(error)) => {
                    let source = Box::new(error.clone());
                    drop(waiter.send(Err(AuditError::Store { source })));
                }
                (None, None) => {}
                (None, Some(_)) => drop(self.dropped.fetch_add(1, Ordering::Relaxed)),
            }
        }
    }

    fn keep(&mut self, error: sqlx::Error) -> Arc<sqlx::Error> {
        let error = Arc::new(error);
        let waiting = self.kept.len();
        tracing::error!(error = &*error as &dyn std::error::Error, waiting, "Could not record");
        self.retry = Instant::now() + pause(self.failures);
        self.failures += 1;
        if !self.open.entries && !self.open.closings && self.failures >= LAST_TRY {
            // The next start finds these sessions without an end, and writes one.
            tracing::error!(lost = waiting, "Gave up recording how sessions ended");
            self.kept.clear();
        }
        error
    }

    fn report_dropped(&self) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, "Events were left out of the audit log");
        }
    }
}

/// A relay that stops while its disk is full waits about ten seconds for it.
const LAST_TRY: u32 = 8;

/// 100 ms, doubled with each failure up to 5 s.
fn pause(failures: u32) -> Duration {
    Duration::from_millis(100 << failures.min(6)).min(Duration::from_secs(5))
}

fn closing(stamped: &Stamped) -> Option<Row> {
    Row::of(stamped)
        .inspect_err(|error| tracing::error!(%error, "Could not write down how a session ended"))
        .ok()
}
