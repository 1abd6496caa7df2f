//! A door with everything around it faked, listening on a port of its own.
#![allow(dead_code, reason = "each test binary uses its part")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where its surroundings fail")]

#[path = "play.rs"]
pub(crate) mod play;
#[path = "target.rs"]
pub(crate) mod target;
#[path = "user.rs"]
pub(crate) mod user;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use access::{
    Agent, AgentId, Application, ApplicationId, Authenticated, Credential, Kind, Login, Name,
    PolicyData, PolicySnapshot, Rule, RuleId, SessionId, SignIn, SignInId, Site, SiteId, SshKey,
    Subject, Target, Terms, TokenId, TokenKind, TokenText, User, UserId,
};
use async_trait::async_trait;
use gateway_ssh::{HostCa, SshConfig, SshGateway, TargetCa, UserCa};
use russh::keys::{Algorithm, PrivateKey};
use secrecy::{ExposeSecret, SecretString};
use session::{
    AuditError, AuditEvent, AuditLog, Authn, AuthnError, Broker, CertificateClaim, ClosingSlot,
    DialError, DialRequest, Dialer, Door, HostKeyVerdict, HostKeys, Limits, SecretError, Secrets,
    Stamped, TargetCredential,
};
use splice::{BoxStream, Tcp};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const DOMAIN: &str = "relay.example";

/// The door and its surroundings.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) gateway: SshGateway,
    pub(crate) broker: Broker,
    pub(crate) audit: Arc<Audit>,
    pub(crate) drain: CancellationToken,
    pub(crate) host_fingerprint: String,
    pub(crate) plays: Arc<play::Plays>,
    policy: Arc<Policy>,
    secrets: Arc<StoredSecrets>,
    _tasks: JoinSet<()>,
}

struct Policy {
    data: Mutex<PolicyData>,
    sender: watch::Sender<Arc<PolicySnapshot>>,
    tokens: Mutex<HashMap<String, Issued>>,
    next: AtomicU64,
    refused: Mutex<Vec<String>>,
}

struct Issued {
    id: TokenId,
    application: Option<ApplicationId>,
    uses: usize,
    bobs: bool,
}

pub(crate) const ALICE: UserId = UserId(Uuid::from_u128(1));
const HQ: SiteId = SiteId(Uuid::from_u128(2));

impl World {
    /// Starts a door; must be called inside a runtime.
    pub(crate) async fn start() -> Self {
        Self::start_on("127.0.0.1:0").await
    }

