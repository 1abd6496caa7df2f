//! Certificates that a CA issues by ACME, and who asks for which.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::columns::Columns;
use crate::db::{Connection, Row};
use crate::{Store, StoreError, clock};

/// A chain and its key in PEM form.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct IssuedPair {
    pub chain: String,
    pub key: String,
}

/// A host, and how asking for its certificate has fared.
#[derive(Clone, PartialEq, Eq)]
pub struct AcmeRow {
    pub name: String,
    pub pair: Option<IssuedPair>,
    /// Since one was last issued.
    pub failures: u32,
    /// Unix milliseconds: when one is asked for next.
    pub next_ms: u64,
    /// What the CA said to the last failure.
    pub error: Option<String>,
}

/// Who asks for the certificate of a host.
#[derive(Clone, Copy, Debug)]
pub struct AcmeClaim<'a> {
    pub name: &'a str,
    pub holder: &'a str,
}

impl AcmeRow {
    /// When one is asked for next.
    pub fn due(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.next_ms)
    }
}

impl Store {
    /// Every host a certificate was ever asked for.
    pub async fn acme_rows(&self) -> Result<Vec<AcmeRow>, StoreError> {
        let rows = sqlx::query(ROWS).fetch_all(&self.inner.readers).await?;
        rows.iter().map(|row| self.acme_row(row)).collect()
    }

    /// Takes a host for a holder, where it is due and nobody else asks for it.
    pub async fn claim_acme(
        &self,
        claim: AcmeClaim<'_>,
        lease: Duration,
        now: SystemTime,
    ) -> Result<bool, StoreError> {
        let statement = sqlx::query(CLAIM)
            .bind(claim.name.to_owned())
            .bind(claim.holder.to_owned())
            .bind(clock::column(clock::millis(now + lease)))
            .bind(clock::column(clock::millis(now)));
        self.if_held(statement).await
    }

    /// Keeps what was issued, to be asked for again at `next`. `false`: the host is no longer the
    /// holder's.
    pub async fn acme_issued(
        &self,
        claim: AcmeClaim<'_>,
        pair: &IssuedPair,
        next: SystemTime,
    ) -> Result<bool, StoreError> {
        let text = zeroize::Zeroizing::new(serde_json::to_vec(pair).unwrap_or_default());
        let sealed = self.inner.sealer.seal(&issued(claim.name), &text)?;
        let statement = sqlx::query(ISSUED)
            .bind(claim.name.to_owned())
            .bind(claim.holder.to_owned())
            .bind(sealed)
            .bind(clock::column(clock::millis(next)));
        self.if_held(statement).await
    }

    /// Keeps why nothing was issued. `false`: the host is no longer the holder's.
    pub async fn acme_failed(
        &self,
        claim: AcmeClaim<'_>,
        error: &str,
        next: SystemTime,
    ) -> Result<bool, StoreError> {
        let statement = sqlx::query(FAILED)
            .bind(claim.name.to_owned())
            .bind(claim.holder.to_owned())
            .bind(error.to_owned())
            .bind(clock::column(clock::millis(next)));
        self.if_held(statement).await
    }

    /// Forgets a host that is due and that nobody asks for. `false`: it is neither, or not there.
    pub async fn forget_acme(&self, name: &str, now: SystemTime) -> Result<bool, StoreError> {
        let statement =
            sqlx::query(FORGET).bind(name.to_owned()).bind(clock::column(clock::millis(now)));
        self.if_held(statement).await
    }

    fn acme_row(&self, row: &Row) -> Result<AcmeRow, StoreError> {
        let name: String = row.try_get("name")?;
        let sealed: Option<String> = row.try_get("sealed")?;
        let pair = sealed.map(|sealed| self.open_pair(&name, &sealed)).transpose()?;
        let failures: u64 = row.number("failures")?;
        let failures = u32::try_from(failures).unwrap_or(u32::MAX);
        let (next_ms, error) = (row.number("next_ms")?, row.try_get("error")?);
        Ok(AcmeRow { name, pair, failures, next_ms, error })
    }

    fn open_pair(&self, name: &str, sealed: &str) -> Result<IssuedPair, StoreError> {
        let text = self.inner.sealer.open(&issued(name), sealed)?;
        serde_json::from_slice(&text).map_err(|_| StoreError::Corrupt {
            what: "certificate",
            detail: format!("that of {name} is no pair"),
        })
    }
}

/// Takes every host from whoever asked for its certificate: they are gone.
pub(crate) async fn free_claims(db: &mut Connection) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE acme_certificates SET holder = NULL WHERE holder IS NOT NULL")
        .execute(db)
        .await
        .map(drop)
}

/// The record a pair is sealed as.
pub(crate) fn issued(name: impl Display) -> String {
    format!("acme {name}")
}

const ROWS: &str = "SELECT name, sealed, failures, next_ms, error FROM acme_certificates";
// A claim that lasts longer than any of ours would was made by a clock that is ahead.
const CLAIM: &str = "INSERT INTO acme_certificates
        (name, holder, held_until_ms, failures, next_ms)
    VALUES ($1, $2, $3, 0, $4)
    ON CONFLICT (name) DO UPDATE
        SET holder = excluded.holder, held_until_ms = excluded.held_until_ms
    WHERE acme_certificates.next_ms <= excluded.next_ms
        AND (acme_certificates.holder IS NULL
            OR acme_certificates.holder = excluded.holder
            OR acme_certificates.held_until_ms <= excluded.next_ms
            OR acme_certificates.held_until_ms > excluded.held_until_ms)";
const ISSUED: &str = "UPDATE acme_certificates
    SET holder = NULL, sealed = $3, failures = 0, next_ms = $4, error = NULL
    WHERE name = $1 AND holder = $2";
const FORGET: &str = "DELETE FROM acme_certificates
    WHERE name = $1 AND next_ms <= $2 AND (holder IS NULL OR held_until_ms <= $2)";
const FAILED: &str = "UPDATE acme_certificates
    SET holder = NULL, failures = failures + 1, error = $3, next_ms = $4
    WHERE name = $1 AND holder = $2";
