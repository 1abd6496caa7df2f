//! The connector as it runs: it comes back when its relay does, and stops in order.
#![allow(clippy::unwrap_used, reason = "clippy takes a test's helpers for no test")]

#[path = "../../crates/tunnel/tests/relay/mod.rs"]
mod relay;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use access::{CaPin, EndReason, TokenKind, TokenText};
use adit_connector::config;
use adit_connector::config::ProxyChoice;
use adit_connector::control::{Ask, AskError, Control, Said, ask};
use adit_connector::doctor::{before_joining, is_well};
use adit_connector::join::{Join, JoinError, join};
use adit_connector::run::{RunError, run};
use adit_connector::status::{State, Status};
use relay::{TestCa, TestRelay, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tunnel::Connection;
use tunnel::doctor::Finding;
use tunnel::https::CallError;
use wire::RelayAt;

#[tokio::test]
async fn a_connector_comes_back_to_its_relay() {
    let relay = TestRelay::start();
    let state = state_of(&relay);
    let running = Running::start(state.path());
    let first = within(relay.welcome()).await;
    first.close(EndReason::Drained, "restarting");
    let second = within(relay.welcome()).await;
    assert!(second.is_open());
    within(wait_for(state.path(), State::Connected)).await;
    running.stop().await;
    assert_eq!(Status::read(state.path()).unwrap().unwrap().state, State::Stopped);
    within(second.closed()).await;
}

#[tokio::test]
async fn a_second_connector_with_the_same_state_is_refused_and_the_first_goes_on_unharmed() {
    let relay = TestRelay::start();
    let state = state_of(&relay);
    let running = Running::start(state.path());
    let first = within(relay.welcome()).await;
    within(wait_for(state.path(), State::Connected)).await;
    let second = within(run(state.path(), Duration::ZERO, CancellationToken::new())).await;
    let Err(RunError::Running(refused)) = second else { panic!("{second:?}") };
    assert_eq!(refused.pid, Some(std::process::id()));
    let why = RunError::Running(refused);
    assert_eq!(why.explain().map(|why| why.code().0), Some("connector.running"));
    // Neither its relay nor a command notices.
    assert!(first.is_open() && !first.is_draining());
    let said = within(ask(state.path(), &Ask::Resume, |_| {})).await.unwrap();
    assert_eq!(said, Said::Serving);
    running.stop().await;
    let next = Running::start(state.path());
    assert!(within(relay.welcome()).await.is_open(), "what has ended claims nothing");
    next.stop().await;
}

#[tokio::test]
async fn a_socket_where_somebody_answers_is_not_taken() {
    let state = tempfile::tempdir().unwrap();
    let first = Control::listen(state.path()).unwrap();
    let second = Control::listen(state.path()).map(drop).unwrap_err();
    assert_eq!(second.kind(), std::io::ErrorKind::AddrInUse);
    assert!(UnixStream::connect(state.path().join("control.sock")).await.is_ok());
    drop(first);
}

#[tokio::test]
async fn a_connector_dials_again_while_its_relay_drains() {
    let relay = TestRelay::start();
    let state = state_of(&relay);
    let running = Running::start(state.path());
    let first = within(relay.welcome()).await;
    first.drain();
    // Open until the second is there, and a moment longer.
    let second = within(async {
        tokio::select! {
            biased;
            second = relay.welcome() => second,
            closed = first.closed() => panic!("{closed:?}"),
        }
    });
    assert!(second.await.is_open());
    running.stop().await;
}

#[tokio::test]
async fn a_connector_that_is_told_to_drains_tells_how_far_it_is_and_serves_again() {
    let relay = TestRelay::start();
    let state = state_of(&relay);
    let running = Running::start(state.path());
    let first = within(relay.welcome()).await;
    within(wait_for(state.path(), State::Connected)).await;
    let mut told = Vec::new();
    let drain = Ask::Drain { within: 60 };
    let said = within(ask(state.path(), &drain, |said| told.push(said.clone()))).await.unwrap();
    assert_eq!(said, Said::Drained { cut: 0 });
    assert!(matches!(told[0], Said::Draining { sessions: 0, .. }), "{told:?}");
    assert!(first.is_open() && first.is_draining());
    within(wait_for(state.path(), State::Draining)).await;
    // A connection that is made while it drains takes nothing either.
    first.close(EndReason::Drained, "restarting");
    let second = within(relay.welcome()).await;
    within(second.draining()).await;
    let resumed = within(ask(state.path(), &Ask::Resume, |_| {})).await.unwrap();
    assert_eq!(resumed, Said::Serving);
    let third = within(relay.welcome()).await;
    within(wait_for(state.path(), State::Connected)).await;
    assert!(third.is_open() && !third.is_draining());
    running.stop().await;
    let gone = within(ask(state.path(), &Ask::Resume, |_| {})).await;
    assert!(matches!(gone, Err(AskError::NotRunning { .. })), "{gone:?}");
}

#[tokio::test]
async fn a_socket_that_a_killed_connector_left_is_in_nobodys_way() {
    let relay = TestRelay::start();
    let state = state_of(&relay);
    drop(std::os::unix::net::UnixListener::bind(state.path().join("control.sock")).unwrap());
    let gone = within(ask(state.path(), &Ask::Resume, |_| {})).await;
    assert!(matches!(gone, Err(AskError::NotRunning { .. })), "{gone:?}");
    let running = Running::start(state.path());
    within(wait_for(state.path(), State::Connecting)).await;
    assert_eq!(within(ask(state.path(), &Ask::Resume, |_| {})).await.unwrap(), Said::Serving);
    assert_eq!(mode(&state.path().join("control.sock")), 0o600);
    running.stop().await;
}

#[tokio::test]
async fn what_is_no_question_is_refused_and_the_connector_goes_on() {
    let relay = TestRelay::start();
    let state = state_of(&relay);
    let running = Running::start(state.path());
    within(wait_for(state.path(), State::Connecting)).await;
    for question in ["{}\n", "{\"do\":\"explode\"}\n", "\0\0\n", &format!("{}\n", "x".repeat(5000))]
    {
        let mut socket = UnixStream::connect(state.path().join("control.sock")).await.unwrap();
        // It may stop reading in the middle of one that is too long.
        drop(socket.write_all(question.as_bytes()).await);
        let mut answer = Vec::new();
        drop(within(socket.read_to_end(&mut answer)).await);
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.is_empty() || answer.contains("control.unknown"), "{answer}");
    }
    assert_eq!(within(ask(state.path(), &Ask::Resume, |_| {})).await.unwrap(), Said::Serving);
    running.stop().await;
}

