//! Answers to requests that were sent under a key, for whoever has to send one again.
//!
//! They are sealed: an answer may hold a token's text, and the one who needs it most is who lost it
//! on its way.

use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use crate::{Store, StoreError, clock};

/// What is known of a request under a key.
#[derive(Debug)]
pub enum Sent {
    /// It is new: the caller carries it out now, and nobody else does.
    First,
    /// It was begun, and nobody has said what became of it.
    Begun,
    Answered {
        status: u16,
        body: Zeroizing<Vec<u8>>,
    },
    /// Under that key another request was sent.
    Other,
}

impl Store {
    /// Looks a request up by its key's `id`, and begins it where it is new. `request` tells it
    /// from others.
    pub async fn begin_reply(
        &self,
        id: &str,
        request: &str,
        now: SystemTime,
    ) -> Result<Sent, StoreError> {
        let now = clock::seconds(now);
        sqlx::query("DELETE FROM replies WHERE id = $1 AND begun < $2")
            .bind(id)
            .bind(clock::column(now.saturating_sub(KEPT.as_secs())))
            .execute(&self.inner.writer)
            .await?;
        let begun = sqlx::query(BEGIN).bind(id).bind(request).bind(clock::column(now));
        if begun.execute(&self.inner.writer).await?.rows_affected() > 0 {
            return Ok(Sent::First);
        }
        let known = sqlx::query_as("SELECT request, status, sealed FROM replies WHERE id = $1");
        let known: Option<(String, Option<i64>, Option<String>)> =
            known.bind(id).fetch_optional(&self.inner.writer).await?;
        match known {
            Some((other, ..)) if other != request => Ok(Sent::Other),
            Some((_, Some(status), Some(sealed))) => Ok(Sent::Answered {
                status: u16::try_from(status).unwrap_or(500),
                body: self.inner.sealer.open(&reply(id), &sealed)?,
            }),
            // It was forgotten just now, or has no answer.
            Some(_) | None => Ok(Sent::Begun),
        }
    }

    /// Keeps the answer of a request that was begun.
    pub async fn finish_reply(&self, id: &str, status: u16, body: &[u8]) -> Result<(), StoreError> {
        let sealed = self.inner.sealer.seal(&reply(id), body)?;
        sqlx::query("UPDATE replies SET status = $2, sealed = $3 WHERE id = $1")
            .bind(id)
            .bind(i64::from(status))
            .bind(sealed)
            .execute(&self.inner.writer)
            .await?;
        Ok(())
    }

    /// Forgets a request that changed nothing, so that it can be sent again.
    pub async fn forget_reply(&self, id: &str) -> Result<(), StoreError> {
        let forget = sqlx::query("DELETE FROM replies WHERE id = $1").bind(id);
        forget.execute(&self.inner.writer).await?;
        Ok(())
    }

    /// Forgets the answers that nobody may ask for any more.
    pub async fn purge_replies(&self, now: SystemTime) -> Result<u64, StoreError> {
        let before = clock::seconds(now).saturating_sub(KEPT.as_secs());
        let purged = sqlx::query("DELETE FROM replies WHERE begun < $1");
        let purged = purged.bind(clock::column(before)).execute(&self.inner.writer).await?;
        Ok(purged.rows_affected())
    }
}

/// The record that an answer is sealed as.
pub(crate) fn reply(id: &str) -> String {
    format!("reply {id}")
}

/// How long a key is remembered.
const KEPT: Duration = Duration::from_secs(24 * 3600);

const BEGIN: &str = "INSERT INTO replies (id, request, begun) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO NOTHING";
