//! The statements of databases' doors.

use std::sync::Arc;
use std::time::Duration;

use access::SessionId;
use session::{Outcome, Statement, StatementLog as _, StatementScope};
use store::{StatementQuery, Store};
use uuid::Uuid;

use crate::audit::opened;
use crate::support::{Home, allow, now, refuse};

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
async fn what_ran_when_a_relay_was_killed_ended_with_its_session() {
    let home = Home::new();
    let store = home.open().await;
    store.close_abandoned(now()).await.unwrap();
    let session = SessionId(Uuid::from_u128(1));
    session::AuditLog::append(&store, opened(session)).await.unwrap();
    let other = |n| {
        let of_another = SessionId(Uuid::from_u128(2));
        let scope = StatementScope { session: of_another, ..(*statement(n, false).scope).clone() };
        Statement { scope: Arc::new(scope), ..statement(n, false) }
    };
    let kept = vec![statement(1, true), statement(2, false), other(4), statement(6, true)];
    store.keep(kept).await.unwrap();
    store.close().await;
    let store = home.open().await;
    assert_eq!(store.close_abandoned(now()).await.unwrap(), 1);
    let rows = listed(&store, StatementQuery::default()).await;
    let told: Vec<_> =
        rows.iter().map(|row| (row.id.as_u128(), row.micros, row.error.as_deref())).collect();
    let ended = Some("session.abandoned");
    assert_eq!(
        told,
        [(6, Some(9), None), (4, None, None), (2, None, ended), (1, Some(9), Some("42601"))]
    );
    let failed = listed(&store, StatementQuery { failed: true, ..StatementQuery::default() }).await;
    assert_eq!(failed.iter().map(|row| row.id.as_u128()).collect::<Vec<_>>(), [2, 1]);
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

#[tokio::test]
async fn each_question_finds_what_fits_of_many_sessions_page_by_page() {
    let home = Home::new();
    let store = home.open().await;
    store.close_abandoned(now()).await.unwrap();
    // Sessions of two hours and a half, of minutes and of one statement, beside each other.
    let mut all = Vec::new();
    for n in 0..600_u64 {
        let session = one_of([n % 5, 100 + n / 40, 1000 + n], n);
        let scope = StatementScope {
            session: SessionId(Uuid::from_u128(session.into())),
            user: one_of(["alice", "bob", "carol"], session).parse().unwrap(),
            application: one_of(["a-hq", "b-hq", "c-hq", "d-hq"], session).to_owned(),
            database: one_of(["orders", "stock"], session).to_owned(),
            role: "ro".to_owned(),
        };
        all.push(of_moment(n, Duration::from_secs(15 * n), scope));
    }
    // As doors tell of them: in parts, and not quite in the order of their ids.
    for part in all.chunks(70) {
        store.keep(part.iter().rev().cloned().collect()).await.unwrap();
    }
    let any = StatementQuery::default;
    let labels = |labels: &[&str]| Some(labels.iter().map(|label| (*label).to_owned()).collect());
    let at = |quarter: u64| Some(now() + Duration::from_secs(15 * quarter));
    for query in [
        any(),
        StatementQuery { user: Some("alice".to_owned()), ..any() },
        StatementQuery { user: Some("nobody".to_owned()), ..any() },
        StatementQuery { database: Some("stock".to_owned()), ..any() },
        StatementQuery { database: Some("stock".to_owned()), failed: true, ..any() },
        StatementQuery { session: Some(SessionId(Uuid::from_u128(3))), ..any() },
        StatementQuery { applications: labels(&["b-hq", "d-hq"]), ..any() },
        StatementQuery { applications: labels(&["a-hq"]), since: at(400), ..any() },
        StatementQuery { user: Some("bob".to_owned()), until: at(100), ..any() },
        StatementQuery { user: Some("bob".to_owned()), since: at(90), until: at(95), ..any() },
        StatementQuery { failed: true, since: at(590), ..any() },
        StatementQuery { failed: true, applications: labels(&["b-hq", "d-hq"]), ..any() },
        StatementQuery {
            failed: true,
            session: Some(SessionId(Uuid::from_u128(3))),
            user: Some("alice".to_owned()),
            ..any()
        },
    ] {
        let expected: Vec<_> = all.iter().rev().filter(|one| fits(&query, one)).collect();
        let mut found: Vec<store::StatementRow> = Vec::new();
        loop {
            let before = found.last().map(|row| row.id);
            let page = StatementQuery { before, limit: 7, ..query.clone() };
            let page = store.statements(page).await.unwrap();
            let is_last = page.len() < 7;
            found.extend(page);
            if is_last {
                break;
            }
        }
        let texts = |row: &store::StatementRow| (row.id, row.session, row.text.clone());
        let found: Vec<_> = found.iter().map(texts).collect();
        let of = |one: &&Statement| (one.id, one.scope.session, one.text.to_string());
        assert_eq!(found, expected.iter().map(of).collect::<Vec<_>>(), "{query:?}");
    }
    store.close().await;
}

fn one_of<T: Copy, const N: usize>(all: [T; N], n: u64) -> T {
    all[usize::try_from(n).unwrap() % N]
}

fn fits(query: &StatementQuery, one: &Statement) -> bool {
    let StatementQuery { session, user, applications, database, failed, since, until, .. } = query;
    let scope = &one.scope;
    session.is_none_or(|session| scope.session == session)
        && user.as_ref().is_none_or(|user| scope.user.to_string() == *user)
        && applications.as_ref().is_none_or(|labels| labels.contains(&scope.application))
        && database.as_ref().is_none_or(|database| scope.database == *database)
        && (!failed || one.outcome.as_ref().is_some_and(|outcome| outcome.error.is_some()))
        && since.is_none_or(|since| one.at >= since)
        && until.is_none_or(|until| one.at < until)
}

#[tokio::test]
async fn a_session_that_slept_until_its_statements_had_gone_has_later_ones_on_record() {
    let home = Home::new();
    let store = home.open().await;
    store.close_abandoned(now()).await.unwrap();
    let scope = (*statement(0, true).scope).clone();
    let behind = home.behind().await;
    let scopes = async || {
        let count = sqlx::query_scalar("SELECT count(*) FROM statement_scopes");
        count.fetch_one(&behind).await.unwrap()
    };
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    store.keep(vec![of_moment(1, Duration::ZERO, scope.clone())]).await.unwrap();
    // What is within the hour that a row may be behind stays.
    assert_eq!(store.purge_statements(now() + DAY, DAY - Duration::from_secs(9)).await.unwrap(), 1);
    let left: i64 = scopes().await;
    assert_eq!(left, 1);
    store.keep(vec![of_moment(2, Duration::from_secs(60), scope.clone())]).await.unwrap();
    assert_eq!(listed(&store, StatementQuery::default()).await.len(), 1);
    assert_eq!(store.purge_statements(now() + DAY * 3, DAY).await.unwrap(), 1);
    let left: i64 = scopes().await;
    assert_eq!(left, 0);
    store.keep(vec![of_moment(3, DAY * 3, scope)]).await.unwrap();
    let session = Some(SessionId(Uuid::from_u128(1)));
    let found = listed(&store, StatementQuery { session, ..StatementQuery::default() }).await;
    assert_eq!(found.iter().map(|row| row.text.as_str()).collect::<Vec<_>>(), ["select 3"]);
    store.close().await;
}

#[tokio::test]
async fn a_session_that_goes_on_while_old_statements_are_removed_keeps_its_row() {
    let home = Home::new();
    let store = home.open().await;
    store.close_abandoned(now()).await.unwrap();
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let scope = (*statement(0, true).scope).clone();
    store.keep(vec![of_moment(1, Duration::ZERO, scope)]).await.unwrap();
    let behind = home.behind().await;
    // As another relay does: ten days later, in a transaction that the removal comes upon.
    let mut going_on = behind.begin().await.unwrap();
    let later = "UPDATE statement_scopes SET last_high = last_high + 56623104000000";
    sqlx::query(later).execute(&mut *going_on).await.unwrap();
    let removal = store.purge_statements(now() + 3 * DAY, DAY);
    let commit = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        going_on.commit().await.unwrap();
    };
    let (removed, ()) = tokio::join!(removal, commit);
    assert_eq!(removed.unwrap(), 1);
    let count = sqlx::query_scalar("SELECT count(*) FROM statement_scopes");
    let left: i64 = count.fetch_one(&behind).await.unwrap();
    assert_eq!(left, 1);
    store.close().await;
}

