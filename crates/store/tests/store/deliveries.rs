//! Claiming a destination and acknowledging records.

use std::time::{Duration, SystemTime};

use ::chain::{Hash, Head};
use session::AuditLog;
use store::{Claimed, Delivery, Store};

use crate::audit::failed;
use crate::support::{Home, after, now, run};

#[tokio::test]
async fn a_destination_has_one_holder_until_its_lease_is_over() {
    let home = Home::new();
    let (one, other) = (home.open().await, home.open().await);
    let start = Claimed { at: Head::START, anew: false };
    assert_eq!(claim(&one, "one", now()).await, Some(start));
    assert_eq!(claim(&other, "other", after(59)).await, None);
    assert_eq!(claim(&one, "one", after(59)).await, Some(start), "its own again");
    assert!(one.renew_delivery(by("one"), after(60)).await.unwrap());
    assert_eq!(claim(&other, "other", after(119)).await, None);
    assert_eq!(claim(&other, "other", after(120)).await, Some(start));
    // Who lost it acknowledges, fails and renews nothing any more.
    let head = Head { seq: 1, hash: Hash::START };
    assert!(!one.acknowledge(by("one"), head, after(121)).await.unwrap());
    assert!(!one.delivery_failed(by("one"), "no", after(121)).await.unwrap());
    assert!(!one.renew_delivery(by("one"), after(121)).await.unwrap());
    one.release_delivery(by("one")).await.unwrap();
    assert_eq!(claim(&one, "one", after(122)).await, None);
    other.release_delivery(by("other")).await.unwrap();
    assert_eq!(claim(&one, "one", after(122)).await, Some(start));
    // A claim by a clock that is an hour ahead is none.
    assert_eq!(claim(&one, "one", after(3600)).await, Some(start));
    assert_eq!(claim(&other, "other", after(130)).await, Some(start));
}

#[tokio::test]
async fn what_was_acknowledged_stays_so_and_a_new_relay_takes_over_at_once() {
    let home = Home::new();
    let store = home.open().await;
    store.close_abandoned(now()).await.unwrap();
    for n in 0..3 {
        store.append(failed(&format!("eve-{n}"))).await.unwrap();
    }
    claim(&store, "one", SystemTime::now()).await.unwrap();
    assert!(store.delivery_failed(by("one"), "no route", now()).await.unwrap());
    assert!(store.delivery_failed(by("one"), "no route", now()).await.unwrap());
    let row = store.deliveries().await.unwrap().remove(0);
    assert_eq!((row.failures, row.error.as_deref(), row.seq), (2, Some("no route"), 0));
    let second = store.audit_after(0, 2).await.unwrap()[1].head();
    assert!(store.acknowledge(by("one"), second, SystemTime::now()).await.unwrap());
    let row = store.deliveries().await.unwrap().remove(0);
    assert_eq!((row.failures, row.error, row.seq, row.kind.as_str()), (0, None, 2, "file"));
    store.close().await;

    let store = home.open().await;
    store.close_abandoned(now()).await.unwrap();
    let claimed = claim(&store, "other", SystemTime::now()).await.unwrap();
    assert_eq!(claimed, Claimed { at: second, anew: false });
    assert_eq!(store.audit_after(claimed.at.seq, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_destination_can_begin_at_the_logs_end() {
    let home = Home::new();
    let store = home.open().await;
    store.append(failed("eve")).await.unwrap();
    let end = store.audit_end().await.unwrap();
    assert_eq!(end.seq, 1);
    let claimed = store.claim_delivery(by("one"), true, now()).await.unwrap().unwrap();
    assert_eq!(claimed, Claimed { at: end, anew: false });
    store.append(failed("eve")).await.unwrap();
    // Only one that is new.
    let again = store.claim_delivery(by("one"), true, now()).await.unwrap().unwrap();
    assert_eq!(again.at, end);
}

#[tokio::test]
async fn a_log_that_is_not_the_acknowledged_one_is_sent_anew() {
    let home = Home::new();
    let store = home.open().await;
    for n in 0..3 {
        store.append(failed(&format!("eve-{n}"))).await.unwrap();
    }
    claim(&store, "one", now()).await.unwrap();
    let end = store.audit_end().await.unwrap();
    assert!(store.acknowledge(by("one"), end, now()).await.unwrap());
    let behind = home.behind().await;
    run(&behind, "DELETE FROM audit WHERE seq = 3").await;
    let claimed = claim(&store, "one", now()).await.unwrap();
    assert_eq!(claimed, Claimed { at: Head::START, anew: true });
}

#[tokio::test]
async fn a_record_is_a_line_that_verifies() {
    let home = Home::new();
    let store = home.open().await;
    store.append(failed("Zoë\n\x1b]\"")).await.unwrap();
    let row = store.audit_after(0, 1).await.unwrap().remove(0);
    let text = row.line().unwrap();
    assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text}");
    let line = ::chain::Line::parse(&text).unwrap();
    let hash = line.with_record(|record| Hash::START.then(record)).unwrap();
    assert_eq!((hash, line.seq), (row.head().hash, 1));
}

async fn claim(store: &Store, holder: &str, now: SystemTime) -> Option<Claimed> {
    store.claim_delivery(by(holder), false, now).await.unwrap()
}

fn by(holder: &str) -> Delivery<'_> {
    Delivery { name: "archive", kind: "file", holder, lease: Duration::from_secs(60) }
}
