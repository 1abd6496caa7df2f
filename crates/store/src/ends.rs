//! What ends by itself, and what is kept no longer.

use std::time::{Duration, SystemTime};

use access::{Name, RuleId, TokenId};
use sqlx::Row as _;

use crate::columns::Columns;
use crate::{SshKeyRow, Store, StoreError, TokenRow, clock};

/// What ends at a known moment unless something else ends it before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub at: SystemTime,
    pub what: DueWhat,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DueWhat {
    /// An api token whose place another has taken, at the end of their overlap.
    Replaced(TokenId),
    /// An approved request for access.
    Request(RuleId),
}

/// How many rows were removed because nobody asks for them any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    pub tokens: u64,
    pub agents: u64,
    pub sign_ins: u64,
}

impl Store {
    /// What ends next, if anything will.
    pub async fn next_due(&self) -> Result<Option<Due>, StoreError> {
        let token: Option<(String, i64)> =
            sqlx::query_as(NEXT_REPLACED).fetch_optional(&self.inner.readers).await?;
        let request: Option<(String, i64)> =
            sqlx::query_as(NEXT_REQUEST).fetch_optional(&self.inner.readers).await?;
        let at = |seconds: i64| clock::at(u64::try_from(seconds).unwrap_or_default());
        let token =
            token.map(|(id, end)| Due { at: at(end), what: DueWhat::Replaced(TokenId::from(id)) });
        let request = request.and_then(|(id, end)| {
            Some(Due { at: at(end), what: DueWhat::Request(id.parse().ok()?) })
        });
        Ok(token.into_iter().chain(request).min_by_key(|due| due.at))
    }

    /// The live tokens that expire before `until` and of which that was not said yet; says it of
    /// each once, whoever asks.
    pub async fn expiring_tokens(
        &self,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<Vec<TokenRow>, StoreError> {
        let mut change = self.changing().await?;
        let ids: Vec<String> = sqlx::query_scalar(WARN)
            .bind(clock::column(clock::seconds(now)))
            .bind(clock::column(clock::seconds(until)))
            .fetch_all(change.db())
            .await?;
        let mut rows = Vec::new();
        for id in ids {
            rows.push(crate::tokens::one(change.db(), &TokenId::from(id)).await?);
        }
        change.commit_if(u64::from(!rows.is_empty())).await?;
        Ok(rows)
    }

    /// The SSH keys that expire before `until`, of which that was not said yet, and whose they are;
    /// says it of each once, whoever asks.
    pub async fn expiring_ssh_keys(
        &self,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<Vec<(Name, SshKeyRow)>, StoreError> {
        let mut change = self.changing().await?;
        let keys: Vec<String> = sqlx::query_scalar(WARN_KEYS)
            .bind(clock::column(clock::seconds(now)))
            .bind(clock::column(clock::seconds(until)))
            .fetch_all(change.db())
            .await?;
        let mut rows = Vec::new();
        for key in keys {
            let row = sqlx::query(KEY).bind(key).fetch_one(change.db()).await?;
            let key = SshKeyRow {
                fingerprint: row.try_get("fingerprint")?,
                key: row.try_get("public_key")?,
                expires: row.perhaps_number("expires")?,
            };
            rows.push((row.parsed("name")?, key));
        }
        change.commit_if(u64::from(!rows.is_empty())).await?;
        Ok(rows)
    }

    /// How many live tokens that last expire before `until`.
    pub async fn count_expiring(
        &self,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<u64, StoreError> {
        let count = sqlx::query_scalar(COUNT)
            .bind(clock::column(clock::seconds(now)))
            .bind(clock::column(clock::seconds(until)));
        clock::number(count.fetch_one(&self.inner.readers).await?, "expiring tokens")
    }

    /// Removes tokens that ended `after` before `now`, and agents whose enrolment did.
    pub async fn purge(&self, now: SystemTime, after: Duration) -> Result<Purged, StoreError> {
        let before = now.checked_sub(after).unwrap_or(SystemTime::UNIX_EPOCH);
        let before = clock::column(clock::seconds(before));
        let now = clock::column(clock::seconds(now));
        let mut change = self.changing().await?;
        let sign_ins = sqlx::query("DELETE FROM sign_ins WHERE ended < $1 OR expires < $1");
        let sign_ins = sign_ins.bind(before).execute(change.db()).await?.rows_affected();
        let agents = sqlx::query("DELETE FROM agents WHERE expires < $1").bind(now);
        let agents = agents.execute(change.db()).await?.rows_affected();
        let tokens = sqlx::query("DELETE FROM tokens WHERE revoked < $1 OR expires < $1");
        let tokens = tokens.bind(before).execute(change.db()).await?.rows_affected();
        change.commit_if(agents + tokens + sign_ins).await?;
        Ok(Purged { tokens, agents, sign_ins })
    }
}

const NEXT_REPLACED: &str = "SELECT id, expires FROM tokens
    WHERE replaced IS NOT NULL AND revoked IS NULL AND expires IS NOT NULL
    ORDER BY expires LIMIT 1";

const NEXT_REQUEST: &str = "SELECT id, ends FROM requests
    WHERE state = 'approved' AND ends IS NOT NULL ORDER BY ends LIMIT 1";

// Those of a single use are gone within their first day: only what lasts is worth a word.
const WARN: &str = "UPDATE tokens SET warned = $1
    WHERE warned IS NULL AND revoked IS NULL AND kind IN ('api', 'admin')
        AND expires > $1 AND expires <= $2
        AND (uses_left IS NULL OR uses_left > 0)
    RETURNING id";

const WARN_KEYS: &str = "UPDATE ssh_keys SET warned = $1
    WHERE warned IS NULL AND expires > $1 AND expires <= $2
    RETURNING fingerprint";

const KEY: &str = "SELECT users.name, fingerprint, public_key, expires
    FROM ssh_keys JOIN users ON users.id = user_id WHERE fingerprint = $1";

const COUNT: &str = "SELECT COUNT(*) FROM tokens
    WHERE revoked IS NULL AND kind IN ('api', 'admin') AND expires > $1 AND expires <= $2
        AND (uses_left IS NULL OR uses_left > 0)";
