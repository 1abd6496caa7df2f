//! Reaching a relay by whichever way works: between two ends in one process, over a path that does
//! what networks do.
#![allow(clippy::unwrap_used, reason = "clippy takes a test's helpers for no test")]

mod relay;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use access::EndReason;
use relay::{Signer, TestCa, TestRelay, pair, within};
use splice::{Io, Stream as _};
use testkit::{Path, Squid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tunnel::doctor::{Outcome, examine};
use tunnel::endpoint::Congestion;
use tunnel::ladder::Ways;
use tunnel::proxy::{Proxies, Proxy};
use tunnel::tls::{Expiry, Oldest, client_verifier, server_config};
use tunnel::{
    Closed, ConnectError, Connection, Interception, Ladder, OverTcp, Stream, Transport, end_reason,
};

#[tokio::test(flavor = "multi_thread")]
async fn where_udp_works_it_is_used() {
    let mut rig = Rig::start().await;
    let (near, far) = rig.connect().await;
    assert_eq!((near.transport(), far.transport()), (Transport::Quic, Transport::Quic));
    assert!(far.peer().instance.is_some());
    exchange(&near, &far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_udp_is_blocked_tls_takes_its_place_within_three_seconds() {
    let mut rig = Rig::start().await;
    rig.path.faults().no_udp.store(true, Relaxed);
    let began = Instant::now();
    let (near, far) = rig.connect().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!((near.transport(), far.transport()), (Transport::Tls, Transport::Tls));
    exchange(&near, &far).await;
    // The next time it does not wait for what did not work.
    let began = Instant::now();
    rig.connect().await;
    assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_that_is_swallowed_after_the_handshake_is_given_up_within_three_seconds() {
    let mut rig = Rig::start().await;
    // The client's first flight and its finish get through; its hello does not.
    rig.path.faults().udp_until.store(2, Relaxed);
    let began = Instant::now();
    let (near, far) = rig.connect().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!((near.transport(), far.transport()), (Transport::Tls, Transport::Tls));
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_that_is_cut_while_in_use_is_replaced_within_three_seconds() {
    let mut rig = Rig::start().await;
    let (near, far) = rig.connect().await;
    let _open = pair(&near, &far).await;
    rig.path.faults().no_udp.store(true, Relaxed);
    let cut = Instant::now();
    let (next, relay) = rig.replacement(&near).await;
    assert!(cut.elapsed() < Duration::from_secs(3), "{:?}", cut.elapsed());
    assert_eq!(next.transport(), Transport::Tls);
    assert_eq!(relay.peer().instance, far.peer().instance);
    exchange(&next, &relay).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_better_way_is_climbed_back_to_and_what_is_open_goes_on() {
    let mut rig = Rig::start().await;
    rig.path.faults().no_udp.store(true, Relaxed);
    let (near, far) = rig.connect().await;
    assert_eq!(near.transport(), Transport::Tls);
    let (mut here, mut there) = pair(&near, &far).await;
    rig.path.faults().no_udp.store(false, Relaxed);
    let freed = Instant::now();
    let (next, _relay) = rig.replacement(&near).await;
    assert!(freed.elapsed() < Duration::from_secs(60), "{:?}", freed.elapsed());
    assert_eq!(next.transport(), Transport::Quic);
    within(here.send_frame(&"still here")).await.unwrap();
    assert_eq!(within(there.recv_frame::<String>()).await.unwrap(), "still here");
    assert!(near.is_open());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nat_that_forgets_costs_quic_nothing() {
    let (before, after) = elsewhere(Path::rebind).await;
    assert!(before.ip() == after.ip() && before != after, "{before} {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_address_costs_quic_nothing() {
    let (before, after) = elsewhere(Path::move_on).await;
    assert_ne!(before.ip(), after.ip());
}

/// Where a machine's packets came from before and after something that its streams survived.
async fn elsewhere(happens: impl FnOnce(&Path)) -> (SocketAddr, SocketAddr) {
    let mut rig = Rig::start().await;
    let (near, far) = rig.connect().await;
    let (mut here, mut there) = pair(&near, &far).await;
    let before = far.remote_address();
    happens(&rig.path);
    within(here.send_frame(&"from elsewhere")).await.unwrap();
    assert_eq!(within(there.recv_frame::<String>()).await.unwrap(), "from elsewhere");
    within(there.send_frame(&"to elsewhere")).await.unwrap();
    assert_eq!(within(here.recv_frame::<String>()).await.unwrap(), "to elsewhere");
    assert!(near.is_open() && !near.is_doubted());
    (before, far.remote_address())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_of_two_hundred_milliseconds_is_taken_by_quic_and_carries_what_it_is_given() {
    let mut rig = Rig::start().await;
    rig.path.faults().delay_millis.store(100, Relaxed);
    let (near, far) = rig.connect().await;
    exchange(&near, &far).await;
    assert_eq!(near.transport(), Transport::Quic);
    assert!(near.rtt() >= Duration::from_millis(150), "{:?}", near.rtt());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_says_how_large_packets_may_be() {
    let rig = Rig::start().await;
    let identity = rig.ca.identity("connector:1");
    for (mtu, outcome) in [(0, Outcome::Good), (1280, Outcome::Warning)] {
        rig.path.faults().mtu.store(mtu, Relaxed);
        let findings = within(examine(&rig.ladder, &identity)).await;
        let found = findings.iter().find(|finding| finding.check == "mtu").unwrap();
        assert_eq!(found.outcome, outcome, "{findings:?}");
        assert_eq!(found.fix.is_some(), mtu == 1280);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrow_lossy_slow_path_that_reorders_carries_what_it_is_given() {
    let mut rig = Rig::start().await;
    let faults = rig.path.faults();
    faults.mtu.store(1280, Relaxed);
    faults.lost.store(50, Relaxed);
    faults.late.store(100, Relaxed);
    faults.delay_millis.store(20, Relaxed);
    let (near, far) = rig.connect().await;
    exchange(&near, &far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_tells_ends_as_quic_does() {
    let mut rig = Rig::start().await;
    rig.path.faults().no_udp.store(true, Relaxed);
    let (near, far) = rig.connect().await;
    for reason in [EndReason::Killed, EndReason::Revoked, EndReason::Broken] {
        let (mut here, mut there) = pair(&near, &far).await;
        there.abort(reason.number());
        let error = within(recv(&mut here)).await.unwrap_err();
        assert_eq!(end_reason(&error), Some(reason));
        let again = within(recv(&mut here)).await.unwrap_err();
        assert_eq!(end_reason(&again), Some(reason));
    }
    // One that does not read is told too, when it writes.
    let (mut here, mut there) = pair(&near, &far).await;
    there.abort(EndReason::Killed.number());
    let error = within(async {
        loop {
            if let Err(error) = here.send_frame(&"more").await {
                break error;
            }
        }
    });
    assert_eq!(end_reason(&error.await), Some(EndReason::Killed));
    // A stream that is dropped half way does not end as if that were all.
    let (mut here, mut there) = pair(&near, &far).await;
    within(there.send_frame(&"half")).await.unwrap();
    drop(there);
    assert_eq!(within(here.recv_frame::<String>()).await.unwrap(), "half");
    let error = within(recv(&mut here)).await.unwrap_err();
    assert_eq!(end_reason(&error), Some(EndReason::Broken));
    let (mut here, _there) = pair(&near, &far).await;
    far.close(EndReason::Revoked, "removed");
    let closed = within(near.closed()).await;
    assert_eq!(closed, Closed::Peer { reason: EndReason::Revoked, why: "removed".into() });
    let error = within(recv(&mut here)).await.unwrap_err();
    assert_eq!(end_reason(&error), Some(EndReason::Revoked));
    assert_eq!(within(far.closed()).await, Closed::Here);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_a_drain_notice_arrives_and_a_dead_peer_is_noticed_within_ten_seconds() {
    let mut rig = Rig::start().await;
    rig.path.faults().no_udp.store(true, Relaxed);
    let (near, far) = rig.connect().await;
    far.drain();
    within(near.draining()).await;
    assert!(near.is_open());
    rig.path.faults().no_tcp.store(true, Relaxed);
    let cut = Instant::now();
    assert_eq!(within(near.closed()).await, Closed::Silent);
    assert_eq!(within(far.closed()).await, Closed::Silent);
    assert!(cut.elapsed() < Duration::from_secs(10), "{:?}", cut.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_many_streams_are_carried_and_given_back() {
    let mut rig = Rig::start().await;
    rig.path.faults().no_udp.store(true, Relaxed);
    let (near, far) = rig.connect().await;
    let mut held = Vec::new();
    for _ in 0..700 {
        held.push(pair(&near, &far).await);
    }
    assert_eq!((near.streams(), far.streams()), (700, 700));
    drop(held);
    assert_eq!((near.streams(), far.streams()), (0, 0));
    exchange(&near, &far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_a_reader_who_stands_still_holds_nobody_else_up() {
    let mut rig = Rig::start().await;
    rig.path.faults().no_udp.store(true, Relaxed);
    let (near, far) = rig.connect().await;
    let (here, _there) = pair(&near, &far).await;
    let mut here = Io::new(here);
    let bulk = vec![0; 8 << 20];
    let stuck = tokio::time::timeout(Duration::from_secs(1), here.write_all(&bulk)).await;
    assert!(stuck.is_err(), "nobody read, and everything was taken");
    exchange(&near, &far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_of_another_ca_does_not_get_in_over_tls() {
    let mut rig = Rig::start().await;
    rig.path.faults().no_udp.store(true, Relaxed);
    let mut stranger = TestCa::new();
    // It trusts the right CA, and shows a certificate of the wrong one.
    stranger.pem = rig.ca.pem.clone();
    let ladder = rig.ladder(OverTcp::default());
    let dialled = within(ladder.dial(&stranger.identity("connector:1"))).await;
    assert!(matches!(dialled, Err(ConnectError::NoWay { .. })), "{dialled:?}");
    assert!(rig.relays.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_ends_tls_on_the_way_is_refused_and_named() {
    let corp = Arc::new(TestCa::new());
    let (address, _middle) = terminating(&corp, &[b"http/1.1"]).await;
    let ca = TestCa::new();
    let ways = ways(address.port(), OverTcp::default());
    let dialled = within(Ladder::new(ways, None).dial(&ca.identity("connector:1"))).await;
    let error = dialled.unwrap_err();
    let explained = error.explain().unwrap_or_else(|| panic!("{error}"));
    assert_eq!(explained.code().0, "relay.intercepted");
    assert!(explained.public().contains("test CA"), "{}", explained.public());
    assert!(explained.hint().unwrap().contains("TLS inspection"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_leads_to_the_relay_and_what_it_wants_is_told() {
    let mut rig = Rig::start().await;
    rig.path.faults().no_udp.store(true, Relaxed);
    // The relay is this machine, which no proxy leads to; so it is called by another name.
    let (proxy, _serving) = proxy(rig.path.port(), "Basic YW5uOnM=").await;
    let over = |credentials: &str| OverTcp {
        proxies: Proxies::always(format!("http://{credentials}{proxy}").parse().unwrap()),
        interception: Interception::Refuse,
    };
    let ladder = |over| {
        let mut ways = ways(rig.path.port(), over);
        ways.https = "relay.test:443".into();
        Ladder::new(ways, None)
    };
    let identity = rig.ca.identity("connector:1");
    let refused = within(ladder(over("")).dial(&identity)).await.unwrap_err();
    assert_eq!(refused.explain().map(|why| why.code().0), Some("proxy.credentials"));
    let near = within(ladder(over("ann:s@")).dial(&identity)).await.unwrap();
    let far = within(rig.relays.recv()).await.unwrap();
    assert_eq!(near.transport(), Transport::Tls);
    exchange(&near, &far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_wants_ntlm_leads_to_the_relay() {
    let mut rig = Rig::start().await;
    rig.path.faults().no_udp.store(true, Relaxed);
    let squid = Squid::start_with_ntlm().unwrap();
    let ladder = |credentials: Option<&str>| {
        let mut proxy: Proxy = squid.url().parse().unwrap();
        if let Some(credentials) = credentials {
            proxy = proxy.with_credentials(credentials.to_owned().into());
        }
        let proxies = Proxies::always(proxy);
        rig.ladder(OverTcp { proxies, interception: Interception::Refuse })
    };
    let identity = rig.ca.identity("connector:1");
    let refused = within(ladder(None).dial(&identity)).await.unwrap_err();
    assert_eq!(refused.explain().map(|why| why.code().0), Some("proxy.credentials"));
    let near = within(ladder(Some("CORP\\ann:s3cret:")).dial(&identity)).await.unwrap();
    let far = within(rig.relays.recv()).await.unwrap();
    assert_eq!(near.transport(), Transport::Tls);
    exchange(&near, &far).await;
}

/// A relay behind a path.
struct Rig {
    ca: Arc<TestCa>,
    path: Path,
    ladder: Arc<Ladder>,
    /// The relay's ends of connections, as they come.
    relays: mpsc::Receiver<Connection>,
    _serving: JoinSet<()>,
}

impl Rig {
    async fn start() -> Self {
        let relay = TestRelay::start();
        let ca = relay.ca.clone();
        let (come, relays) = mpsc::channel(16);
        let (tcp, mut serving) = (listener().await, JoinSet::new());
        let udp = relay.endpoint.local_addr().unwrap();
        let path = Path::to(udp, tcp.local_addr().unwrap()).unwrap();
        serving.spawn(serve_quic(relay, come.clone()));
        serving.spawn(serve_tls(ca.clone(), tcp, come));
        let ladder = Arc::new(Ladder::new(ways(path.port(), OverTcp::default()), None));
        Self { ca, path, ladder, relays, _serving: serving }
    }

    fn ladder(&self, over_tcp: OverTcp) -> Ladder {
        Ladder::new(ways(self.path.port(), over_tcp), None)
    }

    /// Both ends of a connection.
    async fn connect(&mut self) -> (Connection, Connection) {
        let identity = self.ca.identity("connector:1");
        let near = within(self.ladder.dial(&identity)).await.unwrap();
        (near, within(self.relays.recv()).await.unwrap())
    }

    async fn replacement(&mut self, current: &Connection) -> (Connection, Connection) {
        let identity = self.ca.identity("connector:1");
        let next = self.ladder.replacement(current, || Some(identity.clone()));
        let next = tokio::time::timeout(Duration::from_secs(60), next).await.unwrap();
        (next, within(self.relays.recv()).await.unwrap())
    }
}

fn ways(port: u16, over_tcp: OverTcp) -> Ways {
    let at = format!("127.0.0.1:{port}");
    Ways {
        quic: at.clone(),
        https: at,
        domain: "relay.test".into(),
        software: "test 0",
        congestion: Congestion::Cubic,
        over_tcp,
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

async fn serve_quic(relay: TestRelay, come: mpsc::Sender<Connection>) {
    let mut tasks = JoinSet::new();
    while let Some(incoming) = relay.endpoint.accept().await {
        let (ca, come) = (relay.ca.clone(), come.clone());
        tasks.spawn(async move { welcome(tunnel::accept(incoming).await, ca, come).await });
    }
}

async fn serve_tls(ca: Arc<TestCa>, listener: TcpListener, come: mpsc::Sender<Connection>) {
    let (chain, key) = ca.server();
    let verifier = client_verifier(&ca.pem, Expiry::ForRenewal).unwrap();
    let mut config = server_config(&chain, &key.into(), Some(verifier), Oldest::Tls13).unwrap();
    config.alpn_protocols = vec![wire::ALPN.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let mut tasks = JoinSet::new();
    while let Ok((socket, peer)) = listener.accept().await {
        let (acceptor, ca, come) = (acceptor.clone(), ca.clone(), come.clone());
        tasks.spawn(async move {
            let Ok(stream) = acceptor.accept(socket).await else { return };
            welcome(tunnel::accept_tls(stream, peer, Transport::Tls).await, ca, come).await;
        });
    }
}

async fn welcome(
    knock: Result<tunnel::Knock, ConnectError>,
    ca: Arc<TestCa>,
    come: mpsc::Sender<Connection>,
) {
    let Ok(knock) = knock else { return };
    if let Ok(connection) = knock.welcome("adit-relay test", Arc::new(Signer(ca))).await {
        drop(come.send(connection).await);
    }
}

/// Somebody who ends TLS, with a certificate of their own.
async fn terminating(ca: &TestCa, protocols: &[&[u8]]) -> (SocketAddr, JoinSet<()>) {
    let (listener, (chain, key)) = (listener().await, ca.server());
    let mut config = server_config(&chain, &key.into(), None, Oldest::Tls13).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let (address, acceptor) = (listener.local_addr().unwrap(), TlsAcceptor::from(Arc::new(config)));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            drop(acceptor.accept(socket).await);
        }
    });
    (address, tasks)
}

/// A proxy that leads everywhere to one port of this machine, for who shows these credentials.
async fn proxy(port: u16, credentials: &'static str) -> (SocketAddr, JoinSet<()>) {
    let listener = listener().await;
    let (address, mut tasks) = (listener.local_addr().unwrap(), JoinSet::new());
    tasks.spawn(async move {
        let mut carried = JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            carried.spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                assert!(head.starts_with("CONNECT relay.test:443 HTTP/1.1\r\n"), "{head}");
                if !head.contains(credentials) {
                    let answer = b"HTTP/1.1 407 Who?\r\nContent-Length: 4\r\n\r\nno!\n";
                    return client.write_all(answer).await.unwrap();
                }
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let mut relay = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut client, &mut relay).await);
            });
        }
    });
    (address, tasks)
}

/// A quarter of a megabyte each way, to their ends.
async fn exchange(near: &Connection, far: &Connection) {
    let (here, there) = pair(near, far).await;
    let one = |stream: Stream, byte: u8| async move {
        let (mut read, mut write) = tokio::io::split(Io::new(stream));
        let send = async {
            write.write_all(&vec![byte; 250_000]).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        let (_, read) = tokio::join!(send, read.read_to_end(&mut got));
        read.unwrap();
        got
    };
    let (up, down) = within(async { tokio::join!(one(here, 1), one(there, 2)) }).await;
    assert!(up == vec![2; 250_000] && down == vec![1; 250_000]);
}

async fn recv(stream: &mut Stream) -> std::io::Result<Option<bytes::Bytes>> {
    std::future::poll_fn(|cx| stream.poll_recv(cx)).await
}
