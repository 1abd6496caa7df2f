use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use access::{EndReason, PolicySnapshot, SessionId, Standing};
use splice::Counters;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::Tape;

/// The right to keep a session open. It can end at any moment.
#[derive(Clone, Debug)]
pub struct Lease {
    session: SessionId,
    standing: Arc<Standing>,
    policy: watch::Receiver<Arc<PolicySnapshot>>,
    drain: CancellationToken,
    counters: Arc<Counters>,
    clock: Clock,
    idle: Option<Duration>,
    /// Cancelled when a session that must be recorded no longer can be.
    unrecorded: Option<CancellationToken>,
    stood: Arc<Mutex<Option<Stood>>>,
}

/// That the session stood when it was last asked.
#[derive(Debug)]
struct Stood {
    /// By which policy.
    by: Weak<PolicySnapshot>,
    /// How long that is an answer.
    until: Instant,
}

impl Lease {
    pub(crate) fn new(
        session: SessionId,
        standing: Standing,
        idle: Option<Duration>,
        policy: watch::Receiver<Arc<PolicySnapshot>>,
        drain: CancellationToken,
        counters: Arc<Counters>,
        clock: Clock,
    ) -> Self {
        let (standing, unrecorded, stood) = (Arc::new(standing), None, Arc::default());
        Self { session, standing, policy, drain, counters, clock, idle, unrecorded, stood }
    }

    /// The same, but it ends when its recording can not go on.
    pub(crate) fn recorded(self, tape: &Tape) -> Self {
        Self { unrecorded: Some(tape.failure()), ..self }
    }

    /// Why the session must stop now, if it must: decides anew by the policy in force. Under the same
    /// policy only time can change the answer, which is then up to a tenth of a second late.
    pub fn refusal(&self) -> Option<EndReason> {
        let snapshot = self.policy.borrow().clone();
        let mut stood = self.stood.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(Stood { by, until }) = &*stood
            && std::ptr::eq(by.as_ptr(), &*snapshot)
            && now < *until
        {
            return None;
        }
        let refusal = snapshot.recheck(self.session, &self.standing, self.clock.now());
        let stands = || Stood { by: Arc::downgrade(&snapshot), until: now + STANDS };
        *stood = refusal.is_none().then(stands);
        refusal
    }

    /// What the admin who ended the session had to say, if one did and had.
    pub fn last_words(&self) -> Option<Arc<str>> {
        self.policy.borrow().last_words(self.session)
    }

    /// Completes when the session must stop, and says why. Cancel-safe: it holds nothing between
    /// polls but its place in the policy's versions.
    pub async fn ended(&mut self) -> EndReason {
        loop {
            // Marked as seen before it is read: a change in between wakes us again.
            let snapshot = self.policy.borrow_and_update().clone();
            let now = self.clock.now();
            if let Some(reason) = snapshot.recheck(self.session, &self.standing, now) {
                return reason;
            }
            // One that is past already has something else to stand on.
            let end = snapshot.end(&self.standing).filter(|end| now < *end);
            drop(snapshot);
            let (drain, end) = (self.drain.clone(), self.clock.instant(end));
            tokio::select! {
                biased;
                () = drain.cancelled() => return EndReason::Drained,
                changed = self.policy.changed() => {
                    if changed.is_err() {
                        // No one can withdraw access any more, so no one may keep it.
                        return EndReason::Revoked;
                    }
                }
                () = cancelled(self.unrecorded.as_ref()) => return EndReason::Unrecorded,
                // Decided again, which says why.
                () = at(end) => {}
                () = quiet(&self.counters, self.idle) => return EndReason::Idle,
            }
        }
    }
}

/// Of an answer under one policy. What time ends, [`Lease::ended`] tells when it is due.
const STANDS: Duration = Duration::from_millis(100);

/// Wall time that follows tokio's clock, so that tests own both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    wall: SystemTime,
    start: Instant,
}

impl Clock {
    pub(crate) fn starting(wall: SystemTime) -> Self {
        Self { wall, start: Instant::now() }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.wall + self.start.elapsed()
    }

    /// When it started.
    pub(crate) fn wall(&self) -> SystemTime {
        self.wall
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn instant(&self, wall: Option<SystemTime>) -> Option<Instant> {
        let left = wall?.duration_since(self.wall).unwrap_or_default();
        self.start.checked_add(left)
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

async fn cancelled(token: Option<&CancellationToken>) {
    match token {
        Some(token) => token.cancelled().await,
        None => std::future::pending().await,
    }
}

/// Completes once no byte was carried for `limit`.
async fn quiet(counters: &Counters, limit: Option<Duration>) {
    let Some(limit) = limit else { return std::future::pending().await };
    let mut seen = (counters.up(), counters.down());
    let mut since = Instant::now();
    // Looks four times per period: the end comes at most a quarter late and never early.
    loop {
        tokio::time::sleep(limit / 4).await;
        let carried = (counters.up(), counters.down());
        if carried != seen || counters.is_awaited() {
            (seen, since) = (carried, Instant::now());
        } else if since.elapsed() >= limit {
            return;
        }
    }
}
