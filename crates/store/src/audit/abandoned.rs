//! Sessions of a relay that ended without closing them.

use std::time::{Duration, SystemTime};

use access::{EndReason, Name, SessionId, Side};
use serde::Deserialize;
use session::{AuditEvent, Door, Stamped};

use super::table::Row;
use super::{append, free_deliveries, without_second_ends};
use crate::acme::free_claims;
use crate::cluster::forget_relays;
use crate::db::Connection;
use crate::statements::end_with;
use crate::{Store, StoreError, clock};

impl Store {
    /// Writes `session.ended` with reason `abandoned` for each session that was opened and has no
    /// end, and says how many. The relay calls this before it opens its first session.
    ///
    /// It claims the database for this process: a second relay would end the first one's sessions.
    pub async fn close_abandoned(&self, now: SystemTime) -> Result<u64, StoreError> {
        // Asked again, it finds sessions that are open in this very process.
        let Some(claim) = self.claim().await? else { return Ok(0) };
        let mut tx = self.inner.engine.begin_change(&self.inner.writer).await?;
        let fence = &self.inner.fence;
        let number = if claim.is_numbered() { Some(fence.raise(&mut tx).await?) } else { None };
        let closed = self.close_all(&mut tx, now).await?;
        tx.commit().await?;
        number.inspect(|number| fence.stand(*number));
        self.hold(claim);
        Ok(closed)
    }

    /// Closes every session that has no end, and takes from other relays what they held: there is
    /// none.
    pub(crate) async fn close_all(
        &self,
        db: &mut Connection,
        now: SystemTime,
    ) -> Result<u64, StoreError> {
        let opened: Vec<(i64, String)> = sqlx::query_as(UNCLOSED).fetch_all(&mut *db).await?;
        let closed = self.close_opened(db, opened, now).await?;
        sqlx::query(LOOKED).execute(&mut *db).await?;
        // The relay that held them has lost its claim.
        free_deliveries(db).await?;
        free_claims(db).await?;
        forget_relays(db).await?;
        Ok(closed)
    }

    /// Writes the ends of sessions whose opening records these are, where they have none, and of their
    /// statements.
    pub(crate) async fn close_opened(
        &self,
        db: &mut Connection,
        opened: Vec<(i64, String)>,
        now: SystemTime,
    ) -> Result<u64, StoreError> {
        let ends = opened.into_iter().map(|(at_ms, event)| end(at_ms, &event, now));
        let ends = ends.collect::<Result<Vec<_>, _>>()?;
        let rows = ends.iter().map(Row::of).collect::<Result<Vec<_>, _>>();
        let rows = rows.map_err(|error| corrupt(&error))?;
        let rows = without_second_ends(db, rows.iter().collect()).await?;
        append((self.inner.engine, &mut *db), &self.inner.head_key, None, &rows).await?;
        for session in rows.iter().filter_map(|row| row.ends()) {
            end_with(session, EndReason::Abandoned, db).await?;
        }
        Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
    }
}

/// What a closing record takes over from the opening one.
#[derive(Deserialize)]
pub(crate) struct Opened {
    pub(crate) session: SessionId,
    pub(crate) user: Name,
    pub(crate) application: Name,
    pub(crate) site: Name,
    pub(crate) door: Door,
}

fn end(at_ms: i64, event: &str, now: SystemTime) -> Result<Stamped, StoreError> {
    let opened: Opened = serde_json::from_str(event).map_err(|error| corrupt(&error))?;
    let since =
        SystemTime::UNIX_EPOCH + Duration::from_millis(clock::number(at_ms, "audit event")?);
    let open = now.duration_since(since).unwrap_or_default();
    let event = AuditEvent::SessionEnded {
        session: opened.session,
        user: opened.user,
        application: opened.application,
        site: opened.site,
        door: opened.door,
        reason: EndReason::Abandoned,
        side: Side::Relay,
        // What it carried is not known, nor when it ended: at the latest now.
        up: 0,
        down: 0,
        millis: u64::try_from(open.as_millis()).unwrap_or(u64::MAX),
    };
    Ok(Stamped { at: now, event })
}

fn corrupt(error: &dyn std::error::Error) -> StoreError {
    StoreError::Corrupt { what: "audit event", detail: error.to_string() }
}

const UNCLOSED: &str = "SELECT at_ms, event FROM audit AS opened
    WHERE action = 'session.opened'
        AND seq > (SELECT value FROM counters WHERE name = 'abandoned')
        AND NOT EXISTS (SELECT 1 FROM audit AS ended
            WHERE ended.session = opened.session AND ended.action = 'session.ended')
    ORDER BY seq";

// Up to here every session has its end, so the next start need not look again.
const LOOKED: &str = "UPDATE counters SET value = (SELECT COALESCE(MAX(seq), 0) FROM audit)
    WHERE name = 'abandoned'";
