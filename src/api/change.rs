//! One change: recorded whatever happens, in force before it is answered, with a receipt of what it
//! ended.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use access::{
    Authenticated, Code, Credential, EndReason, PolicySnapshot, SessionId, SignInId, Standing,
};
use api::{Change, Withdrawn};
use axum::http::StatusCode;
use futures_util::future::{join, try_join_all};
use session::{AuditEvent, AuditLog, Broker, ClosingSlot, Stamped};
use store::StoreError;
use tokio::time::{Instant, sleep};

use super::caller::Caller;
use super::error::ApiError;
use crate::AppState;
use crate::cluster::EndedElsewhere;

/// Who changes something, as records name them.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) name: String,
    pub(crate) from: IpAddr,
    /// The browser by which they do it.
    pub(crate) sign_in: Option<SignInId>,
}

/// What somebody is about to change.
#[derive(Clone, Debug)]
pub(super) struct Intent {
    pub(super) action: &'static str,
    pub(super) object: String,
}

/// Carries out `act`, puts the policy that follows from it in force, and records it.
///
/// `act` says what it changed; it changed nothing when it fails.
pub(super) async fn change<T>(
    state: &AppState,
    actor: Actor,
    intent: Intent,
    act: impl Future<Output = Result<(T, Vec<Change>), ApiError>>,
) -> Result<(T, Withdrawn), ApiError> {
    let pending = Pending::begin(state, actor, intent).await?;
    let before = state.broker.standings();
    let known = *state.store.changed().borrow();
    let (value, changes) = match act.await {
        Ok(done) => done,
        Err(error) => return Err(pending.nothing(error)),
    };
    let start = Instant::now();
    // Read before the policy is: what others store meanwhile is theirs to put in force.
    let stored = *state.store.changed().borrow();
    let in_force = state.policy.refresh().await >= stored;
    let doomed = doomed(&state.policy.current(), &before, SystemTime::now());
    let elsewhere = async {
        match &state.cluster {
            Some(cluster) if stored > known => cluster.in_force(stored, start).await,
            Some(_) | None => EndedElsewhere::default(),
        }
    };
    let (withdrawn, elsewhere) = join(until_ended(&state.broker, &doomed, start), elsewhere).await;
    let withdrawn = both(withdrawn, elsewhere);
    pending.record(&changes, withdrawn).await?;
    match in_force {
        true => Ok((value, withdrawn)),
        false => Err(not_in_force()),
    }
}

/// Ends one session that is open and records who did.
pub(super) async fn kill(
    state: &AppState,
    actor: Actor,
    session: SessionId,
    words: &str,
) -> Result<Withdrawn, ApiError> {
    let intent = Intent { action: "kill", object: format!("session {session}") };
    let pending = Pending::begin(state, actor, intent.clone()).await?;
    let start = Instant::now();
    let withdrawn = if state.policy.kill(session, words).await {
        until_ended(&state.broker, &HashSet::from([session]), start).await
    } else {
        match kill_elsewhere(state, session, words, start).await {
            Ok(Some(ended)) => both(Withdrawn::default(), ended),
            Ok(None) => {
                return Err(pending.nothing(ApiError::not_found("session", &session.to_string())));
            }
            Err(error) => return Err(pending.nothing(error.into())),
        }
    };
    pending.record(&[done(&intent, words)], withdrawn).await?;
    Ok(withdrawn)
}

async fn kill_elsewhere(
    state: &AppState,
    session: SessionId,
    words: &str,
    start: Instant,
) -> Result<Option<EndedElsewhere>, StoreError> {
    match &state.cluster {
        Some(cluster) => cluster.kill(session, words, start).await,
        None => Ok(None),
    }
}

/// What was ended here and at other relays.
fn both(here: Withdrawn, elsewhere: EndedElsewhere) -> Withdrawn {
    let took = u64::try_from(elsewhere.took.as_millis()).unwrap_or(u64::MAX);
    match elsewhere.ended {
        0 => here,
        ended => Withdrawn { ended: here.ended + ended, millis: here.millis.max(took) },
    }
}

/// Waits until the sessions have ended that the policy now in force ends, of those that stood before
/// it, and says how many. What somebody has changed elsewhere is theirs to record.
pub(crate) async fn ended_by_policy(state: &AppState, before: &[(SessionId, Standing)]) -> u64 {
    let doomed = doomed(&state.policy.current(), before, SystemTime::now());
    until_ended(&state.broker, &doomed, Instant::now()).await.ended
}

/// The one change that an intent named, as done.
pub(super) fn done(intent: &Intent, detail: impl Into<String>) -> Change {
    let (action, object) = (intent.action.to_owned(), intent.object.clone());
    Change { action, object, detail: detail.into() }
}

/// Runs `then` when dropped: also for a caller who hung up before the answer.
pub(super) fn finally<F: FnMut()>(then: F) -> impl Drop {
    Finally(then)
}