#[tokio::test]
async fn a_connector_keeps_a_connection_to_each_of_its_relays() {
    let ca = Arc::new(TestCa::new());
    let listen = |address: &str| TestRelay::listen(Arc::clone(&ca), address.parse().unwrap());
    let (one, two) = (listen("127.0.0.1:0"), listen("127.0.0.1:0"));
    let state = state_of(&one);
    also(state.path(), &two.address());
    let running = Running::start(state.path());
    let (first, second) = within(async { tokio::join!(one.welcome(), two.welcome()) }).await;
    assert_eq!(first.peer().instance, second.peer().instance, "they are one process's");
    // One goes: the other stands, and the one that went gets its connection when it is back.
    let address = one.address();
    gone(one, first).await;
    within(wait_until(state.path(), |status| {
        status.relays[0].state == State::Connecting && status.relays[1].state == State::Connected
    }))
    .await;
    let status = Status::read(state.path()).unwrap().unwrap();
    assert_eq!((status.state, &*status.relay), (State::Connected, "https://other.test"));
    assert!(second.is_open() && !second.is_draining());
    let back = listen_again(&ca, &address).await;
    let again = within(back.welcome()).await;
    // Draining is told to both.
    drop(within(ask(state.path(), &Ask::Drain { within: 60 }, |_| {})).await.unwrap());
    within(async { tokio::join!(again.draining(), second.draining()) }).await;
    running.stop().await;
}

