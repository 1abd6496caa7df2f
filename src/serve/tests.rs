//! A whole relay in this process, on ports of the system's choice.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant, SystemTime};

use access::{
    AgentId, ApplicationId, ConnectorId, Context, EndReason, Keeps, SessionId, SiteId, TokenKind,
    TokenText,
};
use secrecy::SecretString;
use session::{Authn as _, AuthnError, Door, Session};
use store::{Apply, NewToken};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tunnel::endpoint::Congestion;
use tunnel::identity::Key;
use tunnel::tls::Trust;
use tunnel::{ConnectError, Connection, DialOut, Identity, dial_out};
use uuid::Uuid;

mod kept_alive;
mod operation;
mod relays;
mod tunnels;

use super::reload::Knobs;
use super::*;
use crate::init::{Init, InitError};
use crate::tokens::issue;
use crate::{AgentIdentity, AppState};

#[tokio::test]
async fn a_relay_that_is_asked_to_stop_ends_clean_and_leaves_no_ready_file() {
    let mut relay = Running::start().await;
    let ready = relay.dir.path().join("ready.json");
    assert!(ready.exists());
    let healthy: serde_json::Value = relay.client(None).get("/healthz", None).await.unwrap();
    assert_eq!(healthy["ready"], true);
    assert_eq!(relay.stop().await, Exit::Clean);
    assert!(!ready.exists());
}

#[tokio::test]
async fn a_certificate_that_is_not_there_is_a_mistake_before_the_relay_starts() {
    let dir = tempfile::tempdir().unwrap();
    init(&dir).run(SystemTime::now()).await.unwrap();
    let path = dir.path().join("relay.toml");
    let config = |more: &str| {
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}{more}")).unwrap();
        Config::read(&path).unwrap()
    };
    check(&config("")).unwrap();
    let missing = check(&config("[tls]\ncertificate = 'own.pem'\nkey = 'own.key'\n"));
    let said = format!("{:#}", anyhow::Error::from(missing.unwrap_err()));
    assert!(said.contains("own.pem"), "{said}");
}

#[tokio::test]
async fn a_relay_that_stops_keeps_whom_it_saw() {
    let mut relay = Running::start().await;
    let (_connection, agent) = relay.agent("admin").await;
    assert_eq!(relay.stop().await, Exit::Clean);
    let key = std::fs::read_to_string(relay.dir.path().join("master.key")).unwrap();
    let key = store::MasterKey::from_base64(key.trim()).unwrap();
    let store = store::Store::open(&relay.dir.path().join("adit.db"), key).await.unwrap();
    let seen = store.seen().await.unwrap();
    assert_eq!(seen[&store::Known::User(agent.user)].by.as_deref(), Some("agent"));
    assert!(seen.contains_key(&store::Known::Agent(agent.id)));
}

#[tokio::test]
async fn a_folder_that_holds_a_relay_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    init(&dir).run(SystemTime::now()).await.unwrap();
    let files = ["relay.toml", "adit.db", "master.key"].map(|name| dir.path().join(name));
    for file in &files {
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    let before = files.each_ref().map(|file| std::fs::read(file).unwrap());
    let again = init(&dir).run(SystemTime::now()).await;
    assert!(matches!(again, Err(InitError::Taken(_))), "{again:?}");
    assert_eq!(files.each_ref().map(|file| std::fs::read(file).unwrap()), before);
}

#[tokio::test]
async fn a_relay_whose_setup_token_nobody_could_read_leaves_nothing_and_is_set_up_again() {
    let parent = tempfile::tempdir().unwrap();
    let init = |data| Init { data, ..init(&parent) };
    let full = |_: &TokenText| Err(std::io::ErrorKind::StorageFull.into());
    let new = parent.path().join("relay");
    let failed = init(new.clone()).run_and(SystemTime::now(), full).await;
    assert!(matches!(failed, Err(InitError::Token(_))), "{failed:?}");
    assert!(!new.exists());
    // A folder that was there stays, with what was in it.
    std::fs::create_dir(&new).unwrap();
    std::fs::write(new.join("notes"), "kept").unwrap();
    init(new.clone()).run_and(SystemTime::now(), full).await.unwrap_err();
    let left = || std::fs::read_dir(&new).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left().collect::<Vec<_>>(), ["notes"]);
    init(new.clone()).run_and(SystemTime::now(), |_| Ok(())).await.unwrap();
    // Nor is anything taken from a relay that is there.
    let again = init(new.clone()).run_and(SystemTime::now(), full).await;
    assert!(matches!(again, Err(InitError::Taken(_))), "{again:?}");
    assert!(left().any(|name| name == "relay.toml"));
}

