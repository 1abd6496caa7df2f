//! Sessions that many requests share: one per credential, application and client address. A browser
//! that moves to another address has another session there, whose terms are looked at anew.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use access::{
    Application, ApplicationId, Authenticated, EndReason, Name, SessionId, Side, SignInId,
};
use hyper::header::HeaderValue;
use session::{Lease, Session};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::headers::Told;
use crate::origin::{Exchange, Pool};
use crate::statement::{Claims, LIFETIME, Signer};
use crate::target::Target;

/// What a session is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) holder: Holder,
    pub(crate) application: ApplicationId,
    pub(crate) from: IpAddr,
}

/// Who shares a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// Whoever shows a token with this digest: who knows only its id gets into no session.
    Token([u8; 32]),
    /// A browser, whose cookie was looked at.
    Browser(SignInId),
}

/// One open session and what its requests share.
pub(crate) struct Shared {
    session: Session,
    lease: Lease,
    /// In the order of the application's addresses.
    origins: Vec<Origin>,
    groups: Vec<String>,
    label: String,
    from: IpAddr,
    over: CancellationToken,
    reason: OnceLock<EndReason>,
    used: Mutex<Use>,
    /// Told when a request is over.
    left: Notify,
    statement: Mutex<Option<(Instant, HeaderValue)>>,
    /// What was told of the last request.
    told: Mutex<Option<Arc<Told>>>,
}

/// One of the application's origins, and the connections to it.
struct Origin {
    target: Target,
    pool: Pool,
}

struct Use {
    /// Requests under way, and what cuts the connection that each came on, once that is said.
    open: HashMap<u64, Option<CancellationToken>>,
    /// When that last changed.
    since: Instant,
    next: u64,
}

/// A request in a session. The session stays open for it, unless it has to end.
pub(crate) struct Visit {
    shared: Arc<Shared>,
    /// The one of its origins that is asked.
    origin: usize,
    /// Its place among those under way.
    at: u64,
}

/// The sessions that are open.
#[derive(Clone)]
pub(crate) struct Sessions {
    table: Arc<Mutex<Table>>,
    keep: mpsc::Sender<(Key, Arc<Shared>)>,
}

#[derive(Default)]
struct Table {
    open: HashMap<Key, Arc<Shared>>,
    /// Who opens one now; the others wait for it.
    opening: HashMap<Key, Arc<tokio::sync::Mutex<()>>>,
}

/// Ends sessions when they have to, or when nothing was asked in them for a while.
pub struct Keeper {
    table: Arc<Mutex<Table>>,
    opened: mpsc::Receiver<(Key, Arc<Shared>)>,
    stop: CancellationToken,
}

/// The right to open the session of a key.
pub(crate) struct Turn {
    key: Key,
    lock: Arc<tokio::sync::Mutex<()>>,
    table: Arc<Mutex<Table>>,
}

/// After `stop` no new requests come, and a session ends with the last of its requests.
pub(crate) fn sessions(stop: CancellationToken) -> (Sessions, Keeper) {
    let (keep, opened) = mpsc::channel(BACKLOG);
    let table = Arc::<Mutex<Table>>::default();
    (Sessions { table: table.clone(), keep }, Keeper { table, opened, stop })
}

impl Sessions {
    /// A visit to the session of this key, where one is open and may stay so.
    pub(crate) fn visit(&self, key: &Key) -> Option<Visit> {
        let table = lock(&self.table);
        let shared = table.open.get(key)?;
        // Withdrawn access is noticed here at once, not when the keeper gets to it.
        let stands = !shared.over.is_cancelled() && shared.lease.refusal().is_none();
        stands.then(|| Visit::new(shared.clone()))
    }

    /// Waits until nobody else opens a session of this key.
    pub(crate) async fn turn(&self, key: Key) -> (Turn, tokio::sync::OwnedMutexGuard<()>) {
        let lock = lock(&self.table).opening.entry(key).or_default().clone();
        let turn = Turn { key, lock: lock.clone(), table: self.table.clone() };
        (turn, lock.lock_owned().await)
    }

