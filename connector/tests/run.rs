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
use adit_connector::doctor::{before_joining, is_well};
use adit_connector::join::{Join, JoinError, join};
use adit_connector::run::run;
use adit_connector::status::{State, Status};
use relay::{TestCa, TestRelay, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tunnel::doctor::Finding;
use tunnel::https::CallError;

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
async fn a_connector_dials_again_while_its_relay_drains() {
    let relay = TestRelay::start();
    let state = state_of(&relay);
    let running = Running::start(state.path());
    let first = within(relay.welcome()).await;
    first.drain();
    let second = within(relay.welcome()).await;
    assert!(first.is_open() && second.is_open());
    running.stop().await;
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
    let intercepted = |finding: &Finding| finding.code == Some("relay.intercepted");
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
            run(&state, Duration::from_secs(2), stopped).await.unwrap();
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

async fn wait_for(state: &Path, wanted: State) {
    while Status::read(state).unwrap().is_none_or(|status| status.state != wanted) {
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
