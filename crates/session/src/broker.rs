use std::borrow::Cow;
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use access::{
    Application, Code, Credential, EndReason, Explain, Grant, Kind, Name, PolicySnapshot,
    Recording, SessionId, Side, Standing, Terms,
};
use serde::Serialize;
use splice::{BoxStream, Counters, Finish, Joined, Stream, join};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::lease::Clock;
use crate::{
    About, AuditError, AuditEvent, AuditLog, ClosingSlot, DialError, DialRequest, Dialer, Door,
    Facts, Lease, Life, RecordingError, Recordings, ShownCertificate, Stamped, Step, Tape, Witness,
};

/// Turns grants into sessions. Cheap to clone.
#[derive(Clone)]
pub struct Broker {
    inner: Arc<Inner>,
}

/// Bounds of one relay.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_sessions: usize,
}

/// A session that is open, as lists show it.
#[derive(Clone, Debug, Serialize)]
pub struct LiveSession {
    pub id: SessionId,
    pub user: Name,
    pub application: Name,
    pub site: Name,
    pub kind: Kind,
    pub door: Door,
    pub from: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// Unix milliseconds.
    pub opened: u64,
    /// Bytes from the client to the target.
    pub up: u64,
    /// Bytes from the target to the client.
    pub down: u64,
}

/// One open session. Dropping it writes its closing record, whatever happened.
pub struct Session {
    id: SessionId,
    door: Door,
    grant: Grant,
    lease: Lease,
    counters: Arc<Counters>,
    clock: Clock,
    end: OnceLock<(EndReason, Side)>,
    slot: Option<ClosingSlot>,
    /// When its target was first reached.
    dialled: OnceLock<SystemTime>,
    /// Of a session that must be recorded.
    tape: Option<Tape>,
    broker: Broker,
    _permit: OwnedSemaphorePermit,
}

/// A way to a session's application that outlasts the session, for what has to be taken back there:
/// a statement that goes on, an account of its own. Nothing of the client's goes over it.
#[derive(Clone)]
pub struct WayBack {
    dialer: Arc<dyn Dialer>,
    request: DialRequest,
    _held: Arc<Held>,
}

/// Counts a way back as long as somebody may go it.
struct Held(watch::Sender<usize>);

impl Held {
    fn new(ways: &watch::Sender<usize>) -> Arc<Self> {
        ways.send_modify(|ways| *ways += 1);
        Arc::new(Self(ways.clone()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.send_modify(|ways| *ways -= 1);
    }
}

/// How a spliced session came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub reason: EndReason,
    pub side: Side,
    /// What the admin who ended it had to say to its user.
    pub words: Option<Arc<str>>,
}

/// Why a granted session did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the relay is stopping")]
    Draining,
    #[error("all {limit} session slots are taken")]
    Full { limit: usize },
    #[error("memory is short")]
    Memory,
    #[error("the session could not be recorded")]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Recording(#[from] RecordingError),
}