    pub(crate) async fn start_on(listen: &str) -> Self {
        let policy = Arc::new(Policy::new());
        let audit = Arc::new(Audit::default());
        let secrets = Arc::new(StoredSecrets::default());
        let drain = CancellationToken::new();
        let plays = Arc::new(play::Plays::default());
        let dialer = Arc::new(TcpDialer { plays: plays.clone() });
        let limits = Limits { max_sessions: 4096 };
        let receiver = policy.sender.subscribe();
        let broker = Broker::new(audit.clone(), dialer, receiver, drain.clone(), limits);
        let host_key = key();
        let host_fingerprint =
            host_key.public_key().fingerprint(russh::keys::HashAlg::Sha256).to_string();
        let gateway = SshGateway::new(SshConfig {
            host_keys: vec![host_key],
            next_host_keys: vec![key()],
            host_ca: Arc::new(HostCa::new(&[3; 32], "adit hosts").unwrap()),
            host_names: vec![DOMAIN.to_owned()],
            broker: broker.clone(),
            authn: policy.clone(),
            secrets: secrets.clone(),
            target_keys: Arc::new(Learned::default()),
            target_ca: Arc::new(TargetCa::new(&[1; 32], "adit").unwrap()),
            user_ca: Arc::new(user_ca()),
            domain: DOMAIN.to_owned(),
            texts: Default::default(),
        });
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, gateway.clone(), drain.clone()));
        Self {
            address,
            gateway,
            broker,
            audit,
            drain,
            host_fingerprint,
            plays,
            policy,
            secrets,
            _tasks: tasks,
        }
    }

    /// Adds an application that alice may reach under these terms.
    pub(crate) fn add(
        &self,
        name: &str,
        kind: Kind,
        address: &str,
        login: Login,
        terms: Terms,
    ) -> ApplicationId {
        let id = self.add_forbidden(name, kind, address, login);
        self.policy.change(|data| {
            let (subject, target) = (Subject::User(ALICE), Target::Application(id));
            data.rules.push(Rule { id: RuleId(Uuid::new_v4()), subject, target, terms });
        });
        id
    }

    /// Adds an SSH application at another site, which alice may reach.
    pub(crate) fn add_at(&self, site: &str, name: &str, address: &str, login: Login) {
        let id =
            self.add(&format!("{name}-elsewhere"), Kind::Ssh, address, login, Terms::default());
        self.policy.change(|data| {
            let found = data.applications.iter_mut().find(|app| app.id == id).unwrap();
            found.name = name_of(name);
            found.site = Site { id: SiteId(Uuid::new_v4()), name: name_of(site) };
        });
    }

    /// Adds an application that no rule opens.
    pub(crate) fn add_forbidden(
        &self,
        name: &str,
        kind: Kind,
        address: &str,
        login: Login,
    ) -> ApplicationId {
        let id = ApplicationId(Uuid::new_v4());
        let site = Site { id: HQ, name: name_of("hq") };
        self.policy.change(|data| {
            data.applications.push(Application {
                id,
                name: name_of(name),
                site,
                kind,
                address: address.parse().unwrap(),
                login,
                host_key: None,
                legacy_algorithms: false,
                allow_api: true,
                require_active_session: false,
                tags: Default::default(),
                web: Default::default(),
                database: Default::default(),
                rdp: Default::default(),
            });
        });
        id
    }

    pub(crate) fn pin(&self, application: ApplicationId, host_key: &str) {
        self.policy.change(|data| {
            let found = data.applications.iter_mut().find(|app| app.id == application);
            found.unwrap().host_key = Some(host_key.to_owned());
        });
    }

    pub(crate) fn allow_legacy(&self, application: ApplicationId) {
        self.policy.change(|data| {
            let found = data.applications.iter_mut().find(|app| app.id == application);
            found.unwrap().legacy_algorithms = true;
        });
    }

    pub(crate) fn store_password(&self, application: ApplicationId, password: &str) {
        let mut stored = self.secrets.0.lock().unwrap();
        stored.insert(application, Stored::Password(password.to_owned()));
    }

    pub(crate) fn store_key(&self, application: ApplicationId, pem: &str) {
        self.secrets.0.lock().unwrap().insert(application, Stored::Key(pem.to_owned()));
    }

    /// A token of alice's: `uses` times, bound to an application or not.
    pub(crate) fn token(&self, application: Option<ApplicationId>, uses: usize) -> String {
        self.token_of(application, uses, false)
    }

    /// A token of somebody else's.
    pub(crate) fn bobs_token(&self) -> String {
        self.token_of(None, 1, true)
    }

    fn token_of(&self, application: Option<ApplicationId>, uses: usize, bobs: bool) -> String {
        let number = self.policy.next.fetch_add(1, Relaxed);
        let mut id = [0; 7];
        id[..7].copy_from_slice(&number.to_be_bytes()[1..]);
        let token = TokenText::new(TokenKind::Access, id, [7; 20], None);
        let issued = Issued { id: token.id().clone(), application, uses, bobs };
        self.policy.tokens.lock().unwrap().insert(token.expose().to_owned(), issued);
        self.policy.change(|data| data.tokens.push(token.id().clone()));
        token.expose().to_owned()
    }

    /// Registers an SSH key as alice's.
    pub(crate) fn register(&self, fingerprint: &str) {
        let key = SshKey { fingerprint: fingerprint.to_owned(), expires: None };
        self.policy.change(|data| data.users[0].ssh_keys.push(key));
    }

    /// Enrols an agent of alice's, and vouches for her as its connection does.
    pub(crate) fn agent(&self, from: IpAddr) -> Authenticated {
        let id = AgentId(Uuid::new_v4());
        let end = SystemTime::now() + Duration::from_secs(3600);
        let agent = Agent { id, user: ALICE, expires: end, bound: false, ssh_key: None };
        self.policy.change(|data| data.agents.push(agent));
        alice(Credential::Agent { id }, from)
    }

    /// Signs a browser of alice's in, and vouches for her as its cookie does.
    pub(crate) fn browser(&self, from: IpAddr) -> Authenticated {
        let id = SignInId(Uuid::new_v4());
        let expires = SystemTime::now() + Duration::from_secs(3600);
        self.policy.change(|data| data.sign_ins.push(SignIn { id, user: ALICE, expires }));
        alice(Credential::SignIn { id }, from)
    }

    /// Enrols an agent of alice's whose SSH key has this fingerprint.
    pub(crate) fn certified(&self, id: AgentId, fingerprint: &str) {
        let expires = SystemTime::now() + Duration::from_secs(3600);
        let ssh_key = Some(fingerprint.to_owned());
        let agent = Agent { id, user: ALICE, expires, bound: false, ssh_key };
        self.policy.change(|data| data.agents.push(agent));
    }

    /// Why proofs were refused, in order.
    pub(crate) fn refused(&self) -> Vec<String> {
        self.policy.refused.lock().unwrap().clone()
    }

    /// Takes a key from alice.
    pub(crate) fn forget(&self, fingerprint: &str) {
        self.policy.change(|data| data.users[0].ssh_keys.retain(|k| k.fingerprint != fingerprint));
    }

    /// Revokes all tokens.
    pub(crate) fn revoke(&self) {
        self.policy.change(|data| data.tokens.clear());
    }

    /// Withdraws all of alice's agents.
    pub(crate) fn log_out(&self) {
        self.policy.change(|data| data.agents.clear());
    }

    pub(crate) fn kill(&self, session: SessionId, words: &str) {
        self.policy.change(|data| drop(data.killed.insert(session, words.into())));
    }

    /// The applications that sessions were opened to, in order.
    pub(crate) fn opened(&self) -> Vec<String> {
        let opened = |event: AuditEvent| match event {
            AuditEvent::SessionOpened { application, .. } => Some(application.to_string()),
            _ => None,
        };
        self.audit.all().into_iter().filter_map(opened).collect()
    }

    /// Withdraws all of alice's rules.
    pub(crate) fn withdraw(&self) {
        self.policy.change(|data| data.rules.clear());
    }
}

