//! Publishes the policy in force.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use access::{PolicyData, PolicySnapshot, SessionId};
use session::Broker;
use store::{Store, StoreError};
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Loads policy from the store and publishes it to every lease and door.
///
/// Kills are kept here and not in the store: they end sessions of this process only.
pub struct PolicyPublisher {
    store: Store,
    /// What the store held when it last answered, without kills.
    loaded: AsyncMutex<PolicySnapshot>,
    killed: Mutex<HashMap<SessionId, Arc<str>>>,
    live: OnceLock<Broker>,
    /// When the store last said that this is the policy.
    fresh: Mutex<Instant>,
    sender: watch::Sender<Arc<PolicySnapshot>>,
}

impl PolicyPublisher {
    /// Loads the first snapshot; without one nothing can start.
    pub async fn start(store: Store) -> Result<Arc<Self>, StoreError> {
        let policy = PolicySnapshot::new(store.load_policy().await?);
        let (sender, _) = watch::channel(Arc::new(policy.clone()));
        let (loaded, killed, live) = (AsyncMutex::new(policy), Mutex::default(), OnceLock::new());
        let fresh = Mutex::new(Instant::now());
        Ok(Arc::new(Self { store, loaded, killed, live, fresh, sender }))
    }

    /// Tells which sessions are open, so that kills are forgotten with their sessions.
    pub(crate) fn watch_sessions(&self, broker: Broker) {
        // Set once, by `serve`; a second broker would be a second relay.
        drop(self.live.set(broker));
    }

    pub fn subscribe(&self) -> watch::Receiver<Arc<PolicySnapshot>> {
        self.sender.subscribe()
    }

    /// The policy in force.
    pub fn current(&self) -> Arc<PolicySnapshot> {
        self.sender.borrow().clone()
    }

    /// How long ago the store last confirmed the policy in force.
    pub fn age(&self) -> Duration {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Loads and publishes, and says which version is in force. When this returns, every lease has
    /// been told. A store that does not answer leaves the last version in force.
    pub async fn refresh(&self) -> u64 {
        let mut loaded = self.loaded.lock().await;
        match self.store.load_policy().await {
            Ok(data) => self.confirmed(&mut loaded, data),
            Err(error) => tracing::error!(%error, "Could not load policy"),
        }
        self.publish(&loaded);
        loaded.version()
    }

    /// Ends a session that is open, with `words` to its user. Whether it was.
    pub async fn kill(&self, session: SessionId, words: &str) -> bool {
        let open = self.open_sessions().contains(&session);
        if open {
            let loaded = self.loaded.lock().await;
            self.killed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(session, words.into());
            self.publish(&loaded);
        }
        open
    }

    /// Publishes each change of the store until `stop`. While the store does not answer, the last
    /// snapshot stays in force for [`MAX_AGE`]; then nobody has access any more.
    pub async fn follow(&self, stop: CancellationToken) {
        let mut changed = self.store.changed();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                change = changed.changed() => if change.is_err() { return },
                () = sleep(POLL) => {
                    self.follow_once().await;
                    continue;
                }
            }
            let stored = *changed.borrow_and_update();
            // Whoever made the change has mostly put it in force by now.
            if self.loaded.lock().await.version() < stored {
                self.follow_once().await;
            }
        }
    }

    async fn follow_once(&self) {
        let mut loaded = self.loaded.lock().await;
        match self.store.load_policy().await {
            Ok(data) => {
                let changed = data.version != loaded.version();
                self.confirmed(&mut loaded, data);
                if !changed {
                    return;
                }
            }
            Err(error) if self.age() < MAX_AGE => {
                tracing::warn!(%error, age = ?self.age(), "Policy may be out of date");
                return;
            }
            Err(error) => {
                tracing::error!(%error, "Policy is too old to be trusted: all access ends");
                *loaded = PolicySnapshot::default();
            }
        }
        self.publish(&loaded);
    }

    fn confirmed(&self, loaded: &mut PolicySnapshot, data: PolicyData) {
        if data.version != loaded.version() {
            *loaded = PolicySnapshot::new(data);
        }
        *self.fresh.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn publish(&self, loaded: &PolicySnapshot) {
        let open = self.open_sessions();
        let mut killed = self.killed.lock().unwrap_or_else(PoisonError::into_inner);
        killed.retain(|session, _| open.contains(session));
        self.sender.send_replace(Arc::new(loaded.with_killed(killed.clone())));
    }

    #[cfg(test)]
    pub(crate) fn kills(&self) -> usize {
        self.killed.lock().unwrap().len()
    }

    fn open_sessions(&self) -> HashSet<SessionId> {
        let live = self.live.get().map(Broker::live).unwrap_or_default();
        live.into_iter().map(|session| session.id).collect()
    }
}

/// How often the store is asked without having said that something changed.
const POLL: Duration = Duration::from_secs(30);

/// How long a snapshot may be trusted while the store does not answer.
pub const MAX_AGE: Duration = Duration::from_secs(3600);
