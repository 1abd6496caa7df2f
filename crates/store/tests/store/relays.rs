//! Several relays on one database.

use std::time::{Duration, SystemTime};

use access::{ConnectorId, SiteId};
use session::{AuditError, AuditLog as _, Stamped};
use store::{AuditPart, AuditQuery, Joined, NewRelay, Outside, Place, Store, StoreError};
use tokio::time::timeout;
use uuid::Uuid;

use crate::audit::{ended, opened};
use crate::support::{Home, name, now, run, session, small};

#[tokio::test]
async fn relays_with_names_serve_together_and_none_beside_one_that_serves_alone() {
    let home = Home::new();
    let (one, two, third) = (home.open().await, home.open().await, home.open().await);
    join(&one, "one").await.unwrap();
    join(&two, "two").await.unwrap();
    let twin = join(&third, "two").await.unwrap_err();
    assert!(matches!(twin, StoreError::NameTaken(_)), "{twin:?}");
    let alone = third.close_abandoned(now()).await.unwrap_err();
    assert!(matches!(alone, StoreError::InUse), "{alone:?}");
    let there = one.relays().await.unwrap();
    assert_eq!(there.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    one.close().await;
    two.close().await;
    third.close_abandoned(now()).await.unwrap();
    let fourth = home.open().await;
    let beside = join(&fourth, "four").await.unwrap_err();
    assert!(matches!(beside, StoreError::InUse), "{beside:?}");
}

#[tokio::test]
async fn a_relay_that_starts_again_closes_its_own_sessions_and_nobody_elses() {
    let home = Home::new();
    let (one, two) = joined(home.open().await, home.open().await).await;
    let (mine, theirs, over) = (session(), session(), session());
    one.append(opened(mine)).await.unwrap();
    two.append(opened(theirs)).await.unwrap();
    let slot = two.reserve().await.unwrap();
    two.append(opened(over)).await.unwrap();
    slot.fill(Stamped { at: now(), event: ended(over) });
    until_not_live(&two, over).await;
    // Killed: nothing is closed in order.
    drop(one);
    let again = home.open().await;
    let joined = timeout(Duration::from_secs(10), async {
        loop {
            match join(&again, "one").await {
                Err(StoreError::NameTaken(_)) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                joined => return joined.unwrap(),
            }
        }
    });
    assert_eq!(joined.await.unwrap().abandoned, 1);
    assert_eq!(two.live_ids().await.unwrap(), [theirs]);
    assert_eq!(reason(&again, mine).await.as_deref(), Some("abandoned"));
    assert_eq!(reason(&again, theirs).await, None);
    let elsewhere = again.live_elsewhere().await.unwrap();
    assert_eq!((elsewhere[0].session, elsewhere[0].relay.as_str()), (theirs, "two"));
}

#[tokio::test]
async fn a_relay_that_is_taken_for_gone_writes_nothing_more_and_learns_of_it() {
    let home = Home::new();
    let (one, two) = joined(home.open().await, home.with(&small()).await).await;
    let lost = session();
    one.append(opened(lost)).await.unwrap();
    let row = two.relays().await.unwrap().remove(0);
    one.beat().await.unwrap();
    assert_eq!(two.evict_relay(&row, now()).await.unwrap(), None, "it has beaten since");
    let row = two.relays().await.unwrap().remove(0);
    assert_eq!(two.evict_relay(&row, now()).await.unwrap(), Some(1));
    assert_eq!(two.evict_relay(&row, now()).await.unwrap(), None, "once");
    assert_eq!(reason(&two, lost).await.as_deref(), Some("abandoned"));
    let refused = one.append(opened(session())).await;
    assert!(matches!(refused, Err(AuditError::Store { .. })), "{refused:?}");
    assert!(one.set_enabled(&name("alice"), false).await.is_err());
    timeout(Duration::from_secs(5), one.taken_over()).await.unwrap();
    two.append(opened(session())).await.unwrap();
}

#[tokio::test]
async fn what_one_changes_wakes_the_others_which_say_what_it_ended() {
    let home = Home::new();
    let (one, two) = joined(home.with(&small()).await, home.open().await).await;
    let mut wakes = two.wakes().unwrap();
    // It listens now.
    timeout(Duration::from_secs(10), wakes.next()).await.unwrap();
    one.set_enabled(&name("alice"), false).await.unwrap();
    timeout(Duration::from_secs(5), wakes.next()).await.unwrap();
    let version = *one.changed().borrow();
    assert_eq!(two.stored_version().await.unwrap(), version);
    assert_eq!(one.in_force_elsewhere(version).await.unwrap(), [None]);
    two.put_in_force((0, version - 1), 7).await.unwrap();
    assert_eq!(one.in_force_elsewhere(version).await.unwrap(), [None], "an earlier version's");
    two.put_in_force((version, version + 1), 3).await.unwrap();
    assert_eq!(one.in_force_elsewhere(version).await.unwrap(), [Some(3)]);
    two.close().await;
    assert_eq!(one.in_force_elsewhere(version).await.unwrap(), [], "nobody is waited for who left");
}

#[tokio::test]
async fn a_session_is_ended_at_the_relay_that_has_it() {
    let home = Home::new();
    let (one, two) = joined(home.open().await, home.open().await).await;
    let id = session();
    let slot = two.reserve().await.unwrap();
    two.append(opened(id)).await.unwrap();
    assert!(!one.end_elsewhere(session(), "").await.unwrap(), "there is none");
    assert!(one.end_elsewhere(id, "go home").await.unwrap());
    assert_eq!(one.ended_elsewhere().await.unwrap(), []);
    assert_eq!(two.ended_elsewhere().await.unwrap(), [(id, "go home".to_owned())]);
    slot.fill(Stamped { at: now(), event: ended(id) });
    until_not_live(&one, id).await;
    assert_eq!(two.ended_elsewhere().await.unwrap(), []);
}

#[tokio::test]
async fn relays_know_where_connectors_are_until_their_relay_is_gone() {
    let home = Home::new();
    let (one, two) = (home.open().await, home.open().await);
    join(&one, "one").await.unwrap();
    let Joined { epoch, .. } = join(&two, "two").await.unwrap();
    let (connector, at) = (ConnectorId(Uuid::new_v4()), SiteId(Uuid::new_v4()));
    let place = Place { relay: epoch, connector, site: at, shown: "{}".to_owned() };
    two.place_connectors(std::slice::from_ref(&place)).await.unwrap();
    assert_eq!(one.places_elsewhere().await.unwrap(), [place]);
    assert_eq!(two.places_elsewhere().await.unwrap(), [], "its own are its own");
    let spki = [2; 32];
    assert_eq!(one.relay_by_key(spki).await.unwrap().unwrap().epoch, epoch);
    two.close().await;
    assert_eq!(one.places_elsewhere().await.unwrap(), []);
    assert_eq!(one.relay_by_key(spki).await.unwrap(), None, "its key is good while it serves");
}

#[tokio::test]
async fn relays_know_where_connectors_reach_each_other_from_when_its_doors_are_open() {
    let home = Home::new();
    let (one, two) = joined(home.open().await, home.open().await).await;
    let outside = Outside { url: "https://two.test".to_owned(), quic: "two.test:443".to_owned() };
    assert!(one.relays().await.unwrap().iter().all(|relay| relay.outside.is_none()));
    two.announce_relay("10.0.0.2:443", "10.0.0.2:443", Some(&outside)).await.unwrap();
    one.announce_relay("10.0.0.1:443", "10.0.0.1:443", None).await.unwrap();
    let told: Vec<_> = one.relays().await.unwrap().into_iter().map(|row| row.outside).collect();
    assert_eq!(told, [None, Some(outside)]);
}

#[tokio::test]
async fn several_relays_that_record_at_once_make_one_chain() {
    let home = Home::new();
    let (one, two) = joined(home.open().await, home.open().await).await;
    let many = |store: Store| async move {
        for _ in 0..100 {
            store.append(opened(session())).await.unwrap();
        }
    };
    tokio::join!(many(one.clone()), many(two.clone()));
    let check = one.verify_audit(AuditPart { most: 1000, ..AuditPart::default() }).await.unwrap();
    assert!(check.done && check.damages.is_empty(), "{check:?}");
    assert_eq!(one.live_ids().await.unwrap().len(), 200);
}

#[tokio::test]
async fn a_relay_alone_keeps_no_list_of_what_is_live() {
    let home = Home::new();
    let store = home.open().await;
    store.close_abandoned(now()).await.unwrap();
    store.append(opened(session())).await.unwrap();
    assert_eq!(store.live_ids().await.unwrap(), []);
    // What a deployment of several left is nobody's.
    run(&home.behind().await, "INSERT INTO live_sessions (session, relay) VALUES ('x', 1)").await;
    store.close().await;
    let again = home.open().await;
    assert_eq!(again.close_abandoned(now()).await.unwrap(), 1);
    assert_eq!(again.live_ids().await.unwrap(), []);
}

/// Both serve, by the names `one` and `two`.
async fn joined(one: Store, two: Store) -> (Store, Store) {
    join(&one, "one").await.unwrap();
    join(&two, "two").await.unwrap();
    (one, two)
}

async fn join(store: &Store, relay: &str) -> Result<Joined, StoreError> {
    let spki = if relay == "two" { [2; 32] } else { [1; 32] };
    store.join_relays(NewRelay { name: &name(relay), spki, version: "1" }, SystemTime::now()).await
}

async fn until_not_live(store: &Store, id: access::SessionId) {
    let gone = async {
        while store.is_live(id).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.unwrap();
}

/// How a session ended, if it did.
async fn reason(store: &Store, id: access::SessionId) -> Option<String> {
    let query = AuditQuery { session: Some(id), limit: 10, ..AuditQuery::default() };
    let rows = store.audit_events(query).await.unwrap();
    let end = rows.iter().find(|row| row.action == "session.ended")?;
    Some(end.event["reason"].as_str().unwrap().to_owned())
}