#[tokio::test]
async fn the_https_port_speaks_ssh_to_who_speaks_it_first() {
    let mut relay = Running::start().await;
    let mut socket = TcpStream::connect(relay.ready.https).await.unwrap();
    socket.write_all(b"SSH-2.0-test\r\n").await.unwrap();
    assert_eq!(&read(&mut socket, 8).await, b"SSH-2.0-");
    relay.stop().await;
}

#[tokio::test]
async fn a_thousand_silent_peers_do_not_keep_an_honest_one_out() {
    let mut relay = Running::start().await;
    let mut early = connect_from([127, 0, 0, 7], relay.ready.ssh).await;
    early.write_all(b"SSH-2.0-test\r\n").await.unwrap();
    assert_eq!(&read(&mut early, 8).await, b"SSH-2.0-");
    let mut silent = Vec::new();
    for _ in 0..1000 {
        silent.push(connect_from([127, 0, 0, 1], relay.ready.ssh).await);
    }
    let start = Instant::now();
    let mut late = connect_from([127, 0, 0, 8], relay.ready.ssh).await;
    assert_eq!(&read(&mut late, 8).await, b"SSH-2.0-");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    // The one that was there before the crowd is there still: its key exchange comes.
    assert!(read(&mut early, 100).await.len() == 100);
    // The crowd's first had to make room for its own last.
    let mut gone = Vec::new();
    let end = timeout(SOON, silent[0].read_to_end(&mut gone)).await;
    assert!(end.is_ok(), "the oldest of the crowd was kept");
    relay.stop().await;
}

#[tokio::test]
async fn a_connector_is_known_by_its_registered_key_alone() {
    let mut relay = Running::start().await;
    let (id, site) = (ConnectorId(Uuid::new_v4()), relay.site("hq").await);
    let identity = relay.identity(&format!("connector:{id}"), SystemTime::now());
    relay.state.store.enrol_connector(id, site, "hq-1", identity.spki()).await.unwrap();
    let connection = relay.dial(&identity).await.unwrap();
    relay.until(|state| state.connectors.list().len() == 1).await;
    // A certificate of the CA with the same name, but another key.
    let impostor = relay.identity(&format!("connector:{id}"), SystemTime::now());
    let refused = relay.dial(&impostor).await.unwrap_err();
    assert!(
        matches!(&refused, ConnectError::Refused { source } if source.code == "machine.unknown"),
        "{refused:?}"
    );
    assert!(relay.state.store.remove_connector(id).await.unwrap());
    assert!(relay.state.connectors.disconnect(id));
    timeout(SOON, connection.closed()).await.unwrap();
    relay.until(|state| state.connectors.list().is_empty()).await;
    relay.stop().await;
}

#[tokio::test]
async fn a_connector_that_was_away_too_long_comes_back_by_its_registered_key() {
    let mut relay = Running::start().await;
    let (id, site) = (ConnectorId(Uuid::new_v4()), relay.site("hq").await);
    let long_ago = SystemTime::now() - Duration::from_secs(3 * 24 * 3600);
    let identity = relay.identity(&format!("connector:{id}"), long_ago);
    assert!(identity.not_after() < SystemTime::now());
    relay.state.store.enrol_connector(id, site, "hq-1", identity.spki()).await.unwrap();
    let _connection = relay.dial(&identity).await.unwrap();
    relay.until(|state| state.connectors.list().len() == 1).await;
    relay.stop().await;
}

#[tokio::test]
async fn a_disabled_user_loses_the_agents_connection() {
    let mut relay = Running::start().await;
    relay.apply("[[user]]\nname = 'alice'\n").await;
    let (connection, _) = relay.agent("alice").await;
    let state = relay.state.clone();
    state.store.set_enabled(&"alice".parse().unwrap(), false).await.unwrap();
    state.policy.refresh().await;
    let closed = timeout(Duration::from_secs(1), connection.closed()).await.unwrap();
    assert!(
        matches!(closed, tunnel::Closed::Peer { reason: EndReason::Revoked, .. }),
        "{closed:?}"
    );
    relay.stop().await;
}

#[tokio::test]
async fn absent_and_forbidden_applications_answer_alike() {
    let mut relay = Running::start().await;
    relay.site("hq").await;
    relay.apply(FORBIDDEN).await;
    let (connection, _) = relay.agent("admin").await;
    let mut answers = Vec::new();
    for name in ["secret", "absent"] {
        let open = wire::Open { application: name.into(), raw: false };
        match connection.open(&wire::Header::Open(open)).await {
            Err(tunnel::OpenError::Refused { source }) => answers.push(source),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].code, "access.denied");
    relay.stop().await;
}

