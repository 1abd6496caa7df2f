//! The application a connection was opened to: its one session, and its connections to the target.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use access::{
    Application, Authenticated, Channels, Code, Context, EndReason, Grant, Keeps, Kind, Login,
    SessionId, Side,
};
use session::{AuditEvent, Door, Facts, Lease, Session, Tape};
use splice::Counters;
use tokio::sync::RwLock;
use tokio::time::{Instant, timeout};

use crate::connection::Connection;
use crate::dialogue::{Dialogue, Means, Prefer, Step};
use crate::remote::Ports;
use crate::rows::Rows;
use crate::target::{Target, TargetError};
use crate::target_ca::Subject;
use crate::terminal::Applicant;
use crate::words;

/// One application's session on one user connection.
pub(crate) struct Reach {
    id: SessionId,
    session: RwLock<Option<Session>>,
    lease: Lease,
    application: Arc<Application>,
    login: String,
    /// What a target's log calls the session.
    key_id: String,
    channels: Channels,
    tape: Option<Tape>,
    counters: Arc<Counters>,
    pool: tokio::sync::Mutex<Pool>,
    ports: Ports,
    rows: Rows,
    outcome: Mutex<Option<(EndReason, Side)>>,
}

#[derive(Default)]
struct Pool {
    targets: Vec<Arc<Target>>,
    means: Option<Means>,
    half: Option<Dialogue>,
    failure: Option<(Instant, String)>,
}

/// Decides whether `who` may reach `application`, and records a refusal.
pub(crate) fn authorize(
    connection: &Connection,
    who: &Authenticated,
    application: &Arc<Application>,
    login: Option<String>,
) -> Result<Grant, String> {
    // Who names no account there passes bytes through.
    let keeps = if login.is_some() { Keeps::SSH } else { Keeps::NOTHING };
    let context = Context { from: who.from(), login, database: None, keeps };
    let now = SystemTime::now();
    let policy = connection.gateway.broker.policy();
    policy.authorize(who, application, context, now).map_err(|deny| {
        denied(connection, who, application.name.as_str(), &deny.to_string());
        words::denied(&deny)
    })
}

/// Records that `who` asked for an application that they may not reach, or that is not there.
pub(crate) fn denied(connection: &Connection, who: &Authenticated, asked: &str, detail: &str) {
    denied_as(connection, who, asked, (Code("access.denied"), detail));
}

/// The same where they were told more than that.
pub(crate) fn denied_as(
    connection: &Connection,
    who: &Authenticated,
    asked: &str,
    (code, detail): (Code, &str),
) {
    connection.gateway.broker.audit().note(AuditEvent::AccessDenied {
        door: Door::Ssh,
        from: who.from(),
        user: who.name().clone(),
        application: asked.to_owned(),
        code,
        detail: detail.to_owned(),
    });
}

impl Reach {
    /// Spends the way in: decides, records, and hands the lease to the connection's owner.
    pub(crate) async fn open(
        connection: &Arc<Connection>,
        who: &Authenticated,
        application: Arc<Application>,
        typed: &str,
    ) -> Result<Arc<Self>, String> {
        // Where the application has one account, what the user typed plays no part.
        let login = application.login.account(typed).to_owned();
        let grant = authorize(connection, who, &application, Some(login.clone()))?;
        if application.kind != Kind::Ssh {
            return Err(words::not_ssh(&application));
        }
        let opened = connection.gateway.broker.open(grant, Door::Ssh, SystemTime::now()).await;
        let session = opened.map_err(|error| words::explain(&error))?;
        let reach = Arc::new(Self {
            id: session.id(),
            lease: session.lease(),
            application: session.application().clone(),
            login,
            key_id: key_id(&session),
            channels: session.terms().channels(),
            tape: session.tape().cloned(),
            counters: session.counters().clone(),
            session: RwLock::new(Some(session)),
            pool: tokio::sync::Mutex::default(),
            ports: Ports::default(),
            rows: Rows::default(),
            outcome: Mutex::default(),
        });
        if !connection.reached(reach.clone()).await {
            // Two channels were at the menu: nobody would watch the second one's lease.
            reach.close(EndReason::Failed, Side::Client).await;
            return Err(words::ONE_APPLICATION.to_owned());
        }
        Ok(reach)
    }

    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    pub(crate) fn login(&self) -> &str {
        &self.login
    }

    pub(crate) fn application(&self) -> &Arc<Application> {
        &self.application
    }

