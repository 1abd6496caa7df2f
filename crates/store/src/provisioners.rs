//! Programs that keep users and groups as a directory has them, and what is theirs.
//!
//! What a provisioner has not made it neither sees nor changes.

use std::time::SystemTime;

use access::{GroupId, Name, UserId};
use data_encoding::HEXLOWER;
use sqlx::{FromRow, Row as _};

use crate::columns::Columns;
use crate::db::Row;
use crate::{Store, StoreError, clock};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisionerRow {
    pub name: Name,
    /// Unix seconds.
    pub created: u64,
}

/// A user whom a provisioner has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisionedUser {
    pub id: UserId,
    pub name: Name,
    pub enabled: bool,
    /// Their name in the directory.
    pub user_name: String,
    pub external_id: Option<String>,
}

/// A group that a provisioner has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisionedGroup {
    pub id: GroupId,
    pub name: Name,
    /// Its name in the directory.
    pub display_name: String,
    pub external_id: Option<String>,
}

impl Store {
    /// `false`: there is one of that name.
    pub async fn add_provisioner(
        &self,
        name: &Name,
        digest: [u8; 32],
        now: SystemTime,
    ) -> Result<bool, StoreError> {
        let added = sqlx::query(ADD)
            .bind(name.as_str())
            .bind(HEXLOWER.encode(&digest))
            .bind(clock::column(clock::seconds(now)))
            .execute(&self.inner.writer)
            .await?;
        Ok(added.rows_affected() > 0)
    }

    pub async fn provisioners(&self) -> Result<Vec<ProvisionerRow>, StoreError> {
        let all = "SELECT name, created FROM provisioners ORDER BY name";
        Ok(sqlx::query_as(all).fetch_all(&self.inner.readers).await?)
    }

    /// Its users and groups stay, and are nobody's but the admins' from then on.
    pub async fn remove_provisioner(&self, name: &Name) -> Result<bool, StoreError> {
        let removed = sqlx::query("DELETE FROM provisioners WHERE name = $1").bind(name.as_str());
        Ok(removed.execute(&self.inner.writer).await?.rows_affected() > 0)
    }

    /// Whose secret it is that has this hash.
    pub async fn provisioner_of(&self, digest: [u8; 32]) -> Result<Option<Name>, StoreError> {
        let found = sqlx::query("SELECT name FROM provisioners WHERE digest = $1");
        let found =
            found.bind(HEXLOWER.encode(&digest)).fetch_optional(&self.inner.readers).await?;
        Ok(found.map(|row: Row| row.parsed("name")).transpose()?)
    }

    /// The users of a provisioner, by their names in the directory.
    pub async fn provisioned_users(
        &self,
        provisioner: &Name,
    ) -> Result<Vec<ProvisionedUser>, StoreError> {
        let all = sqlx::query_as(USERS).bind(provisioner.as_str());
        Ok(all.fetch_all(&self.inner.readers).await?)
    }

    /// The groups of a provisioner, by their names in the directory.
    pub async fn provisioned_groups(
        &self,
        provisioner: &Name,
    ) -> Result<Vec<ProvisionedGroup>, StoreError> {
        let all = sqlx::query_as(GROUPS).bind(provisioner.as_str());
        Ok(all.fetch_all(&self.inner.readers).await?)
    }

    /// Says what a user is called in the directory of the provisioner whose they are.
    pub async fn keep_provisioned_user(
        &self,
        provisioner: &Name,
        user: UserId,
        user_name: &str,
        external_id: Option<&str>,
    ) -> Result<(), StoreError> {
        self.keep(KEEP_USER, provisioner, user.to_string(), user_name, external_id).await
    }

    /// As [`keep_provisioned_user`](Self::keep_provisioned_user), of a group.
    pub async fn keep_provisioned_group(
        &self,
        provisioner: &Name,
        group: GroupId,
        display_name: &str,
        external_id: Option<&str>,
    ) -> Result<(), StoreError> {
        self.keep(KEEP_GROUP, provisioner, group.to_string(), display_name, external_id).await
    }

    async fn keep(
        &self,
        statement: &'static str,
        provisioner: &Name,
        id: String,
        called: &str,
        external_id: Option<&str>,
    ) -> Result<(), StoreError> {
        let kept = sqlx::query(statement)
            .bind(id)
            .bind(provisioner.as_str())
            .bind(called.to_owned())
            .bind(external_id.map(str::to_owned));
        kept.execute(&self.inner.writer).await?;
        Ok(())
    }

    /// The members of a group that a provisioner has made too.
    pub async fn provisioned_members(
        &self,
        provisioner: &Name,
        group: GroupId,
    ) -> Result<Vec<UserId>, StoreError> {
        let rows = sqlx::query(MEMBERS).bind(group.to_string()).bind(provisioner.as_str());
        let rows = rows.fetch_all(&self.inner.readers).await?;
        Ok(rows.iter().map(|row| row.parsed("user_id")).collect::<Result<_, _>>()?)
    }
}

impl FromRow<'_, Row> for ProvisionerRow {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self { name: row.parsed("name")?, created: row.number("created")? })
    }
}

impl FromRow<'_, Row> for ProvisionedUser {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.parsed("id")?,
            name: row.parsed("name")?,
            enabled: row.flag("enabled")?,
            user_name: row.try_get("user_name")?,
            external_id: row.try_get("external_id")?,
        })
    }
}

impl FromRow<'_, Row> for ProvisionedGroup {
    fn from_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.parsed("id")?,
            name: row.parsed("name")?,
            display_name: row.try_get("display_name")?,
            external_id: row.try_get("external_id")?,
        })
    }
}

const ADD: &str = "INSERT INTO provisioners (name, digest, created) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO NOTHING";

const USERS: &str = "SELECT users.id, users.name, users.enabled, user_name, external_id
    FROM provisioned_users JOIN users ON users.id = provisioned_users.user_id
    WHERE provisioner = $1 ORDER BY user_name";

const GROUPS: &str = "SELECT user_groups.id, user_groups.name, display_name, external_id
    FROM provisioned_groups JOIN user_groups ON user_groups.id = provisioned_groups.group_id
    WHERE provisioner = $1 ORDER BY display_name";

// One that is another's stays so.
const KEEP_USER: &str = "INSERT INTO provisioned_users
    (user_id, provisioner, user_name, external_id) VALUES ($1, $2, $3, $4)
    ON CONFLICT (user_id) DO UPDATE SET user_name = excluded.user_name,
        external_id = excluded.external_id
    WHERE provisioned_users.provisioner = excluded.provisioner";

const KEEP_GROUP: &str = "INSERT INTO provisioned_groups
    (group_id, provisioner, display_name, external_id) VALUES ($1, $2, $3, $4)
    ON CONFLICT (group_id) DO UPDATE SET display_name = excluded.display_name,
        external_id = excluded.external_id
    WHERE provisioned_groups.provisioner = excluded.provisioner";

const MEMBERS: &str = "SELECT members.user_id FROM members
    JOIN provisioned_users ON provisioned_users.user_id = members.user_id
    WHERE members.group_id = $1 AND provisioner = $2 ORDER BY members.user_id";
