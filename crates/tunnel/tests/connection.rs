//! The promises of a connection, over real QUIC between two ends in one process.
#![allow(clippy::unwrap_used, reason = "clippy takes a test's helpers for no test")]

mod relay;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use access::{EndReason, SessionId};
use bytes::Bytes;
use relay::{Signer, TestCa, TestRelay, how, within};
use splice::{Counters, Finish, Io, Joined, Stream as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use testkit::{open_files, resident};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tunnel::doctor::{Finding, Outcome, examine};
use tunnel::endpoint::{self, Congestion};
use tunnel::ladder::Ways;
use tunnel::{Closed, ConnectError, Connection, Ladder, OpenError, OverTcp, Stream, end_reason};
use wire::{Control, Header, Inbox, Mode, Open, Refusal, RelayAt, Reply, VERSIONS, VersionRange};

#[tokio::test]
async fn two_sides_greet_and_carry_bytes_both_ways() {
    let relay = TestRelay::start();
    let (server, machine) = within(relay.connect()).await;
    assert_eq!(server.peer().software, "test 0");
    assert_eq!(server.peer().capabilities, ["testing"]);
    assert_eq!(machine.peer().software, "adit-relay test");
    let (near, far) = within(open_pair(&machine, &server)).await;
    let (near, far) = (Io::new(near), Io::new(far));
    let (up, down) = within(async { tokio::join!(exchange(near, 1), exchange(far, 2)) }).await;
    assert_eq!(up, pattern(2));
    assert_eq!(down, pattern(1));
    assert_eq!((server.streams(), machine.streams()), (0, 0));
}

#[tokio::test]
async fn coming_back_time_and_again_keeps_no_descriptor_and_no_memory() {
    // By hand: ADIT_RECONNECTS=10000.
    let times = std::env::var("ADIT_RECONNECTS").ok().and_then(|text| text.parse().ok());
    let relay = TestRelay::start();
    come_back(&relay, 100).await;
    settle(0, 50).await;
    let (files, mut memory, mut grown) =
        (open_files(), resident(std::process::id()).unwrap(), u64::MAX);
    // An allocator grows by leaps; what is lost with each connection is lost in every round.
    for _ in 0..ROUNDS {
        come_back(&relay, times.unwrap_or(400) / ROUNDS).await;
        let now = resident(std::process::id()).unwrap();
        grown = grown.min(now.saturating_sub(memory));
        memory = now;
    }
    settle(files, 600).await;
    assert!(open_files() <= files, "{} open files, {files} before", open_files());
    assert!(grown < 1024, "grew by {grown} KiB in every round, to {memory}");
}

const ROUNDS: usize = 4;

/// Connects so many times with a session on it, which ends in one way or another.
async fn come_back(relay: &TestRelay, times: usize) {
    for time in 0..times {
        let (server, machine) = within(relay.connect()).await;
        let (near, far) = within(open_pair(&machine, &server)).await;
        match time % 4 {
            0 => drop((near, far)),
            1 => machine.close(EndReason::Drained, "going"),
            2 => server.close(EndReason::Broken, "cut"),
            _ => machine.goodbye(EndReason::Closed, "goodbye").await,
        }
    }
}

/// Sockets stay open for a moment after their connection, for what may still come; waits so many
/// tenths of a second at most.
async fn settle(files: usize, tenths: usize) {
    for _ in 0..tenths {
        if open_files() <= files {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_refusal_arrives_with_its_code_and_hint() {
    let relay = TestRelay::start();
    let (server, machine) = within(relay.connect()).await;
    let refusal =
        Refusal { code: "access.denied".into(), message: "no".into(), hint: Some("ask".into()) };
    let refuse = async {
        let mut stream = server.accept().await.unwrap();
        let _: Header = stream.recv_frame().await.unwrap();
        stream.send_frame(&Reply::Refused(refusal.clone())).await.unwrap();
        stream.deliver().await;
    };
    let header = header();
    let (opened, ()) = within(async { tokio::join!(machine.open(&header), refuse) }).await;
    let Err(OpenError::Refused { source }) = opened else { panic!("{opened:?}") };
    assert_eq!(source, refusal);
}

#[tokio::test]
async fn bytes_sent_with_the_reply_are_not_lost() {
    let relay = TestRelay::start();
    let (server, machine) = within(relay.connect()).await;
    let answer = async {
        let mut stream = server.accept().await.unwrap();
        let _: Header = stream.recv_frame().await.unwrap();
        let banner = Bytes::from_static(b"SSH-2.0-test");
        stream.send_frame_and(&opened(), banner).await.unwrap();
        stream
    };
    let header = header();
    let (near, _far) = within(async { tokio::join!(machine.open(&header), answer) }).await;
    let mut banner = [0; 12];
    within(Io::new(near.unwrap().0).read_exact(&mut banner)).await.unwrap();
    assert_eq!(&banner, b"SSH-2.0-test");
}

#[tokio::test]
async fn an_ended_stream_says_why() {
    let relay = TestRelay::start();
    let (server, machine) = within(relay.connect()).await;
    for reason in [EndReason::Killed, EndReason::Revoked, EndReason::Expired] {
        let (mut near, mut far) = within(open_pair(&machine, &server)).await;
        far.abort(reason.number());
        let error = within(recv(&mut near)).await.unwrap_err();
        assert_eq!(end_reason(&error), Some(reason));
        // It stays so: the end of a broken stream never reads as the end of the data.
        let again = within(recv(&mut near)).await.unwrap_err();
        assert_eq!(end_reason(&again), Some(reason));
    }
}

#[tokio::test]
async fn a_stream_dropped_half_way_is_reset() {
    let relay = TestRelay::start();
    let (server, machine) = within(relay.connect()).await;
    let (mut near, mut far) = within(open_pair(&machine, &server)).await;
    within(far.send_frame(&"half")).await.unwrap();
    assert_eq!(within(near.recv_frame::<String>()).await.unwrap(), "half");
    drop(far);
    let error = within(recv(&mut near)).await.unwrap_err();
    assert_eq!(end_reason(&error), Some(EndReason::Broken));
}

#[tokio::test]
async fn a_peer_that_ends_after_its_last_word_is_noticed() {
    let relay = TestRelay::start();
    let (server, machine) = within(relay.connect()).await;
    let (mut near, mut far) = within(open_pair(&machine, &server)).await;
    finish(&mut near).await;
    let (target, _quiet) = tokio::io::duplex(64);
    let counters = Counters::default();
    let mut target = splice::FromIo::new(target);
    let mut joined = pin!(splice::join(&mut far, &mut target, &counters));
    let early = tokio::time::timeout(Duration::from_millis(100), joined.as_mut()).await;
    assert!(early.is_err(), "a half-closed session must stay open: {early:?}");
    near.abort(EndReason::Killed.number());
    let Finish::Broken(Joined::First, error) = within(joined).await else {
        panic!("the session's end went unnoticed");
    };
    assert_eq!(end_reason(&error), Some(EndReason::Killed));
}

#[tokio::test]
async fn a_connection_carries_as_many_streams_as_are_opened() {
    let relay = TestRelay::start();
    let (server, machine) = within(relay.connect()).await;
    let mut held = Vec::new();
    for _ in 0..700 {
        held.push(within(open_pair(&machine, &server)).await);
    }
    assert_eq!((server.streams(), machine.streams()), (700, 700));
    drop(held);
    assert_eq!((server.streams(), machine.streams()), (0, 0));
    within(open_pair(&machine, &server)).await;
}

#[tokio::test]
async fn closing_tells_the_peer_why() {
    let relay = TestRelay::start();
    let (server, machine) = within(relay.connect()).await;
    server.close(EndReason::Revoked, "removed");
    let closed = within(machine.closed()).await;
    assert_eq!(closed, Closed::Peer { reason: EndReason::Revoked, why: "removed".into() });
    assert_eq!(within(server.closed()).await, Closed::Here);
    assert!(!machine.is_open());
}

#[tokio::test]
async fn a_drain_notice_arrives_and_streams_go_on() {
    let relay = TestRelay::start();
    let (server, machine) = within(relay.connect()).await;
    let (mut near, mut far) = within(open_pair(&machine, &server)).await;
    server.drain();
    within(machine.draining()).await;
    assert!(machine.is_draining() && machine.is_open());
    within(far.send_frame(&"still here")).await.unwrap();
    assert_eq!(within(near.recv_frame::<String>()).await.unwrap(), "still here");
}

#[tokio::test]
async fn a_machine_is_told_of_relays_and_of_changes_and_its_relay_is_told_of_none() {
    let relay = TestRelay::start();
    let (far, near) = within(relay.connect()).await;
    let at = |number: usize| RelayAt {
        url: format!("https://r{number}.test"),
        quic: format!("r{number}.test:443"),
        here: number == 0,
    };
    let list = |count: usize| (0..count).map(at).collect::<Arc<[_]>>();
    let mut told = near.relays();
    assert_eq!(*told.borrow(), None);
    for count in [2, 0, Control::MOST_RELAYS] {
        far.tell_relays(list(count));
        let expected = Some(list(count));
        within(told.wait_for(|told| *told == expected)).await.unwrap();
    }
    // One that is too long changes nothing, and what is said after it is heard.
    far.tell_relays(list(Control::MOST_RELAYS + 1));
    far.drain();
    within(near.draining()).await;
    assert_eq!(*told.borrow(), Some(list(Control::MOST_RELAYS)));
    near.tell_relays(list(1));
    near.drain();
    within(far.draining()).await;
    assert_eq!(*far.relays().borrow(), None);
}

#[tokio::test]
async fn what_an_admin_had_to_say_is_heard_of_each_session_and_of_none_from_a_machine() {
    let relay = TestRelay::start();
    let (server, machine) = within(relay.connect()).await;
    let session = |n: u128| format!("{n:032x}").parse::<SessionId>().unwrap();
    // Many that end in one moment.
    for n in 0..100 {
        server.tell_killed(session(n), format!("words {n}").into());
    }
    server.tell_killed(session(100), "".into());
    for n in 0..100 {
        let words = within(machine.last_words(session(n))).await;
        assert_eq!(words.as_deref(), Some(&*format!("words {n}")));
    }
    assert_eq!(within(machine.last_words(session(100))).await, None, "nothing was to be said");
    server.tell_killed(session(101), "x".repeat(9000).into());
    let long = within(machine.last_words(session(101))).await.unwrap();
    assert_eq!(long.chars().count(), Control::LONGEST_WORDS);
    machine.tell_killed(session(102), "made up".into());
    server.tell_killed(session(103), "behind it".into());
    within(machine.last_words(session(103))).await;
    let made_up = server.last_words(session(102));
    assert!(tokio::time::timeout(Duration::from_millis(200), made_up).await.is_err());
}

#[tokio::test]
async fn a_machine_of_another_ca_does_not_get_in() {
    let relay = TestRelay::start();
    let mut stranger = TestCa::new();
    // It trusts the right CA, and shows a certificate of the wrong one.
    stranger.pem = relay.ca.pem.clone();
    let address = relay.address();
    let accept = async { tunnel::accept(relay.endpoint.accept().await.unwrap()).await };
    let dial = tunnel::dial_out(how(&address, stranger.identity("connector:1")));
    let (accepted, dialled) = within(async { tokio::join!(accept, dial) }).await;
    assert!(matches!(accepted, Err(ConnectError::Handshake { .. })));
    let refused =
        matches!(dialled, Err(ConnectError::Greeting { .. } | ConnectError::Handshake { .. }));
    assert!(refused);
}

#[tokio::test]
async fn a_relay_of_another_ca_is_not_trusted() {
    let relay = TestRelay::start();
    let address = relay.address();
    let accept = async { tunnel::accept(relay.endpoint.accept().await.unwrap()).await };
    let dial = tunnel::dial_out(how(&address, TestCa::new().identity("connector:1")));
    let (_, dialled) = within(async { tokio::join!(accept, dial) }).await;
    assert!(matches!(dialled, Err(ConnectError::Handshake { .. })));
}

#[tokio::test]
async fn an_expired_certificate_is_renewed_before_anything_else() {
    let relay = TestRelay::start();
    let directory = tempfile::tempdir().unwrap();
    let day = Duration::from_secs(86_400);
    let mut identity = relay.ca.identity_from("connector:1", 3 * day, day);
    identity.save(directory.path()).unwrap();
    let identity = tunnel::Identity::load(directory.path()).unwrap();
    let address = relay.address();
    let accept = async {
        let knock = relay.knock().await;
        assert!(knock.certificate().expired(SystemTime::now()));
        assert_eq!(knock.certificate().name, "connector:1");
        let signer = Arc::new(Signer(Arc::clone(&relay.ca)));
        let server = knock.welcome("relay", signer).await.unwrap();
        server.ready().await;
        server
    };
    let (server, machine) =
        within(async { tokio::join!(accept, tunnel::dial_out(how(&address, identity))) }).await;
    let machine = machine.unwrap();
    let renewed = tunnel::Identity::load(directory.path()).unwrap();
    assert!(renewed.not_after() > SystemTime::now());
    within(open_pair(&machine, &server)).await;
}

#[tokio::test]
async fn an_expired_certificate_carries_no_session_until_it_is_renewed() {
    let relay = TestRelay::start();
    let day = Duration::from_secs(86_400);
    let identity = relay.ca.identity_from("connector:1", 3 * day, day);
    let (quic, mut control) = raw_hello(&relay, &identity, relay.welcome()).await;
    let server = control.server.take().expect("welcomed");
    let header = header();
    let open = server.open(&header);
    let early = tokio::time::timeout(Duration::from_millis(200), open).await;
    assert!(early.is_err(), "a session was opened on an expired certificate");
    quic.close(0u32.into(), b"");
    within(server.ready()).await;
    assert!(within(server.open(&header)).await.is_err());
}

#[tokio::test]
async fn a_certificate_past_half_its_life_is_renewed() {
    let relay = TestRelay::start();
    let directory = tempfile::tempdir().unwrap();
    let hour = Duration::from_secs(3600);
    let mut identity = relay.ca.identity_from("connector:1", 20 * hour, 24 * hour);
    identity.save(directory.path()).unwrap();
    let address = relay.address();
    let dial = tunnel::dial_out(how(&address, identity.clone()));
    let (_server, machine) = within(async { tokio::join!(relay.welcome(), dial) }).await;
    let _machine = machine.unwrap();
    let renewed = async {
        loop {
            let now = tunnel::Identity::load(directory.path()).unwrap();
            if now.certificate_pem() != identity.certificate_pem() {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert_eq!(within(renewed).await.spki(), identity.spki());
}

#[tokio::test]
async fn a_renewal_for_another_key_is_refused() {
    let relay = TestRelay::start();
    let identity = relay.ca.identity("connector:1");
    let (_quic, mut control) = raw_hello(&relay, &identity, relay.welcome()).await;
    let csr_pem = tunnel::identity::Key::generate().unwrap().csr_pem().unwrap();
    control.say(&Control::Renew { csr_pem }).await;
    let Control::Refused(refusal) = control.hear().await else { panic!("not refused") };
    assert_eq!(refusal.code, "certificate.other_key");
    control.say(&Control::Renew { csr_pem: "nonsense".into() }).await;
    assert!(matches!(control.hear().await, Control::Refused(_)));
    control.say(&Control::Renew { csr_pem: identity.csr_pem().unwrap() }).await;
    assert!(matches!(control.hear().await, Control::Renewed { .. }));
}

#[tokio::test]
async fn a_version_nobody_speaks_is_refused_in_words() {
    let relay = TestRelay::start();
    let identity = relay.ca.identity("connector:1");
    let accept = async { tunnel::accept(relay.endpoint.accept().await.unwrap()).await };
    let dial = async {
        let (_quic, mut control) = raw(&relay, &identity).await;
        let versions = wire::VersionRange { min: 90, max: 99 };
        let (software, capabilities) = (String::new(), Vec::new());
        control
            .say(&Control::Hello {
                versions,
                software,
                capabilities,
                instance: String::new(),
                speaks: None,
            })
            .await;
        control.hear().await
    };
    let (accepted, heard) = within(async { tokio::join!(accept, dial) }).await;
    assert!(matches!(accepted, Err(ConnectError::Refused { .. })));
    let Control::Refused(refusal) = heard else { panic!("{heard:?}") };
    assert_eq!(refusal.code, "wire.version");
}

/// As relays were that know no question: a hello of a version that they speak is a connection of the
/// machine's, and ends the one that runs.
#[tokio::test]
async fn a_doctor_takes_no_machines_place_at_a_relay_that_can_not_be_asked() {
    let relay = TestRelay::start();
    let identity = relay.ca.identity("connector:1");
    let entered = AtomicUsize::new(0);
    let serving = async {
        while let Some(incoming) = relay.endpoint.accept().await {
            let Ok(quic) = incoming.await else { continue };
            let Ok((send, recv)) = quic.accept_bi().await else { continue };
            let mut control = RawControl { send, recv, inbox: Inbox::default(), server: None };
            let Control::Hello { versions, .. } = control.hear().await else { panic!("no hello") };
            let answer = match VERSIONS.agree(versions) {
                Some(version) => {
                    entered.fetch_add(1, Relaxed);
                    Control::Welcome { version, relay: "old".to_owned(), renew_now: false }
                }
                None => Control::Refused(Refusal {
                    code: "wire.version".into(),
                    message: "this program is too old".to_owned(),
                    hint: None,
                }),
            };
            control.say(&answer).await;
            quic.closed().await;
        }
    };
    let found = tokio::select! {
        found = enrolment(&relay, &identity) => found,
        () = serving => panic!("it ended"),
    };
    assert_eq!(found.outcome, Outcome::Good, "{found:?}");
    assert!(found.found.starts_with("not looked at: the relay is older"), "{found:?}");
    assert_eq!(entered.load(Relaxed), 0);
}

#[tokio::test]
async fn a_doctor_says_that_a_relay_speaks_no_version_of_its_own() {
    let relay = TestRelay::start();
    let identity = relay.ca.identity("connector:1");
    let (mut serving, endpoint) = (JoinSet::new(), relay.endpoint.clone());
    serving.spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let newer = VersionRange { min: 90, max: 91 };
            let Ok(knock) = tunnel::accept_speaking(incoming, newer).await else { continue };
            assert!(knock.examines());
            knock.assure("adit-relay 9.0").await;
        }
    });
    let found = enrolment(&relay, &identity).await;
    assert_eq!((found.outcome, found.code.as_deref()), (Outcome::Bad, Some("wire.version")));
    assert!(found.found.contains("adit-relay 9.0"), "{found:?}");
}

/// What a doctor says of it, by QUIC.
async fn enrolment(relay: &TestRelay, identity: &tunnel::Identity) -> Finding {
    let ways = Ways {
        quic: relay.address(),
        // Nobody is there.
        https: "127.0.0.1:9".to_owned(),
        domain: "relay.test".into(),
        software: "test 0",
        congestion: Congestion::Cubic,
        over_tcp: OverTcp::default(),
    };
    let found = within(examine(&Ladder::new(ways, None), identity)).await;
    found.into_iter().find(|finding| finding.check == "enrolment").unwrap()
}

#[tokio::test]
async fn a_build_speaks_with_the_one_before_and_tells_others_which_side_to_update() {
    let relay = TestRelay::start();
    let address = relay.address();
    let signer = || Arc::new(Signer(Arc::clone(&relay.ca)));
    let greet = async |machine: VersionRange, ours: VersionRange| {
        let accept = async {
            let incoming = relay.endpoint.accept().await.unwrap();
            let knock = tunnel::accept_speaking(incoming, ours).await?;
            knock.welcome("adit-relay test", signer()).await
        };
        let identity = relay.ca.identity("connector:1");
        let dial = tunnel::dial_out_speaking(how(&address, identity), machine);
        within(async { tokio::join!(accept, dial) }).await
    };
    let (newest, before) = (VERSIONS.max, VERSIONS.max - 1);
    let of = |min, max| VersionRange { min, max };
    let table = [
        (of(before - 1, before), VERSIONS, before),
        (VERSIONS, of(before - 1, before), before),
        (of(newest, newest + 1), VERSIONS, newest),
        (VERSIONS, of(newest, newest + 1), newest),
    ];
    for (machine, ours, agreed) in table {
        let (server, machine) = greet(machine, ours).await;
        let (server, machine) = (server.unwrap(), machine.unwrap());
        assert_eq!((server.peer().version, machine.peer().version), (agreed, agreed));
        let (near, far) = within(open_pair(&server, &machine)).await;
        drop((near, far));
    }
    let ours = of(8, 9);
    for (machine, too, fix) in
        [(of(6, 7), "too old", "install Adit"), (of(10, 11), "too new", "update the relay first")]
    {
        let (refused, told) = greet(machine, ours).await;
        assert!(refused.is_err());
        let Err(ConnectError::Refused { source }) = told else { panic!("{told:?}") };
        assert_eq!(source.code, "wire.version");
        assert!(source.message.contains(too), "{source}");
        assert!(source.hint.as_deref().is_some_and(|hint| hint.contains(fix)), "{source:?}");
    }
}

#[tokio::test]
async fn a_hello_that_is_none_ends_the_connection() {
    let relay = TestRelay::start();
    let identity = relay.ca.identity("connector:1");
    for hello in [&b"\xff\xff\xff\xff"[..], b"\x00\x00\x00\x02{}", b"\x00\x00\x00\x04null"] {
        let accept = async { tunnel::accept(relay.endpoint.accept().await.unwrap()).await };
        let dial = async {
            let (quic, mut control) = raw(&relay, &identity).await;
            control.send.write_all(hello).await.unwrap();
            quic.closed().await
        };
        let (accepted, _) = within(async { tokio::join!(accept, dial) }).await;
        assert!(matches!(accepted, Err(ConnectError::Greeting { .. })));
    }
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_given_up_within_ten_seconds() {
    let relay = TestRelay::start();
    let identity = relay.ca.identity("connector:1");
    let (_quic, mut control) = raw_hello(&relay, &identity, relay.welcome()).await;
    let server = control.server.take().expect("welcomed");
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    assert_eq!(server.closed().await, Closed::Silent);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_quiet_connection_stays_open() {
    let relay = TestRelay::start();
    let (server, machine) = within(relay.connect()).await;
    let (_near, _far) = within(open_pair(&machine, &server)).await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(120)).await;
    tokio::time::resume();
    assert!(server.is_open() && machine.is_open());
    within(open_pair(&machine, &server)).await;
}

/// The relay's process dies without a word and comes back on the same port.
#[test]
fn a_relay_that_restarted_is_noticed_at_once() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    };
    let (ours, first, second) = (runtime(), runtime(), runtime());
    let ca = Arc::new(TestCa::new());
    let relay = {
        let _entered = first.enter();
        TestRelay::listen(Arc::clone(&ca), SocketAddr::from(([127, 0, 0, 1], 0)))
    };
    let address = relay.endpoint.local_addr().unwrap();
    let served = first.handle().clone();
    let (machine, gone) = ours.block_on(within(async {
        let name = address.to_string();
        let dial = tunnel::dial_out(how(&name, ca.identity("agent:1")));
        let mut accept = tokio::task::JoinSet::new();
        accept.spawn_on(async move { (relay.welcome().await, relay) }, &served);
        let machine = dial.await.unwrap();
        (machine, accept.join_next().await)
    }));
    // Without its runtime it can not say goodbye.
    first.shutdown_timeout(Duration::from_secs(1));
    drop(gone);
    let _entered = second.enter();
    let again = loop {
        if std::net::UdpSocket::bind(address).is_ok() {
            break TestRelay::listen(Arc::clone(&ca), address);
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let started = Instant::now();
    assert_eq!(ours.block_on(within(machine.closed())), Closed::Restarted);
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    drop(again);
}

/// A peer that speaks the control stream by hand.
struct RawControl {
    send: quinn::SendStream,
    recv: quinn::RecvStream,
    inbox: Inbox,
    server: Option<Connection>,
}

impl RawControl {
    async fn say(&mut self, message: &Control) {
        self.send.write_chunk(wire::encode(message).unwrap()).await.unwrap();
    }

    async fn hear(&mut self) -> Control {
        within(async {
            loop {
                match self.inbox.message().unwrap() {
                    Some(Control::Ping { .. }) => {}
                    Some(message) => return message,
                    None => {
                        let chunk = self.recv.read_chunk(usize::MAX, true).await.unwrap().unwrap();
                        self.inbox.push(chunk.bytes);
                    }
                }
            }
        })
        .await
    }
}

async fn raw(relay: &TestRelay, identity: &tunnel::Identity) -> (quinn::Connection, RawControl) {
    let address = relay.endpoint.local_addr().unwrap();
    let endpoint = endpoint::dialler(address).unwrap();
    let config = endpoint::client_config(identity, Congestion::Cubic).unwrap();
    let quic = endpoint.connect_with(config, address, "relay.test").unwrap().await.unwrap();
    let (send, recv) = quic.open_bi().await.unwrap();
    (quic, RawControl { send, recv, inbox: Inbox::default(), server: None })
}

async fn raw_hello(
    relay: &TestRelay,
    identity: &tunnel::Identity,
    welcome: impl Future<Output = Connection>,
) -> (quinn::Connection, RawControl) {
    let dial = async {
        let (quic, mut control) = raw(relay, identity).await;
        let (software, capabilities) = (String::new(), Vec::new());
        control
            .say(&Control::Hello {
                versions: VERSIONS,
                software,
                capabilities,
                instance: String::new(),
                speaks: None,
            })
            .await;
        assert!(matches!(control.hear().await, Control::Welcome { .. }));
        (quic, control)
    };
    let (server, (quic, mut control)) = within(async { tokio::join!(welcome, dial) }).await;
    control.server = Some(server);
    (quic, control)
}

async fn open_pair(near: &Connection, far: &Connection) -> (Stream, Stream) {
    let answer = async {
        let mut stream = far.accept().await.unwrap();
        let asked: Header = stream.recv_frame().await.unwrap();
        assert_eq!(asked, header());
        stream.send_frame(&opened()).await.unwrap();
        stream
    };
    let header = header();
    let (opened, far) = tokio::join!(near.open(&header), answer);
    (opened.unwrap().0, far)
}

fn header() -> Header {
    Header::Open(Open { application: "orders-db".into(), raw: true })
}

fn opened() -> Reply {
    Reply::Opened { session: None, mode: Mode::Raw, host_keys: Vec::new() }
}

async fn recv(stream: &mut Stream) -> std::io::Result<Option<Bytes>> {
    poll_fn(|cx| stream.poll_recv(cx)).await
}

async fn finish(stream: &mut Stream) {
    poll_fn(|cx| stream.poll_finish(cx)).await.unwrap();
}

/// Sends a pattern and its end, and receives all that the other side sends.
async fn exchange(stream: Io<Stream>, seed: u8) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(stream);
    let send = async {
        write.write_all(&pattern(seed)).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let (_, read) = tokio::join!(send, read.read_to_end(&mut received));
    read.unwrap();
    received
}

/// 3 MiB that differ everywhere, so that a lost, doubled or moved piece shows.
fn pattern(seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed);
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(3 << 20).collect()
}