    /// Keeps a session that was opened for this key. `None`: the relay is stopping.
    pub(crate) async fn add(&self, key: Key, shared: Shared) -> Option<Visit> {
        let shared = Arc::new(shared);
        let visit = Visit::new(shared.clone());
        lock(&self.table).open.insert(key, shared.clone());
        self.keep.send((key, shared)).await.ok()?;
        Some(visit)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut table = lock(&self.table);
        // The table's, this one's and the guard's, which may be gone already.
        if Arc::strong_count(&self.lock) <= 3 {
            table.opening.remove(&self.key);
        }
    }
}

impl Keeper {
    /// Keeps sessions until the door is gone and the last of them has ended.
    pub async fn run(mut self) {
        let mut kept = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                Some(ended) = kept.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "A session's keeper failed");
                    }
                }
                opened = self.opened.recv() => match opened {
                    Some((key, shared)) => {
                        let (table, stop) = (self.table.clone(), self.stop.clone());
                        kept.spawn(keep(table, stop, key, shared));
                    }
                    None => break,
                },
            }
        }
        while kept.join_next().await.is_some() {}
    }
}

async fn keep(table: Arc<Mutex<Table>>, stop: CancellationToken, key: Key, shared: Arc<Shared>) {
    let mut lease = shared.lease.clone();
    let idle = async {
        loop {
            shared.idle(&stop).await;
            let mut table = lock(&table);
            if lock_use(&shared).open.is_empty() {
                forget(&mut table, &key, &shared);
                return;
            }
        }
    };
    let (reason, side) = tokio::select! {
        biased;
        reason = lease.ended() => (reason, Side::Relay),
        () = idle => (EndReason::Closed, Side::Client),
    };
    shared.end(reason, side);
    forget(&mut lock(&table), &key, &shared);
    shared.cut_off().await;
}

/// Takes a session out, unless another has taken its place.
fn forget(table: &mut Table, key: &Key, shared: &Arc<Shared>) {
    if table.open.get(key).is_some_and(|open| Arc::ptr_eq(open, shared)) {
        table.open.remove(key);
    }
}

impl Shared {
    pub(crate) fn new(
        session: Session,
        who: &Authenticated,
        targets: Vec<Target>,
        groups: Vec<String>,
    ) -> Self {
        debug_assert_eq!(session.user(), who.name());
        let (lease, label) = (session.lease(), session.application().label());
        let origins = targets.into_iter();
        let origins = origins.map(|target| Origin { target, pool: Pool::default() }).collect();
        let used = Mutex::new(Use { open: HashMap::new(), since: Instant::now(), next: 0 });
        Self {
            session,
            lease,
            origins,
            groups,
            label,
            from: who.from(),
            over: CancellationToken::new(),
            reason: OnceLock::new(),
            used,
            left: Notify::new(),
            statement: Mutex::default(),
            told: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> SessionId {
        self.session.id()
    }

    pub(crate) fn user(&self) -> &Name {
        self.session.user()
    }

    pub(crate) fn application(&self) -> &Arc<Application> {
        self.session.application()
    }

    /// The application's host label.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// All origins of the application.
    pub(crate) fn targets(&self) -> impl ExactSizeIterator<Item = &Target> {
        self.origins.iter().map(|origin| &origin.target)
    }

    /// A statement of who asks, not older than half its life.
    pub(crate) fn statement(&self, signer: &Signer) -> Option<HeaderValue> {
        let mut kept = self.statement.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, statement)) = &*kept
            && made.elapsed() < LIFETIME / 2
        {
            return Some(statement.clone());
        }
        let claims = Claims {
            aud: &self.label,
            sub: self.user().as_str(),
            groups: &self.groups,
            sid: &self.id().to_string(),
        };
        let fresh = signer.sign(claims, SystemTime::now())?;
        *kept = Some((Instant::now(), fresh.clone()));
        Some(fresh)
    }