    pub(crate) fn lease(&self) -> Lease {
        self.lease.clone()
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Where a recording is told of channels, of a session that has to be recorded.
    pub(crate) fn tape(&self) -> Option<&Tape> {
        self.tape.as_ref()
    }

    /// What the grant allows on this connection.
    pub(crate) fn channels(&self) -> &Channels {
        &self.channels
    }

    /// What the target listens on for the user.
    pub(crate) fn ports(&self) -> &Ports {
        &self.ports
    }

    pub(crate) fn is_managed(&self) -> bool {
        self.application.login.is_ours()
    }

    pub(crate) async fn note(&self, what: &str, detail: &str) {
        if let Some(session) = &*self.session.read().await {
            session.note(what, detail);
        }
    }

    /// Records something with what is known of it.
    pub(crate) async fn note_with(&self, what: &str, detail: &str, facts: Facts) {
        if let Some(session) = &*self.session.read().await {
            session.note_facts(what, detail, Some(facts));
        }
    }

    /// The same from where nothing can wait.
    pub(crate) fn note_now(&self, what: &str, detail: &str, facts: Facts) {
        // Only the session's end would be in the way, and that comes after its channels'.
        if let Ok(session) = self.session.try_read()
            && let Some(session) = &*session
        {
            session.note_facts(what, detail, Some(facts));
        }
    }

    /// How many of what its programs do are recorded one by one.
    pub(crate) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Remembers that the session will not have ended in order.
    pub(crate) fn went_wrong(&self, reason: EndReason, side: Side) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some((reason, side));
    }

    /// Closes the connections to the target and writes the session's end, as which it came out.
    pub(crate) async fn close(&self, reason: EndReason, side: Side) -> (EndReason, Side) {
        self.ports.clear();
        let pool =
            timeout(GOODBYE, self.pool.lock()).await.map(|mut pool| std::mem::take(&mut *pool));
        if let Ok(pool) = pool {
            for target in &pool.targets {
                target.close().await;
            }
        }
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (reason, side) = match (reason, outcome) {
            (EndReason::Closed | EndReason::Failed, Some(outcome)) => outcome,
            (reason, _) => (reason, side),
        };
        if let Some(session) = self.session.write().await.take() {
            session.end(reason, side);
        }
        (reason, side)
    }

    /// Begins the target's own login while the user is still signing in. Returns what the target
    /// asks; `None` once there is nothing to type, whether it is in or not.
    pub(crate) async fn begin(
        &self,
        connection: &Arc<Connection>,
        prefer: Prefer,
    ) -> Option<(Dialogue, crate::dialogue::Question)> {
        let mut pool = self.pool.lock().await;
        let (mut dialogue, open) = match self.dial(connection).await {
            Ok(begun) => begun,
            Err(error) => {
                drop(self.failed(&mut pool, &error));
                return None;
            }
        };
        if open {
            self.keep(&mut pool, dialogue);
            return None;
        }
        match dialogue.question(prefer).await {
            Ok(Step::Ask(question)) => Some((dialogue, question)),
            Ok(Step::In) => {
                self.keep(&mut pool, dialogue);
                None
            }
            Ok(Step::Stuck) => {
                pool.half = Some(dialogue);
                None
            }
            Err(error) => {
                drop(self.failed(&mut pool, &error));
                None
            }
        }
    }

    /// Takes over a login that was begun while the user signed in and is now complete.
    pub(crate) async fn adopt(&self, dialogue: Dialogue) {
        self.keep(&mut *self.pool.lock().await, dialogue);
    }

    /// Takes over a login that goes on once the user's agent or terminal is there.
    pub(crate) async fn adopt_half(&self, dialogue: Dialogue) {
        self.pool.lock().await.half = Some(dialogue);
    }

    /// Remembers why a login that was begun while the user signed in came to nothing.
    pub(crate) async fn give_up(&self, error: &TargetError) {
        drop(self.failed(&mut *self.pool.lock().await, error));
    }

    /// A connection to the target for one more channel: one that no channel uses, else a new one
    /// where the login can be repeated, else a shared one. What fails is told in the user's words.
    pub(crate) async fn target(
        &self,
        connection: &Arc<Connection>,
        applicant: &mut Applicant<'_>,
    ) -> Result<Arc<Target>, String> {
        let mut pool = applicant.wait(self.pool.lock()).await;
        pool.targets.retain(|target| !target.is_closed());
        if let Some(idle) = pool.targets.iter().find(|target| Arc::strong_count(target) == 1) {
            return Ok(idle.clone());
        }
        if pool.targets.is_empty()
            && let Some((at, text)) = &pool.failure
            && at.elapsed() < FAILURE_HOLDS
        {
            return Err(text.clone());
        }
        if pool.targets.len() < MAX_TARGETS && self.can_repeat(&pool) {
            match applicant.wait(self.again(connection, &mut pool)).await {
                Ok(target) => return Ok(target),
                Err(error) if pool.targets.is_empty() => return Err(self.failed(&mut pool, &error)),
                Err(error) => tracing::info!(%error, "Sharing a connection to the target"),
            }
        }
        if let Some(least) = pool.targets.iter().min_by_key(|target| Arc::strong_count(target)) {
            return Ok(least.clone());
        }
        match Box::pin(self.first(connection, &mut pool, applicant)).await {
            Ok(target) => Ok(target),
            Err(error) => Err(self.failed(&mut pool, &error)),
        }
    }

