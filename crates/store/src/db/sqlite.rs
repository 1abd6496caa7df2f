//! A database in a file.

use std::fs::{File, OpenOptions};
use std::future::ready;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::{Connection as _, Executor};

use super::location::file_url;
use super::{Pool, Pools};
use crate::StoreError;

pub(super) async fn pools(path: &Path) -> Result<Pools, StoreError> {
    private_file(path)?;
    // SQLite has one writer at a time: so have we, and waiting for it is first come, first served.
    let writer = pool(path, 1, WRITER).await?;
    let readers = pool(path, READERS, READER).await?;
    Ok(Pools { readers, recorder: writer.clone(), writer })
}

/// Opens a file that nobody but its owner can read, making it if needed.
pub(crate) fn private_file(path: &Path) -> Result<File, StoreError> {
    // SQLite gives its log and index the permissions of the file.
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(|source| StoreError::File { source })
}

async fn pool(path: &Path, size: u32, pragmas: &'static str) -> Result<Pool, StoreError> {
    let options = AnyPoolOptions::new()
        .max_connections(size)
        // All at the start: a request must not fail for want of a file descriptor.
        .min_connections(size)
        .acquire_timeout(ACQUIRE)
        .idle_timeout(None)
        .max_lifetime(None)
        // A file does not hang up.
        .test_before_acquire(false)
        // Where a commit failed, SQLite has undone it and refuses to do so again, and the driver
        // holds the transaction to be open for good: such a connection is replaced.
        .before_acquire(|connection, _| Box::pin(ready(Ok(!connection.is_in_transaction()))))
        .after_connect(move |connection, _| {
            Box::pin(async move { connection.execute(pragmas).await.map(drop) })
        });
    Ok(options.connect_with(file_url(path)?).await?)
}

const READERS: u32 = 4;
/// How long a request waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(10);

// One statement waits five seconds for another process to let go of the file. With synchronous
// FULL, what was acknowledged survives a power cut.
const WRITER: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;";
const READER: &str = "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON;";

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;

    async fn pragma(pool: &Pool, pragma: &'static str) -> String {
        let row = sqlx::query(pragma).fetch_one(pool).await.unwrap();
        row.try_get(0).unwrap_or_else(|_| row.get::<i64, _>(0).to_string())
    }

    #[tokio::test]
    async fn what_is_acknowledged_is_on_the_disk_and_readers_only_read() {
        sqlx::any::install_default_drivers();
        let folder = tempfile::tempdir().unwrap();
        let pools = pools(&folder.path().join("a%20 b?mode=memory#c.db")).await.unwrap();
        assert!(folder.path().join("a%20 b?mode=memory#c.db").exists());
        for (name, value) in [
            ("PRAGMA journal_mode", "wal"),
            ("PRAGMA synchronous", "2"),
            ("PRAGMA foreign_keys", "1"),
            ("PRAGMA busy_timeout", "5000"),
            ("PRAGMA query_only", "0"),
        ] {
            assert_eq!(pragma(&pools.writer, name).await, value, "{name}");
        }
        assert_eq!(pragma(&pools.readers, "PRAGMA journal_mode").await, "wal");
        assert_eq!(pragma(&pools.readers, "PRAGMA busy_timeout").await, "5000");
        let written = pools.readers.execute("CREATE TABLE t (a BIGINT)").await;
        assert!(written.unwrap_err().to_string().contains("readonly"));
    }
}
