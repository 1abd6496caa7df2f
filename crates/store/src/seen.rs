//! When users, agents and connectors were last there.

use std::collections::HashMap;
use std::net::IpAddr;

use access::{AgentId, ConnectorId, UserId};
use sqlx::FromRow;

use crate::columns::Columns;
use crate::db::Row;
use crate::{Store, StoreError, clock};

/// Who can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Known {
    User(UserId),
    Agent(AgentId),
    Connector(ConnectorId),
}

/// One look at somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Unix seconds.
    pub at: u64,
    pub from: Option<IpAddr>,
    /// Of users: by which door. Of connectors: their software.
    pub by: Option<String>,
}

impl Store {
    /// Keeps when these were seen, where that is later than what is kept. It changes no
    /// configuration: nobody is told.
    pub async fn note_seen(&self, seen: &[(Known, Seen)]) -> Result<(), StoreError> {
        // In pieces, so that who waits for the database waits for a few of them only.
        for some in seen.chunks(AT_ONCE) {
            let mut tx = self.inner.engine.begin_change(&self.inner.writer).await?;
            self.inner.fence.check(&mut tx).await?;
            for (who, Seen { at, from, by }) in some {
                let (statement, id) = match who {
                    Known::User(id) => (USER, id.to_string()),
                    Known::Agent(id) => (AGENT, id.to_string()),
                    Known::Connector(id) => (CONNECTOR, id.to_string()),
                };
                sqlx::query(statement)
                    .bind(id)
                    .bind(clock::column(*at))
                    .bind(from.map(|from| from.to_string()))
                    .bind(by)
                    .execute(&mut *tx)
                    .await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }

    /// When each of them was last seen, of those who ever were.
    pub async fn seen(&self) -> Result<HashMap<Known, Seen>, StoreError> {
        let mut tx = self.reading().await?;
        let mut seen = HashMap::new();
        for row in sqlx::query(USERS).fetch_all(&mut *tx).await? {
            seen.insert(Known::User(row.parsed("id")?), Seen::from_row(&row)?);
        }
        for row in sqlx::query(AGENTS).fetch_all(&mut *tx).await? {
            seen.insert(Known::Agent(row.parsed("id")?), Seen::from_row(&row)?);
        }
        for row in sqlx::query(CONNECTORS).fetch_all(&mut *tx).await? {
            seen.insert(Known::Connector(row.parsed("id")?), Seen::from_row(&row)?);
        }
        Ok(seen)
    }
}

impl FromRow<'_, Row> for Seen {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        let (at, from) = (row.number("seen")?, row.perhaps("seen_from")?);
        Ok(Self { at, from, by: sqlx::Row::try_get(row, "seen_by")? })
    }
}

/// Rows of one transaction.
const AT_ONCE: usize = 200;

const USER: &str = "UPDATE users SET seen = $2, seen_from = $3, seen_door = $4
    WHERE id = $1 AND (seen IS NULL OR seen <= $2)";
const AGENT: &str = "UPDATE agents SET seen = $2, seen_from = $3
    WHERE id = $1 AND (seen IS NULL OR seen <= $2) AND CAST($4 AS TEXT) IS NULL";
const CONNECTOR: &str = "UPDATE connectors SET seen = $2, seen_from = $3, seen_version = $4
    WHERE id = $1 AND (seen IS NULL OR seen <= $2)";

const USERS: &str = "SELECT id, seen, seen_from, seen_door AS seen_by FROM users
    WHERE seen IS NOT NULL";
const AGENTS: &str = "SELECT id, seen, seen_from, CAST(NULL AS TEXT) AS seen_by FROM agents
    WHERE seen IS NOT NULL";
const CONNECTORS: &str = "SELECT id, seen, seen_from, seen_version AS seen_by FROM connectors
    WHERE seen IS NOT NULL";
