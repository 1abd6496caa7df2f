use std::sync::Arc;
use std::time::Duration;

use session::{AuditError, Stamped};
use tokio::sync::mpsc::Receiver;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::recorder::{Recorder, Uses};
use super::{Dropped, WAITING, Work};
use crate::audit::Row;

/// Takes all that waits, stores it in one transaction, and answers everyone who waits for it: the
/// more come at once, the less each costs.
pub(crate) struct Writer {
    recorder: Recorder,
    work: Receiver<Work>,
    closings: Receiver<Stamped>,
    /// Closing records that must not be lost. While they can not be stored no more are taken, so
    /// they and their places are as many as there may be sessions.
    kept: Vec<Row>,
    dropped: Arc<Dropped>,
    stop: CancellationToken,
    stopping: bool,
    /// Whether more can come.
    open: Open,
    failures: u32,
    retry: Instant,
}

#[derive(Clone, Copy)]
struct Open {
    work: bool,
    closings: bool,
}

impl Writer {
    pub(super) fn new(
        recorder: Recorder,
        work: Receiver<Work>,
        closings: Receiver<Stamped>,
        dropped: Arc<Dropped>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            recorder,
            work,
            closings,
            kept: Vec::new(),
            dropped,
            stop,
            stopping: false,
            open: Open { work: true, closings: true },
            failures: 0,
            retry: Instant::now(),
        }
    }

    /// Writes until no more work can come and all that was promised is stored.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(WAITING);
        while self.gather(&mut batch).await {
            self.report_dropped();
            if !batch.is_empty() || !self.kept.is_empty() {
                let stored = self.recorder.store(&batch, &self.kept).await;
                self.settle(&mut batch, stored);
            }
        }
        self.report_dropped();
    }

    /// Waits for work and takes all there is; `false` once there will be none.
    async fn gather(&mut self, batch: &mut Vec<Work>) -> bool {
        let mut ended = Vec::new();
        tokio::select! {
            biased;
            () = self.stop.cancelled(), if !self.stopping => self.take_no_more(),
            taken = self.closings.recv_many(&mut ended, WAITING),
                if self.open.closings && self.kept.is_empty() => self.open.closings = taken > 0,
            taken = self.work.recv_many(batch, WAITING),
                if self.open.work => self.open.work = taken > 0,
            () = sleep_until(self.retry), if !self.kept.is_empty() => {}
            else => return false,
        }
        if batch.is_empty() && !ended.is_empty() && self.open.work {
            self.linger(batch).await;
        }
        // Tasks that are ready to run now may be about to ask for a record too.
        yield_now().await;
        if self.kept.is_empty() {
            while ended.len() < WAITING
                && let Ok(event) = self.closings.try_recv()
            {
                ended.push(event);
            }
            self.kept = ended.iter().filter_map(closing).collect();
        }
        // After the closings: what a session did was noted before it ended, and is stored before.
        while batch.len() < WAITING
            && let Ok(work) = self.work.try_recv()
        {
            batch.push(work);
        }
        true
    }

    /// Nobody waits for a closing record, so it may wait a moment for the commit of one who does:
    /// the next session need not then wait for two.
    async fn linger(&mut self, batch: &mut Vec<Work>) {
        if let Ok(taken) = timeout(LINGER, self.work.recv_many(batch, WAITING)).await {
            self.open.work = taken > 0;
        }
    }

    /// Ends the queue for new work; reserved places stay good.
    fn take_no_more(&mut self) {
        self.stopping = true;
        self.work.close();
        self.closings.close();
    }

    /// Tells everyone how it went.
    fn settle(&mut self, batch: &mut Vec<Work>, stored: Result<Uses, sqlx::Error>) {
        match stored {
            Ok(uses) => {
                self.kept.clear();
                self.failures = 0;
                succeed(batch.drain(..), uses);
            }
            Err(error) => {
                let error = Arc::new(error);
                self.keep(&error);
                self.fail(batch.drain(..), &error);
            }
        }
    }

    /// Has the closing records wait for the next try.
    fn keep(&mut self, error: &sqlx::Error) {
        let waiting = self.kept.len();
        tracing::error!(error = error as &dyn std::error::Error, waiting, "Could not record");
        self.retry = Instant::now() + pause(self.failures);
        self.failures += 1;
        if !self.open.work && self.failures >= LAST_TRY {
            // The next start finds these sessions without an end, and writes one.
            tracing::error!(lost = waiting, "Gave up recording how sessions ended");
            self.kept.clear();
        }
    }

    fn fail(&self, batch: impl Iterator<Item = Work>, error: &Arc<sqlx::Error>) {
        for work in batch {
            match work {
                Work::Record { stored, .. } => {
                    let source = Box::new(error.clone());
                    drop(stored.send(Err(AuditError::Store { source })));
                }
                Work::Note { .. } => self.dropped.count(),
                Work::Spend { spent, .. } => drop(spent.send(Err(error.clone()))),
            }
        }
    }

    fn report_dropped(&self) {
        let dropped = self.dropped.take_unsaid();
        if dropped > 0 {
            tracing::warn!(dropped, "Events were left out of the audit log");
        }
    }
}

impl Work {
    pub(super) fn row(&self) -> Option<&Row> {
        match self {
            Self::Record { row, .. } | Self::Note { row } => Some(row),
            Self::Spend { .. } => None,
        }
    }
}

// Who no longer waits no longer needs to know.
fn succeed(batch: impl Iterator<Item = Work>, uses: Uses) {
    let mut uses = uses.into_iter();
    for work in batch {
        match work {
            Work::Record { stored, .. } => drop(stored.send(Ok(()))),
            Work::Note { .. } => {}
            Work::Spend { spent, .. } => drop(spent.send(Ok(uses.next().flatten()))),
        }
    }
}

/// How long a closing record may wait before it is written by itself.
const LINGER: Duration = Duration::from_millis(5);

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