#[tokio::test]
async fn statements_that_could_not_be_stored_leave_nothing_that_later_ones_miss() {
    let home = Home::new();
    let store = home.open().await;
    store.close_abandoned(now()).await.unwrap();
    let behind = home.behind().await;
    refuse(&behind, "statements").await;
    store.keep(vec![statement(1, true)]).await.unwrap_err();
    allow(&behind).await;
    store.keep(vec![statement(2, true)]).await.unwrap();
    let found = listed(&store, StatementQuery::default()).await;
    assert_eq!(found.iter().map(|row| row.text.as_str()).collect::<Vec<_>>(), ["select 2"]);
    assert_eq!(store.dropped_statements(), 1);
    store.close().await;
}

#[tokio::test]
async fn statements_of_a_release_before_are_carried_over() {
    let home = Home::new();
    home.open().await.close().await;
    let behind = home.behind().await;
    let (before, session) =
        (include_str!("../../migrations/0131_statements.sql"), Uuid::from_u128(1));
    for statement in [
        "DROP TABLE statements",
        "DROP TABLE statement_scopes",
        "DELETE FROM _sqlx_migrations WHERE version = 163",
        before,
    ] {
        sqlx::raw_sql(statement).execute(&behind).await.unwrap();
    }
    // More than are carried over at once.
    for n in 0..2500_u64 {
        let of = of_moment(n, Duration::from_secs(n * 10), (*statement(0, true).scope).clone());
        sqlx::query(
            "INSERT INTO statements VALUES ($1, $2, $3, 'alice', $4, 'orders', 'ro', $5, $6, $7, $8, $9, $10)",
        )
        .bind(of.id.to_string())
        .bind(1_800_000_000_000_i64 + 10_000 * n as i64)
        .bind(session.to_string())
        .bind(one_of(["a-hq", "b-hq"], n))
        .bind((n % 3 == 0).then_some("psql"))
        .bind(format!("select {n}"))
        .bind(n as i64 % 4)
        .bind((n % 5 > 0).then_some(9_i64))
        .bind((n % 7 > 0).then_some(7_i64))
        .bind((n % 11 == 0).then_some("42601"))
        .execute(&behind)
        .await
        .unwrap();
    }
    let store = home.open().await;
    let mut found: Vec<store::StatementRow> = Vec::new();
    for _ in 0..4 {
        let before = found.last().map(|row| row.id);
        found.extend(listed(&store, StatementQuery { before, ..StatementQuery::default() }).await);
    }
    assert_eq!(found.len(), 2500);
    for (row, n) in found.iter().rev().zip(0..2500_u64) {
        let (has_outcome, application) = (n % 5 > 0, one_of(["a-hq", "b-hq"], n));
        let told = (row.at_ms, row.text.as_str(), row.application.as_str(), row.cut);
        let text = format!("select {n}");
        assert_eq!(told, (1_800_000_000_000 + 10_000 * n, text.as_str(), application, n % 4));
        assert_eq!(row.client.as_deref(), (n % 3 == 0).then_some("psql"));
        assert_eq!(row.micros, has_outcome.then_some(9));
        assert_eq!(row.rows, (has_outcome && n % 7 > 0).then_some(7));
        assert_eq!(row.error.as_deref(), (has_outcome && n % 11 == 0).then_some("42601"));
        assert_eq!((row.user.as_str(), row.role.as_str()), ("alice", "ro"));
        assert_eq!((row.session, row.database.as_str()), (SessionId(session), "orders"));
    }
    let one = StatementQuery { applications: Some(vec!["a-hq".to_owned()]), ..Default::default() };
    assert_eq!(listed(&store, one).await.len(), 1000);
    store.close().await;
    // Once.
    home.open().await.close().await;
}

/// A statement that was sent so much after [`now`], as its id says too.
fn of_moment(n: u64, after: Duration, scope: StatementScope) -> Statement {
    let at = now() + after;
    let millis = at.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let id = Uuid::from_u128(millis << 80 | 7 << 76 | 2 << 62 | u128::from(n));
    let text = format!("select {n}").into();
    Statement { id, at, scope: Arc::new(scope), text, ..statement(n.into(), true) }
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
