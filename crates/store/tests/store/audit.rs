use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use access::{EndReason, Kind, RuleId, SessionId, Side};
use session::{AuditError, AuditEvent, AuditLog, Door, Stamped};
use store::{AuditQuery, AuditRow, Store};
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{Home, allow, name, now, refuse, session};

#[tokio::test]
async fn an_acknowledged_event_is_there_after_the_process_is_gone() {
    let home = Home::new();
    let store = home.open().await;
    store.append(opened(session())).await.unwrap();
    // Dropped, not closed: nothing may depend on an orderly end.
    drop(store);
    assert_eq!(events(&home.open().await).await.len(), 1);
}

#[tokio::test]
async fn closing_waits_for_every_reserved_place() {
    let home = Home::new();
    let store = home.open().await;
    let id = session();
    let slot = store.reserve().await.unwrap();
    store.append(opened(id)).await.unwrap();
    store.note(did(id, "last words"));
    let mut closing = Box::pin(store.clone().close());
    assert!(timeout(Duration::from_millis(100), &mut closing).await.is_err());
    assert!(matches!(store.append(opened(session())).await, Err(AuditError::Stopped)));
    assert!(matches!(store.reserve().await, Err(AuditError::Stopped)));
    slot.fill(Stamped { at: now(), event: ended(id) });
    timeout(Duration::from_secs(10), closing).await.unwrap();
    let told: Vec<_> = events(&home.open().await).await.into_iter().map(|row| row.action).collect();
    assert_eq!(told, ["session.opened", "session.action", "session.ended"]);
}

#[tokio::test]
async fn what_can_not_be_stored_is_refused_and_a_sessions_end_is_kept_until_it_can() {
    let home = Home::new();
    let store = home.open().await;
    let (id, behind) = (session(), home.behind().await);
    let slot = store.reserve().await.unwrap();
    store.append(opened(id)).await.unwrap();
    refuse(&behind, "audit").await;
    let refused = store.append(opened(session())).await;
    assert!(matches!(refused, Err(AuditError::Store { .. })), "{refused:?}");
    slot.fill(Stamped { at: now(), event: ended(id) });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(events(&store).await.len(), 1);
    allow(&behind).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while events(&store).await.len() < 2 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let told: Vec<_> = events(&store).await.into_iter().map(|row| row.action).collect();
    assert_eq!(told, ["session.opened", "session.ended"]);
    store.append(opened(session())).await.unwrap();
}

#[tokio::test]
async fn a_relay_that_stops_on_a_full_disk_stops_all_the_same() {
    let home = Home::new();
    let store = home.open().await;
    let (id, behind) = (session(), home.behind().await);
    let slot = store.reserve().await.unwrap();
    store.append(opened(id)).await.unwrap();
    refuse(&behind, "audit").await;
    slot.fill(Stamped { at: now(), event: ended(id) });
    tokio::time::pause();
    let asked = tokio::time::Instant::now();
    store.close().await;
    assert!(asked.elapsed() > Duration::from_secs(5), "it gave up too soon");
    tokio::time::resume();
    allow(&behind).await;
    let abandoned = home.open().await.close_abandoned(SystemTime::now()).await.unwrap();
    assert_eq!(abandoned, 1, "the session's end is lost");
}

