//! Browsers that are signed in, known by the SHA-256 of their cookie's secret.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use access::{Name, SignIn, SignInId, UserId};
use data_encoding::HEXLOWER;
use sqlx::{FromRow, Row as _};

use crate::columns::{Columns, scalar};
use crate::db::{Connection, Row};
use crate::search::Search;
use crate::{Store, StoreError, clock};

/// A browser to sign in.
#[derive(Clone, Debug)]
pub struct NewSignIn {
    pub id: SignInId,
    pub user: UserId,
    /// SHA-256 of the secret in its cookie.
    pub digest: [u8; 32],
    pub from: IpAddr,
    /// What it calls itself.
    pub browser: String,
    /// The OpenID provider that vouched for its user.
    pub provider: Option<String>,
    /// It ends when nothing was asked for so long.
    pub idle: Duration,
    /// It ends then in any case.
    pub expires: SystemTime,
}

/// A browser's sign-in. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInRow {
    pub id: SignInId,
    pub user: UserId,
    pub user_name: Name,
    pub digest: [u8; 32],
    pub created: u64,
    pub from: IpAddr,
    pub browser: String,
    /// In seconds.
    pub idle: u64,
    pub expires: u64,
    pub seen: u64,
    pub seen_from: IpAddr,
    pub ended: Option<u64>,
    /// Why it has ended.
    pub why: Option<String>,
}

/// Which sign-ins are wanted: those that fit all that is given.
#[derive(Clone, Debug, Default)]
pub struct SignInQuery {
    pub user: Option<Name>,
    /// Only those that have not ended by then.
    pub live_at: Option<SystemTime>,
    /// Only those that come after the one with this `created` and id.
    pub after: Option<(u64, SignInId)>,
    /// `None`: all.
    pub limit: Option<u32>,
}

impl Store {
    /// Signs a browser in. A user that is gone, disabled or a machine is none.
    pub async fn sign_in(&self, new: NewSignIn, now: SystemTime) -> Result<(), StoreError> {
        let mut change = self.changing().await?;
        let known = scalar(change.db(), PERSON, new.user.to_string()).await?;
        known.ok_or_else(|| StoreError::NotFound("such user".to_owned()))?;
        let now = clock::column(clock::seconds(now));
        sqlx::query(INSERT)
            .bind(new.id.to_string())
            .bind(new.user.to_string())
            .bind(HEXLOWER.encode(&new.digest))
            .bind(now)
            .bind(new.from.to_string())
            .bind(new.browser)
            .bind(clock::column(new.idle.as_secs()))
            .bind(clock::column(clock::seconds(new.expires)))
            .bind(new.provider)
            .execute(change.db())
            .await?;
        change.commit().await
    }

    /// Ends sign-ins that have not ended, and says which those were.
    pub async fn end_sign_ins(
        &self,
        ids: &[SignInId],
        why: &str,
        now: SystemTime,
    ) -> Result<Vec<SignInId>, StoreError> {
        let mut change = self.changing().await?;
        let mut ended = Vec::new();
        for id in ids {
            let row = sqlx::query_scalar::<_, String>(END)
                .bind(id.to_string())
                .bind(clock::column(clock::seconds(now)))
                .bind(why)
                .fetch_optional(change.db())
                .await?;
            ended.extend(row.map(|_| *id));
        }
        change.commit_if(ended.len() as u64).await?;
        Ok(ended)
    }

    /// The sign-ins that fit the query, newest first.
    pub async fn sign_ins(&self, query: SignInQuery) -> Result<Vec<SignInRow>, StoreError> {
        let mut search = Search::new(SIGN_INS);
        search.text("users.name =", query.user);
        if let Some(at) = query.live_at {
            search.that("sign_ins.ended IS NULL");
            search.number("sign_ins.expires >", Some(clock::seconds(at)));
        }
        let after = query.after.map(|(created, id)| (created, id.to_string()));
        search.older("sign_ins.created", "sign_ins.id", after);
        let order = "sign_ins.created DESC, sign_ins.id";
        search.rows(order, query.limit, &self.inner.readers).await
    }

    /// Keeps when browsers were last there, where that is later than what is kept. It changes no
    /// configuration: nobody is told.
    pub async fn note_sign_ins(
        &self,
        seen: &[(SignInId, SystemTime, IpAddr)],
    ) -> Result<(), StoreError> {
        // In pieces, so that who waits for the database waits for a few of them only.
        for some in seen.chunks(AT_ONCE) {
            let mut tx = self.inner.engine.begin_change(&self.inner.writer).await?;
            self.inner.fence.check(&mut tx).await?;
            for (id, at, from) in some {
                sqlx::query(SEEN)
                    .bind(id.to_string())
                    .bind(clock::column(clock::seconds(*at)))
                    .bind(from.to_string())
                    .execute(&mut *tx)
                    .await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }
}

/// The sign-ins that have not ended, as policy sees them.
pub(crate) async fn live(db: &mut Connection) -> Result<Vec<SignIn>, StoreError> {
    let sign_in = |row: &Row| {
        Ok(SignIn {
            id: row.parsed("id")?,
            user: row.parsed("user_id")?,
            expires: clock::at(row.number("expires")?),
        })
    };
    sqlx::query(LIVE).fetch_all(db).await?.iter().map(sign_in).collect()
}

impl FromRow<'_, Row> for SignInRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.parsed("id")?,
            user: row.parsed("user_id")?,
            user_name: row.parsed("user_name")?,
            digest: digest(row.try_get("digest")?)?,
            created: row.number("created")?,
            from: row.parsed("from_address")?,
            browser: row.try_get("browser")?,
            idle: row.number("idle")?,
            expires: row.number("expires")?,
            seen: row.number("seen")?,
            seen_from: row.parsed("seen_from")?,
            ended: row.perhaps_number("ended")?,
            why: row.try_get("why")?,
        })
    }
}

fn digest(text: &str) -> Result<[u8; 32], sqlx::Error> {
    let bytes = HEXLOWER.decode(text.as_bytes());
    let bytes = bytes.map_err(|error| sqlx::Error::Decode(error.into()))?;
    bytes.try_into().map_err(|_| sqlx::Error::Decode("a digest of another length".into()))
}

/// Rows of one transaction.
const AT_ONCE: usize = 200;

const PERSON: &str = "SELECT 1 FROM users WHERE id = $1 AND enabled = 1 AND machine = 0";

const INSERT: &str = "INSERT INTO sign_ins
    (id, user_id, digest, created, from_address, browser, idle, expires, seen, seen_from, provider)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $4, $5, $9)";

const END: &str = "UPDATE sign_ins SET ended = $2, why = $3
    WHERE id = $1 AND ended IS NULL AND expires > $2 RETURNING id";

const SEEN: &str = "UPDATE sign_ins SET seen = $2, seen_from = $3
    WHERE id = $1 AND ended IS NULL AND seen <= $2";

const LIVE: &str = "SELECT id, user_id, expires FROM sign_ins WHERE ended IS NULL";

const SIGN_INS: &str = "SELECT sign_ins.id, sign_ins.user_id, users.name AS user_name, digest,
        sign_ins.created, from_address, browser, idle, sign_ins.expires, sign_ins.seen,
        sign_ins.seen_from, ended, why
    FROM sign_ins JOIN users ON users.id = sign_ins.user_id WHERE 1 = 1";