#[tokio::test]
async fn a_relay_that_takes_over_is_dialled_as_soon_as_the_other_is_lost() {
    let ca = Arc::new(TestCa::new());
    let listen = |address: &str| TestRelay::listen(Arc::clone(&ca), address.parse().unwrap());
    let (active, standby) = (listen("127.0.0.1:0"), listen("127.0.0.1:0"));
    let address = standby.address();
    standby.endpoint.close(0u32.into(), b"");
    drop(standby);
    let state = state_of(&active);
    also(state.path(), &address);
    let running = Running::start(state.path());
    let first = within(active.welcome()).await;
    // Long enough that the second is waited for longer than this test may take to reach it.
    within(wait_until(state.path(), |status| status.relays[1].last_error.is_some())).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let standby = listen_again(&ca, &address).await;
    let lost = std::time::Instant::now();
    gone(active, first).await;
    within(async {
        // What was on its way before may be given up.
        while tunnel::accept(standby.endpoint.accept().await.unwrap()).await.is_err() {}
    })
    .await;
    assert!(lost.elapsed() < Duration::from_secs(3), "{:?}", lost.elapsed());
    running.stop().await;
}

#[tokio::test]
async fn a_connector_reaches_relays_that_it_is_told_of_also_when_it_starts_while_its_own_is_gone() {
    let (one, two) = pair();
    let state = state_of(&one);
    let running = Running::start(state.path());
    let first = within(one.welcome()).await;
    // Its own under another name is its own.
    first.tell_relays([at("one", &one, true), at("two", &two, false)].into());
    let second = within(two.welcome()).await;
    assert_eq!(first.peer().instance, second.peer().instance, "they are one process's");
    within(wait_until(state.path(), |status| {
        status.relays.len() == 2 && status.relays.iter().all(|one| one.state == State::Connected)
    }))
    .await;
    let status = Status::read(state.path()).unwrap().unwrap();
    let shown: Vec<_> = status.relays.iter().map(|one| (&*one.relay, one.told)).collect();
    assert_eq!(shown, [("https://relay.test", false), ("https://two.test", true)]);
    running.stop().await;
    assert_eq!(mode(&state.path().join("relays.json")), 0o600);
    gone(one, first).await;
    let running = Running::start(state.path());
    within(two.welcome()).await;
    running.stop().await;
}

#[tokio::test]
async fn a_relay_that_is_told_of_no_more_is_left_and_the_connectors_own_never() {
    let (one, two) = pair();
    let state = state_of(&one);
    let running = Running::start(state.path());
    let first = within(one.welcome()).await;
    first.tell_relays([at("two", &two, false)].into());
    let second = within(two.welcome()).await;
    // Two that are connected are believed together.
    let third =
        RelayAt { url: "https://three.test".into(), quic: "127.0.0.1:9".into(), here: false };
    second.tell_relays([at("two", &two, true), third].into());
    within(wait_until(state.path(), |status| status.relays.len() == 3)).await;
    first.tell_relays([].into());
    let refused = tokio::time::timeout(Duration::from_millis(300), second.draining()).await;
    assert!(refused.is_err(), "the other one still tells of it");
    second.tell_relays([].into());
    within(second.draining()).await;
    within(second.closed()).await;
    within(wait_until(state.path(), |status| status.relays.len() == 1)).await;
    assert!(first.is_open() && !first.is_draining());
    let kept = std::fs::read_to_string(state.path().join("relays.json")).unwrap();
    assert!(!kept.contains("https://"), "{kept}");
    // It is taken again where it is told of again, and what is no address never.
    let nothing = RelayAt { url: "http://two.test".into(), quic: two.address(), here: false };
    first.tell_relays([nothing, at("two", &two, false)].into());
    within(two.welcome()).await;
    running.stop().await;
}