#[tokio::test]
async fn an_admins_kill_ends_the_session_and_is_forgotten_with_it() {
    let mut relay = Running::start().await;
    let session = relay.session().await;
    let (id, mut lease) = (session.id(), session.lease());
    assert!(!relay.state.policy.kill(SessionId(Uuid::new_v4()), "").await);
    assert!(relay.state.policy.kill(id, "").await);
    assert_eq!(timeout(SOON, lease.ended()).await.unwrap(), EndReason::Killed);
    assert_eq!(relay.state.policy.kills(), 1);
    drop(session);
    relay.state.policy.refresh().await;
    assert_eq!(relay.state.policy.kills(), 0);
    assert!(!relay.state.policy.kill(id, "").await, "an ended session was killed");
    relay.stop().await;
}

#[tokio::test]
async fn a_session_that_will_not_end_is_cut_and_counted() {
    let mut relay = Running::start().await;
    let session = relay.session().await;
    relay.hurry();
    assert_eq!(relay.stop().await, Exit::Cut { sessions: 1 });
    drop(session);
}

#[tokio::test]
async fn a_token_at_the_wrong_door_is_not_used_up() {
    let mut relay = Running::start().await;
    let token = relay.token(TokenKind::Login).await;
    let at_ssh = relay.state.authn.token(&token, Door::Ssh, PEER.into()).await;
    assert_eq!(at_ssh.unwrap_err(), AuthnError::WrongKind);
    let at_api = relay.state.authn.bearer(&token, PEER.into()).await.unwrap().0;
    assert_eq!(at_api.name().as_str(), "admin");
    let again = relay.state.authn.bearer(&token, PEER.into()).await;
    assert_eq!(again.unwrap_err(), AuthnError::UsedUp);
    relay.stop().await;
}

#[tokio::test]
async fn guessing_is_throttled_and_does_not_lock_the_neighbours_out() {
    let mut relay = Running::start().await;
    let authn = relay.state.authn.clone();
    let guess = || SecretString::from(issue(TokenKind::Admin, relay.state.ca.pin()).expose());
    let mut answers = Vec::new();
    for _ in 0..25 {
        answers.push(authn.bearer(&guess(), PEER.into()).await.unwrap_err());
    }
    assert_eq!(answers[0], AuthnError::Unknown);
    assert_eq!(answers[24], AuthnError::Throttled);
    let token = relay.token(TokenKind::Admin).await;
    assert!(relay.state.authn.bearer(&token, PEER.into()).await.is_ok(), "same address");
    let elsewhere = authn.bearer(&guess(), [198, 51, 100, 1].into()).await;
    assert_eq!(elsewhere.unwrap_err(), AuthnError::Unknown, "another address");
    relay.stop().await;
}

struct Running {
    dir: TempDir,
    state: AppState,
    ready: Ready,
    config: Config,
    knobs: Knobs,
    stopping: CancellationToken,
    stop: mpsc::Sender<()>,
    task: JoinSet<Exit>,
}

struct Asked(mpsc::Receiver<()>);

impl Stop for Asked {
    async fn asked(&mut self) {
        self.0.recv().await;
    }
}