impl Broker {
    pub fn new(
        audit: Arc<dyn AuditLog>,
        dialer: Arc<dyn Dialer>,
        policy: watch::Receiver<Arc<PolicySnapshot>>,
        drain: CancellationToken,
        limits: Limits,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(limits.max_sessions));
        let (open, ways) = (watch::Sender::new(0), watch::Sender::new(0));
        let (live, ended) = (Mutex::default(), Mutex::default());
        let (witness, recordings) = (OnceLock::new(), OnceLock::new());
        let short = AtomicBool::new(false);
        let inner = Inner {
            audit,
            dialer,
            policy,
            drain,
            limits,
            slots,
            live,
            ended,
            open,
            ways,
            witness,
            recordings,
            short,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The policy in force.
    pub fn policy(&self) -> Arc<PolicySnapshot> {
        self.inner.policy.borrow().clone()
    }

    /// Where gateways record what is not a session's opening or end.
    pub fn audit(&self) -> &Arc<dyn AuditLog> {
        &self.inner.audit
    }

    /// Keeps the recordings of sessions that must be recorded in `recordings` from now on; before,
    /// none of those opens. Only the first call counts.
    pub fn recorded_by(&self, recordings: Arc<dyn Recordings>) {
        drop(self.inner.recordings.set(recordings));
    }

    /// Tells `witness` of each session from now on. Only the first call counts.
    pub fn witnessed_by(&self, witness: Arc<dyn Witness>) {
        drop(self.inner.witness.set(witness));
    }

    /// Spends a grant. The session's record is stored before this returns, and the place for its
    /// closing record is kept: no record, no session.
    pub async fn open(
        &self,
        grant: Grant,
        door: Door,
        now: SystemTime,
    ) -> Result<Session, OpenError> {
        let inner = &self.inner;
        if inner.drain.is_cancelled() {
            return Err(OpenError::Draining);
        }
        if self.is_short_of_memory() {
            return Err(OpenError::Memory);
        }
        let limit = inner.limits.max_sessions;
        let permit =
            inner.slots.clone().try_acquire_owned().map_err(|_| OpenError::Full { limit })?;
        let slot = inner.audit.reserve().await?;
        // Listed before its record is stored: what withdraws access meanwhile must find it, and who
        // gives up waiting leaves a record that is closed.
        let mut session = self.session(grant, door, now, permit).enter(slot);
        session.step(Step::Authorise, now, None);
        let began = SystemTime::now();
        match session.record().await {
            Ok(()) => {
                session.step(Step::Open, began, None);
                Ok(session)
            }
            Err(error) => {
                session.step(Step::Open, began, Some(error.code().0));
                session.unrecorded();
                Err(error)
            }
        }
    }

    /// The sessions open now.
    pub fn live(&self) -> Vec<LiveSession> {
        let live = self.inner.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.values().map(Live::show).collect()
    }

    /// How many sessions ended since the start, by door, reason and the side it came from.
    pub fn ended(&self) -> HashMap<(Door, EndReason, Side), u64> {
        self.inner.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What each session open now stands on, for telling which of them a change will end.
    pub fn standings(&self) -> Vec<(SessionId, Standing)> {
        let live = self.inner.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.iter().map(|(id, live)| (*id, live.standing.clone())).collect()
    }

    /// Whether the relay is stopping, so that nothing new opens.
    pub fn is_draining(&self) -> bool {
        self.inner.drain.is_cancelled()
    }

    /// While memory is short, sessions go on and none opens.
    pub fn set_short_of_memory(&self, short: bool) {
        self.inner.short.store(short, Ordering::Relaxed);
    }

    pub fn is_short_of_memory(&self) -> bool {
        self.inner.short.load(Ordering::Relaxed)
    }

    /// Completes when no session is open.
    pub async fn emptied(&self) {
        // The sender lives as long as we do.
        drop(self.inner.open.subscribe().wait_for(|open| *open == 0).await);
    }

    /// Completes when nobody holds a way back: what sessions that are over left at their targets is taken
    /// back.
    pub async fn settled(&self) {
        // As above.
        drop(self.inner.ways.subscribe().wait_for(|ways| *ways == 0).await);
    }

    fn session(
        &self,
        grant: Grant,
        door: Door,
        now: SystemTime,
        permit: OwnedSemaphorePermit,
    ) -> Session {
        // Ordered by time: their places in the audit log's indexes are then side by side.
        let id = SessionId(Uuid::now_v7());
        let counters = Arc::new(Counters::default());
        let clock = Clock::starting(now);
        let lease = Lease::new(
            id,
            grant.standing().clone(),
            grant.terms().idle.map(Duration::from_secs),
            self.inner.policy.clone(),
            self.inner.drain.clone(),
            counters.clone(),
            clock,
        );
        let end = OnceLock::new();
        let broker = self.clone();
        Session {
            id,
            door,
            grant,
            lease,
            counters,
            clock,
            end,
            slot: None,
            dialled: OnceLock::new(),
            tape: None,
            broker,
            _permit: permit,
        }
    }
}

impl Session {
    pub fn id(&self) -> SessionId {
        self.id
    }

    pub fn application(&self) -> &Arc<Application> {
        self.grant.application()
    }

    /// The account at the target, where the protocol names one.
    pub fn login(&self) -> Option<&str> {
        self.grant.login()
    }

    pub fn terms(&self) -> &Terms {
        self.grant.terms()
    }

    pub fn user(&self) -> &Name {
        self.grant.who().name()
    }

    /// The right to go on, for whoever must notice its end.
    pub fn lease(&self) -> Lease {
        self.lease.clone()
    }

    /// Where the gateway says what goes on; `None`: this session need not be recorded.
    pub fn tape(&self) -> Option<&Tape> {
        self.tape.as_ref()
    }

    /// Begins what has to be kept of it, its opening record last.
    async fn record(&mut self) -> Result<(), OpenError> {
        self.begin_recording().await?;
        Ok(self.broker.inner.audit.append(self.opened()).await?)
    }

    async fn begin_recording(&mut self) -> Result<(), RecordingError> {
        if self.terms().recording == Recording::Off {
            return Ok(());
        }
        let absent = || RecordingError { detail: "this relay keeps no recordings".to_owned() };
        let recordings = self.broker.inner.recordings.get().ok_or_else(absent)?;
        let application = self.application();
        let about = About {
            session: self.id,
            user: self.user().clone(),
            application: application.name.clone(),
            site: application.site.name.clone(),
            kind: application.kind,
            login: self.login().map(str::to_owned),
            opened: self.clock.now(),
        };
        let mut tape = recordings.begin(about).await?;
        if self.terms().recording == Recording::WithInput {
            tape = tape.with_input();
        }
        self.lease = self.lease.clone().recorded(&tape);
        self.tape = Some(tape);
        Ok(())
    }

    /// Where gateways that carry bytes themselves count them.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Opens a stream to the session's application through one of its site's connectors, unless the
    /// session ends first.
    pub async fn dial(&self) -> Result<BoxStream, DialError> {
        self.dial_nth(0).await
    }

    /// As [`dial`](Self::dial), to the n-th of the application's addresses: 0 is its own, then come
    /// those of its services.
    pub async fn dial_nth(&self, nth: usize) -> Result<BoxStream, DialError> {
        let application = self.application().clone();
        // One that it has not is no address of it.
        let address = application.addresses().nth(nth).cloned().ok_or(DialError::Unresolved)?;
        let request = DialRequest { session: self.id, application, address };
        let (mut lease, began) = (self.lease(), SystemTime::now());
        let answer = tokio::select! {
            biased;
            reason = lease.ended() => Err(DialError::Ended { reason }),
            answer = self.broker.inner.dialer.dial(request) => answer,
        };
        self.step(Step::Dial, began, answer.as_ref().err().map(|error| error.code().0));
        if answer.is_ok() {
            self.dialled.get_or_init(SystemTime::now);
        }
        answer
    }

    /// As [`dial`](Self::dial), for a client that may leave before there is an answer: nobody waits
    /// for a target that nobody wants any more.
    pub async fn dial_for<C: Stream>(&self, client: &mut C) -> Result<BoxStream, DialError> {
        tokio::select! {
            biased;
            _ = poll_fn(|cx| client.poll_gone(cx)) => Err(DialError::Left),
            answer = self.dial() => answer,
        }
    }

    /// The way to its application that is left when it is over.
    pub fn way_back(&self) -> WayBack {
        let application = self.application().clone();
        let address = application.address.clone();
        let request = DialRequest { session: self.id, application, address };
        let inner = &self.broker.inner;
        WayBack { dialer: inner.dialer.clone(), request, _held: Held::new(&inner.ways) }
    }

    fn step(&self, step: Step, began: SystemTime, failed: Option<&'static str>) {
        if let Some(witness) = self.broker.inner.witness.get() {
            witness.step(self.id, step, began, failed);
        }
    }

    /// Records something the session does inside its protocol.
    pub fn note(&self, what: &str, detail: &str) {
        self.note_facts(what, detail, None);
    }

    /// The same with what else is known of it.
    pub fn note_facts(&self, what: &str, detail: &str, facts: Option<Facts>) {
        self.broker.inner.audit.note(AuditEvent::SessionAction {
            session: self.id,
            user: self.user().clone(),
            application: self.application().name.clone(),
            what: what.to_owned(),
            detail: detail.chars().take(MAX_DETAIL).collect(),
            facts,
        });
    }

    /// Carries bytes until either side ends or the lease does; then both streams are ended.
    pub async fn splice<C: Stream, T: Stream>(mut self, mut client: C, mut target: T) -> Ended {
        let counters = self.counters.clone();
        let (reason, side) = tokio::select! {
            biased;
            reason = self.lease.ended() => (reason, Side::Relay),
            finish = join(&mut client, &mut target, &counters) => outcome(&finish),
        };
        if reason != EndReason::Closed {
            let code = reason.number();
            client.abort(code);
            target.abort(code);
        }
        // With the session they are forgotten.
        let words = self.lease.last_words();
        self.end(reason, side);
        Ended { reason, side, words }
    }

    /// Ends the session for this reason.
    pub fn end(self, reason: EndReason, side: Side) {
        self.ends_as(reason, side);
    }

    /// Says how the session will have ended, where several share it: it ends when the last of them
    /// lets go. The first word counts.
    pub fn ends_as(&self, reason: EndReason, side: Side) {
        let _ = self.end.set((reason, side));
    }

    fn opened(&self) -> AuditEvent {
        let (who, application) = (self.grant.who(), self.application());
        let (mut token, mut sign_in, mut certificate) = (None, None, None);
        for shown in who.credentials() {
            match shown {
                Credential::Token { id, .. } => token = Some(id.clone()),
                Credential::SignIn { id } => sign_in = Some(*id),
                Credential::Certificate { agent, serial } => {
                    certificate = Some(ShownCertificate { agent: *agent, serial: *serial });
                }
                Credential::SshKey { .. } | Credential::Agent { .. } => {}
            }
        }
        let mut credentials: Vec<_> = who.credentials().map(Credential::word).collect();
        let credential = credentials.pop().unwrap_or_default();
        AuditEvent::SessionOpened {
            session: self.id,
            user: who.name().clone(),
            machine: self.broker.policy().user(who.user()).is_some_and(|user| user.machine),
            application: application.name.clone(),
            site: application.site.name.clone(),
            kind: application.kind,
            door: self.door,
            from: who.from(),
            credential,
            after: credentials,
            token,
            sign_in,
            certificate,
            login: self.grant.login().map(str::to_owned),
            rule: self.grant.rule(),
        }
    }

    fn enter(mut self, slot: ClosingSlot) -> Self {
        self.slot = Some(slot);
        let inner = &self.broker.inner;
        let live = Live {
            show: self.listed(),
            standing: self.grant.standing().clone(),
            counters: self.counters.clone(),
        };
        inner.live.lock().unwrap_or_else(PoisonError::into_inner).insert(self.id, live);
        inner.open.send_modify(|open| *open += 1);
        self
    }

    /// Its opening was not stored, so there is nothing to close.
    fn unrecorded(&mut self) {
        self.slot = None;
        self.leave();
    }

    fn leave(&self) {
        let inner = &self.broker.inner;
        inner.live.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
        inner.open.send_modify(|open| *open -= 1);
    }

    fn listed(&self) -> LiveSession {
        let (who, application) = (self.grant.who(), self.application());
        LiveSession {
            id: self.id,
            user: who.name().clone(),
            application: application.name.clone(),
            site: application.site.name.clone(),
            kind: application.kind,
            door: self.door,
            from: who.from(),
            login: self.grant.login().map(str::to_owned),
            opened: millis(self.clock.now()),
            up: 0,
            down: 0,
        }
    }
}

impl WayBack {
    /// The session that it is left of.
    pub fn session(&self) -> SessionId {
        self.request.session
    }

    /// Opens a stream to the application's own address.
    pub async fn dial(&self) -> Result<BoxStream, DialError> {
        self.dialer.dial(self.request.clone()).await
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        let application = self.application();
        let (reason, side) = self.end.get().copied().unwrap_or((EndReason::Failed, Side::Relay));
        let event = AuditEvent::SessionEnded {
            session: self.id,
            user: self.user().clone(),
            application: application.name.clone(),
            site: application.site.name.clone(),
            door: self.door,
            reason,
            side,
            up: self.counters.up(),
            down: self.counters.down(),
            millis: u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        if let Some(witness) = self.broker.inner.witness.get() {
            let (opened, dialled) = (self.clock.wall(), self.dialled.get().copied());
            witness.ended(&event, Life { opened, dialled });
        }
        slot.fill(Stamped { at: self.clock.now(), event });
        let mut ended = self.broker.inner.ended.lock().unwrap_or_else(PoisonError::into_inner);
        *ended.entry((self.door, reason, side)).or_default() += 1;
        drop(ended);
        self.leave();
    }
}

impl Explain for OpenError {
    fn code(&self) -> Code {
        Code(match self {
            Self::Draining => "session.drained",
            Self::Full { .. } => "session.full",
            Self::Memory => "relay.memory",
            Self::Audit(_) => "audit.unavailable",
            Self::Recording(error) => return error.code(),
        })
    }

    fn public(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Draining => "the relay is stopping; connect again",
            Self::Full { .. } => "the relay has as many sessions as it may",
            Self::Memory => "the relay is short of memory, so nothing new opens",
            Self::Audit(_) => "the relay can not record the session, so it can not open it",
            Self::Recording(error) => return error.public(),
        })
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed("try again in a minute, or ask your administrator"))
    }
}

