//! Sessions that have ended.

use std::time::{Duration, SystemTime};

use access::{EndReason, SessionId};
use session::{AuditEvent, AuditLog, Stamped};
use store::{EndedQuery, EndedRow, RecordingRow, Store};
use uuid::Uuid;

use crate::audit::{ended, opened};
use crate::support::{Home, name, now};

#[tokio::test]
async fn sessions_that_have_ended_are_listed_the_last_one_first_with_how_they_went() {
    let home = Home::new();
    let store = home.open().await;
    let (first, second, open) = (at(1), at(2), at(3));
    for id in [first, second] {
        store.append(opened(id)).await.unwrap();
    }
    store.append(opened(open)).await.unwrap();
    // The first one ends last, and is listed last all the same: it was opened first.
    end(&store, second).await;
    end(&store, first).await;
    let rows = list(&store, EndedQuery::default()).await;
    assert_eq!(ids(&rows), [second, first], "what is open is not listed");
    let row = &rows[1];
    assert_eq!((row.user.as_str(), row.application.as_str()), ("alice", "web1"));
    assert_eq!((row.site.as_str(), row.door.as_str()), ("hq", "ssh"));
    assert_eq!((row.login.as_deref(), row.kind), (Some("ubuntu"), Some(access::Kind::Ssh)));
    assert_eq!((row.reason.as_str(), row.side.as_str()), ("closed", "client"));
    assert_eq!((row.up, row.down, row.recording), (1, 2, None));
    assert!(row.from.is_some() && row.opened_ms <= row.ended_ms, "{row:?}");
}

#[tokio::test]
async fn one_that_a_killed_relay_left_open_has_ended_as_abandoned() {
    let home = Home::new();
    let store = home.open().await;
    store.append(opened(at(1))).await.unwrap();
    store.close().await;
    let store = home.open().await;
    store.close_abandoned(SystemTime::now()).await.unwrap();
    let rows = list(&store, EndedQuery::default()).await;
    assert_eq!((ids(&rows), rows[0].reason.as_str()), (vec![at(1)], "abandoned"));
}

#[tokio::test]
async fn pages_go_on_where_the_one_before_ended_and_times_are_of_the_opening() {
    let home = Home::new();
    let store = home.open().await;
    let all: Vec<_> = (1..=7).map(at).collect();
    for id in &all {
        store.append(opened(*id)).await.unwrap();
        end(&store, *id).await;
    }
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = list(&store, EndedQuery { before, limit: 3, ..EndedQuery::default() }).await;
        let Some(last) = page.last() else { break };
        before = Some(last.session);
        found.extend(ids(&page));
    }
    let newest: Vec<_> = all.iter().rev().copied().collect();
    assert_eq!(found, newest);
    let (since, until) = (Some(moment(3)), Some(moment(5)));
    let rows = list(&store, EndedQuery { since, until, ..EndedQuery::default() }).await;
    assert_eq!(ids(&rows), [at(4), at(3)]);
}

#[tokio::test]
async fn they_are_found_by_user_application_site_and_recording() {
    let home = Home::new();
    let store = home.open().await;
    let whose = [("alice", "web1", "hq"), ("bob", "web1", "branch"), ("alice", "db1", "branch")];
    for (second, (user, app, site)) in (1..).zip(whose) {
        let event = ended_of(at(second), (user, app, site));
        store.reserve().await.unwrap().fill(Stamped { at: now(), event });
    }
    for id in [at(1), at(3)] {
        store.append(recorded(id, 7, false)).await.unwrap();
    }
    // A crash cut it short, and the next start told of what there is.
    store.append(recorded(at(3), 9, true)).await.unwrap();
    store.append(AuditEvent::RecordingRemoved { session: at(1), bytes: 7 }).await.unwrap();
    let any = EndedQuery::default;
    let app = |app: &str, site: Option<&str>| Some((name(app), site.map(name)));
    let hq = || Some(vec![name("hq")]);
    for (query, found) in [
        (any(), vec![3, 2, 1]),
        (EndedQuery { user: Some(name("alice")), ..any() }, vec![3, 1]),
        (EndedQuery { application: app("web1", None), ..any() }, vec![2, 1]),
        (EndedQuery { application: app("web1", Some("branch")), ..any() }, vec![2]),
        (EndedQuery { application: app("web1", Some("nowhere")), ..any() }, vec![]),
        (EndedQuery { sites: hq(), ..any() }, vec![1]),
        (EndedQuery { sites: Some(vec![name("hq"), name("branch")]), ..any() }, vec![3, 2, 1]),
        (EndedQuery { sites: Some(Vec::new()), ..any() }, vec![]),
        (EndedQuery { sites: hq(), application: app("web1", Some("branch")), ..any() }, vec![]),
        (EndedQuery { recorded: true, ..any() }, vec![3, 1]),
        (EndedQuery { recorded: true, user: Some(name("bob")), ..any() }, vec![]),
        (EndedQuery { recorded: true, application: app("db1", None), ..any() }, vec![3]),
    ] {
        let rows = list(&store, query.clone()).await;
        let found: Vec<_> = found.into_iter().map(at).collect();
        assert_eq!(ids(&rows), found, "{query:?}");
    }
    let rows = list(&store, any()).await;
    let whole = RecordingRow { bytes: 9, whole: true, removed_ms: None };
    assert_eq!(rows[0].recording, Some(whole));
    assert_eq!(rows[1].recording, None);
    let removed = rows[2].recording.unwrap();
    assert!(!removed.whole && removed.removed_ms.is_some(), "{removed:?}");
}

/// With all of a page's rows where the query names no limit.
async fn list(store: &Store, query: EndedQuery) -> Vec<EndedRow> {
    let limit = if query.limit == 0 { 100 } else { query.limit };
    // What was reserved is stored in its order before what is appended.
    store.append(crate::audit::failed("nobody")).await.unwrap();
    store.ended_sessions(EndedQuery { limit, ..query }).await.unwrap()
}

async fn end(store: &Store, id: SessionId) {
    let slot = store.reserve().await.unwrap();
    slot.fill(Stamped { at: SystemTime::now(), event: ended(id) });
}

fn ids(rows: &[EndedRow]) -> Vec<SessionId> {
    rows.iter().map(|row| row.session).collect()
}

fn ended_of(id: SessionId, (user, app, site): (&str, &str, &str)) -> AuditEvent {
    match ended(id) {
        AuditEvent::SessionEnded { door, side, up, down, millis, .. } => AuditEvent::SessionEnded {
            session: id,
            user: name(user),
            application: name(app),
            site: name(site),
            door,
            reason: EndReason::Closed,
            side,
            up,
            down,
            millis,
        },
        other => other,
    }
}

fn recorded(id: SessionId, bytes: u64, whole: bool) -> AuditEvent {
    let (user, application, site) = match id == at(1) {
        true => ("alice", "web1", "hq"),
        false => ("alice", "db1", "branch"),
    };
    AuditEvent::SessionRecorded {
        session: id,
        user: Some(name(user)),
        application: Some(name(application)),
        site: Some(name(site)),
        bytes,
        sha256: None,
        whole,
    }
}

/// The id (UUID version 7) of a session that was opened at a moment.
fn at(second: u64) -> SessionId {
    let millis = u128::from(1_800_000_000 + second) * 1000;
    SessionId(Uuid::from_u128(millis << 80 | 7 << 76 | 2 << 62 | u128::from(second)))
}

fn moment(second: u64) -> SystemTime {
    now() + Duration::from_secs(second)
}
