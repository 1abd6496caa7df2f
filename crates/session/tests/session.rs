//! The promises of one session: recorded, revocable, ended once.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test needs and does not get fails the test"
)]

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::task::{self, Poll};
use std::time::{Duration, SystemTime};

use access::{
    Agent, AgentId, Application, ApplicationId, Authenticated, Context, Credential, EndReason,
    Hours, Keeps, Kind, Login, PolicyData, PolicySnapshot, Recording, Rule, RuleId, Side, Site,
    SiteId, Subject, Target, Terms, TokenId, TokenKind, User, UserId,
};
use async_trait::async_trait;
use bytes::Bytes;
use session::{
    AuditError, AuditEvent, AuditLog, Broker, ClosingSlot, DialError, DialRequest, Dialer, Door,
    Limits, OpenError, Session, Stamped,
};
use splice::{BoxStream, FromIo, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
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

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

/// One user, one application, one rule, and ports that remember.
struct World {
    data: PolicyData,
    policy: Option<watch::Sender<Arc<PolicySnapshot>>>,
    audit: Arc<Records>,
    broker: Broker,
    drain: CancellationToken,
    token_end: Option<SystemTime>,
    now: SystemTime,
}

impl World {
    fn new(terms: Terms) -> Self {
        Self::build(terms, None, Arc::new(NoDialer))
    }

    fn with_token(expires: Option<SystemTime>) -> Self {
        Self::build(Terms::default(), expires, Arc::new(NoDialer))
    }

    fn dialling(dialer: Arc<dyn Dialer>) -> Self {
        Self::build(Terms::default(), None, dialer)
    }

    fn build(terms: Terms, token_end: Option<SystemTime>, dialer: Arc<dyn Dialer>) -> Self {
        let application = web1();
        let rule = Rule {
            id: RuleId(Uuid::nil()),
            subject: Subject::User(alice().id),
            target: Target::Application(application.id),
            terms,
        };
        let data = PolicyData {
            users: vec![alice()],
            applications: vec![application],
            rules: vec![rule],
            tokens: vec![token()],
            agents: vec![laptop(NOW + Duration::from_secs(43_200))],
            ..PolicyData::default()
        };
        let (sender, policy) = watch::channel(Arc::new(PolicySnapshot::new(data.clone())));
        let (audit, drain) = (Arc::new(Records::default()), CancellationToken::new());
        let limits = Limits { max_sessions: 2 };
        let broker = Broker::new(audit.clone(), dialer, policy, drain.clone(), limits);
        Self { data, policy: Some(sender), audit, broker, drain, token_end, now: NOW }
    }

    fn publish(&self, data: PolicyData) {
        if let Some(policy) = &self.policy {
            policy.send_replace(Arc::new(PolicySnapshot::new(data)));
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the test is its own authority")]
    fn grant(&self) -> access::Grant {
        let credential = Credential::Token {
            id: token(),
            kind: TokenKind::Access,
            application: None,
            expires: self.token_end,
        };
        let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let who = Authenticated::assertion(alice().id, alice().name, credential, from);
        let context = Context { from, login: Some("ubuntu".into()), keeps: Keeps::SSH };
        let policy = PolicySnapshot::new(self.data.clone());
        policy.authorize(&who, &Arc::new(web1()), context, self.now).unwrap()
    }

    async fn open(&self) -> Session {
        self.broker.open(self.grant(), Door::Ssh, self.now).await.unwrap()
    }

    async fn running(
        &self,
    ) -> (DuplexStream, DuplexStream, impl Future<Output = session::Ended> + use<>) {
        let session = self.open().await;
        let (client, near) = duplex(64);
        let (far, target) = duplex(64);
        (client, target, session.splice(FromIo::new(near), FromIo::new(far)))
    }

    /// Every opened has exactly one ended, and the last one has this reason.
    fn records_pair_up(&self, reason: EndReason, side: Side) {
        let events = self.audit.events();
        let opened: Vec<_> =
            events.iter().filter(|event| event.action() == "session.opened").collect();
        for event in &opened {
            let ends = events.iter().filter(|other| {
                other.action() == "session.ended" && other.session() == event.session()
            });
            assert_eq!(ends.count(), 1, "{event:?}");
        }
        assert!(!opened.is_empty());
        assert!(
            matches!(events.last(), Some(AuditEvent::SessionEnded { reason: r, side: s, .. })
                if *r == reason && *s == side),
            "{:?}",
            events.last()
        );
    }
}

/// An audit log in memory that can refuse, or never say that it has stored.
struct Records {
    stored: Mutex<Vec<AuditEvent>>,
    refusing: Mutex<bool>,
    hanging: Mutex<bool>,
    queue: mpsc::Sender<Stamped>,
    closing: Mutex<mpsc::Receiver<Stamped>>,
}

impl Default for Records {
    fn default() -> Self {
        let (queue, closing) = mpsc::channel(16);
        let closing = Mutex::new(closing);
        let (stored, refusing, hanging) = Default::default();
        Self { stored, refusing, hanging, queue, closing }
    }
}

impl Records {
    fn refuse(&self, refuse: bool) {
        *self.refusing.lock().unwrap() = refuse;
    }

    fn hang(&self, hang: bool) {
        *self.hanging.lock().unwrap() = hang;
    }

    fn events(&self) -> Vec<AuditEvent> {
        let mut stored = self.stored.lock().unwrap();
        while let Ok(stamped) = self.closing.lock().unwrap().try_recv() {
            stored.push(stamped.event);
        }
        stored.clone()
    }
}

#[async_trait]
impl AuditLog for Records {
    async fn reserve(&self) -> Result<ClosingSlot, AuditError> {
        let permit = self.queue.clone().reserve_owned().await;
        permit.map(ClosingSlot::new).map_err(|_| AuditError::Stopped)
    }

    async fn append(&self, event: AuditEvent) -> Result<(), AuditError> {
        if *self.refusing.lock().unwrap() {
            return Err(AuditError::Stopped);
        }
        self.stored.lock().unwrap().push(event);
        let hanging = *self.hanging.lock().unwrap();
        if hanging {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    fn note(&self, event: AuditEvent) {
        self.stored.lock().unwrap().push(event);
    }
}

/// A client that is not there any more.
struct Gone;

impl Stream for Gone {
    fn poll_recv(&mut self, _: &mut task::Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        Poll::Pending
    }

    fn poll_send(&mut self, _: &mut task::Context<'_>, _: &mut Bytes) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_flush(&mut self, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_finish(&mut self, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_gone(&mut self, _: &mut task::Context<'_>) -> Poll<io::Error> {
        Poll::Ready(io::ErrorKind::ConnectionReset.into())
    }

    fn abort(&mut self, _: u32) {}
}

struct NoDialer;

#[async_trait]
impl Dialer for NoDialer {
    async fn dial(&self, _request: DialRequest) -> Result<BoxStream, DialError> {
        Err(DialError::Refused)
    }
}

struct HungDialer;

#[async_trait]
impl Dialer for HungDialer {
    async fn dial(&self, _request: DialRequest) -> Result<BoxStream, DialError> {
        std::future::pending().await
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    let day = Duration::from_secs(24 * 3600);
    tokio::time::timeout(day, future).await.unwrap_or_else(|_| panic!("still open after a day"))
}

fn token() -> TokenId {
    TokenId::from("0123456789".to_owned())
}

fn laptop(expires: SystemTime) -> Agent {
    Agent { id: AgentId(Uuid::nil()), user: alice().id, expires, bound: false, ssh_key: None }
}

fn alice() -> User {
    User {
        id: UserId(Uuid::nil()),
        name: "alice".parse().unwrap(),
        enabled: true,
        admin: false,
        machine: false,
        auditor: false,
        groups: vec![],
        ssh_keys: vec![],
    }
}

fn web1() -> Application {
    Application {
        id: ApplicationId(Uuid::nil()),
        name: "web1".parse().unwrap(),
        site: Site { id: SiteId(Uuid::nil()), name: "hq".parse().unwrap() },
        kind: Kind::Ssh,
        address: "10.0.0.1:22".parse().unwrap(),
        login: Login::Transparent,
        host_key: None,
        legacy_algorithms: false,
        allow_api: true,
        require_active_session: false,
        tags: [].into(),
        web: Default::default(),
    }
}
