//! Ends the sign-ins of browsers that were away for too long, and stores when the others were there.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use access::{Credential, SessionId, SignInId};
use session::AuditEvent;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::AppState;
use crate::api::{self, Actor, Reason};

/// Follows the browsers until `stop`, and then stores what is not stored yet.
pub(crate) async fn follow(state: AppState, stop: CancellationToken) {
    let mut watch = Watch { state, carried: HashMap::new(), stored: Instant::now(), learned: None };
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = sleep(LOOK) => watch.look(SystemTime::now()).await,
        }
    }
    watch.state.authn.browsers().flush(&watch.state.store).await;
}

struct Watch {
    state: AppState,
    /// What each session on a sign-in had brought from its browser at the last look.
    carried: HashMap<SessionId, u64>,
    stored: Instant,
    /// When it was last looked who is at other relays.
    learned: Option<Instant>,
}

impl Watch {
    async fn look(&mut self, now: SystemTime) {
        self.see(now);
        let browsers = self.state.authn.browsers();
        let store = if self.state.cluster.is_some() { STORE_FOR_OTHERS } else { STORE };
        if self.stored.elapsed() >= store {
            self.stored = Instant::now();
            browsers.flush(&self.state.store).await;
        }
        let mut all = browsers.all(now);
        if self.state.cluster.is_some() && all.iter().any(|(_, idle)| *idle) {
            // Whoever seems to be away may be at another relay, which has stored it within its time.
            if self.learned.is_none_or(|at| at.elapsed() >= LEARN) {
                if let Err(error) = browsers.learn(&self.state.store).await {
                    tracing::debug!(%error, "Could not look who is at other relays");
                    return;
                }
                self.learned = Some(Instant::now());
            }
            all = browsers.all(now - STORE_FOR_OTHERS - LEARN - MARGIN);
        }
        for (id, idle) in all {
            self.judge(id, idle, now).await;
        }
    }

    /// A page that speaks over a connection it has is as much there as one that asks anew.
    fn see(&mut self, now: SystemTime) {
        let standings = self.state.broker.standings().into_iter();
        let on: HashMap<SessionId, SignInId> = standings
            .filter_map(|(session, standing)| match standing.who().credential() {
                Credential::SignIn { id } => Some((session, *id)),
                Credential::Token { .. }
                | Credential::SshKey { .. }
                | Credential::Agent { .. }
                | Credential::Certificate { .. } => None,
            })
            .collect();
        if on.is_empty() {
            self.carried.clear();
            return;
        }
        let live = self.state.broker.live();
        let mut moved = HashSet::new();
        let mut carried = HashMap::new();
        for session in live {
            let Some(sign_in) = on.get(&session.id) else { continue };
            if self.carried.get(&session.id).is_some_and(|before| session.up > *before) {
                moved.insert(*sign_in);
            }
            carried.insert(session.id, session.up);
        }
        self.carried = carried;
        for id in moved {
            self.state.authn.browsers().goes_on(id, now);
        }
    }

    async fn judge(&self, id: SignInId, idle: bool, now: SystemTime) {
        let policy = self.state.policy.current();
        let browsers = self.state.authn.browsers();
        // Ended by somebody, or gone with its user.
        let Some(sign_in) = policy.sign_in(id) else { return browsers.forget(id) };
        let user = policy.user(sign_in.user);
        if now >= sign_in.expires {
            browsers.forget(id);
            if let Some(user) = user.filter(|_| self.state.leads()) {
                let (user, reason) = (user.name.clone(), Reason::Expired.as_str());
                let event =
                    AuditEvent::SignInEnded { sign_in: id, user, reason, by: RELAY.to_owned() };
                self.state.broker.audit().note(event);
            }
            return;
        }
        let reason = match user {
            Some(user) if !user.enabled => Reason::Disabled,
            Some(_) if idle => Reason::Idle,
            Some(_) | None => return,
        };
        if let Err(error) = api::end_sign_ins(&self.state, Actor::relay(RELAY), &[id], reason).await
        {
            tracing::warn!(?error, sign_in = %id, "Could not end a sign-in; trying again");
        }
    }
}

/// How records name the relay itself.
const RELAY: &str = "the relay";
const LOOK: Duration = Duration::from_millis(250);
const STORE: Duration = Duration::from_secs(60);
/// Where other relays want to know it.
const STORE_FOR_OTHERS: Duration = Duration::from_secs(10);
const LEARN: Duration = Duration::from_secs(5);
/// For storing, and for the difference of two clocks.
const MARGIN: Duration = Duration::from_secs(5);
