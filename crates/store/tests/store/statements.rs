//! The statements of databases' doors.

use std::sync::Arc;
use std::time::Duration;

use access::SessionId;
use session::{Outcome, Statement, StatementLog as _, StatementScope};
use store::{StatementQuery, Store};
use uuid::Uuid;

use crate::support::{Home, now};

#[tokio::test]
async fn each_of_many_statements_is_kept_as_it_was() {
    let home = Home::new();
    let store = home.open().await;
    store.close_abandoned(now()).await.unwrap();
    for n in 0..100 {
        store.note(statement(n, true)).await;
    }
    let kept = async {
        while listed(&store, StatementQuery::default()).await.len() < 100 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), kept).await.unwrap();
    let rows = listed(&store, StatementQuery::default()).await;
    for (row, n) in rows.iter().rev().zip(0..) {
        assert_eq!((row.id, row.text.clone()), (Uuid::from_u128(n), format!("select {n}")));
        let error = (n % 2 == 1).then(|| "42601".to_owned());
        assert_eq!((row.error.clone(), row.rows, row.micros), (error, Some(7), Some(9)));
        assert_eq!((row.database.as_str(), row.role.as_str(), row.cut), ("orders", "ro", 3));
        assert_eq!(row.client.as_deref(), Some("psql"));
    }
    let failed = StatementQuery { failed: true, ..StatementQuery::default() };
    assert_eq!(listed(&store, failed).await.len(), 50);
    let other = StatementQuery { database: Some("x".to_owned()), ..StatementQuery::default() };
    assert_eq!(listed(&store, other).await, []);
    assert_eq!(store.dropped_statements(), 0);
}

#[tokio::test]
async fn a_statement_that_is_kept_is_stored_when_that_returns_and_has_its_outcome_later() {
    let home = Home::new();
    let store = home.open().await;
    store.close_abandoned(now()).await.unwrap();
    store.keep(vec![statement(1, false), statement(2, false)]).await.unwrap();
    let rows = listed(&store, StatementQuery::default()).await;
    assert_eq!(rows.iter().map(|row| row.micros).collect::<Vec<_>>(), [None, None]);
    store.note(statement(1, true)).await;
    store.keep(vec![statement(3, false)]).await.unwrap();
    let rows = listed(&store, StatementQuery::default()).await;
    assert_eq!(rows.iter().map(|row| row.micros).collect::<Vec<_>>(), [None, None, Some(9)]);
    // What is old goes.
    let later = now() + Duration::from_secs(100);
    assert_eq!(store.purge_statements(later, Duration::from_secs(50)).await.unwrap(), 3);
    store.close().await;
}

async fn listed(store: &Store, query: StatementQuery) -> Vec<store::StatementRow> {
    store.statements(StatementQuery { limit: 1000, ..query }).await.unwrap()
}

fn statement(n: u128, ended: bool) -> Statement {
    let error = (n % 2 == 1).then(|| "42601".to_owned());
    let scope = StatementScope {
        session: SessionId(Uuid::from_u128(1)),
        user: "alice".parse().unwrap(),
        application: "orders-db-hq".to_owned(),
        database: "orders".to_owned(),
        role: "ro".to_owned(),
    };
    Statement {
        id: Uuid::from_u128(n),
        at: now(),
        scope: Arc::new(scope),
        client: Some("psql".into()),
        text: format!("select {n}").into(),
        cut: 3,
        outcome: ended.then_some(Outcome { micros: 9, rows: Some(7), error }),
    }
}
