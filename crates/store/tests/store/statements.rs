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
    store.close().await;
}

#[tokio::test]
async fn statements_are_found_by_when_they_were_sent_and_by_several_applications_at_once() {
    let home = Home::new();
    let store = home.open().await;
    store.close_abandoned(now()).await.unwrap();
    let of = |second: u64, application: &str| {
        let (mut statement, at) = (statement(0, true), now() + Duration::from_secs(second));
        let millis = u128::from(1_800_000_000 + second) * 1000;
        let scope = (*statement.scope).clone();
        (statement.id, statement.at) = (Uuid::from_u128(millis << 80 | 7 << 76 | 2 << 62), at);
        statement.scope = Arc::new(StatementScope { application: application.to_owned(), ..scope });
        statement.text = format!("select {second}").into();
        statement
    };
    let all = [of(1, "a-hq"), of(2, "b-hq"), of(3, "a-branch"), of(4, "a-hq"), of(5, "b-hq")];
    store.keep(all.to_vec()).await.unwrap();
    let any = StatementQuery::default;
    let at = |second| Some(now() + Duration::from_secs(second));
    let labels = |labels: &[&str]| Some(labels.iter().map(|label| (*label).to_owned()).collect());
    for (query, found) in [
        (any(), vec![5, 4, 3, 2, 1]),
        (StatementQuery { since: at(3), ..any() }, vec![5, 4, 3]),
        (StatementQuery { until: at(3), ..any() }, vec![2, 1]),
        (StatementQuery { since: at(2), until: at(4), ..any() }, vec![3, 2]),
        (StatementQuery { applications: labels(&["a-hq", "a-branch"]), ..any() }, vec![4, 3, 1]),
        (StatementQuery { applications: labels(&["a-branch"]), ..any() }, vec![3]),
        (StatementQuery { applications: labels(&[]), ..any() }, vec![]),
    ] {
        let found: Vec<_> = found.iter().map(|second| format!("select {second}")).collect();
        let texts = listed(&store, query.clone()).await.into_iter().map(|row| row.text);
        assert_eq!(texts.collect::<Vec<_>>(), found, "{query:?}");
    }
    // A page of several applications goes on where the one before ended.
    let both = StatementQuery { applications: labels(&["a-branch", "a-hq"]), limit: 2, ..any() };
    let first = store.statements(both.clone()).await.unwrap();
    let rest = store.statements(StatementQuery { before: Some(first[1].id), ..both });
    let rest = rest.await.unwrap();
    let texts: Vec<_> = first.iter().chain(&rest).map(|row| row.text.as_str()).collect();
    assert_eq!(texts, ["select 4", "select 3", "select 1"]);
    // What is old goes, and nothing else.
    let (later, kept) = (now() + Duration::from_secs(103), Duration::from_secs(100));
    assert_eq!(store.purge_statements(later, kept).await.unwrap(), 2);
    let left = listed(&store, any()).await.into_iter().map(|row| row.text);
    assert_eq!(left.collect::<Vec<_>>(), ["select 5", "select 4", "select 3"]);
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
