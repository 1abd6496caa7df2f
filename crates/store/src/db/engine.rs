//! What the two engines say differently.

use super::{Engine, Pool, Transaction};

impl Engine {
    /// Begins a transaction that no other change of the configuration runs beside.
    pub(crate) async fn begin_change(self, pool: &Pool) -> Result<Transaction, sqlx::Error> {
        let mut tx = self.begin_write(pool).await?;
        if self == Self::Postgres {
            sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(CHANGES).execute(&mut *tx).await?;
        }
        Ok(tx)
    }

    /// Begins a transaction that writes. With SQLite it is the only one.
    pub(crate) async fn begin_write(self, pool: &Pool) -> Result<Transaction, sqlx::Error> {
        match self {
            // Immediate: what reads before it writes must not lose its place in between.
            Self::Sqlite => pool.begin_with("BEGIN IMMEDIATE").await,
            Self::Postgres => pool.begin().await,
        }
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