    /// What an origin is told of a request for this host.
    pub(crate) fn told(&self, host: &str) -> Arc<Told> {
        let mut kept = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(told) if told.is_for(host) => told.clone(),
            Some(_) | None => {
                let told = Arc::new(Told::new(self.user().as_str(), self.from, host));
                kept.insert(told).clone()
            }
        }
    }

    fn end(&self, reason: EndReason, side: Side) {
        self.session.ends_as(reason, side);
        let _ = self.reason.set(reason);
        self.over.cancel();
        self.origins.iter().for_each(|origin| origin.pool.clear());
    }

    /// Waits until the requests under way are over, and a while after the end cuts the connections
    /// that those left came on: their clients read nothing, so they can not be told. Until then the
    /// session is open.
    async fn cut_off(&self) {
        let over = async {
            while !lock_use(self).open.is_empty() {
                self.left.notified().await;
            }
        };
        if timeout(LAST_WORDS, over).await.is_err() {
            for cut in lock_use(self).open.values().flatten() {
                cut.cancel();
            }
        }
    }

    /// Completes once nothing was asked for [`IDLE`], or for a moment when the relay is stopping.
    async fn idle(&self, stop: &CancellationToken) {
        loop {
            let limit = if stop.is_cancelled() { MOMENT } else { IDLE };
            let due = {
                let used = lock_use(self);
                // While there is a request, the next look is a whole limit away.
                if used.open.is_empty() { used.since + limit } else { Instant::now() + limit }
            };
            if due <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(due) => {}
                () = stop.cancelled(), if limit == IDLE => {}
            }
        }
    }
}

impl Visit {
    fn new(shared: Arc<Shared>) -> Self {
        let at = {
            let mut used = lock_use(&shared);
            used.next += 1;
            let at = used.next;
            used.open.insert(at, None);
            at
        };
        Self { shared, origin: 0, at }
    }

    /// Says what cuts the connection that the request came on.
    pub(crate) fn came_on(&self, cut: &CancellationToken) {
        lock_use(&self.shared).open.insert(self.at, Some(cut.clone()));
    }

    /// Whether the session has more requests under way than it may, this one among them.
    pub(crate) fn is_crowded(&self) -> bool {
        lock_use(&self.shared).open.len() > CROWD
    }

    /// Cancelled when the session is over.
    pub(crate) fn over(&self) -> CancellationToken {
        self.shared.over.clone()
    }

    /// Why the session is over.
    pub(crate) fn reason(&self) -> EndReason {
        self.shared.reason.get().copied().unwrap_or(EndReason::Broken)
    }

    /// Turns to the origin whose a request for this host and path is.
    pub(crate) fn turn_to(&mut self, host: &str, path: &str) {
        let service = self.application().web.service(host, path);
        self.origin = service.map_or(0, |at| at + 1);
    }

    pub(crate) fn target(&self) -> &Target {
        &self.shared.origins[self.origin].target
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.shared.origins[self.origin].pool
    }

    pub(crate) fn exchange(&self) -> Exchange<'_> {
        Exchange { session: &self.shared.session, pool: self.pool(), target: self.target() }
    }
}

impl std::ops::Deref for Visit {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut used = lock_use(&self.shared);
        used.open.remove(&self.at);
        used.since = Instant::now();
        self.shared.left.notify_one();
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lock_use(shared: &Shared) -> MutexGuard<'_, Use> {
    shared.used.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For a client to read that its session is over. Shorter than withdrawn access may last.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// A session in which nothing is asked ends after this.
const IDLE: Duration = Duration::from_secs(60);
/// Between the last request and the end, once no new ones come.
const MOMENT: Duration = Duration::from_millis(100);
/// Requests under way in one session; each may have a connection to the origin.
const CROWD: usize = 512;
/// Sessions opened that the keeper has not taken yet; more wait.
const BACKLOG: usize = 64;
