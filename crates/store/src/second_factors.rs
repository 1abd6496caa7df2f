//! Second factors of people: authenticator apps, and the codes that stand in for them.

use std::time::SystemTime;

use access::{SignInId, UserId};
use data_encoding::HEXLOWER;
use sqlx::Row as _;
use zeroize::Zeroizing;

use crate::columns::{Columns, scalar};
use crate::db::Connection;
use crate::passwords::end_others;
use crate::{EndOthers, Store, StoreError, clock};

/// A user's authenticator app.
#[derive(Clone, Debug)]
pub struct TotpRow {
    pub key: Zeroizing<Vec<u8>>,
    /// Unix seconds.
    pub created: u64,
}

/// An authenticator app that has shown one good code.
pub struct NewTotp {
    pub user: UserId,
    pub key: Zeroizing<Vec<u8>>,
    /// The time step of that code.
    pub step: u64,
    /// Of its recovery codes.
    pub recovery: Vec<[u8; 32]>,
}

impl Store {
    pub async fn totp(&self, user: UserId) -> Result<Option<TotpRow>, StoreError> {
        let found = sqlx::query("SELECT sealed, created FROM totp WHERE user_id = $1");
        let found = found.bind(user.to_string()).fetch_optional(&self.inner.readers).await?;
        let Some(row) = found else { return Ok(None) };
        let sealed: String = row.try_get("sealed")?;
        let key = self.inner.sealer.open(&totp(&user.to_string()), &sealed)?;
        Ok(Some(TotpRow { key, created: row.number("created")? }))
    }

    /// Gives a user an authenticator app with its recovery codes, and ends their other sign-ins; says
    /// which ended.
    pub async fn put_totp(
        &self,
        new: NewTotp,
        others: EndOthers,
        now: SystemTime,
    ) -> Result<Vec<SignInId>, StoreError> {
        let id = new.user.to_string();
        let sealed = self.inner.sealer.seal(&totp(&id), &new.key)?;
        let mut change = self.changing().await?;
        sqlx::query(PUT)
            .bind(&id)
            .bind(sealed)
            .bind(clock::column(clock::seconds(now)))
            .bind(clock::column(new.step))
            .execute(change.db())
            .await?;
        replace_codes(change.db(), &id, &new.recovery).await?;
        let ended = end_others(change.db(), new.user, others, now).await?;
        change.commit().await?;
        Ok(ended)
    }

    /// Uses up a time step of a user's app. `false`: it, or a later one, was used before.
    pub async fn use_totp_step(&self, user: UserId, step: u64) -> Result<bool, StoreError> {
        let used = sqlx::query(USE_STEP).bind(user.to_string()).bind(clock::column(step));
        Ok(used.fetch_optional(&self.inner.writer).await?.is_some())
    }

    /// Uses up a recovery code. `false`: there is none such, or it was used before.
    pub async fn use_recovery_code(
        &self,
        user: UserId,
        digest: [u8; 32],
        now: SystemTime,
    ) -> Result<bool, StoreError> {
        let used = sqlx::query(USE_CODE)
            .bind(user.to_string())
            .bind(HEXLOWER.encode(&digest))
            .bind(clock::column(clock::seconds(now)));
        Ok(used.fetch_optional(&self.inner.writer).await?.is_some())
    }

    /// How many recovery codes a user has left.
    pub async fn recovery_codes_left(&self, user: UserId) -> Result<u64, StoreError> {
        let mut db = self.inner.readers.acquire().await?;
        let left = scalar(&mut db, LEFT, user.to_string()).await?;
        clock::number(left.unwrap_or_default(), "recovery codes")
    }

    /// Gives a user other recovery codes; the old ones are worth nothing.
    pub async fn put_recovery_codes(
        &self,
        user: UserId,
        digests: &[[u8; 32]],
    ) -> Result<(), StoreError> {
        let mut change = self.changing().await?;
        replace_codes(change.db(), &user.to_string(), digests).await?;
        change.commit().await
    }

    /// Takes a user's app and recovery codes away. `false`: they have none.
    pub async fn remove_totp(&self, user: UserId) -> Result<bool, StoreError> {
        let mut change = self.changing().await?;
        replace_codes(change.db(), &user.to_string(), &[]).await?;
        let removed = sqlx::query("DELETE FROM totp WHERE user_id = $1")
            .bind(user.to_string())
            .execute(change.db())
            .await?;
        Ok(change.commit_if(removed.rows_affected()).await? > 0)
    }
}

async fn replace_codes(
    db: &mut Connection,
    user: &str,
    digests: &[[u8; 32]],
) -> Result<(), StoreError> {
    let old = sqlx::query("DELETE FROM recovery_codes WHERE user_id = $1").bind(user);
    old.execute(&mut *db).await?;
    for digest in digests {
        let insert = "INSERT INTO recovery_codes (user_id, digest) VALUES ($1, $2)";
        sqlx::query(insert).bind(user).bind(HEXLOWER.encode(digest)).execute(&mut *db).await?;
    }
    Ok(())
}

/// The record an app's key is sealed as.
pub(crate) fn totp(user: &str) -> String {
    format!("totp {user}")
}

const PUT: &str = "INSERT INTO totp (user_id, sealed, created, step) VALUES ($1, $2, $3, $4)
    ON CONFLICT (user_id) DO UPDATE SET sealed = excluded.sealed, created = excluded.created,
        step = excluded.step";

// The row is the answer: of two who show one code at a time, one gets it.
const USE_STEP: &str =
    "UPDATE totp SET step = $2 WHERE user_id = $1 AND step < $2 RETURNING user_id";

const USE_CODE: &str = "UPDATE recovery_codes SET used = $3
    WHERE user_id = $1 AND digest = $2 AND used IS NULL RETURNING user_id";

const LEFT: &str = "SELECT COUNT(*) FROM recovery_codes WHERE user_id = $1 AND used IS NULL";
