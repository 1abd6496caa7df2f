//! A database on a PostgreSQL server.

use std::time::Duration;

use sqlx::Executor;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};

use super::{Pool, Pools};
use crate::StoreError;

pub(super) async fn pools(options: &AnyConnectOptions) -> Result<Pools, StoreError> {
    Ok(Pools {
        readers: pool(options, READERS, READER).await?,
        writer: pool(options, WRITERS, WRITER).await?,
        // Its own, so that opening a session does not wait for changes of the configuration that
        // wait for each other.
        recorder: pool(options, 1, WRITER).await?,
    })
}

async fn pool(
    options: &AnyConnectOptions,
    size: u32,
    settings: &'static str,
) -> Result<Pool, StoreError> {
    let pool = AnyPoolOptions::new().max_connections(size).acquire_timeout(ACQUIRE).after_connect(
        move |connection, _| Box::pin(async move { connection.execute(settings).await.map(drop) }),
    );
    Ok(pool.connect_with(options.clone()).await?)
}

const READERS: u32 = 4;
const WRITERS: u32 = 4;
/// How long a request waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(10);

// A server that is set to lose commits at a crash is told that these must not be lost.
// What a relay that is cut off has begun and not stored keeps its rows locked, and the others wait to
// take its place: no longer than until they take it for gone.
const WRITER: &str = "SET synchronous_commit = on; SET statement_timeout = '15s';
    SET idle_in_transaction_session_timeout = '10s'; SET client_min_messages = warning;";
const READER: &str = "SET default_transaction_read_only = on; SET statement_timeout = '15s';
    SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = warning;";
