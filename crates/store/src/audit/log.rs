//! The audit log as gateways and the broker see it.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use session::{AuditError, AuditEvent, AuditLog, ClosingSlot, Stamped};

use tokio::sync::watch;

use super::table::Row;
use crate::Store;

impl Store {
    /// The audit log as gateways and the broker take it.
    pub fn audit(&self) -> Arc<dyn AuditLog> {
        Arc::new(self.clone())
    }

    /// The last record this process stored, after each batch; 0 before the first.
    pub fn recorded(&self) -> watch::Receiver<u64> {
        self.inner.queue.recorded()
    }

    /// How many events had no room in the log since the start.
    pub fn audit_dropped(&self) -> u64 {
        self.inner.queue.dropped()
    }
}

#[async_trait]
impl AuditLog for Store {
    async fn reserve(&self) -> Result<ClosingSlot, AuditError> {
        let place = self.inner.queue.reserve().await;
        place.map(ClosingSlot::new).map_err(|_| AuditError::Stopped)
    }

    async fn append(&self, event: AuditEvent) -> Result<(), AuditError> {
        let row = Row::of(&stamped(event));
        let row = row.map_err(|source| AuditError::Store { source: source.into() })?;
        self.inner.queue.record(row).await
    }

    fn note(&self, event: AuditEvent) {
        match Row::of(&stamped(event)) {
            Ok(row) => self.inner.queue.note(row),
            Err(error) => tracing::error!(%error, "Could not write down what happened"),
        }
    }
}

fn stamped(event: AuditEvent) -> Stamped {
    Stamped { at: SystemTime::now(), event }
}