    /// A connection to the target, where that takes nothing of the user: no answer, no signature.
    pub(crate) async fn silently(&self, connection: &Arc<Connection>) -> Option<Arc<Target>> {
        let pool = self.pool.lock().await;
        let possible = !pool.targets.is_empty() || self.can_repeat(&pool);
        drop(pool);
        if !possible {
            return None;
        }
        Box::pin(self.target(connection, &mut Applicant::nobody())).await.ok()
    }

    fn can_repeat(&self, pool: &Pool) -> bool {
        self.is_managed() || matches!(pool.means, Some(Means::Open | Means::Password(_)))
    }

    /// Logs in as before, without asking anybody.
    async fn again(
        &self,
        connection: &Arc<Connection>,
        pool: &mut Pool,
    ) -> Result<Arc<Target>, TargetError> {
        let (mut dialogue, open) = self.dial(connection).await?;
        let inside = match (&pool.means, open) {
            (_, true) => true,
            _ if self.is_managed() => self.managed(connection, &mut dialogue).await?,
            (Some(Means::Password(password)), false) => dialogue.password(password.clone()).await?,
            (Some(Means::Open | Means::Once) | None, false) => false,
        };
        if !inside {
            return Err(TargetError::Refused);
        }
        Ok(self.keep(pool, dialogue))
    }

    /// Logs in with the user's agent, or with what they type at their terminal.
    async fn first(
        &self,
        connection: &Arc<Connection>,
        pool: &mut Pool,
        applicant: &mut Applicant<'_>,
    ) -> Result<Arc<Target>, TargetError> {
        let (mut dialogue, open) = match pool.half.take() {
            Some(dialogue) => (dialogue, false),
            None => applicant.wait(self.dial(connection)).await?,
        };
        let mut inside = open;
        if !inside && applicant.agent && dialogue.takes_keys() {
            let user = connection.handle().ok_or(TargetError::Over)?;
            inside = applicant.wait(Box::pin(dialogue.agent(&user))).await?;
        }
        if !inside {
            inside = applicant.ask(&mut dialogue).await?;
        }
        if !inside {
            return Err(TargetError::Refused);
        }
        Ok(self.keep(pool, dialogue))
    }

    async fn dial(&self, connection: &Arc<Connection>) -> Result<(Dialogue, bool), TargetError> {
        let stream = match &*self.session.read().await {
            Some(session) => session.dial().await?,
            None => return Err(TargetError::Over),
        };
        let target = Target::connect(stream, &self.application, connection).await?;
        Dialogue::begin(target, self.login.clone(), self.application.clone()).await
    }

    async fn managed(
        &self,
        connection: &Arc<Connection>,
        dialogue: &mut Dialogue,
    ) -> Result<bool, TargetError> {
        if let Login::Certificate { .. } = self.application.login {
            return self.certified(connection, dialogue).await;
        }
        let found = connection.gateway.secrets.credential(self.application.id).await;
        match found {
            Ok(Some(credential)) => dialogue.managed(credential).await,
            Ok(None) => Err(TargetError::Credential),
            Err(error) => {
                tracing::error!(%error, "Could not read a stored credential");
                Err(TargetError::Credential)
            }
        }
    }

    /// Logs in with a certificate of this session.
    async fn certified(
        &self,
        connection: &Arc<Connection>,
        dialogue: &mut Dialogue,
    ) -> Result<bool, TargetError> {
        let subject =
            Subject { account: &self.login, key_id: &self.key_id, allowed: &self.channels };
        match connection.gateway.target_ca.certify(&subject, SystemTime::now()) {
            Ok((key, certificate)) => dialogue.certificate(key, certificate).await,
            Err(error) => {
                tracing::error!(%error, "Could not sign a certificate for a target");
                Err(TargetError::Credential)
            }
        }
    }

    fn keep(&self, pool: &mut Pool, dialogue: Dialogue) -> Arc<Target> {
        let (target, means) = dialogue.finish();
        let target = Arc::new(target);
        pool.targets.push(target.clone());
        pool.means = Some(means);
        pool.failure = None;
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = None;
        target
    }

    fn failed(&self, pool: &mut Pool, error: &TargetError) -> String {
        let text = words::explain(error);
        let error: &dyn std::error::Error = error;
        tracing::info!(error, application = %self.application.name, "Could not reach the target");
        if pool.targets.is_empty() {
            self.went_wrong(EndReason::Failed, Side::Target);
        }
        pool.failure = Some((Instant::now(), text.clone()));
        text
    }
}

/// One word: a target's log has it between others.
fn key_id(session: &Session) -> String {
    format!("adit/{}/{}/{}", session.user(), session.application().label(), session.id())
}

/// Connections to one target for one user connection. Beyond, channels share.
const MAX_TARGETS: usize = 8;

/// How long a failure is told again without another try.
const FAILURE_HOLDS: Duration = Duration::from_secs(3);

const GOODBYE: Duration = Duration::from_millis(200);
