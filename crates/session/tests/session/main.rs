//! The promises of one session: recorded, revocable, ended once.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test needs and does not get fails the test"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use access::{Agent, EndReason, Hours, PolicyData, Recording, Side, Terms, User, UserId};
use session::{DialError, Door, OpenError, Session};
use splice::FromIo;
use support::{Gone, HungDialer, NOW, World, alice, laptop, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

#[tokio::test(start_paused = true)]
async fn a_session_ends_when_its_time_is_over() {
    let world = World::new(Terms { max_session: Some(3600), ..Terms::default() });
    let (_client, _target, running) = world.running().await;
    let started = Instant::now();
    assert_eq!(within(running).await.reason, EndReason::Expired);
    assert_eq!(started.elapsed(), Duration::from_secs(3600));
    world.records_pair_up(EndReason::Expired, Side::Relay);
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_when_its_token_expires() {
    let world = World::with_token(Some(NOW + Duration::from_secs(60)));
    let (_client, _target, running) = world.running().await;
    let started = Instant::now();
    assert_eq!(within(running).await.reason, EndReason::Expired);
    assert_eq!(started.elapsed(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn who_asks_often_hears_at_once_of_another_policy_and_soon_of_an_end() {
    let world = World::with_token(Some(NOW + Duration::from_secs(60)));
    let lease = world.open().await.lease();
    assert_eq!((lease.refusal(), lease.refusal()), (None, None));
    world.publish(PolicyData { tokens: Vec::new(), ..world.data.clone() });
    assert_eq!(lease.refusal(), Some(EndReason::Revoked));
    world.publish(world.data.clone());
    assert_eq!(lease.refusal(), None);
    tokio::time::advance(Duration::from_millis(59_950)).await;
    assert_eq!(lease.refusal(), None);
    tokio::time::advance(Duration::from_millis(101)).await;
    assert_eq!(lease.refusal(), Some(EndReason::Expired));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_needs_a_sign_in_ends_with_the_last_of_them() {
    let hour = Duration::from_secs(3600);
    let signed_in = || World::new(Terms { require_active_session: true, ..Terms::default() });
    let end = signed_in().grant().expires();
    assert_eq!(end, Some(NOW + 12 * hour), "known when it opens");

    // By itself, and at the end that it has by then.
    let world = signed_in();
    let (_client, _target, running) = world.running().await;
    let started = Instant::now();
    let renewed = async {
        tokio::time::sleep(hour).await;
        let phone = Agent { bound: true, ..laptop(NOW + 90 * hour) };
        world.publish(PolicyData {
            agents: vec![phone, laptop(NOW + 20 * hour)],
            ..world.data.clone()
        });
        tokio::time::sleep(hour).await;
        world.publish(PolicyData { agents: vec![laptop(NOW + 18 * hour)], ..world.data.clone() });
    };
    let (ended, ()) = tokio::join!(within(running), renewed);
    assert_eq!((ended.reason, started.elapsed()), (EndReason::SignedOut, 18 * hour));
    world.records_pair_up(EndReason::SignedOut, Side::Relay);

    // At once where it is taken away, though an agent that stands on a token stays.
    let world = signed_in();
    let (_client, _target, running) = world.running().await;
    let started = Instant::now();
    let removed = async {
        tokio::time::sleep(hour).await;
        let phone = Agent { bound: true, ..laptop(NOW + 90 * hour) };
        world.publish(PolicyData { agents: vec![phone], ..world.data.clone() });
    };
    let (ended, ()) = tokio::join!(within(running), removed);
    assert_eq!((ended.reason, started.elapsed()), (EndReason::SignedOut, hour));
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_is_not_needed_ends_nothing() {
    let world = World::new(Terms { max_session: Some(7200), ..Terms::default() });
    let (_client, _target, running) = world.running().await;
    let started = Instant::now();
    let removed = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        world.publish(PolicyData { agents: Vec::new(), ..world.data.clone() });
    };
    let (ended, ()) = tokio::join!(within(running), removed);
    assert_eq!((ended.reason, started.elapsed().as_secs()), (EndReason::Expired, 7200));
}

/// Opened at midnight by Berlin's clock, under hours until six: on a day whose night is an hour short,
/// on one whose night is an hour long, and on another.
#[tokio::test(start_paused = true)]
async fn a_session_ends_when_its_hours_do_also_where_the_clocks_change() {
    for (midnight, hours) in [(1_806_188_400, 5), (1_824_933_600, 7), (1_806_789_600, 6)] {
        let night = vec!["sat-sun 00:00-06:00".parse().unwrap()];
        let night = Hours::new(night, "Europe/Berlin".parse().unwrap());
        let mut world = World::new(Terms { hours: Some(night), ..Terms::default() });
        world.now = NOW + Duration::from_secs(midnight);
        let (_client, _target, running) = world.running().await;
        let started = Instant::now();
        assert_eq!(within(running).await.reason, EndReason::Expired);
        assert_eq!(started.elapsed(), Duration::from_secs(hours * 3600), "{midnight}");
        world.records_pair_up(EndReason::Expired, Side::Relay);
    }
}

/// The same session once more, with a change of policy in the middle that has nothing to do with it.
#[tokio::test(start_paused = true)]
async fn a_change_elsewhere_leaves_the_end_of_the_hours_as_it_is() {
    let night = vec!["sat-sun 00:00-06:00".parse().unwrap()];
    let night = Hours::new(night, "Europe/Berlin".parse().unwrap());
    let mut world = World::new(Terms { hours: Some(night), ..Terms::default() });
    world.now = NOW + Duration::from_secs(1_806_188_400);
    let (_client, _target, running) = world.running().await;
    let started = Instant::now();
    let change = async {
        tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
        let mut data = world.data.clone();
        data.users.push(User {
            id: UserId(Uuid::new_v4()),
            name: "bob".parse().unwrap(),
            ..alice()
        });
        world.publish(data);
    };
    let (ended, ()) = tokio::join!(within(running), change);
    assert_eq!((ended.reason, started.elapsed().as_secs()), (EndReason::Expired, 5 * 3600));
}

#[tokio::test(start_paused = true)]
async fn a_quiet_session_ends_and_a_busy_one_stays() {
    let world = World::new(Terms { idle: Some(100), ..Terms::default() });
    let (mut client, mut target, running) = world.running().await;
    let started = Instant::now();
    let busy = async {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(60)).await;
            client.write_all(b"x").await.unwrap();
            target.read_u8().await.unwrap();
        }
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! { ended = within(running) => ended, () = busy => unreachable!() };
    assert_eq!(ended.reason, EndReason::Idle);
    let lasted = started.elapsed().as_secs();
    assert!((700..=750).contains(&lasted), "ended after {lasted} s");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_waits_for_an_answer_is_not_idle() {
    let world = World::new(Terms { idle: Some(100), ..Terms::default() });
    let session = world.open().await;
    let (mut lease, counters, started) =
        (session.lease(), session.counters().clone(), Instant::now());
    counters.set_awaited(true);
    let answered = async {
        tokio::time::sleep(Duration::from_secs(1000)).await;
        counters.set_awaited(false);
        std::future::pending::<()>().await;
    };
    let reason = tokio::select! { reason = lease.ended() => reason, () = answered => return };
    assert_eq!(reason, EndReason::Idle);
    let lasted = started.elapsed().as_secs();
    assert!((1075..=1150).contains(&lasted), "ended after {lasted} s");
}

#[tokio::test(start_paused = true)]
async fn every_way_of_withdrawing_access_ends_the_session() {
    type Withdrawal = fn(&mut PolicyData, &Session);
    let ways: [(&str, Withdrawal, EndReason); 12] = [
        ("token revoked", |data, _| data.tokens.clear(), EndReason::Revoked),
        ("user disabled", |data, _| data.users[0].enabled = false, EndReason::Revoked),
        ("user removed", |data, _| data.users.clear(), EndReason::Revoked),
        ("rule removed", |data, _| data.rules.clear(), EndReason::Revoked),
        ("rule narrowed", |data, _| data.rules[0].terms.max_session = Some(1), EndReason::Revoked),
        (
            "rule without this login",
            |d, _| d.rules[0].terms.logins = Some(vec![]),
            EndReason::Revoked,
        ),
        (
            "rule with a sign-in for one who is signed in",
            |data, _| data.rules[0].terms.require_active_session = true,
            EndReason::Revoked,
        ),
        (
            "rule with a sign-in for one who is not",
            |data, _| {
                data.agents.clear();
                data.rules[0].terms.require_active_session = true;
            },
            EndReason::SignedOut,
        ),
        (
            "rule with recording",
            |data, _| data.rules[0].terms.recording = Recording::Required,
            EndReason::Revoked,
        ),
        ("application removed", |data, _| data.applications.clear(), EndReason::Revoked),
        (
            "application moved",
            |data, _| data.applications[0].address = "10.0.0.2:22".parse().unwrap(),
            EndReason::Revoked,
        ),
        (
            "killed",
            |data, session| drop(data.killed.insert(session.id(), "".into())),
            EndReason::Killed,
        ),
    ];
    for (way, withdraw, reason) in ways {
        let world = World::new(Terms::default());
        let session = world.open().await;
        let mut data = world.data.clone();
        withdraw(&mut data, &session);
        let (_client, near) = duplex(64);
        let (far, _target) = duplex(64);
        let running = session.splice(FromIo::new(near), FromIo::new(far));
        let withdrawal = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            world.publish(data);
        };
        let started = Instant::now();
        let (ended, ()) = tokio::join!(within(running), withdrawal);
        assert_eq!(ended.reason, reason, "{way}");
        assert_eq!(started.elapsed(), Duration::from_secs(5), "{way}");
        world.records_pair_up(reason, Side::Relay);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_takes_nothing_away_ends_nothing() {
    let world = World::new(Terms::default());
    let (mut client, mut target, running) = world.running().await;
    let mut data = world.data.clone();
    data.rules[0].terms.forwarding = true;
    data.users.push(User { id: UserId(Uuid::new_v4()), name: "bob".parse().unwrap(), ..alice() });
    let talk = async {
        world.publish(data);
        tokio::time::sleep(Duration::from_secs(5)).await;
        client.write_all(b"still here").await.unwrap();
        let mut got = [0; 10];
        target.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"still here");
        drop((client, target));
    };
    let (ended, ()) = tokio::join!(within(running), talk);
    assert_eq!(ended.reason, EndReason::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_when_no_one_can_withdraw_access_any_more() {
    let mut world = World::new(Terms::default());
    let (_client, _target, running) = world.running().await;
    world.policy = None;
    assert_eq!(within(running).await.reason, EndReason::Revoked);
}

#[tokio::test(start_paused = true)]
async fn a_drained_relay_ends_sessions_and_opens_none() {
    let world = World::new(Terms::default());
    let (_client, _target, running) = world.running().await;
    world.drain.cancel();
    assert_eq!(within(running).await.reason, EndReason::Drained);
    let error = world.broker.open(world.grant(), Door::Ssh, NOW).await.err();
    assert!(matches!(error, Some(OpenError::Draining)));
}

#[tokio::test(start_paused = true)]
async fn a_relay_has_settled_when_what_its_sessions_left_is_taken_back() {
    let world = World::new(Terms::default());
    let session = world.open().await;
    let way = session.way_back();
    let other = way.clone();
    session.end(EndReason::Drained, Side::Relay);
    within(world.broker.emptied()).await;
    let soon = Duration::from_secs(60);
    assert!(timeout(soon, world.broker.settled()).await.is_err(), "a way back is still gone");
    drop(way);
    assert!(timeout(soon, world.broker.settled()).await.is_err(), "a copy of it is");
    drop(other);
    within(world.broker.settled()).await;
}

#[tokio::test(start_paused = true)]
async fn withdrawn_access_stops_bytes_even_while_they_flow() {
    let world = World::new(Terms::default());
    let (mut client, mut target, running) = world.running().await;
    let write = async move { while client.write_all(&[0; 4096]).await.is_ok() {} };
    let read = async move { while target.read_u8().await.is_ok() {} };
    let withdrawal = async {
        tokio::task::yield_now().await;
        world.publish(PolicyData::default());
    };
    let (ended, (), (), ()) = tokio::join!(within(running), write, read, withdrawal);
    assert_eq!(ended.reason, EndReason::Revoked);
}

#[tokio::test(start_paused = true)]
async fn withdrawn_access_ends_a_session_that_is_still_dialling() {
    let world = World::dialling(Arc::new(HungDialer));
    let session = world.open().await;
    let withdrawal = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let killed = [(session.id(), "".into())].into();
        world.publish(PolicyData { killed, ..world.data.clone() });
    };
    let started = Instant::now();
    let (dialled, ()) = tokio::join!(within(session.dial()), withdrawal);
    let error = dialled.err().unwrap();
    assert_eq!(error, DialError::Ended { reason: EndReason::Killed });
    assert_eq!(error.outcome(), (EndReason::Killed, Side::Relay));
    assert_eq!(started.elapsed(), Duration::from_secs(5));
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_dial_that_nobody_waits_for() {
    let world = World::dialling(Arc::new(HungDialer));
    let session = world.open().await;
    let error = within(session.dial_for(&mut Gone)).await.err().unwrap();
    assert_eq!(error, DialError::Left);
    let (reason, side) = error.outcome();
    session.end(reason, side);
    world.records_pair_up(EndReason::Broken, Side::Client);
}

#[tokio::test]
async fn an_opening_that_is_given_up_is_closed_in_the_records() {
    let world = World::new(Terms::default());
    world.audit.hang(true);
    let opening = tokio::time::timeout(Duration::from_millis(10), world.open());
    assert!(opening.await.is_err());
    world.records_pair_up(EndReason::Failed, Side::Relay);
    assert!(world.broker.live().is_empty());
    world.broker.emptied().await;
}

#[tokio::test]
async fn no_session_opens_that_can_not_be_recorded() {
    let world = World::new(Terms::default());
    world.audit.refuse(true);
    let error = world.broker.open(world.grant(), Door::Ssh, NOW).await.err();
    assert!(matches!(error, Some(OpenError::Audit(_))));
    assert!(world.broker.live().is_empty());
    world.broker.emptied().await;
    assert!(world.audit.events().is_empty());
    world.audit.refuse(false);
    drop(world.open().await);
    world.records_pair_up(EndReason::Failed, Side::Relay);
}

#[tokio::test]
async fn a_session_that_panics_is_still_closed_in_the_records() {
    let world = World::new(Terms::default());
    let session = world.open().await;
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let _session = session;
        panic!("on purpose");
    });
    assert!(tasks.join_next().await.is_some_and(|ended| ended.is_err()));
    world.records_pair_up(EndReason::Failed, Side::Relay);
    assert!(world.broker.live().is_empty());
}

#[tokio::test]
async fn the_relay_opens_no_more_sessions_than_it_may() {
    let world = World::new(Terms::default());
    let held = (world.open().await, world.open().await);
    let error = world.broker.open(world.grant(), Door::Ssh, NOW).await.err();
    assert!(matches!(error, Some(OpenError::Full { limit: 2 })));
    assert_eq!(world.broker.live().len(), 2);
    drop(held);
    world.broker.emptied().await;
    drop(world.open().await);
}

#[tokio::test]
async fn while_memory_is_short_sessions_go_on_and_none_opens() {
    let world = World::new(Terms::default());
    let held = world.open().await;
    world.broker.set_short_of_memory(true);
    let error = world.broker.open(world.grant(), Door::Ssh, NOW).await.err();
    assert!(matches!(error, Some(OpenError::Memory)));
    assert_eq!(world.broker.live().len(), 1);
    world.broker.set_short_of_memory(false);
    drop((held, world.open().await));
}
