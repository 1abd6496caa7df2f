//! Databases of earlier releases, as their own tools wrote them down, with rows in every table.

use std::collections::BTreeMap;

use session::AuditLog;
use store::{AgentQuery, AuditQuery, Engine, MasterKey, Store, StoreError, TokenQuery};

use crate::audit::opened;
use crate::support::{Home, name, run, session};
use crate::transfer::populate;

#[tokio::test]
async fn a_database_of_the_release_before_is_brought_up_to_date_with_all_that_is_in_it() {
    let home = Home { key: key(), ..Home::new() };
    load(&home, dump()).await;
    let store = home.open().await;
    assert_eq!(store.users().await.unwrap().len(), 3);
    assert_eq!(store.applications().await.unwrap().len(), 2);
    assert_eq!(store.grants().await.unwrap().len(), 2);
    assert_eq!(store.tokens(TokenQuery::default()).await.unwrap().len(), 2);
    let agents = store
        .agents(AgentQuery { user: Some(name("alice")), ..AgentQuery::default() })
        .await
        .unwrap();
    assert!(agents[0].token.is_some(), "{agents:?}");
    assert_eq!(store.connectors().await.unwrap().len(), 1);
    assert_eq!(store.secret("ca key").await.unwrap().unwrap().as_slice(), b"a private key");
    let events = store.audit_events(AuditQuery { limit: 10, ..AuditQuery::default() });
    let actions: Vec<_> = events.await.unwrap().into_iter().map(|row| row.action).collect();
    assert_eq!(actions, ["session.opened", "session.ended", "session.opened"]);
    // What was left open is ended, and the log goes on after it.
    assert_eq!(store.close_abandoned(std::time::SystemTime::now()).await.unwrap(), 1);
    store.append(opened(session())).await.unwrap();
    let events = store.audit_events(AuditQuery { limit: 10, ..AuditQuery::default() });
    let numbers: Vec<_> = events.await.unwrap().into_iter().map(|row| row.seq).collect();
    assert!(numbers.is_sorted() && numbers.len() == 5, "{numbers:?}");
}

#[tokio::test]
async fn a_dump_has_rows_in_every_table_of_its_time() {
    let home = Home::new();
    load(&home, dump()).await;
    let behind = home.behind().await;
    for table in TABLES {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let rows: i64 = sqlx::query_scalar(count).fetch_one(&behind).await.unwrap();
        assert!(rows > 0, "{table}");
    }
}

#[tokio::test]
async fn a_step_that_fails_leaves_the_database_as_it_was() {
    let home = Home { key: key(), ..Home::new() };
    load(&home, dump()).await;
    let behind = home.behind().await;
    // The program's second step is not the one that was made.
    run(
        &behind,
        "UPDATE _sqlx_migrations SET checksum = (SELECT checksum FROM _sqlx_migrations
         WHERE version = 1) WHERE version = 2",
    )
    .await;
    let before = counts(&behind).await;
    let opened = Store::open(home.at(), home.key.clone()).await.map(drop);
    assert!(matches!(opened, Err(StoreError::Migrate(_))), "{opened:?}");
    assert_eq!(counts(&behind).await, before);
}

async fn counts(behind: &sqlx::AnyPool) -> BTreeMap<&'static str, i64> {
    let mut counts = BTreeMap::new();
    for (table, count) in [
        ("audit", "SELECT count(*) FROM audit"),
        ("tokens", "SELECT count(*) FROM tokens"),
        ("steps", "SELECT count(*) FROM _sqlx_migrations"),
    ] {
        counts.insert(table, sqlx::query_scalar(count).fetch_one(behind).await.unwrap());
    }
    counts
}

/// Runs what `pg_dump --inserts` and `sqlite3 .dump` write.
async fn load(home: &Home, dump: &'static str) {
    let behind = home.behind().await;
    let ours = |line: &&str| {
        // Those are for psql, and for roles and settings of another server.
        !["\\", "SET ", "SELECT pg_catalog.set_config"].iter().any(|start| line.starts_with(start))
    };
    let statements: Vec<_> = dump.lines().filter(ours).collect();
    let statements = sqlx::AssertSqlSafe(statements.join("\n"));
    sqlx::raw_sql(statements).execute(&behind).await.unwrap();
    behind.close().await;
}

fn dump() -> &'static str {
    match crate::ENGINE {
        Engine::Sqlite => include_str!("dumps/0002.sqlite.sql"),
        Engine::Postgres => include_str!("dumps/0002.postgres.sql"),
    }
}

/// The key that the dumps are sealed with.
fn key() -> MasterKey {
    MasterKey::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap()
}

/// With `ADIT_TEST_KEEP`, a path for SQLite or a URL for PostgreSQL, the database is there
/// afterwards, for writing the dump of a release.
#[tokio::test]
async fn what_a_dump_is_made_of_has_rows_in_every_table() {
    let home = Home { key: key(), ..Home::new() };
    let kept = std::env::var("ADIT_TEST_KEEP").ok();
    let kept = kept.map(|place| place.parse::<store::Location>().unwrap());
    let at = kept.filter(|at| at.engine() == crate::ENGINE).unwrap_or_else(|| home.at());
    let store = Store::open(at.clone(), key()).await.unwrap();
    populate(&store).await;
    let counts = store::backup(&at, &home.folder.path().join("backup.db")).await.unwrap();
    for table in TABLES {
        assert!(counts.iter().any(|count| count.table == table && count.rows > 0), "{table}");
    }
    store.close().await;
}

const TABLES: [&str; 15] = [
    "agents",
    "applications",
    "audit",
    "connectors",
    "counters",
    "credentials",
    "grants",
    "host_keys",
    "members",
    "secrets",
    "sites",
    "ssh_keys",
    "tokens",
    "user_groups",
    "users",
];
