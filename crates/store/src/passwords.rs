//! Passwords of people: their hashes, sealed.

use std::time::SystemTime;

use access::{SignInId, UserId};
use secrecy::{ExposeSecret, SecretString};
use sqlx::Row as _;

use crate::columns::Columns;
use crate::db::{Connection, Row};
use crate::{Store, StoreError, clock};

/// A user's password as the store has it. Times are Unix seconds.
#[derive(Clone, Debug)]
pub struct PasswordRow {
    /// By argon2id, as a PHC text.
    pub hash: SecretString,
    /// Whether its owner has to choose another at the next sign-in.
    pub must_change: bool,
    pub changed: u64,
    /// From then on it signs nobody in.
    pub expires: Option<u64>,
}

/// A password for a user, in place of the one they have.
#[derive(Clone, Debug)]
pub struct NewPassword {
    pub user: UserId,
    pub hash: SecretString,
    pub must_change: bool,
    pub expires: Option<SystemTime>,
}

/// The sign-ins of a user that end with a change of what signs them in.
#[derive(Clone, Copy, Debug)]
pub struct EndOthers {
    /// The one that stays: the browser by which it is changed.
    pub but: Option<SignInId>,
    pub why: &'static str,
}

impl Store {
    pub async fn password(&self, user: UserId) -> Result<Option<PasswordRow>, StoreError> {
        let found = sqlx::query(FIND).bind(user.to_string());
        let Some(row) = found.fetch_optional(&self.inner.readers).await? else { return Ok(None) };
        let sealed: String = row.try_get("sealed")?;
        let hash = self.inner.sealer.open(&password(&user.to_string()), &sealed)?;
        let hash = str::from_utf8(&hash).map_err(|_| StoreError::Corrupt {
            what: "password",
            detail: "its hash is no text".to_owned(),
        })?;
        Ok(Some(PasswordRow {
            hash: hash.into(),
            must_change: row.flag("must_change")?,
            changed: row.number("changed")?,
            expires: row.perhaps_number("expires")?,
        }))
    }

    /// Gives a user a password and ends their other sign-ins, all or nothing; says which ended.
    pub async fn put_password(
        &self,
        new: NewPassword,
        others: EndOthers,
        now: SystemTime,
    ) -> Result<Vec<SignInId>, StoreError> {
        let id = new.user.to_string();
        let hash = new.hash.expose_secret().as_bytes();
        let sealed = self.inner.sealer.seal(&password(&id), hash)?;
        let mut change = self.changing().await?;
        sqlx::query(PUT)
            .bind(&id)
            .bind(sealed)
            .bind(i64::from(new.must_change))
            .bind(clock::column(clock::seconds(now)))
            .bind(new.expires.map(|end| clock::column(clock::seconds(end))))
            .execute(change.db())
            .await?;
        let ended = end_others(change.db(), new.user, others, now).await?;
        change.commit().await?;
        Ok(ended)
    }

    /// Takes a user's password away. `false`: they have none.
    pub async fn remove_password(&self, user: UserId) -> Result<bool, StoreError> {
        let mut change = self.changing().await?;
        let removed = sqlx::query("DELETE FROM passwords WHERE user_id = $1")
            .bind(user.to_string())
            .execute(change.db())
            .await?;
        Ok(change.commit_if(removed.rows_affected()).await? > 0)
    }
}

/// Ends the sign-ins of a user but one, in the change that is under way.
pub(crate) async fn end_others(
    db: &mut Connection,
    user: UserId,
    EndOthers { but, why }: EndOthers,
    now: SystemTime,
) -> Result<Vec<SignInId>, StoreError> {
    let rows = sqlx::query(END_OTHERS)
        .bind(user.to_string())
        .bind(clock::column(clock::seconds(now)))
        .bind(why)
        .bind(but.map(|id| id.to_string()).unwrap_or_default())
        .fetch_all(db)
        .await?;
    Ok(rows.iter().map(|row: &Row| row.parsed("id")).collect::<Result<_, _>>()?)
}

/// The record a password is sealed as.
pub(crate) fn password(user: &str) -> String {
    format!("password {user}")
}

const FIND: &str = "SELECT sealed, must_change, changed, expires FROM passwords WHERE user_id = $1";

const PUT: &str = "INSERT INTO passwords (user_id, sealed, must_change, changed, expires)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (user_id) DO UPDATE SET sealed = excluded.sealed,
        must_change = excluded.must_change, changed = excluded.changed,
        expires = excluded.expires";

const END_OTHERS: &str = "UPDATE sign_ins SET ended = $2, why = $3
    WHERE user_id = $1 AND id <> $4 AND ended IS NULL AND expires > $2 RETURNING id";