struct Finally<F: FnMut()>(F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A change on its way. One that is dropped before its end is recorded as begun: hanging up early
/// must not be a way to change something unseen.
struct Pending {
    audit: std::sync::Arc<dyn AuditLog>,
    actor: Actor,
    intent: Intent,
    place: Option<ClosingSlot>,
}

impl Pending {
    /// Keeps the place for its record first: no record, no change.
    async fn begin(state: &AppState, actor: Actor, intent: Intent) -> Result<Self, ApiError> {
        let audit = state.broker.audit().clone();
        let place = Some(audit.reserve().await?);
        Ok(Self { audit, actor, intent, place })
    }

    /// Nothing was changed, so nothing is recorded.
    fn nothing(mut self, why: ApiError) -> ApiError {
        self.place = None;
        why
    }

    async fn record(mut self, changes: &[Change], withdrawn: Withdrawn) -> Result<(), ApiError> {
        let mut events: Vec<_> = changes.iter().map(|change| self.changed(change)).collect();
        if WITHDRAWALS.contains(&self.intent.action) || withdrawn.ended > 0 {
            events.push(self.receipt(withdrawn));
        }
        try_join_all(events.into_iter().map(|event| self.audit.append(event))).await?;
        self.place = None;
        Ok(())
    }

    fn changed(&self, change: &Change) -> AuditEvent {
        AuditEvent::AdminChanged {
            actor: self.actor.name.clone(),
            from: self.actor.from,
            sign_in: self.actor.sign_in,
            change: change.action.clone(),
            object: change.object.clone(),
            detail: change.detail.clone(),
        }
    }

    fn receipt(&self, withdrawn: Withdrawn) -> AuditEvent {
        AuditEvent::AccessWithdrawn {
            actor: self.actor.name.clone(),
            change: self.intent.action.to_owned(),
            object: self.intent.object.clone(),
            ended: withdrawn.ended,
            millis: withdrawn.millis,
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        let begun = done(&self.intent, "the caller hung up before the outcome was recorded");
        place.fill(Stamped { at: SystemTime::now(), event: self.changed(&begun) });
    }
}

impl From<&Caller> for Actor {
    fn from(caller: &Caller) -> Self {
        Self::of(&caller.who)
    }
}

impl Actor {
    pub(crate) fn of(who: &Authenticated) -> Self {
        let sign_in = match who.credential() {
            Credential::SignIn { id } => Some(*id),
            Credential::Token { .. }
            | Credential::SshKey { .. }
            | Credential::Agent { .. }
            | Credential::Certificate { .. } => None,
        };
        Self { name: who.name().to_string(), from: who.from(), sign_in }
    }

    /// Somebody who is no user.
    pub(crate) fn other(name: String, from: IpAddr) -> Self {
        Self { name, from, sign_in: None }
    }

    /// The relay itself, which comes from nowhere.
    pub(crate) fn relay(name: &str) -> Self {
        Self::other(name.to_owned(), std::net::Ipv4Addr::UNSPECIFIED.into())
    }
}

fn not_in_force() -> ApiError {
    let detail = "the change is stored, but could not be put in force yet";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, Code("policy.stale"), detail)
        .hint("the relay tries again by itself; its log says why")
}

/// The sessions that the policy now in force ends.
fn doomed(
    policy: &PolicySnapshot,
    before: &[(SessionId, Standing)],
    now: SystemTime,
) -> HashSet<SessionId> {
    let withdrawn =
        |(id, standing): &&(SessionId, Standing)| match policy.recheck(*id, standing, now) {
            Some(EndReason::Revoked | EndReason::Killed | EndReason::SignedOut) => true,
            Some(
                EndReason::Abandoned
                | EndReason::Broken
                | EndReason::Closed
                | EndReason::Drained
                | EndReason::Expired
                | EndReason::Failed
                | EndReason::Idle
                | EndReason::Unrecorded,
            )
            | None => false,
        };
    before.iter().filter(withdrawn).map(|(id, _)| *id).collect()
}

/// Waits until the doomed sessions have ended, though no longer than the promise to end them lasts.
async fn until_ended(broker: &Broker, doomed: &HashSet<SessionId>, start: Instant) -> Withdrawn {
    let mut left = still_open(broker, doomed);
    while left > 0 && start.elapsed() < PROMISE {
        sleep(LOOK_AGAIN).await;
        left = still_open(broker, doomed);
    }
    let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    if left > 0 {
        tracing::error!(left, "Sessions are open that should have ended");
    }
    let ended = u64::try_from(doomed.len() - left).unwrap_or(u64::MAX);
    match doomed.is_empty() {
        true => Withdrawn::default(),
        false => Withdrawn { ended, millis },
    }
}

fn still_open(broker: &Broker, doomed: &HashSet<SessionId>) -> usize {
    if doomed.is_empty() {
        return 0;
    }
    broker.live().iter().filter(|session| doomed.contains(&session.id)).count()
}

/// Actions that get a receipt even when no session stood on what they took away.
const WITHDRAWALS: [&str; 7] =
    ["disable", "kill", "logout", "remove", "revoke", "sign_out", "withdraw"];

/// Within this long, withdrawn access has ended.
const PROMISE: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
