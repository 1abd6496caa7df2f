//! One batch into the database.

use std::sync::Arc;
use std::time::Duration;

use chain::HeadKey;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Work;
use crate::audit::{End, Row, append, append_at_once, first_ends, without_second_ends};
use crate::cluster::note_live;
use crate::db::{Connection, Engine, Fence, Pool};

/// Stores batches, each in one transaction.
pub(crate) struct Recorder {
    engine: Engine,
    database: Pool,
    fence: Fence,
    key: Arc<HeadKey>,
    /// Where our last batch ended the chain; unknown after a failure.
    end: Option<End>,
    /// The last record this process stored.
    recorded: watch::Sender<u64>,
}

/// What became of each token that was to be spent, in the order of the batch.
pub(super) type Uses = Vec<Option<u32>>;

/// Whether sessions of the batch may have an end in the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    First,
    PerhapsSecond,
}

impl Recorder {
    pub(crate) fn new(engine: Engine, database: Pool, fence: Fence, key: Arc<HeadKey>) -> Self {
        Self { engine, database, fence, key, end: None, recorded: watch::Sender::new(0) }
    }

    /// Tells the last record after each batch.
    pub(super) fn recorded(&self) -> watch::Receiver<u64> {
        self.recorded.subscribe()
    }

    /// Stores the batch and the closing records `kept`. A second end of one session is left out.
    pub(super) async fn store(
        &mut self,
        batch: &[Work],
        kept: &[Row],
    ) -> Result<Uses, sqlx::Error> {
        match self.attempt(batch, kept, Ends::First).await {
            // Seldom, so it is not looked for each time: a try whose answer was lost has stored an
            // end, or the start of another relay has written one.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                self.attempt(batch, kept, Ends::PerhapsSecond).await
            }
            stored => stored,
        }
    }

    async fn attempt(
        &mut self,
        batch: &[Work],
        kept: &[Row],
        ends: Ends,
    ) -> Result<Uses, sqlx::Error> {
        let mut connection = self.database.acquire().await?;
        if let Some(stored) = self.at_once(&mut connection, (batch, kept), ends).await {
            if stored.is_err() {
                // The transaction may be open in it.
                connection.close_on_drop();
            }
            return stored;
        }
        let engine = self.engine;
        let stored = self.transact(&mut connection, (batch, kept), ends);
        let (end, uses) = match engine {
            Engine::Sqlite => stored.await?,
            Engine::Postgres => match timeout(PATIENCE, stored).await {
                Ok(stored) => stored?,
                Err(_) => {
                    // Whatever it was in the middle of, it is of no more use.
                    connection.close_on_drop();
                    return Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
                }
            },
        };
        self.ended(end);
        Ok(uses)
    }

    fn ended(&mut self, end: End) {
        self.recorded.send_replace(end.seq());
        self.end = Some(end);
    }

    /// The quick way, where it is one: a few rows into a file, after our own last ones.
    async fn at_once(
        &mut self,
        connection: &mut Connection,
        (batch, kept): (&[Work], &[Row]),
        ends: Ends,
    ) -> Option<Result<Uses, sqlx::Error>> {
        let plain = batch.iter().all(|work| work.row().is_some());
        let quick = self.engine == Engine::Sqlite && !self.fence.is_up();
        let quick = quick && plain && ends == Ends::First;
        let known = self.end.take_if(|_| quick)?;
        let rows = first_ends(batch.iter().filter_map(Work::row).chain(kept).collect());
        match append_at_once(connection, &self.key, &known, &rows).await {
            Ok(Some(end)) => {
                self.ended(end);
                Some(Ok(Uses::new()))
            }
            Ok(None) => {
                self.end = Some(known);
                None
            }
            Err(error) => Some(Err(error)),
        }
    }

    async fn transact(
        &mut self,
        connection: &mut Connection,
        (batch, kept): (&[Work], &[Row]),
        ends: Ends,
    ) -> Result<(End, Uses), sqlx::Error> {
        let mut rows = first_ends(batch.iter().filter_map(Work::row).chain(kept).collect());
        let spends = batch.iter().any(|work| work.row().is_none());
        let known = self.end.take();
        let mut tx = self.engine.begin_records(connection, spends).await?;
        self.fence.check(&mut tx).await?;
        let uses = spend(&mut tx, batch).await?;
        if ends == Ends::PerhapsSecond {
            rows = without_second_ends(&mut tx, rows).await?;
        }
        let end = append((self.engine, &mut tx), &self.key, known, &rows).await?;
        if let Some(epoch) = self.fence.epoch() {
            note_live(&mut tx, epoch, &rows).await?;
        }
        tx.commit().await?;
        Ok((end, uses))
    }
}

async fn spend(db: &mut Connection, batch: &[Work]) -> Result<Uses, sqlx::Error> {
    let mut uses = Uses::new();
    for work in batch {
        if let Work::Spend { spend, .. } = work {
            uses.push(spend.run(db).await?);
        }
    }
    Ok(uses)
}

/// How long a server may take for one batch. If it lives, it says no by itself before that.
const PATIENCE: Duration = Duration::from_secs(30);
