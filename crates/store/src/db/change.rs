//! Changes of what policy is made of, one after the other.

use super::{Connection, Transaction};
use crate::cluster::wake;
use crate::{Store, StoreError, clock};

impl Store {
    /// Begins a change of what policy is made of; others wait for its end.
    pub(crate) async fn changing(&self) -> Result<Changing, StoreError> {
        let mut tx = self.inner.engine.begin_change(&self.inner.writer).await?;
        self.inner.fence.check(&mut tx).await?;
        Ok(Changing { tx, store: self.clone() })
    }
}

/// A change in progress. Dropping it undoes it.
pub(crate) struct Changing {
    tx: Transaction,
    store: Store,
}

impl Changing {
    pub(crate) fn db(&mut self) -> &mut Connection {
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
            if store.inner.fence.epoch().is_some() {
                wake(&mut tx).await?;
            }
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
pub(crate) async fn version(db: &mut Connection) -> Result<u64, StoreError> {
    let version = "SELECT value FROM counters WHERE name = 'policy'";
    let version = sqlx::query_scalar(version).fetch_one(db).await?;
    clock::number(version, "policy version")
}

const NEXT_VERSION: &str =
    "UPDATE counters SET value = value + 1 WHERE name = 'policy' RETURNING value";
