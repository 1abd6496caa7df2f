//! How far each destination has acknowledged the audit log, and who sends there.

use std::time::{Duration, SystemTime};

use chain::{Hash, Head, Line};
use sqlx::{FromRow, Row as _};

use super::AuditQuery;
use crate::columns::Columns;
use crate::db::{Connection, Row};
use crate::{AuditRow, Store, StoreError, clock};

/// Who sends to which destination.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    pub name: &'a str,
    /// `file`, `syslog` or `webhook`.
    pub kind: &'a str,
    pub holder: &'a str,
    /// How long the claim lasts without being renewed. Acknowledging and failing renew it.
    pub lease: Duration,
}

/// Where a claimed destination stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The last record it has acknowledged.
    pub at: Head,
    /// The log is not the one of which it has acknowledged more: it begins anew.
    pub anew: bool,
}

/// How a destination has fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    pub name: String,
    pub kind: String,
    /// The last record it has acknowledged.
    pub seq: u64,
    /// Unix milliseconds, as is `failed_ms`.
    pub delivered_ms: Option<u64>,
    pub failed_ms: Option<u64>,
    /// Since it last acknowledged something.
    pub failures: u64,
    pub error: Option<String>,
}

impl Store {
    /// Takes a destination for a holder. One that is new stands before the first record or, with
    /// `from_now`, at the last. `None`: another holder has it.
    pub async fn claim_delivery(
        &self,
        delivery: Delivery<'_>,
        from_now: bool,
        now: SystemTime,
    ) -> Result<Option<Claimed>, StoreError> {
        let mut connection = self.inner.writer.acquire().await?;
        let mut tx = self.inner.engine.begin_records(&mut connection, false).await?;
        self.inner.fence.check(&mut tx).await?;
        let first = if from_now { end(&mut tx).await? } else { Head::START };
        let claimed: Option<(i64, String)> = sqlx::query_as(CLAIM)
            .bind(delivery.name)
            .bind(delivery.kind)
            .bind(clock::column(first.seq))
            .bind(first.hash.to_string())
            .bind(delivery.holder)
            .bind(delivery.until(now))
            .bind(clock::column(clock::millis(now)))
            .fetch_optional(&mut *tx)
            .await?;
        let Some((seq, hash)) = claimed else { return Ok(None) };
        let at = Head { seq: clock::number(seq, "delivery")?, hash: stored(&hash) };
        let known: Option<String> =
            sqlx::query_scalar(HASH).bind(seq).fetch_optional(&mut *tx).await?;
        let same = at.seq == 0 || known.is_some_and(|known| known == hash);
        tx.commit().await?;
        Ok(Some(Claimed { at: if same { at } else { Head::START }, anew: !same }))
    }

    /// What a destination has acknowledged. `false`: it is no longer the holder's.
    pub async fn acknowledge(
        &self,
        delivery: Delivery<'_>,
        to: Head,
        now: SystemTime,
    ) -> Result<bool, StoreError> {
        let statement = sqlx::query(ACKNOWLEDGE)
            .bind(delivery.name)
            .bind(delivery.holder)
            .bind(delivery.until(now))
            .bind(clock::column(to.seq))
            .bind(to.hash.to_string())
            .bind(clock::column(clock::millis(now)));
        self.if_held(statement).await
    }

    /// That a destination did not take what it was sent. `false`: it is no longer the holder's.
    pub async fn delivery_failed(
        &self,
        delivery: Delivery<'_>,
        error: &str,
        now: SystemTime,
    ) -> Result<bool, StoreError> {
        let statement = sqlx::query(FAILED)
            .bind(delivery.name)
            .bind(delivery.holder)
            .bind(delivery.until(now))
            .bind(clock::column(clock::millis(now)))
            .bind(error.to_owned());
        self.if_held(statement).await
    }

    /// Keeps a claim. `false`: it is no longer the holder's.
    pub async fn renew_delivery(
        &self,
        delivery: Delivery<'_>,
        now: SystemTime,
    ) -> Result<bool, StoreError> {
        let statement = sqlx::query(RENEW).bind(delivery.name).bind(delivery.holder);
        self.if_held(statement.bind(delivery.until(now))).await
    }

    /// Lets another take the destination at once.
    pub async fn release_delivery(&self, delivery: Delivery<'_>) -> Result<(), StoreError> {
        let statement = sqlx::query(RELEASE).bind(delivery.name).bind(delivery.holder);
        self.if_held(statement).await.map(drop)
    }