impl Policy {
    fn new() -> Self {
        let alice = User {
            id: ALICE,
            name: name_of("alice"),
            enabled: true,
            admin: false,
            machine: false,
            auditor: false,
            admin_of: Vec::new(),
            groups: Vec::new(),
            ssh_keys: Vec::new(),
        };
        let data = PolicyData { users: vec![alice], ..PolicyData::default() };
        let (sender, _) = watch::channel(Arc::new(PolicySnapshot::new(data.clone())));
        Self {
            data: Mutex::new(data),
            sender,
            tokens: Mutex::default(),
            next: AtomicU64::new(1),
            refused: Mutex::default(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut PolicyData)) {
        let mut data = self.data.lock().unwrap();
        change(&mut data);
        data.version += 1;
        self.sender.send_replace(Arc::new(PolicySnapshot::new(data.clone())));
    }
}

#[async_trait]
impl Authn for Policy {
    async fn token(
        &self,
        text: &SecretString,
        _: Door,
        from: IpAddr,
    ) -> Result<Authenticated, AuthnError> {
        let mut tokens = self.tokens.lock().unwrap();
        let issued = tokens.get_mut(text.expose_secret()).ok_or(AuthnError::Unknown)?;
        issued.uses = issued.uses.checked_sub(1).ok_or(AuthnError::UsedUp)?;
        let (id, application) = (issued.id.clone(), issued.application);
        let kind = TokenKind::Access;
        let shown = Credential::Token { id, kind, application, expires: None };
        Ok(if issued.bobs { bob(shown, from) } else { alice(shown, from) })
    }

