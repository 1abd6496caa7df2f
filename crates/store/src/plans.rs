//! Stores whose plans for statements are looked at, for tests.

use tempfile::TempDir;
use testkit::Database;

use crate::db::Engine;
use crate::{Location, MasterKey, Store};

pub(crate) async fn in_a_file() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("adit.db"), MasterKey::generate()).await.unwrap();
    (folder, store)
}

pub(crate) async fn at_a_server() -> (Database, Store) {
    let database = Database::create().unwrap();
    let at: Location = database.url().parse().unwrap();
    (database, Store::open(at, MasterKey::generate()).await.unwrap())
}

/// `numbers (n)` for the statement behind it, from 1 on.
pub(crate) fn numbers(engine: Engine, up_to: u32) -> String {
    match engine {
        Engine::Sqlite => format!(
            "WITH RECURSIVE numbers (n) AS
                (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {up_to})"
        ),
        Engine::Postgres => format!("WITH numbers (n) AS (SELECT generate_series(1, {up_to}))"),
    }
}
