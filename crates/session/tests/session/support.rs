//! A broker with one user, one application and one rule, and ports that remember.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::task::{self, Poll};
use std::time::{Duration, SystemTime};

use access::{
    Agent, AgentId, Application, ApplicationId, Authenticated, Context, Credential, EndReason,
    Keeps, Kind, Login, PolicyData, PolicySnapshot, Rule, RuleId, Side, Site, SiteId, Subject,
    Target, Terms, TokenId, TokenKind, User, UserId,
};
use async_trait::async_trait;
use bytes::Bytes;
use session::{
    AuditError, AuditEvent, AuditLog, Broker, ClosingSlot, DialError, DialRequest, Dialer, Door,
    Limits, Session, Stamped,
};
use splice::{BoxStream, FromIo, Stream};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const NOW: SystemTime = SystemTime::UNIX_EPOCH;

/// One user, one application, one rule, and ports that remember.
pub(crate) struct World {
    pub(crate) data: PolicyData,
    pub(crate) policy: Option<watch::Sender<Arc<PolicySnapshot>>>,
    pub(crate) audit: Arc<Records>,
    pub(crate) broker: Broker,
    pub(crate) drain: CancellationToken,
    pub(crate) token_end: Option<SystemTime>,
    pub(crate) now: SystemTime,
}

impl World {
    pub(crate) fn new(terms: Terms) -> Self {
        Self::build(terms, None, Arc::new(NoDialer))
    }

    pub(crate) fn with_token(expires: Option<SystemTime>) -> Self {
        Self::build(Terms::default(), expires, Arc::new(NoDialer))
    }

    pub(crate) fn dialling(dialer: Arc<dyn Dialer>) -> Self {
        Self::build(Terms::default(), None, dialer)
    }

    pub(crate) fn build(
        terms: Terms,
        token_end: Option<SystemTime>,
        dialer: Arc<dyn Dialer>,
    ) -> Self {
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

    pub(crate) fn publish(&self, data: PolicyData) {
        if let Some(policy) = &self.policy {
            policy.send_replace(Arc::new(PolicySnapshot::new(data)));
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the test is its own authority")]
    pub(crate) fn grant(&self) -> access::Grant {
        let credential = Credential::Token {
            id: token(),
            kind: TokenKind::Access,
            application: None,
            expires: self.token_end,
        };
        let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let who = Authenticated::assertion(alice().id, alice().name, credential, from);
        let context =
            Context { from, login: Some("ubuntu".into()), database: None, keeps: Keeps::SSH };
        let policy = PolicySnapshot::new(self.data.clone());
        policy.authorize(&who, &Arc::new(web1()), context, self.now).unwrap()
    }

    pub(crate) async fn open(&self) -> Session {
        self.broker.open(self.grant(), Door::Ssh, self.now).await.unwrap()
    }

    pub(crate) async fn running(
        &self,
    ) -> (DuplexStream, DuplexStream, impl Future<Output = session::Ended> + use<>) {
        let session = self.open().await;
        let (client, near) = duplex(64);
        let (far, target) = duplex(64);
        (client, target, session.splice(FromIo::new(near), FromIo::new(far)))
    }

    /// Every opened has exactly one ended, and the last one has this reason.
    pub(crate) fn records_pair_up(&self, reason: EndReason, side: Side) {
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
pub(crate) struct Records {
    pub(crate) stored: Mutex<Vec<AuditEvent>>,
    pub(crate) refusing: Mutex<bool>,
    pub(crate) hanging: Mutex<bool>,
    pub(crate) queue: mpsc::Sender<Stamped>,
    pub(crate) closing: Mutex<mpsc::Receiver<Stamped>>,
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
    pub(crate) fn refuse(&self, refuse: bool) {
        *self.refusing.lock().unwrap() = refuse;
    }

    pub(crate) fn hang(&self, hang: bool) {
        *self.hanging.lock().unwrap() = hang;
    }

    pub(crate) fn events(&self) -> Vec<AuditEvent> {
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
pub(crate) struct Gone;

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

pub(crate) struct NoDialer;

#[async_trait]
impl Dialer for NoDialer {
    async fn dial(&self, _request: DialRequest) -> Result<BoxStream, DialError> {
        Err(DialError::Refused)
    }
}

pub(crate) struct HungDialer;

#[async_trait]
impl Dialer for HungDialer {
    async fn dial(&self, _request: DialRequest) -> Result<BoxStream, DialError> {
        std::future::pending().await
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    let day = Duration::from_secs(24 * 3600);
    tokio::time::timeout(day, future).await.unwrap_or_else(|_| panic!("still open after a day"))
}

pub(crate) fn token() -> TokenId {
    TokenId::from("0123456789".to_owned())
}

pub(crate) fn laptop(expires: SystemTime) -> Agent {
    Agent { id: AgentId(Uuid::nil()), user: alice().id, expires, bound: false, ssh_key: None }
}

pub(crate) fn alice() -> User {
    User {
        id: UserId(Uuid::nil()),
        name: "alice".parse().unwrap(),
        enabled: true,
        admin: false,
        machine: false,
        auditor: false,
        admin_of: Vec::new(),
        groups: vec![],
        ssh_keys: vec![],
    }
}

pub(crate) fn web1() -> Application {
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
        database: Default::default(),
        rdp: Default::default(),
    }
}