    async fn ssh_key(&self, fingerprint: &str, from: IpAddr) -> Result<Authenticated, AuthnError> {
        match self.sender.borrow().key_owner(fingerprint).is_some() {
            true => Ok(alice(Credential::SshKey { fingerprint: fingerprint.to_owned() }, from)),
            false => Err(AuthnError::Unknown),
        }
    }

    async fn ssh_certificate(
        &self,
        claim: &CertificateClaim,
        from: IpAddr,
    ) -> Result<Authenticated, AuthnError> {
        let policy = self.sender.borrow().clone();
        let agent = policy.agent(claim.agent).ok_or(AuthnError::Revoked)?;
        let alices = claim.principals.iter().any(|principal| principal == "alice");
        match alices && agent.ssh_key.as_ref() == Some(&claim.fingerprint) {
            true => {
                let (agent, serial) = (claim.agent, claim.serial);
                Ok(alice(Credential::Certificate { agent, serial }, from))
            }
            false => Err(AuthnError::Unknown),
        }
    }

    async fn refuse(&self, why: &str, _: IpAddr) -> AuthnError {
        self.refused.lock().unwrap().push(why.to_owned());
        AuthnError::Unknown
    }

    fn left(&self, user: &str, _: IpAddr) {
        self.refused.lock().unwrap().push(format!("{user} left"));
    }

    fn may_sign_in(&self, fingerprint: &str) -> bool {
        let policy = self.sender.borrow();
        policy.key_owner(fingerprint).is_some() || policy.is_certified(fingerprint)
    }
}

/// Alice, vouched for as an agent's connection is.
pub(crate) fn alice(credential: Credential, from: IpAddr) -> Authenticated {
    #[expect(clippy::disallowed_methods, reason = "the test stands in for the relay's authn")]
    Authenticated::assertion(ALICE, name_of("alice"), credential, from)
}

fn bob(credential: Credential, from: IpAddr) -> Authenticated {
    #[expect(clippy::disallowed_methods, reason = "the test stands in for the relay's authn")]
    Authenticated::assertion(UserId(Uuid::from_u128(9)), name_of("bob"), credential, from)
}

pub(crate) fn name_of(text: &str) -> Name {
    text.parse().unwrap()
}

/// How the world's one session ended.
pub(crate) async fn end(world: &World) -> (access::EndReason, access::Side) {
    for _ in 0..500 {
        if let [end] = world.audit.ends()[..] {
            return end;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no session ended: {:?}", world.audit.all());
}

/// What the programs of this process hold in memory, in bytes.
pub(crate) fn memory() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// The CA whose certificates the door takes.
pub(crate) fn user_ca() -> UserCa {
    UserCa::new(&[2; 32], "adit users").unwrap()
}

pub(crate) fn key() -> PrivateKey {
    PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap()
}

pub(crate) fn forwarding() -> Terms {
    Terms { forwarding: true, ..Terms::default() }
}

pub(crate) fn managed(account: &str) -> Login {
    Login::Managed { account: account.to_owned() }
}

async fn accept(listener: TcpListener, gateway: SshGateway, drain: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let (socket, peer) = accepted.unwrap();
                socket.set_nodelay(true).unwrap();
                let (gateway, drain) = (gateway.clone(), drain.clone());
                connections.spawn(async move { gateway.serve(socket, peer, None, drain).await });
            }
        }
    }
}

struct TcpDialer {
    plays: Arc<play::Plays>,
}

#[async_trait]
impl Dialer for TcpDialer {
    async fn dial(&self, request: DialRequest) -> Result<BoxStream, DialError> {
        let address = &request.application.address;
        if let Some(stream) = self.plays.dial(address.host()) {
            return Ok(stream);
        }
        let connecting = TcpStream::connect((address.host(), address.port()));
        match tokio::time::timeout(Duration::from_secs(5), connecting).await {
            Ok(Ok(socket)) => Ok(Box::new(Tcp::new(socket).unwrap())),
            Ok(Err(_)) => Err(DialError::Refused),
            Err(_) => Err(DialError::TimedOut { after: Duration::from_secs(5) }),
        }
    }
}

#[derive(Default)]
struct StoredSecrets(Mutex<HashMap<ApplicationId, Stored>>);

