//! What channels have still to be told of requests for access.

use std::time::SystemTime;

use access::{Name, RuleId};
use sqlx::Row as _;
use uuid::Uuid;

use crate::columns::Columns;
use crate::db::Row;
use crate::{Store, StoreError, clock};

/// One thing that a channel has still to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeRow {
    pub id: Uuid,
    pub request: RuleId,
    /// What became of the request then.
    pub event: String,
    /// Unix seconds.
    pub created: u64,
    /// How often it was tried.
    pub attempts: u32,
}

/// What one channel has still to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoticesWaiting {
    pub count: u64,
    /// Since when the oldest waits, in Unix seconds.
    pub oldest: Option<u64>,
}

impl Store {
    /// Has channels be told of a request, and says how many will be: one that has too much to be told
    /// already is left out.
    pub async fn add_notices(
        &self,
        request: RuleId,
        event: &str,
        channels: &[Name],
        now: SystemTime,
    ) -> Result<usize, StoreError> {
        let mut added = 0;
        for channel in channels {
            let done = sqlx::query(ADD)
                .bind(Uuid::now_v7().to_string())
                .bind(channel.as_str())
                .bind(request.to_string())
                .bind(event)
                .bind(clock::column(clock::seconds(now)))
                .bind(clock::column(clock::millis(now)))
                .bind(MOST)
                .execute(&self.inner.writer)
                .await?;
            added += usize::from(done.rows_affected() > 0);
        }
        Ok(added)
    }

    /// How much a channel has still to be told.
    pub async fn notices_waiting(&self, channel: &Name) -> Result<NoticesWaiting, StoreError> {
        let row = sqlx::query(WAITING).bind(channel.as_str()).fetch_one(&self.inner.readers);
        let row = row.await?;
        Ok(NoticesWaiting { count: row.number("waiting")?, oldest: row.perhaps_number("oldest")? })
    }

    /// Forgets what is older, for whatever channel.
    pub async fn forget_notices_before(&self, before: SystemTime) -> Result<(), StoreError> {
        let forget = sqlx::query("DELETE FROM notices WHERE created < $1");
        let forget = forget.bind(clock::column(clock::seconds(before)));
        forget.execute(&self.inner.writer).await?;
        Ok(())
    }

    /// The oldest thing that a channel may be told now.
    pub async fn due_notice(
        &self,
        channel: &Name,
        now: SystemTime,
    ) -> Result<Option<NoticeRow>, StoreError> {
        let row = sqlx::query(DUE).bind(channel.as_str()).bind(clock::column(clock::millis(now)));
        let row = row.fetch_optional(&self.inner.readers).await?;
        row.as_ref().map(notice).transpose()
    }

    /// Forgets a notice: it was taken, or will not be.
    pub async fn forget_notice(&self, id: Uuid) -> Result<(), StoreError> {
        let forget = sqlx::query("DELETE FROM notices WHERE id = $1").bind(id.to_string());
        forget.execute(&self.inner.writer).await?;
        Ok(())
    }

    /// Tries a notice again, not before `due`.
    pub async fn put_off_notice(&self, id: Uuid, due: SystemTime) -> Result<(), StoreError> {
        let put_off = sqlx::query(PUT_OFF).bind(id.to_string());
        let put_off = put_off.bind(clock::column(clock::millis(due)));
        put_off.execute(&self.inner.writer).await?;
        Ok(())
    }
}

fn notice(row: &Row) -> Result<NoticeRow, StoreError> {
    Ok(NoticeRow {
        id: row.parsed("id")?,
        request: row.parsed("request_id")?,
        event: row.try_get("event")?,
        created: row.number("created")?,
        attempts: row.number("attempts")?,
    })
}

const ADD: &str = "INSERT INTO notices (id, channel, request_id, event, created, attempts, due_ms)
    SELECT $1, $2, $3, $4, $5, 0, $6
    WHERE (SELECT COUNT(*) FROM notices WHERE channel = $2) < $7";

const WAITING: &str = "SELECT COUNT(*) AS waiting, MIN(created) AS oldest FROM notices
    WHERE channel = $1";

/// What waits for one channel, at most.
const MOST: i64 = 10_000;

/// What is told of one request comes in its order: nobody hears that it was granted and then of it.
const DUE: &str = "SELECT id, request_id, event, created, attempts FROM notices
    WHERE channel = $1 AND due_ms <= $2 AND NOT EXISTS (SELECT 1 FROM notices before
        WHERE before.channel = $1 AND before.request_id = notices.request_id AND before.id < notices.id)
    ORDER BY id LIMIT 1";

const PUT_OFF: &str = "UPDATE notices SET attempts = attempts + 1, due_ms = $2 WHERE id = $1";
