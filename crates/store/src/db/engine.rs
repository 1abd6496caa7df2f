//! What the two engines say differently.

use sqlx::Connection as _;

use super::{Connection, Engine, Pool, Transaction};

impl Engine {
    /// Begins a transaction that no other change of the configuration runs beside.
    pub(crate) async fn begin_change(self, pool: &Pool) -> Result<Transaction, sqlx::Error> {
        self.begin_alone(pool, false).await
    }

    /// As [`begin_change`](Self::begin_change), for what may take long, or have to wait for another relay
    /// that does it.
    pub(crate) async fn begin_upgrade(self, pool: &Pool) -> Result<Transaction, sqlx::Error> {
        self.begin_alone(pool, true).await
    }

    async fn begin_alone(self, pool: &Pool, has_time: bool) -> Result<Transaction, sqlx::Error> {
        let mut tx = match self {
            // Immediate: what reads before it writes must not lose its place in between.
            Self::Sqlite => return pool.begin_with("BEGIN IMMEDIATE").await,
            Self::Postgres => pool.begin().await?,
        };
        if has_time {
            sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *tx).await?;
        }
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(CHANGES).execute(&mut *tx).await?;
        Ok(tx)
    }

    /// Begins a transaction for audit events and, with `spends`, for uses of tokens. Those keep
    /// changes out, which may take the same tokens in another order.
    pub(crate) async fn begin_records(
        self,
        connection: &mut Connection,
        spends: bool,
    ) -> Result<sqlx::Transaction<'_, sqlx::Any>, sqlx::Error> {
        let mut tx = match self {
            Self::Sqlite => return connection.begin_with("BEGIN IMMEDIATE").await,
            Self::Postgres => connection.begin().await?,
        };
        if spends {
            let lock = sqlx::query("SELECT pg_advisory_xact_lock_shared($1)").bind(CHANGES);
            lock.execute(&mut *tx).await?;
        }
        Ok(tx)
    }

    /// Begins a transaction in which all reads see one moment.
    pub(crate) async fn begin_read(self, pool: &Pool) -> Result<Transaction, sqlx::Error> {
        match self {
            Self::Sqlite => pool.begin().await,
            Self::Postgres => pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await,
        }
    }
}

/// The name, among a database's advisory locks, of the one that changes take.
const CHANGES: i64 = 0x6164_6974_0001;
