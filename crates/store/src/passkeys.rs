//! Passkeys of people, by the public halves of their keys.

use std::time::SystemTime;

use access::{SignInId, UserId};
use data_encoding::BASE64;
use sqlx::Row as _;

use crate::columns::Columns;
use crate::db::Row;
use crate::passwords::end_others;
use crate::{EndOthers, Store, StoreError, clock};

/// A user's passkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasskeyRow {
    /// In base64url, without padding.
    pub id: String,
    pub user: UserId,
    /// What its owner calls it.
    pub name: String,
    /// The number of its algorithm in COSE.
    pub algorithm: i64,
    /// SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    pub counter: u32,
    /// Unix seconds.
    pub created: u64,
    pub used: Option<u64>,
}

impl Store {
    /// A user's passkeys, the oldest first.
    pub async fn passkeys(&self, user: UserId) -> Result<Vec<PasskeyRow>, StoreError> {
        let rows = sqlx::query(OF_USER).bind(user.to_string());
        let rows = rows.fetch_all(&self.inner.readers).await?;
        rows.iter().map(passkey).collect()
    }

    /// The passkey of this id, whoever's it is.
    pub async fn passkey(&self, id: &str) -> Result<Option<PasskeyRow>, StoreError> {
        let row = sqlx::query(FIND).bind(id).fetch_optional(&self.inner.readers).await?;
        row.as_ref().map(passkey).transpose()
    }

    /// Gives a user a passkey, and ends their other sign-ins; says which ended. `None`: somebody has
    /// one of this id.
    pub async fn add_passkey(
        &self,
        new: &PasskeyRow,
        others: EndOthers,
        now: SystemTime,
    ) -> Result<Option<Vec<SignInId>>, StoreError> {
        let mut change = self.changing().await?;
        let added = sqlx::query(ADD)
            .bind(&new.id)
            .bind(new.user.to_string())
            .bind(&new.name)
            .bind(new.algorithm)
            .bind(BASE64.encode(&new.public_key))
            .bind(i64::from(new.counter))
            .bind(clock::column(new.created))
            .execute(change.db())
            .await?;
        if added.rows_affected() == 0 {
            return Ok(None);
        }
        let ended = end_others(change.db(), new.user, others, now).await?;
        change.commit().await?;
        Ok(Some(ended))
    }

    /// Notes that a passkey was used, and what it has counted to since it had counted to `from`.
    /// `false`: it is gone, or somebody was quicker with the same count.
    pub async fn use_passkey(
        &self,
        id: &str,
        (from, to): (u32, u32),
        now: SystemTime,
    ) -> Result<bool, StoreError> {
        let used = sqlx::query(USE)
            .bind(id)
            .bind(i64::from(from))
            .bind(i64::from(to))
            .bind(clock::column(clock::seconds(now)));
        Ok(used.fetch_optional(&self.inner.writer).await?.is_some())
    }

    /// Takes one of a user's passkeys away. `false`: they have none of this id.
    pub async fn remove_passkey(&self, user: UserId, id: &str) -> Result<bool, StoreError> {
        let removed = sqlx::query("DELETE FROM passkeys WHERE user_id = $1 AND id = $2");
        let removed = removed.bind(user.to_string()).bind(id).execute(&self.inner.writer).await?;
        Ok(removed.rows_affected() > 0)
    }

    /// Takes all passkeys of a user away, and says how many there were.
    pub async fn remove_passkeys(&self, user: UserId) -> Result<u64, StoreError> {
        let removed = sqlx::query("DELETE FROM passkeys WHERE user_id = $1");
        let removed = removed.bind(user.to_string()).execute(&self.inner.writer).await?;
        Ok(removed.rows_affected())
    }
}

fn passkey(row: &Row) -> Result<PasskeyRow, StoreError> {
    let corrupt = |detail: &str| StoreError::Corrupt { what: "passkey", detail: detail.to_owned() };
    let public_key: String = row.try_get("public_key")?;
    let counter: i64 = row.try_get("counter")?;
    Ok(PasskeyRow {
        id: row.try_get("id")?,
        user: row.parsed("user_id")?,
        name: row.try_get("name")?,
        algorithm: row.try_get("algorithm")?,
        public_key: BASE64.decode(public_key.as_bytes()).map_err(|_| corrupt("its key"))?,
        counter: u32::try_from(counter).map_err(|_| corrupt("its counter"))?,
        created: row.number("created")?,
        used: row.perhaps_number("used")?,
    })
}

const OF_USER: &str = "SELECT id, user_id, name, algorithm, public_key, counter, created, used
    FROM passkeys WHERE user_id = $1 ORDER BY created, id";

const FIND: &str = "SELECT id, user_id, name, algorithm, public_key, counter, created, used
    FROM passkeys WHERE id = $1";

const ADD: &str =
    "INSERT INTO passkeys (id, user_id, name, algorithm, public_key, counter, created)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING";

// The row is the answer: of two who show one count at a time, one gets it.
const USE: &str = "UPDATE passkeys SET counter = $3, used = $4
    WHERE id = $1 AND counter = $2 RETURNING id";