impl Running {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        init(&dir).run(SystemTime::now()).await.unwrap();
        let mut config = Config::read(&dir.path().join("relay.toml")).unwrap();
        config.limits.max_unauthenticated = 64;
        config.listen.admin = Some(([127, 0, 0, 1], 0).into());
        Self::of(dir, config).await
    }

    /// One with this configuration.
    async fn of(dir: TempDir, config: Config) -> Self {
        let relay = build(config, telemetry::Log::silent()).await.unwrap();
        relay.announce().unwrap();
        let (state, ready) = (relay.state.clone(), relay.ready());
        let stopping = relay.tokens.accepting.clone();
        let (config, knobs) = (relay.config.clone(), relay.knobs.clone());
        let (stop, asked) = mpsc::channel(2);
        let mut task = JoinSet::new();
        task.spawn(relay.run(Asked(asked)));
        Self { dir, state, ready, config, knobs, stopping, stop, task }
    }

    /// Asks once more, so that a relay that is asked to stop skips its grace.
    fn hurry(&self) {
        self.stop.try_send(()).unwrap();
    }

    async fn stop(&mut self) -> Exit {
        self.stop.try_send(()).unwrap();
        timeout(Duration::from_secs(20), self.task.join_next()).await.unwrap().unwrap().unwrap()
    }

    fn client(&self, identity: Option<&Identity>) -> tunnel::https::Client {
        let url = format!("https://localhost:{}", self.ready.https.port());
        let trust = Trust::Ca(self.state.ca.certificate_pem().to_owned());
        tunnel::https::Client::new(&url, &trust, identity).unwrap()
    }

    fn identity(&self, name: &str, signed: SystemTime) -> Identity {
        let key = Key::generate().unwrap();
        let csr = key.csr_pem().unwrap();
        let (pem, spki) = self.state.ca.sign_client_at(&csr, name, signed).unwrap();
        let identity =
            Identity::new(&key, pem, self.state.ca.certificate_pem().to_owned()).unwrap();
        assert_eq!(identity.spki(), spki);
        identity
    }

    async fn dial(&self, identity: &Identity) -> Result<Connection, ConnectError> {
        let relay = self.ready.quic.to_string();
        dial_out(DialOut {
            relay: &relay,
            domain: "relay.test",
            identity: identity.clone(),
            software: "test",
            capabilities: Vec::new(),
            congestion: Congestion::default(),
        })
        .await
    }

    async fn agent(&self, user: &str) -> (Connection, AgentIdentity) {
        let (connection, agent, _) = self.agent_with_key(user).await;
        (connection, agent)
    }

    async fn agent_with_key(&self, user: &str) -> (Connection, AgentIdentity, Identity) {
        let id = AgentId(Uuid::new_v4());
        let identity = self.identity(&format!("agent:{id}"), SystemTime::now());
        let user = self.state.store.user(&user.parse().unwrap()).await.unwrap().unwrap();
        let (key, end) = (identity.spki(), SystemTime::now() + Duration::from_secs(3600));
        self.state.store.enrol_agent(id, user.id, "laptop", key, end, None).await.unwrap();
        self.state.policy.refresh().await;
        let agent = AgentIdentity {
            id,
            user: user.id,
            user_name: user.name,
            device: "laptop".into(),
            token: None,
        };
        (self.dial(&identity).await.unwrap(), agent, identity)
    }

    async fn site(&self, name: &str) -> SiteId {
        self.apply(&format!("[[site]]\nname = {name:?}\n")).await;
        let sites = self.state.store.sites().await.unwrap();
        sites.iter().find(|site| site.name.as_str() == name).unwrap().id
    }

    async fn apply(&self, document: &str) {
        let document = toml::from_str(document).unwrap();
        let how = Apply::default();
        self.state.store.apply(&document, how, SystemTime::now()).await.unwrap();
        self.state.policy.refresh().await;
    }

    /// A session of the admin that nobody carries.
    async fn session(&self) -> Session {
        self.site("hq").await;
        self.apply(GRANTED).await;
        let (_, agent) = self.agent("admin").await;
        let who = self.state.authn.agent(&agent, PEER.into()).unwrap();
        let (policy, now) = (self.state.broker.policy(), SystemTime::now());
        let context =
            Context { from: PEER.into(), login: None, database: None, keeps: Keeps::NOTHING };
        let application = policy.find("echo", &who).unwrap();
        assert_ne!(application.id, ApplicationId(Uuid::nil()));
        let grant = policy.authorize(&who, application, context, now).unwrap();
        self.state.broker.open(grant, Door::Agent, now).await.unwrap()
    }

    async fn token(&self, kind: TokenKind) -> SecretString {
        let token = issue(kind, self.state.ca.pin());
        let user = self.state.store.user(&"admin".parse().unwrap()).await.unwrap().unwrap();
        let uses = (kind == TokenKind::Login).then_some(1);
        let new = NewToken { user: Some(user.id), uses, ..NewToken::default() };
        self.state.store.issue_token(&token, new, SystemTime::now()).await.unwrap();
        self.state.policy.refresh().await;
        token.expose().into()
    }

    async fn until(&self, holds: impl Fn(&AppState) -> bool) {
        let waited = async {
            while !holds(&self.state) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, waited).await.expect("it did not come to hold");
    }
}

fn init(dir: &TempDir) -> Init {
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    Init {
        data: dir.path().to_owned(),
        domain: "relay.test".into(),
        https: any,
        quic: any,
        ssh: any,
        names: vec!["192.0.2.1".into()],
    }
}

async fn connect_from(from: [u8; 4], to: std::net::SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    timeout(SOON, socket.connect(to)).await.unwrap().unwrap()
}

async fn read(socket: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    timeout(SOON, socket.read_exact(&mut bytes)).await.unwrap().unwrap();
    bytes
}

const SOON: Duration = Duration::from_secs(10);
const PEER: [u8; 4] = [192, 0, 2, 7];

const GRANTED: &str = r#"
[[application]]
name = "echo"
site = "hq"
kind = "tcp"
address = "127.0.0.1:7"

[[grant]]
user = "admin"
application = "echo"
"#;

const FORBIDDEN: &str = r#"
[[application]]
name = "secret"
site = "hq"
kind = "tcp"
address = "127.0.0.1:7"
"#;
