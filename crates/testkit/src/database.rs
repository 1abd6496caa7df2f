//! Empty databases on a PostgreSQL server, for what keeps its rows in one.

use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::account::random_hex;
use crate::run::run;
use crate::{Postgres, postgres_binaries};

/// The server that this process's tests have their databases on: the one that the test run
/// started, or one of their own.
#[derive(Debug)]
pub struct Cluster {
    url: String,
    _own: Option<Postgres>,
}

/// A database of its own, gone when dropped.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
    // The last database of a server ends it.
    _cluster: Arc<Cluster>,
}

impl Cluster {
    /// Names the URL of the server that a whole test run shares.
    pub const VARIABLE: &str = "ADIT_TEST_POSTGRES";

    fn find() -> Result<Self> {
        if let Ok(url) = std::env::var(Self::VARIABLE) {
            return Ok(Self { url, _own: None });
        }
        let own = Postgres::start()?;
        Ok(Self { url: own.url("postgres"), _own: Some(own) })
    }
}

impl Database {
    /// Makes an empty one.
    pub fn create() -> Result<Self> {
        let cluster = shared()?;
        let name = format!("adit_{}", &random_hex()?[..16]);
        sql(&cluster.url, &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"))?;
        Ok(Self { server: cluster.url.clone(), name, _cluster: cluster })
    }

    pub fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').unwrap_or((&self.server, ""));
        format!("{server}/{}", self.name)
    }

    /// Runs statements in it and gives what they print.
    pub fn sql(&self, statements: &str) -> Result<String> {
        sql(&self.url(), statements)
    }

    /// Ends every connection to it, as an administrator or a fail-over does.
    pub fn disconnect_all(&self) -> Result<()> {
        let name = &self.name;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname =";
        sql(&self.server, &format!("{end} '{name}'")).map(drop)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A server that is gone has taken it along.
        drop(sql(&self.server, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)));
    }
}

fn shared() -> Result<Arc<Cluster>> {
    static LIVE: LazyLock<Mutex<Weak<Cluster>>> = LazyLock::new(Mutex::default);
    let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cluster) = live.upgrade() {
        return Ok(cluster);
    }
    let cluster = Arc::new(Cluster::find()?);
    *live = Arc::downgrade(&cluster);
    Ok(cluster)
}

fn sql(url: &str, statements: &str) -> Result<String> {
    let bin = postgres_binaries().context("there is no PostgreSQL: install postgresql")?;
    let mut psql = Command::new(bin.join("psql"));
    psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statements]);
    run(&mut psql, SOON)?.ok()
}

const SOON: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_empty_apart_from_each_other_and_gone_at_the_end() -> Result<()> {
        let (one, other) = (Database::create()?, Database::create()?);
        one.sql("CREATE TABLE t (a int)")?;
        assert!(other.sql("SELECT * FROM t").is_err());
        let name = one.name.clone();
        drop(one);
        let left = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
        assert_eq!(other.sql(&left)?.trim(), "0");
        Ok(())
    }
}