struct Inner {
    audit: Arc<dyn AuditLog>,
    dialer: Arc<dyn Dialer>,
    policy: watch::Receiver<Arc<PolicySnapshot>>,
    drain: CancellationToken,
    limits: Limits,
    slots: Arc<Semaphore>,
    witness: OnceLock<Arc<dyn Witness>>,
    recordings: OnceLock<Arc<dyn Recordings>>,
    live: Mutex<HashMap<SessionId, Live>>,
    ended: Mutex<HashMap<(Door, EndReason, Side), u64>>,
    open: watch::Sender<usize>,
    /// Ways back that are held.
    ways: watch::Sender<usize>,
    short: AtomicBool,
}

struct Live {
    show: LiveSession,
    standing: Standing,
    counters: Arc<Counters>,
}

impl Live {
    fn show(&self) -> LiveSession {
        LiveSession { up: self.counters.up(), down: self.counters.down(), ..self.show.clone() }
    }
}

/// The longest detail of a record, in characters.
const MAX_DETAIL: usize = 1024;

fn outcome(finish: &Finish) -> (EndReason, Side) {
    let side = |joined: &Joined| match joined {
        Joined::First => Side::Client,
        Joined::Second => Side::Target,
    };
    match finish {
        Finish::Closed(joined) => (EndReason::Closed, side(joined)),
        Finish::Broken(joined, _) => (EndReason::Broken, side(joined)),
    }
}

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