#[tokio::test]
async fn places_for_closing_records_are_as_many_as_sessions_may_be() {
    let home = Home::new();
    let store = Store::open_for(home.at(), home.key.clone(), 2).await.unwrap();
    let first = store.reserve().await.unwrap();
    let _second = store.reserve().await.unwrap();
    let third = timeout(Duration::from_millis(50), store.reserve()).await;
    assert!(third.is_err(), "a third place was given");
    first.fill(Stamped { at: now(), event: ended(session()) });
    timeout(Duration::from_secs(10), store.reserve()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_session_has_one_end_however_often_it_is_written() {
    let home = Home::new();
    let store = home.open().await;
    let id = session();
    for _ in 0..2 {
        let slot = store.reserve().await.unwrap();
        slot.fill(Stamped { at: now(), event: ended(id) });
    }
    store.close().await;
    assert_eq!(events(&home.open().await).await.len(), 1);
}

#[tokio::test]
async fn a_session_without_an_end_gets_one_at_the_next_start() {
    let home = Home::new();
    let store = home.open().await;
    let (lost, closed) = (session(), session());
    store.append(opened(lost)).await.unwrap();
    let slot = store.reserve().await.unwrap();
    store.append(opened(closed)).await.unwrap();
    slot.fill(Stamped { at: now(), event: ended(closed) });
    store.close().await;

    let store = home.open().await;
    let at = SystemTime::now();
    assert_eq!(store.close_abandoned(at).await.unwrap(), 1);
    let live = session();
    store.append(opened(live)).await.unwrap();
    assert_eq!(store.close_abandoned(at).await.unwrap(), 0, "it ended one of its own");
    let slot = store.reserve().await.unwrap();
    slot.fill(Stamped { at: now(), event: ended(live) });
    let query = AuditQuery { session: Some(lost), limit: 10, ..AuditQuery::default() };
    let found = store.audit_events(query).await.unwrap();
    let [_, end] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(end.action, "session.ended");
    assert_eq!(end.event["reason"], "abandoned");
    assert_eq!((&end.event["user"], &end.event["door"]), (&"alice".into(), &"ssh".into()));

    // One that is abandoned later is found by the next start.
    store.append(opened(session())).await.unwrap();
    store.close().await;
    assert_eq!(home.open().await.close_abandoned(at).await.unwrap(), 1);
}

#[tokio::test]
async fn events_are_read_in_pages_and_by_what_they_are_about() {
    let home = Home::new();
    let store = home.open().await;
    let id = session();
    for event in [opened(id), did(id, "ls"), opened(session()), failed("mallory"), failed("eve")] {
        store.append(event).await.unwrap();
    }
    let read = async |query: AuditQuery| store.audit_events(query).await.unwrap();
    let all = AuditQuery { limit: 100, ..AuditQuery::default() };
    let first = read(AuditQuery { limit: 2, ..all.clone() }).await;
    let rest = read(AuditQuery { after: first[1].seq, ..all.clone() }).await;
    assert_eq!((first.len(), rest.len()), (2, 3));
    assert!(rest[0].seq > first[1].seq);
    let of_session = read(AuditQuery { session: Some(id), ..all.clone() }).await;
    assert_eq!(of_session.len(), 2);
    let action = Some("authn.failed".to_owned());
    assert_eq!(read(AuditQuery { action, ..all.clone() }).await.len(), 2);
    let of_user = read(AuditQuery { user: Some("mallory".into()), ..all.clone() }).await;
    assert_eq!(of_user[0].event["user"], "mallory");
    let both =
        AuditQuery { session: Some(id), action: Some("session.action".into()), ..all.clone() };
    let row = read(both).await.remove(0);
    assert_eq!(row.event["detail"], "ls");
    // What it did is an action, too, and nothing that somebody wrote passes for one.
    let what = row.event["what"].as_str().unwrap().to_owned();
    let family = format!("{}.*", what.split_once('.').unwrap().0);
    let forged = did(id, &format!("\"what\":\"{what}\" \"what\":\"x.y\""));
    store.append(forged).await.unwrap();
    for (action, found) in
        [(&*what, 2), (&family, 2), (&what[..what.len() - 1], 0), ("x.y", 0), ("%", 0)]
    {
        let query = AuditQuery { action: Some(action.to_owned()), ..all.clone() };
        assert_eq!(read(query).await.len(), found, "{action}");
    }
}

#[tokio::test]
async fn what_may_be_missed_never_waits() {
    let home = Home::new();
    let store = home.open().await;
    // Far more than the queue holds, while the writer has no turn.
    for _ in 0..10_000 {
        store.note(failed("mallory"));
    }
    store.append(opened(session())).await.unwrap();
    let kept = store.audit_events(AuditQuery { limit: 10_000, ..AuditQuery::default() });
    let kept = kept.await.unwrap().len();
    assert!((4096..10_000).contains(&kept), "{kept}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_come_together_are_all_stored() {
    let home = Home::new();
    let store = home.open().await;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let store = store.clone();
        waiting.spawn(async move { store.append(opened(session())).await });
    }
    assert!(waiting.join_all().await.into_iter().all(|stored| stored.is_ok()));
    assert_eq!(events(&store).await.len(), 1000);
}

pub(crate) async fn events(store: &Store) -> Vec<AuditRow> {
    let query = AuditQuery { limit: 10_000, ..AuditQuery::default() };
    store.audit_events(query).await.unwrap()
}

pub(crate) fn opened(session: SessionId) -> AuditEvent {
    AuditEvent::SessionOpened {
        session,
        user: name("alice"),
        machine: false,
        application: name("web1"),
        site: name("hq"),
        kind: Kind::Ssh,
        door: Door::Ssh,
        from: HERE,
        credential: "token",
        after: Vec::new(),
        token: None,
        sign_in: None,
        certificate: None,
        login: Some("ubuntu".into()),
        rule: RuleId(Uuid::nil()),
    }
}

pub(crate) fn ended(session: SessionId) -> AuditEvent {
    AuditEvent::SessionEnded {
        session,
        user: name("alice"),
        application: name("web1"),
        site: name("hq"),
        door: Door::Ssh,
        reason: EndReason::Closed,
        side: Side::Client,
        up: 1,
        down: 2,
        millis: 3,
    }
}

pub(crate) fn did(session: SessionId, detail: &str) -> AuditEvent {
    AuditEvent::SessionAction {
        session,
        user: name("alice"),
        application: name("web1"),
        what: "ssh.exec".into(),
        detail: detail.into(),
        facts: None,
    }
}

pub(crate) fn failed(user: &str) -> AuditEvent {
    AuditEvent::AuthnFailed {
        door: Door::Ssh,
        from: HERE,
        user: Some(user.into()),
        code: access::Code("authn.failed"),
        detail: String::new(),
        suppressed: 0,
    }
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
