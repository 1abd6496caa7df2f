//! A connector against relays that ask for what they should not, and targets that misbehave, over a
//! real QUIC connection.
#![allow(clippy::unwrap_used, reason = "clippy takes a test's helpers for no test")]

#[path = "../../crates/tunnel/tests/relay/mod.rs"]
mod relay;

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use access::{EndReason, SessionId};
use adit_connector::allow::AllowList;
use adit_connector::dial::{Resolver, SystemResolver};
use adit_connector::orders::{Drained, Order};
use adit_connector::serve::{Ends, Site, serve};
use async_trait::async_trait;
use relay::{TestRelay, how, within};
use splice::{Io, Stream as _};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tunnel::{Closed, Connection, OpenError, Stream, end_reason};
use wire::{Dial, Header, Open, Reply, VERSIONS, VersionRange};

#[tokio::test]
async fn a_relay_that_lies_gets_a_refusal_and_the_target_no_packet() {
    let target = listener().await;
    let port = target.local_addr().unwrap().port();
    let rig = Rig::start(&[], SystemResolver).await;
    let asked = [
        "127.0.0.1",
        "127.1.2.3",
        "0.0.0.0",
        "169.254.169.254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::1",
        "::",
        "64:ff9b::7f00:1",
        "fe80::1",
        "fd00:ec2::254",
        "localhost",
        "LOCALHOST",
        "127.1",
        "2130706433",
        "0x7f000001",
        "255.255.255.255",
    ];
    for host in asked {
        assert_eq!(rig.refused(host, port).await, "dial.not_allowed", "{host}");
    }
    assert_eq!(rig.site.counts.refused.load(Relaxed), asked.len() as u64);
    let touched = tokio::time::timeout(Duration::from_millis(50), target.accept()).await;
    assert!(touched.is_err(), "the target was dialled");
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_dialled_where_it_was_checked() {
    let target = listener().await;
    let port = target.local_addr().unwrap().port();
    let flips = Flips::default();
    let asked = Arc::clone(&flips.0);
    // The name is listed, and its first answer is an address that may be dialled.
    let rig = Rig::start(&["flips.example:*", "127.0.0.1/32:*"], flips).await;
    let (stream, _socket) =
        within(async { tokio::join!(rig.dial("flips.example", port), target.accept()) }).await;
    drop(stream.unwrap());
    assert_eq!(asked.load(Relaxed), 1, "the name was resolved more than once");
    // Its second is in a special range, and the name alone does not open that.
    assert_eq!(rig.refused("flips.example", port).await, "dial.not_allowed");
}

#[tokio::test]
async fn each_way_to_fail_has_its_code() {
    let closed = listener().await.local_addr().unwrap().port();
    let rig = Rig::start(&["127.0.0.1/32:*"], SystemResolver).await;
    assert_eq!(rig.refused("127.0.0.1", closed).await, "dial.refused");
    assert_eq!(rig.refused("10.0.0.1", 22).await, "dial.not_allowed");
    assert_eq!(rig.refused("nothing.invalid", 22).await, "dial.unresolved");
}

#[tokio::test]
async fn a_check_dials_as_a_session_does_and_sends_nothing() {
    let target = listener().await;
    let port = target.local_addr().unwrap().port();
    let rig = Rig::start(&["127.0.0.1/32:*"], SystemResolver).await;
    let (answer, accepted) =
        within(async { tokio::join!(rig.check("127.0.0.1", port), target.accept()) }).await;
    let mut stream = answer.unwrap();
    let mut heard = Vec::new();
    within(accepted.unwrap().0.read_to_end(&mut heard)).await.unwrap();
    assert!(heard.is_empty(), "the target got {heard:?}");
    // Whatever the relay sends after it has nowhere to go.
    let end = within(poll_fn(|cx| stream.poll_recv(cx))).await;
    assert!(matches!(end, Ok(None)), "{end:?}");
    assert_eq!(rig.site.counts.opened.load(Relaxed), 0, "it is no session");
    for (host, code) in [("10.0.0.1", "dial.not_allowed"), ("nothing.invalid", "dial.unresolved")] {
        match within(rig.check(host, 22)).await {
            Err(OpenError::Refused { source }) => assert_eq!(source.code, code),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_target_that_never_answers_is_given_up() {
    let rig = Rig::start(&["hangs.example:*"], Hangs).await;
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    assert_eq!(rig.refused("hangs.example", 22).await, "dial.timeout");
    assert!(started.elapsed() <= Duration::from_secs(9), "{:?}", started.elapsed());
}

#[tokio::test]
async fn bytes_and_ends_go_both_ways() {
    let target = listener().await;
    let rig = Rig::start(&["127.0.0.1/32:*"], SystemResolver).await;
    let (stream, mut socket) = rig.session(&target).await;
    let mut stream = Io::new(stream);
    within(stream.write_all(b"question")).await.unwrap();
    within(stream.shutdown()).await.unwrap();
    let mut question = String::new();
    within(socket.read_to_string(&mut question)).await.unwrap();
    assert_eq!(question, "question");
    // The relay's side has ended, the target's has not.
    within(socket.write_all(b"answer")).await.unwrap();
    drop(socket);
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(answer, "answer");
    rig.settles().await;
}

#[tokio::test]
async fn a_target_that_resets_is_told_as_a_reset() {
    let target = listener().await;
    let rig = Rig::start(&["127.0.0.1/32:*"], SystemResolver).await;
    let (mut stream, socket) = rig.session(&target).await;
    splice::Tcp::new(socket).unwrap().abort(0);
    let error = within(poll_fn(|cx| stream.poll_recv(cx))).await.unwrap_err();
    assert_eq!(end_reason(&error), Some(EndReason::Broken));
    rig.settles().await;
}

#[tokio::test]
async fn what_a_target_said_before_it_reset_arrives_and_then_the_reset() {
    let target = listener().await;
    let rig = Rig::start(&["127.0.0.1/32:*"], SystemResolver).await;
    // As an origin does that refuses an upload: it answers, and closes with the rest of it unread. It is
    // more than the ways hold.
    let sent = vec![1; 32 << 20];
    for _ in 0..8 {
        let (stream, mut socket) = rig.session(&target).await;
        let (mut answer, mut upload) = tokio::io::split(Io::new(stream));
        let refuse = async {
            socket.read_exact(&mut [0; 1000]).await.unwrap();
            socket.write_all(&[2; 10_000]).await.unwrap();
            drop(socket);
        };
        let mut got = Vec::new();
        let read = async {
            // A reader that has other things to do as well.
            tokio::time::sleep(Duration::from_millis(20)).await;
            answer.read_to_end(&mut got).await
        };
        let both = async { tokio::join!(upload.write_all(&sent), refuse, read) };
        let (written, (), end) = within(both).await;
        assert!(written.is_err(), "nobody took it");
        assert_eq!(end_reason(&end.unwrap_err()), Some(EndReason::Broken));
        assert_eq!(got.len(), 10_000);
    }
    rig.settles().await;
}

#[tokio::test]
async fn a_killed_session_resets_the_target() {
    let target = listener().await;
    let rig = Rig::start(&["127.0.0.1/32:*"], SystemResolver).await;
    let (mut stream, mut socket) = rig.session(&target).await;
    stream.abort(EndReason::Killed.number());
    let error = within(socket.read_u8()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    rig.settles().await;
}

#[tokio::test]
async fn a_session_killed_after_its_last_word_resets_the_target_too() {
    let target = listener().await;
    let rig = Rig::start(&["127.0.0.1/32:*"], SystemResolver).await;
    let (mut stream, mut socket) = rig.session(&target).await;
    within(poll_fn(|cx| stream.poll_finish(cx))).await.unwrap();
    assert_eq!(within(socket.read(&mut [0; 8])).await.unwrap(), 0);
    stream.abort(EndReason::Killed.number());
    let gone = async {
        while socket.write_all(b"anyone?").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(gone).await;
    rig.settles().await;
}

#[tokio::test]
async fn a_request_that_is_none_is_refused_and_the_connection_lives() {
    let target = listener().await;
    let rig = Rig::start(&["127.0.0.1/32:*"], SystemResolver).await;
    let open = Header::Open(Open { application: "db".into(), raw: true });
    for header in [open, Header::Unknown] {
        let Err(OpenError::Refused { source }) = within(rig.relay.open(&header)).await else {
            panic!("{header:?} was not refused");
        };
        assert_eq!(source.code, "wire.unknown");
    }
    rig.session(&target).await;
}

#[tokio::test]
async fn five_hundred_sessions_leave_nothing_behind() {
    let target = listener().await;
    let port = target.local_addr().unwrap().port();
    let rig = Rig::start(&["127.0.0.1/32:*"], SystemResolver).await;
    let before = open_files();
    let mut held = Vec::new();
    for _ in 0..500 {
        let (stream, socket) =
            within(async { tokio::join!(rig.dial("127.0.0.1", port), target.accept()) }).await;
        held.push((stream.unwrap(), socket.unwrap()));
    }
    assert_eq!(rig.site.counts.opened.load(Relaxed), 500);
    drop(held);
    rig.settles().await;
    let settled = async {
        while open_files() > before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(settled).await;
}

#[tokio::test]
async fn a_stopping_connector_lets_its_sessions_end() {
    let target = listener().await;
    let mut rig = Rig::start(&["127.0.0.1/32:*"], SystemResolver).await;
    let (stream, mut socket) = rig.session(&target).await;
    rig.stop.cancel();
    within(rig.relay.draining()).await;
    let mut stream = Io::new(stream);
    within(stream.write_all(b"still")).await.unwrap();
    within(stream.shutdown()).await.unwrap();
    let mut still = String::new();
    within(socket.read_to_string(&mut still)).await.unwrap();
    assert_eq!(still, "still");
    drop(socket);
    within(stream.read_to_end(&mut Vec::new())).await.unwrap();
    let closed =
        Closed::Peer { reason: EndReason::Drained, why: "the connector is stopping".into() };
    assert_eq!(within(rig.relay.closed()).await, closed);
    assert_eq!(within(rig.served.join_next()).await.unwrap().unwrap(), Closed::Here);
}

#[tokio::test]
async fn a_session_that_does_not_end_is_cut_after_the_grace() {
    let target = listener().await;
    let rig = Rig::start(&["127.0.0.1/32:*"], SystemResolver).await;
    let (mut stream, mut socket) = rig.session(&target).await;
    rig.stop.cancel();
    let error = within(poll_fn(|cx| stream.poll_recv(cx))).await.unwrap_err();
    assert_eq!(end_reason(&error), Some(EndReason::Drained));
    assert!(within(socket.read_u8()).await.is_err());
}

#[tokio::test]
async fn a_connector_serves_sessions_of_a_relay_one_version_older_and_newer() {
    let (newest, before) = (wire::VERSIONS.max, wire::VERSIONS.max - 1);
    let of = |min, max| VersionRange { min, max };
    let target = listener().await;
    for (connector, relay, agreed) in
        [(of(before, before), VERSIONS, before), (VERSIONS, of(before, before), before)]
    {
        let versions = Versions { connector, relay };
        let rig = Rig::speaking(&["127.0.0.1/32:*"], SystemResolver, versions).await;
        assert_eq!(rig.relay.peer().version, agreed);
        assert!(agreed < newest);
        let (stream, mut socket) = rig.session(&target).await;
        let mut stream = Io::new(stream);
        within(stream.write_all(b"over")).await.unwrap();
        within(stream.shutdown()).await.unwrap();
        let mut over = String::new();
        within(socket.read_to_string(&mut over)).await.unwrap();
        assert_eq!(over, "over");
        rig.stop.cancel();
        within(rig.relay.draining()).await;
    }
}

#[tokio::test]
async fn a_draining_connector_refuses_the_new_and_lets_the_old_go_on_until_the_limit() {
    let target = listener().await;
    let rig = Rig::start(&["127.0.0.1/32:*"], SystemResolver).await;
    let (mut stays, mut cut) = rig.session(&target).await;
    let (ends, socket) = rig.session(&target).await;
    let hour = Duration::from_secs(3600);
    rig.site.orders.give(Order::Drain { until: Instant::now() + hour });
    within(rig.relay.draining()).await;
    // What was asked for before the relay had heard is served; afterwards nothing is.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let port = target.local_addr().unwrap().port();
    assert_eq!(rig.refused("127.0.0.1", port).await, "connector.draining");
    let still = within(async {
        tokio::join!(poll_fn(|cx| stays.poll_send(cx, &mut "still".into())), cut.read_u8())
    });
    assert_eq!(still.await.1.unwrap(), b's');
    drop((ends, socket));
    within(async {
        while Drained::of(&rig.site.counts).left > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    rig.site.orders.give(Order::Drain { until: Instant::now() });
    let error = within(poll_fn(|cx| stays.poll_recv(cx))).await.unwrap_err();
    assert_eq!(end_reason(&error), Some(EndReason::Drained));
    rig.settles().await;
    assert_eq!(Drained::of(&rig.site.counts), Drained { left: 0, cut: 1 });
    assert!(rig.relay.is_open(), "the connection was cut with the session");
}

#[tokio::test]
async fn a_relay_takes_back_what_a_session_left_over_a_connection_that_retires() {
    let (target, mut rig) =
        (listener().await, Rig::start(&["127.0.0.1/32:*"], SystemResolver).await);
    let (stream, socket) = rig.session(&target).await;
    rig.retire.cancel();
    within(rig.relay.draining()).await;
    // Longer than requests may come after the relay was told so.
    tokio::time::sleep(Duration::from_millis(400)).await;
    drop((stream, socket));
    rig.settles().await;
    let (again, socket) = rig.session(&target).await;
    drop((again, socket));
    // It goes when nothing follows.
    assert!(matches!(within(rig.served.join_next()).await, Some(Ok(Closed::Here))));
}

/// A relay, and one connection of a connector with this list.
struct Rig {
    relay: Connection,
    site: Arc<Site>,
    stop: CancellationToken,
    retire: CancellationToken,
    served: JoinSet<Closed>,
    _test: TestRelay,
}

/// What each side speaks.
struct Versions {
    connector: VersionRange,
    relay: VersionRange,
}

impl Rig {
    async fn start(allow: &[&str], resolver: impl Resolver + 'static) -> Self {
        let versions = Versions { connector: VERSIONS, relay: VERSIONS };
        Self::speaking(allow, resolver, versions).await
    }

    async fn speaking(
        allow: &[&str],
        resolver: impl Resolver + 'static,
        versions: Versions,
    ) -> Self {
        let test = TestRelay::start();
        let address = test.address();
        let identity = test.ca.identity("connector:1");
        let dial = tunnel::dial_out_speaking(how(&address, identity), versions.connector);
        let welcome = async {
            let incoming = test.endpoint.accept().await.unwrap();
            let knock = tunnel::accept_speaking(incoming, versions.relay).await.unwrap();
            let signer = Arc::new(relay::Signer(Arc::clone(&test.ca)));
            knock.welcome("adit-relay test", signer).await.unwrap()
        };
        let (relay, machine) = within(async { tokio::join!(welcome, dial) }).await;
        let entries = allow.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let allow = AllowList::new((!entries.is_empty()).then_some(entries));
        let site = Arc::new(Site::new(allow, Box::new(resolver)));
        let (stop, mut served) = (CancellationToken::new(), JoinSet::new());
        let grace = Duration::from_secs(2);
        let retire = CancellationToken::new();
        let ends = Ends { stop: stop.clone(), grace, retire: retire.clone() };
        served.spawn(serve(machine.unwrap(), Arc::clone(&site), ends));
        Self { relay, site, stop, retire, served, _test: test }
    }

    async fn dial(&self, host: &str, port: u16) -> Result<Stream, OpenError> {
        self.relay.open(&Header::Dial(asked(host, port))).await.map(|(stream, _)| stream)
    }

    async fn check(&self, host: &str, port: u16) -> Result<Stream, OpenError> {
        self.relay.open(&Header::Check(asked(host, port))).await.map(|(stream, _)| stream)
    }

    async fn refused(&self, host: &str, port: u16) -> String {
        let Err(OpenError::Refused { source }) = within(self.dial(host, port)).await else {
            return format!("{host} was not refused");
        };
        source.code
    }

    async fn session(&self, target: &TcpListener) -> (Stream, TcpStream) {
        let port = target.local_addr().unwrap().port();
        let (stream, accepted) =
            within(async { tokio::join!(self.dial("127.0.0.1", port), target.accept()) }).await;
        (stream.unwrap(), accepted.unwrap().0)
    }

    /// Waits until as many sessions have ended as were opened.
    async fn settles(&self) {
        let counts = &self.site.counts;
        within(async {
            while counts.ended.load(Relaxed) < counts.opened.load(Relaxed) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

fn asked(host: &str, port: u16) -> Dial {
    Dial {
        session: SessionId(uuid::Uuid::from_u128(7)),
        application: "web1".parse().unwrap(),
        host: host.into(),
        port,
    }
}

/// Answers with an address that may be dialled, and then with one that may not.
#[derive(Default)]
struct Flips(Arc<AtomicUsize>);

#[async_trait]
impl Resolver for Flips {
    async fn resolve(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(match self.0.fetch_add(1, Relaxed) {
            0 => vec![IpAddr::from([127, 0, 0, 1])],
            _ => vec![IpAddr::from([127, 0, 0, 2]), IpAddr::from([169, 254, 169, 254])],
        })
    }
}

struct Hangs;

#[async_trait]
impl Resolver for Hangs {
    async fn resolve(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap()
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_reply_fits_one_packet_with_room_for_a_banner() {
    let reply = Reply::Opened {
        session: Some(SessionId(uuid::Uuid::nil())),
        mode: wire::Mode::Raw,
        host_keys: Vec::new(),
    };
    assert!(wire::encode(&reply).unwrap().len() < 150);
}
