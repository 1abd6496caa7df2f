//! Two relays on one database.

mod both;
mod once;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use adit_connector::allow::AllowList;
use adit_connector::dial::SystemResolver;
use adit_connector::serve::{Ends, Site, serve};
use api::{ConnectorRow, Page, SessionRow};
use store::{Location, MasterKey, migrate_to};
use testkit::Database;
use tokio::net::TcpListener;
use tunnel::OpenError;
use wire::{Forward, Header, RelayAt};

use super::*;
use crate::config::{Cluster, OutsideUrl};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_at_one_relay_goes_by_the_connector_of_the_other() {
    let (target, _echo) = echo().await;
    let mut pair = Pair::with(target).await;
    let _connector = pair.connector_at_two().await;
    pair.one.until(|state| elsewhere(state) == 1).await;
    let session = pair.one.open("echo").await;
    let mut stream = splice::Io::new(session.dial().await.unwrap());
    stream.write_all(b"over there").await.unwrap();
    let mut back = [0; 10];
    timeout(SOON, stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(&back, b"over there");
    let token = pair.one.token(TokenKind::Admin).await;
    let listed: Page<ConnectorRow> =
        pair.one.client(None).get("/api/v1/connectors", Some(&token)).await.unwrap();
    assert!(listed.items[0].online);
    assert_eq!(listed.items[0].relays, ["two".parse().unwrap()]);

    // The one that is here is asked first.
    let _also = pair.connector_at_one().await;
    pair.one.until(|state| state.connectors.list().len() == 1).await;
    let _here = pair.one.open("echo").await.dial().await.unwrap();
    assert_eq!(pair.one.state.connectors.list()[0].sessions, 1);
    drop((stream, session));
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_relay_withdraws_ends_at_the_other_within_a_second_and_its_receipt_counts_it() {
    let mut pair = Pair::with(([127, 0, 0, 1], 9).into()).await;
    let (here, there) = (pair.one.open("echo").await, pair.two.open("echo").await);
    let mut watched = JoinSet::new();
    for session in [here, there] {
        let mut lease = session.lease();
        watched.spawn(async move {
            let reason = lease.ended().await;
            session.end(reason, access::Side::Relay);
            reason
        });
    }
    let token = pair.one.token(TokenKind::Admin).await;
    pair.two.until_policy(&pair.one).await;
    let began = Instant::now();
    let removed = pair.one.delete("/api/v1/applications/echo.hq", &token).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(removed.withdrawn.ended, 2, "{removed:?}");
    assert!(removed.withdrawn.millis < 1000, "{removed:?}");
    for reason in timeout(SOON, watched.join_all()).await.unwrap() {
        assert_eq!(reason, EndReason::Revoked);
    }
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_at_the_other_relay_is_listed_and_killed_with_a_receipt() {
    let mut pair = Pair::with(([127, 0, 0, 1], 9).into()).await;
    let session = pair.two.open("echo").await;
    let (id, mut lease) = (session.id(), session.lease());
    let mut ended = JoinSet::new();
    ended.spawn(async move {
        let reason = lease.ended().await;
        let words = lease.last_words();
        session.end(reason, access::Side::Relay);
        (reason, words)
    });
    let token = pair.one.token(TokenKind::Admin).await;
    let client = pair.one.client(None);
    let listed: Page<SessionRow> = client.get("/api/v1/sessions", Some(&token)).await.unwrap();
    assert_eq!(listed.items.len(), 1);
    assert_eq!((listed.items[0].id, &listed.items[0].relay), (id, &Some("two".parse().unwrap())));
    let path = format!("/api/v1/sessions/{id}?message=lunch");
    let removed = pair.one.delete(&path, &token).await.unwrap();
    assert_eq!(removed.withdrawn.ended, 1, "{removed:?}");
    assert!(removed.withdrawn.millis < 1000, "{removed:?}");
    let (reason, words) = timeout(SOON, ended.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!((reason, words.as_deref()), (EndReason::Killed, Some("lunch")));
    let again = pair.one.delete(&path, &token).await.unwrap_err();
    assert!(again.to_string().contains("session"), "{again}");
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_that_one_relay_removes_is_cut_at_the_other() {
    let mut pair = Box::pin(Pair::start()).await;
    let (id, identity) = pair.one.enrolled().await;
    let connection = pair.two.dial(&identity).await.unwrap();
    pair.one.until(|state| elsewhere(state) == 1).await;
    let began = Instant::now();
    pair.one.state.store.remove_connector(id).await.unwrap();
    let closed = timeout(SOON, connection.closed()).await.unwrap();
    assert!(
        matches!(closed, tunnel::Closed::Peer { reason: EndReason::Revoked, .. }),
        "{closed:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_is_told_of_the_relays_it_may_connect_to_and_when_one_is_gone() {
    let mut pair = Box::pin(Pair::start()).await;
    let (_, identity) = pair.two.enrolled().await;
    let connection = pair.two.dial(&identity).await.unwrap();
    let mut told = connection.relays();
    let names = |told: &Option<Arc<[RelayAt]>>| -> Vec<(String, bool)> {
        told.iter().flat_map(|all| all.iter()).map(|at| (at.url.clone(), at.here)).collect()
    };
    let at = |name: &str, here| (format!("https://{name}.test:8443"), here);
    let both = [at("one", false), at("two", true)];
    timeout(SOON, told.wait_for(|told| names(told) == both)).await.unwrap().unwrap();
    let quic = format!("one.test:{}", pair.one.ready.quic.port());
    assert_eq!(told.borrow().as_ref().unwrap()[0].quic, quic);
    let began = Instant::now();
    pair.one.stop().await;
    let left = [at("two", true)];
    timeout(SOON, told.wait_for(|told| names(told) == left)).await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // An agent is told nothing.
    let (agent, _) = pair.two.agent("admin").await;
    assert_eq!(*agent.relays().borrow(), None);
    pair.two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_alone_tells_connectors_that_there_is_no_other() {
    let mut relay = Running::start().await;
    relay.site("hq").await;
    let (_, identity) = relay.enrolled().await;
    let connection = relay.dial(&identity).await.unwrap();
    let mut told = connection.relays();
    let told = timeout(SOON, told.wait_for(Option::is_some)).await.unwrap().unwrap().clone();
    assert_eq!(told.as_deref(), Some(&[][..]));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_a_relay_that_serves_is_taken_for_one() {
    let (target, _echo) = echo().await;
    let mut pair = Pair::with(target).await;
    let _connector = pair.connector_at_two().await;
    let application = pair.two.state.policy.current();
    let application = application.applications().next().unwrap().id;
    let session = SessionId(Uuid::new_v4());
    let (host, port) = (target.ip().to_string(), target.port());
    let forward = Header::Forward(Forward { session, application, host, port });

    // A certificate that says so, without a relay's key.
    let impostor = pair.two.identity("relay:one", SystemTime::now());
    let refused = pair.two.dial(&impostor).await.unwrap_err();
    assert!(
        matches!(&refused, ConnectError::Refused { source } if source.code == "machine.unknown"),
        "{refused:?}"
    );
    // A connector whose certificate says so: its key says what it is.
    let (_, connector) = pair.two.enrolled_as("relay:one").await;
    let connection = pair.two.dial(&connector).await.unwrap();
    let refused = timeout(SOON, connection.open(&forward)).await.unwrap().map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::Refused { .. }), "{refused:?}");
    // The same of an agent.
    let (connection, _) = pair.two.agent("admin").await;
    let refused = timeout(SOON, connection.open(&forward)).await.unwrap().map(drop).unwrap_err();
    assert!(matches!(refused, OpenError::Refused { .. }), "{refused:?}");
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_reaches_for_another_what_is_an_applications_and_nothing_else() {
    let (target, _echo) = echo().await;
    let mut pair = Pair::with(target).await;
    let _connector = pair.connector_at_two().await;
    pair.one.until(|state| elsewhere(state) == 1).await;
    let cluster = pair.one.state.cluster.clone().unwrap();
    let policy = pair.one.state.policy.current();
    let mut application = (**policy.applications().next().unwrap()).clone();
    let (elsewhere, _other) = echo().await;
    application.address = elsewhere.to_string().parse().unwrap();
    let session = SessionId(Uuid::new_v4());
    let address = application.address.clone();
    let request = session::DialRequest { session, application: Arc::new(application), address };
    let refused = cluster.forward(&request).await.unwrap().map(drop).unwrap_err();
    assert_eq!(refused, session::DialError::NotAllowed);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_alone_does_not_reach_the_store_ends_its_sessions_and_no_other_does() {
    let mut pair = Pair::with(([127, 0, 0, 1], 9).into()).await;
    let (here, there) = (pair.one.open("echo").await, pair.two.open("echo").await);
    let (id, mut lease) = (there.id(), there.lease());
    pair.way_of_two.faults().no_tcp.store(true, Relaxed);
    let reason = timeout(Duration::from_secs(20), lease.ended()).await.unwrap();
    assert_eq!(reason, EndReason::Drained);
    assert_eq!(here.lease().refusal(), None);
    // What it can not write, the other one does.
    let store = pair.one.state.store.clone();
    let booked = async {
        while store.is_live(id).await.unwrap() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), booked).await.unwrap();
    assert_eq!(store.live_ids().await.unwrap(), [here.id()]);
    drop((here, there));
    pair.one.stop().await;
}

/// Two relays, `one` and `two`.
struct Pair {
    one: Running,
    two: Running,
    connector: Option<Identity>,
    /// From the second to the database.
    way_of_two: testkit::Path,
    // Gone when they are.
    _database: Database,
}

impl Pair {
    async fn start() -> Self {
        Box::pin(Self::configured(|_| {})).await
    }

    /// Both with this changed.
    async fn configured(change: impl Fn(&mut Config)) -> Self {
        let database = Database::create().unwrap();
        let to: Location = database.url().parse().unwrap();
        let first = tempfile::tempdir().unwrap();
        init(&first).run(SystemTime::now()).await.unwrap();
        let key = std::fs::read_to_string(first.path().join("master.key")).unwrap();
        let from = Location::from(first.path().join("adit.db"));
        let master = MasterKey::from_base64(key.trim()).unwrap();
        migrate_to(&from, &to, master).await.unwrap();
        let second = tempfile::tempdir().unwrap();
        for file in ["relay.toml", "master.key"] {
            std::fs::copy(first.path().join(file), second.path().join(file)).unwrap();
        }
        let server: SocketAddr = {
            let url = database.url();
            let (_, host) = url.split_once('@').unwrap();
            host.split_once('/').unwrap().0.parse().unwrap()
        };
        let way_of_two = testkit::Path::to(server, server).unwrap();
        let port = format!(":{}/", server.port());
        let by_way = database.url().replacen(&port, &format!(":{}/", way_of_two.port()), 1);
        let relay = async |dir: TempDir, name: &str, at: &str| {
            let mut config = Config::read(&dir.path().join("relay.toml")).unwrap();
            config.data = dir.path().to_owned();
            config.database.at = Some(at.parse().unwrap());
            let connectors = OutsideUrl::parse(&format!("https://{name}.test:8443"));
            config.cluster = Some(Cluster {
                name: name.parse().unwrap(),
                host: "127.0.0.1".to_owned(),
                connectors,
            });
            change(&mut config);
            Running::of(dir, config).await
        };
        let (one, two) =
            (relay(first, "one", &database.url()).await, relay(second, "two", &by_way).await);
        one.until(|state| others(state) == 1).await;
        two.until(|state| others(state) == 1).await;
        Self { one, two, connector: None, way_of_two, _database: database }
    }

    /// Both know of an application `echo` at this address, which the admin may open.
    async fn with(target: SocketAddr) -> Self {
        let pair = Box::pin(Self::start()).await;
        pair.two.document(target).await;
        pair.one.until_policy(&pair.two).await;
        pair
    }

    async fn stop(&mut self) {
        self.one.stop().await;
        self.two.stop().await;
    }

    async fn connector_at_two(&mut self) -> JoinSet<tunnel::Closed> {
        let (_, identity) = self.two.enrolled().await;
        let served = served(self.two.dial(&identity).await.unwrap());
        self.connector = Some(identity);
        served
    }

    /// The same connector.
    async fn connector_at_one(&self) -> JoinSet<tunnel::Closed> {
        served(self.one.dial(self.connector.as_ref().unwrap()).await.unwrap())
    }
}

impl Running {
    async fn document(&self, target: SocketAddr) {
        self.apply(&format!(
            "[[site]]\nname = 'hq'\n{}",
            GRANTED.replace("127.0.0.1:7", &target.to_string())
        ))
        .await;
    }

    async fn delete(
        &self,
        path: &str,
        token: &SecretString,
    ) -> Result<api::Removed, tunnel::https::CallError> {
        let (method, headers) = (tunnel::https::Method::DELETE, Vec::new());
        let call = tunnel::https::Call::<()> { method, path, body: None, headers };
        Ok(self.client(None).send(&call, Some(token)).await?.value)
    }

    async fn until_policy(&self, of: &Self) {
        let version = of.state.policy.current().version();
        self.until(|state| state.policy.current().version() >= version).await;
    }

    async fn enrolled(&self) -> (ConnectorId, Identity) {
        self.enrolled_as("connector").await
    }

    async fn enrolled_as(&self, name: &str) -> (ConnectorId, Identity) {
        let (id, site) = (ConnectorId(Uuid::new_v4()), self.site("hq").await);
        let identity = self.identity(name, SystemTime::now());
        self.state.store.enrol_connector(id, site, &id.to_string(), identity.spki()).await.unwrap();
        (id, identity)
    }

    /// A session of the admin.
    async fn open(&self, application: &str) -> Session {
        let (_, agent) = self.agent("admin").await;
        let who = self.state.authn.agent(&agent, PEER.into()).unwrap();
        self.opened(&who, application, Door::Agent).await
    }

    async fn opened(&self, who: &access::Authenticated, application: &str, door: Door) -> Session {
        let (policy, now) = (self.state.broker.policy(), SystemTime::now());
        let context =
            Context { from: PEER.into(), login: None, database: None, keeps: Keeps::NOTHING };
        let application = policy.find(application, who).unwrap();
        let grant = policy.authorize(who, application, context, now).unwrap();
        self.state.broker.open(grant, door, now).await.unwrap()
    }
}

fn others(state: &AppState) -> usize {
    state
        .cluster
        .as_ref()
        .unwrap()
        .others()
        .relays
        .iter()
        .filter(|one| !one.quic.is_empty())
        .count()
}

fn elsewhere(state: &AppState) -> usize {
    state.cluster.as_ref().unwrap().others().places.len()
}

/// A connector as the program is, on this connection.
fn served(connection: Connection) -> JoinSet<tunnel::Closed> {
    let allow = AllowList::new(Some(vec!["127.0.0.1/32:*".parse().unwrap()]));
    let site = Arc::new(Site::new(allow, Box::new(SystemResolver)));
    let ends = Ends {
        stop: CancellationToken::new(),
        grace: Duration::from_secs(1),
        retire: CancellationToken::new(),
    };
    let mut served = JoinSet::new();
    served.spawn(serve(connection, site, ends));
    served
}

/// Something that says what it hears, for as long as the set lives.
async fn echo() -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (address, mut serving) = (listener.local_addr().unwrap(), JoinSet::new());
    serving.spawn(async move {
        let mut each = JoinSet::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            each.spawn(async move {
                let (mut from, mut to) = socket.split();
                drop(tokio::io::copy(&mut from, &mut to).await);
            });
        }
    });
    (address, serving)
}