enum Stored {
    Password(String),
    Key(String),
}

#[async_trait]
impl Secrets for StoredSecrets {
    async fn credential(
        &self,
        application: ApplicationId,
    ) -> Result<Option<TargetCredential>, SecretError> {
        Ok(self.0.lock().unwrap().get(&application).map(|stored| match stored {
            Stored::Password(text) => TargetCredential::Password(text.clone().into()),
            Stored::Key(pem) => TargetCredential::SshKey(pem.clone().into()),
        }))
    }
}

#[derive(Default)]
struct Learned(Mutex<HashMap<ApplicationId, String>>);

#[async_trait]
impl HostKeys for Learned {
    async fn check(
        &self,
        application: &Application,
        presented: &str,
    ) -> Result<HostKeyVerdict, SecretError> {
        let mut learned = self.0.lock().unwrap();
        let known = application.host_key.clone().or_else(|| learned.get(&application.id).cloned());
        Ok(match known {
            Some(known) if known == presented => HostKeyVerdict::Known,
            Some(known) => HostKeyVerdict::Changed { known },
            None => {
                learned.insert(application.id, presented.to_owned());
                HostKeyVerdict::Learned
            }
        })
    }
}

/// What was recorded.
pub(crate) struct Audit {
    events: Mutex<Vec<AuditEvent>>,
    closing: mpsc::Sender<Stamped>,
    closed: Mutex<mpsc::Receiver<Stamped>>,
    pub(crate) reserved: AtomicUsize,
}

impl Default for Audit {
    fn default() -> Self {
        let (closing, closed) = mpsc::channel(4096);
        Self {
            events: Mutex::default(),
            closing,
            closed: Mutex::new(closed),
            reserved: AtomicUsize::new(0),
        }
    }
}

impl Audit {
    pub(crate) fn all(&self) -> Vec<AuditEvent> {
        let mut events = self.events.lock().unwrap();
        while let Ok(stamped) = self.closed.lock().unwrap().try_recv() {
            events.push(stamped.event);
        }
        events.clone()
    }

    /// The session actions, as `what detail`.
    pub(crate) fn actions(&self) -> Vec<String> {
        let action = |event: AuditEvent| match event {
            AuditEvent::SessionAction { what, detail, .. } => Some(format!("{what} {detail}")),
            _ => None,
        };
        self.all().into_iter().filter_map(action).collect()
    }

    /// What was refused before there was a session, as `code application`.
    pub(crate) fn denied(&self) -> Vec<String> {
        let denied = |event: AuditEvent| match event {
            AuditEvent::AccessDenied { code, application, .. } => {
                Some(format!("{code} {application}"))
            }
            _ => None,
        };
        self.all().into_iter().filter_map(denied).collect()
    }

    /// The codes under which sessions were refused something, with what it was.
    pub(crate) fn refused(&self) -> Vec<String> {
        let refused = |event: AuditEvent| match event {
            AuditEvent::SessionAction {
                what,
                detail,
                facts: Some(session::Facts::Refused { code }),
                ..
            } => Some(format!("{what} {detail} ({code})")),
            _ => None,
        };
        self.all().into_iter().filter_map(refused).collect()
    }

    /// The sessions' ends.
    pub(crate) fn ends(&self) -> Vec<(access::EndReason, access::Side)> {
        let end = |event: AuditEvent| match event {
            AuditEvent::SessionEnded { reason, side, .. } => Some((reason, side)),
            _ => None,
        };
        self.all().into_iter().filter_map(end).collect()
    }
}

#[async_trait]
impl AuditLog for Audit {
    async fn reserve(&self) -> Result<ClosingSlot, AuditError> {
        let permit = self.closing.clone().reserve_owned().await;
        self.reserved.fetch_add(1, Relaxed);
        permit.map(ClosingSlot::new).map_err(|_| AuditError::Stopped)
    }

    async fn append(&self, event: AuditEvent) -> Result<(), AuditError> {
        self.events.lock().unwrap().push(event);
        Ok(())
    }

    fn note(&self, event: AuditEvent) {
        self.events.lock().unwrap().push(event);
    }
}
