//! Who users are at OpenID providers and in directories, and the groups that those put them in.

use std::time::SystemTime;

use access::{Name, SignInId, UserId};

use sqlx::Row as _;

use crate::columns::Columns;
use crate::db::Row;
use crate::{Store, StoreError, clock};

/// A user of ours who is somebody at an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityRow {
    pub subject: String,
    pub user: UserId,
    pub name: Name,
    pub enabled: bool,
    /// Whether they are disabled for being gone there.
    pub gone: bool,
}

impl Store {
    /// All who are somebody at an issuer.
    pub async fn identities(&self, issuer: &str) -> Result<Vec<IdentityRow>, StoreError> {
        let rows = sqlx::query(LIST).bind(issuer).fetch_all(&self.inner.readers).await?;
        rows.iter().map(|row| identity(row).map_err(StoreError::from)).collect()
    }

    /// Notes whether a user is disabled for being gone at an issuer.
    pub async fn set_gone(&self, user: UserId, issuer: &str, gone: bool) -> Result<(), StoreError> {
        let noted = sqlx::query(if gone { GONE } else { BACK });
        let noted = noted.bind(user.to_string()).bind(issuer);
        noted.execute(&self.inner.writer).await?;
        Ok(())
    }

    /// The user who is `subject` at an issuer.
    pub async fn user_by_identity(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<UserId>, StoreError> {
        let found = sqlx::query_scalar(FIND).bind(issuer).bind(subject);
        let found: Option<String> = found.fetch_optional(&self.inner.readers).await?;
        let corrupt = |_| StoreError::Corrupt { what: "identity", detail: "no user id".to_owned() };
        found.map(|id| id.parse().map_err(corrupt)).transpose()
    }

    /// Has a user be `subject` at an issuer. `false`: somebody is, or the user is somebody else there.
    pub async fn link_identity(
        &self,
        (issuer, subject): (&str, &str),
        user: UserId,
        now: SystemTime,
    ) -> Result<bool, StoreError> {
        let linked = sqlx::query(LINK)
            .bind(issuer)
            .bind(subject)
            .bind(user.to_string())
            .bind(clock::column(clock::seconds(now)))
            .execute(&self.inner.writer)
            .await?;
        Ok(linked.rows_affected() > 0)
    }

    /// Puts a user in some groups and takes them out of others; says which of both were news. Groups
    /// that there are not are passed over.
    pub async fn set_memberships(
        &self,
        user: UserId,
        within: &[Name],
        without: &[Name],
    ) -> Result<(Vec<Name>, Vec<Name>), StoreError> {
        let mut change = self.changing().await?;
        let (mut joined, mut left) = (Vec::new(), Vec::new());
        for (names, statement, done) in [(within, JOIN, &mut joined), (without, LEAVE, &mut left)] {
            for name in names {
                let row = sqlx::query(statement).bind(user.to_string()).bind(name.as_str());
                if row.execute(change.db()).await?.rows_affected() > 0 {
                    done.push(name.clone());
                }
            }
        }
        change.commit_if((joined.len() + left.len()) as u64).await?;
        Ok((joined, left))
    }

    /// The provider that vouched for the user of a browser.
    pub async fn provider_of(&self, sign_in: SignInId) -> Result<Option<String>, StoreError> {
        let found = sqlx::query_scalar("SELECT provider FROM sign_ins WHERE id = $1");
        let found = found.bind(sign_in.to_string()).fetch_optional(&self.inner.readers).await?;
        Ok(found.flatten())
    }
}

fn identity(row: &Row) -> Result<IdentityRow, sqlx::Error> {
    Ok(IdentityRow {
        subject: row.try_get("subject")?,
        user: row.parsed("id")?,
        name: row.parsed("name")?,
        enabled: row.flag("enabled")?,
        gone: row.flag("gone")?,
    })
}

const LIST: &str = "SELECT subject, users.id AS id, name, enabled,
    (SELECT COUNT(*) FROM gone_users
        WHERE gone_users.user_id = users.id AND gone_users.issuer = identities.issuer) AS gone
    FROM identities JOIN users ON users.id = identities.user_id
    WHERE identities.issuer = $1 ORDER BY name";

const GONE: &str = "INSERT INTO gone_users (user_id, issuer) VALUES ($1, $2)
    ON CONFLICT (user_id, issuer) DO NOTHING";

const BACK: &str = "DELETE FROM gone_users WHERE user_id = $1 AND issuer = $2";

const FIND: &str = "SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2";

// One user is one subject of an issuer: who takes somebody's name over there is not them here.
const LINK: &str = "INSERT INTO identities (issuer, subject, user_id, created)
    SELECT $1, $2, id, $4 FROM users WHERE id = $3
        AND NOT EXISTS (SELECT 1 FROM identities WHERE issuer = $1 AND user_id = $3)
    ON CONFLICT (issuer, subject) DO NOTHING";

const JOIN: &str = "INSERT INTO members (group_id, user_id)
    SELECT user_groups.id, users.id FROM user_groups, users
    WHERE users.id = $1 AND user_groups.name = $2
    ON CONFLICT (group_id, user_id) DO NOTHING";

const LEAVE: &str = "DELETE FROM members WHERE user_id = $1
    AND group_id IN (SELECT id FROM user_groups WHERE name = $2)";