#[tokio::test]
async fn a_connector_whose_file_says_so_keeps_to_the_relays_that_stand_there() {
    let (one, two) = pair();
    let state = state_of(&one);
    let file = state.path().join("connector.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, text + "learn_relays = false\n").unwrap();
    let running = Running::start(state.path());
    let first = within(one.welcome()).await;
    first.tell_relays([at("two", &two, false)].into());
    let dialled = tokio::time::timeout(Duration::from_millis(500), two.endpoint.accept()).await;
    assert!(dialled.is_err());
    running.stop().await;
    assert!(!state.path().join("relays.json").exists());
}

/// Two relays of one CA.
fn pair() -> (TestRelay, TestRelay) {
    let ca = Arc::new(TestCa::new());
    let listen = || TestRelay::listen(Arc::clone(&ca), "127.0.0.1:0".parse().unwrap());
    (listen(), listen())
}

/// A relay as another one tells of it.
fn at(name: &str, relay: &TestRelay, here: bool) -> RelayAt {
    RelayAt { url: format!("https://{name}.test"), quic: relay.address(), here }
}

#[tokio::test]
async fn a_join_pins_the_relay_and_leaves_a_state_that_runs() {
    let relay = TestRelay::start();
    let api = Api::start(Arc::clone(&relay.ca), relay.endpoint.local_addr().unwrap().port()).await;
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("deep/state");
    let how = || Join {
        url: api.url.clone(),
        token: token(pin(&relay.ca)),
        state: state.clone(),
        allow: vec!["127.0.0.1/32:*".parse().unwrap()],
        name: Some("hq-1".into()),
        proxy: ProxyChoice::None,
    };
    let joined = within(join(&how())).await.unwrap();
    assert_eq!(joined.site.as_str(), "hq");
    assert_eq!(mode(&state.join("key.pem")), 0o600);
    let running = Running::start(&state);
    let connection = within(relay.knock()).await;
    assert_eq!(connection.certificate().name, "connector:1");
    running.stop().await;
    let again = within(join(&how())).await;
    assert!(matches!(again, Err(JoinError::Occupied { .. })), "{again:?}");
}

#[tokio::test]
async fn a_join_does_not_show_its_token_to_another_relay() {
    let api = Api::start(Arc::new(TestCa::new()), 1).await;
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().to_owned();
    let token = token(pin(&TestCa::new()));
    let how = Join {
        url: api.url.clone(),
        token,
        state,
        allow: Vec::new(),
        name: None,
        proxy: ProxyChoice::None,
    };
    let refused = within(join(&how)).await;
    let other = matches!(&refused, Err(JoinError::Call { source: CallError::Intercepted { .. } }));
    assert!(other, "{refused:?}");
    assert!(!directory.path().join("connector.toml").exists());
}

#[tokio::test]
async fn who_can_not_join_is_told_what_is_on_the_way() {
    let ca = Arc::new(TestCa::new());
    let api = Api::start(Arc::clone(&ca), 1).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let examined = async |url: String, pin| {
        let state = tempfile::tempdir().unwrap().path().to_owned();
        let token = token(pin);
        let (allow, proxy) = (Vec::new(), ProxyChoice::None);
        within(before_joining(&Join { url, token, state, allow, name: None, proxy })).await
    };
    let well = examined(api.url.clone(), pin(&ca)).await;
    assert!(is_well(&well), "{well:?}");
    let other = examined(api.url.clone(), pin(&TestCa::new())).await;
    let intercepted = |finding: &Finding| finding.code.as_deref() == Some("relay.intercepted");
    assert!(other.iter().any(intercepted), "{other:?}");
    let closed = examined(format!("https://{silent}"), pin(&ca)).await;
    let fix = format!("let TCP out to port {} of the relay", silent.port());
    assert!(closed.iter().any(|finding| finding.fix.as_ref() == Some(&fix)), "{closed:?}");
}

#[tokio::test]
async fn only_a_join_token_joins() {
    let state = tempfile::tempdir().unwrap().path().to_owned();
    let token = TokenText::new(TokenKind::Api, [1; 7], [2; 20], None);
    let url = "https://127.0.0.1:1".to_owned();
    let how = Join { url, token, state, allow: Vec::new(), name: None, proxy: ProxyChoice::None };
    let refused = within(join(&how)).await;
    assert!(matches!(refused, Err(JoinError::Kind { kind: TokenKind::Api })), "{refused:?}");
}

struct Running {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    fn start(state: &Path) -> Self {
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let (state, stopped) = (state.to_owned(), stop.clone());
        tasks.spawn(async move {
            run(&state, Duration::from_secs(2), stopped).await.map(drop).unwrap();
        });
        Self { stop, tasks }
    }

    async fn stop(mut self) {
        self.stop.cancel();
        within(self.tasks.join_next()).await.unwrap().unwrap();
    }
}

fn state_of(relay: &TestRelay) -> tempfile::TempDir {
    let state = tempfile::tempdir().unwrap();
    relay.ca.identity("connector:1").save(state.path()).unwrap();
    let text = config::template(
        "https://relay.test",
        "relay.test",
        &relay.address(),
        &ProxyChoice::None,
        &[],
    );
    std::fs::write(state.path().join("connector.toml"), text).unwrap();
    state
}

/// Names one more relay in a connector's configuration.
fn also(state: &Path, quic: &str) {
    let file = state.join("connector.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let also = format!(
        "[[also]]\nrelay = \"https://other.test\"\ndomain = \"relay.test\"\nquic = {quic:?}\n"
    );
    std::fs::write(file, text + &also).unwrap();
}

/// A relay that ends without a word.
async fn gone(relay: TestRelay, connection: Connection) {
    connection.close(EndReason::Broken, "gone");
    relay.endpoint.close(0u32.into(), b"");
    within(relay.endpoint.wait_idle()).await;
}

/// Where one was until a moment ago.
async fn listen_again(ca: &Arc<TestCa>, address: &str) -> TestRelay {
    within(async {
        while std::net::UdpSocket::bind(address).is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    TestRelay::listen(Arc::clone(ca), address.parse().unwrap())
}

async fn wait_for(state: &Path, wanted: State) {
    wait_until(state, |status| status.state == wanted).await;
}

async fn wait_until(state: &Path, wanted: impl Fn(&Status) -> bool) {
    while !Status::read(state).unwrap().is_some_and(|status| wanted(&status)) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// As much of the relay's API as a join needs.
struct Api {
    url: String,
    _tasks: JoinSet<()>,
}

impl Api {
    async fn start(ca: Arc<TestCa>, quic_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (chain, key) = ca.server();
        let tls = tunnel::tls::server_config(&chain, &key.into(), None, tunnel::tls::Oldest::Tls13)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(socket).await {
                    answer(stream, &ca, quic_port).await;
                }
            }
        });
        Self { url, _tasks: tasks }
    }
}

async fn answer(
    mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    ca: &TestCa,
    quic_port: u16,
) {
    let mut request = Vec::new();
    let body = loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap();
        request.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if head.starts_with("GET /healthz HTTP/1.1") {
            let well = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
            stream.write_all(well).await.unwrap();
            return stream.shutdown().await.unwrap();
        }
        assert!(head.starts_with("POST /api/v1/connectors/join HTTP/1.1"), "{head}");
        if let Ok(body) = serde_json::from_str::<serde_json::Value>(body) {
            break body;
        }
    };
    let csr = body["csr_pem"].as_str().unwrap();
    let now = std::time::SystemTime::now();
    let certificate = ca.sign(csr, "connector:1", now, Duration::from_secs(3600));
    let joined = serde_json::json!({
        "id": "00000000-0000-0000-0000-000000000001", "name": body["name"], "site": "hq",
        "domain": "relay.test", "quic_port": quic_port, "certificate_pem": certificate,
        "ca_pem": ca.pem,
    })
    .to_string();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
    let text = format!("{head} {}\r\n\r\n{joined}", joined.len());
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}

fn token(pin: CaPin) -> TokenText {
    TokenText::new(TokenKind::Join, [1; 7], [2; 20], Some(pin))
}

fn pin(ca: &TestCa) -> CaPin {
    CaPin::of(&tunnel::certificate::chain(&ca.pem).unwrap()[0])
}

fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
}
