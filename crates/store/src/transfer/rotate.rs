//! Another master key.

use sqlx::{AssertSqlSafe, Connection as _};

use super::{TransferError, connect};
use crate::acme::issued;
use crate::audit::vouch_anew;
use crate::db::{Claim, Connection, Engine, Fence, Location, migrate};
use crate::passwords::password;
use crate::replies::reply;
use crate::seal::Sealer;
use crate::second_factors::totp;
use crate::secrets::{blob, credential};
use crate::{MasterKey, StoreError};

/// A change of the master key. While it lasts no relay serves and no other change begins.
pub struct Rotation {
    at: Location,
    claim: Claim,
}

impl Rotation {
    /// Claims the database.
    pub async fn begin(at: &Location) -> Result<Self, TransferError> {
        let claim = Claim::take(at, &Fence::default()).await?;
        Ok(Self { at: at.clone(), claim })
    }

    /// Seals everything anew, in one transaction, and says how many values. The key in force is the
    /// old one until this returns; after an error it may be either.
    pub async fn reseal(&self, old: &MasterKey, new: &MasterKey) -> Result<u64, TransferError> {
        reseal(&self.at, old, new).await
    }

    /// Lets go of the database.
    pub async fn end(self) {
        self.claim.release().await;
    }
}

async fn reseal(at: &Location, old: &MasterKey, new: &MasterKey) -> Result<u64, TransferError> {
    let (old_sealer, new_sealer) = (Sealer::new(old)?, Sealer::new(new)?);
    let mut connection = connect(at).await?;
    migrate::check_version(&mut connection).await?;
    let mut writing = match at.engine() {
        Engine::Sqlite => connection.begin_with("BEGIN IMMEDIATE").await?,
        Engine::Postgres => connection.begin().await?,
    };
    let mut sealed = 0;
    for column in SEALED {
        sealed += column.reseal(&mut writing, &old_sealer, &new_sealer).await?;
    }
    vouch_anew(&mut writing, &old.head_key(), &new.head_key()).await?;
    writing.commit().await?;
    connection.close().await?;
    Ok(sealed)
}

/// A column of sealed values.
struct Column {
    table: &'static str,
    id: &'static str,
    /// What the value of a row is sealed as.
    record: fn(&str) -> String,
}

const SEALED: &[Column] = &[
    Column { table: "credentials", id: "application_id", record: |id| credential(id) },
    Column { table: "level_credentials", id: "id", record: |id| credential(id) },
    Column { table: "secrets", id: "name", record: secret },
    Column { table: "acme_certificates", id: "name", record: |name| issued(name) },
    Column { table: "replies", id: "id", record: reply },
    Column { table: "passwords", id: "user_id", record: |id| password(id) },
    Column { table: "totp", id: "user_id", record: |id| totp(id) },
];

fn secret(name: &str) -> String {
    if name == migrate::KEY_CHECK { name.to_owned() } else { blob(name) }
}

impl Column {
    async fn reseal(
        &self,
        db: &mut Connection,
        old: &Sealer,
        new: &Sealer,
    ) -> Result<u64, StoreError> {
        let Self { table, id, record } = self;
        let select =
            AssertSqlSafe(format!("SELECT {id}, sealed FROM {table} WHERE sealed IS NOT NULL"));
        let update = format!("UPDATE {table} SET sealed = $2 WHERE {id} = $1");
        let rows: Vec<(String, String)> = sqlx::query_as(select).fetch_all(&mut *db).await?;
        let count = rows.len();
        for (id, sealed) in rows {
            let record = record(&id);
            let sealed = new.seal(&record, &old.open(&record, &sealed)?)?;
            let update = sqlx::query(AssertSqlSafe(update.clone())).bind(id).bind(sealed);
            update.execute(&mut *db).await?;
        }
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }
}