    /// All destinations there ever were.
    pub async fn deliveries(&self) -> Result<Vec<DeliveryRow>, StoreError> {
        Ok(sqlx::query_as(DELIVERIES).fetch_all(&self.inner.readers).await?)
    }

    /// The last record of the log.
    pub async fn audit_end(&self) -> Result<Head, StoreError> {
        end(&mut *self.inner.readers.acquire().await?).await
    }

    /// The records that follow, up to a number of them.
    pub async fn audit_after(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.audit_events(AuditQuery { after, limit, ..AuditQuery::default() }).await
    }

    pub(crate) async fn if_held(&self, statement: Statement) -> Result<bool, StoreError> {
        let mut connection = self.inner.writer.acquire().await?;
        let mut tx = self.inner.engine.begin_records(&mut connection, false).await?;
        self.inner.fence.check(&mut tx).await?;
        let changed = statement.execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        Ok(changed > 0)
    }
}

type Statement = sqlx::query::Query<'static, sqlx::Any, sqlx::any::AnyArguments>;

/// Takes every destination from whoever held it: they are gone.
pub(crate) async fn free_deliveries(db: &mut Connection) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE deliveries SET holder = NULL WHERE holder IS NOT NULL")
        .execute(db)
        .await
        .map(drop)
}

async fn end(db: &mut Connection) -> Result<Head, StoreError> {
    let (seq, hash): (i64, String) = sqlx::query_as(END).fetch_one(db).await?;
    Ok(Head { seq: clock::number(seq, "audit event")?, hash: stored(&hash) })
}

/// A text that is no hash fits no record.
fn stored(hash: &str) -> Hash {
    hash.parse().unwrap_or(Hash::START)
}

impl Delivery<'_> {
    fn until(&self, now: SystemTime) -> i64 {
        clock::column(clock::millis(now + self.lease))
    }
}

impl AuditRow {
    /// The record as one line of JSON in printable ASCII, without a line break: as `docs/audit.md`
    /// has it verified.
    pub fn line(&self) -> Result<String, StoreError> {
        let hash = self.hash.parse().map_err(|_| corrupt(self.seq))?;
        let line = Line {
            seq: self.seq,
            at_ms: self.at_ms,
            action: self.action.clone(),
            session: self.session.map(|id| id.to_string()),
            user: self.user.clone(),
            event: self.event.clone(),
            hash,
        };
        line.write().map_err(|_| corrupt(self.seq))
    }

    /// The record as an end of the log.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: stored(&self.hash) }
    }
}

fn corrupt(seq: u64) -> StoreError {
    StoreError::Corrupt { what: "audit event", detail: format!("record {seq} is none") }
}

impl FromRow<'_, Row> for DeliveryRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            name: row.try_get("name")?,
            kind: row.try_get("kind")?,
            seq: row.number("seq")?,
            delivered_ms: row.perhaps_number("delivered_ms")?,
            failed_ms: row.perhaps_number("failed_ms")?,
            failures: row.number("failures")?,
            error: row.try_get("error")?,
        })
    }
}

// A claim that lasts longer than any of ours would was made by a clock that is ahead.
const CLAIM: &str = "INSERT INTO deliveries
        (name, kind, seq, hash, holder, held_until_ms, failures)
    VALUES ($1, $2, $3, $4, $5, $6, 0)
    ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, holder = excluded.holder,
        held_until_ms = excluded.held_until_ms
    WHERE deliveries.holder IS NULL OR deliveries.holder = excluded.holder
        OR deliveries.held_until_ms <= $7
        OR deliveries.held_until_ms > excluded.held_until_ms
    RETURNING seq, hash";
const ACKNOWLEDGE: &str = "UPDATE deliveries
    SET held_until_ms = $3, seq = $4, hash = $5, delivered_ms = $6, failures = 0, error = NULL
    WHERE name = $1 AND holder = $2";
const FAILED: &str = "UPDATE deliveries
    SET held_until_ms = $3, failed_ms = $4, failures = failures + 1, error = $5
    WHERE name = $1 AND holder = $2";
const RENEW: &str = "UPDATE deliveries SET held_until_ms = $3 WHERE name = $1 AND holder = $2";
const RELEASE: &str = "UPDATE deliveries SET holder = NULL WHERE name = $1 AND holder = $2";
const DELIVERIES: &str = "SELECT name, kind, seq, delivered_ms, failed_ms, failures, error
    FROM deliveries ORDER BY name";
const HASH: &str = "SELECT hash FROM audit WHERE seq = $1";
const END: &str = "SELECT seq, hash FROM audit_head WHERE one = 1";
