//! Connections of one session. Never of two sessions: what an origin remembers of a connection
//! belongs to who made it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::multiplex::{Lane, Multiplex};
use super::{Carrier, Single};

/// The connections that take another request.
#[derive(Default)]
pub(crate) struct Pool {
    /// Those nobody uses now, the last used last.
    idle: Mutex<VecDeque<Single>>,
    /// Those that several use.
    shared: Mutex<Vec<Arc<Multiplex>>>,
    /// A new connection of this origin is for one request only.
    single: AtomicBool,
    /// Held by who makes a connection that others may use as well.
    opening: tokio::sync::Mutex<()>,
}

impl Pool {
    /// What takes a request at once.
    pub(super) async fn take(&self) -> Option<Carrier> {
        match self.lane() {
            Some(lane) => Some(Carrier::Lane(lane)),
            None => self.take_single().await.map(Carrier::Single),
        }
    }

    /// A connection that takes a request at once and carries nothing else.
    pub(super) async fn take_single(&self) -> Option<Single> {
        loop {
            let mut origin = lock(&self.idle).pop_back()?;
            if origin.idle.elapsed() < IDLE && origin.is_ready().await {
                return Some(origin);
            }
        }
    }

    /// A lane on a connection that several use.
    pub(super) fn lane(&self) -> Option<Lane> {
        let mut shared = lock(&self.shared);
        shared.retain(|multiplex| !multiplex.is_over());
        shared.iter().find_map(Multiplex::lane)
    }

    /// Waits for who makes a connection now, where that may carry this request as well; not for
    /// longer than `most`.
    pub(super) async fn turn(&self, most: Duration) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if self.single.load(Relaxed) {
            return None;
        }
        timeout(most, self.opening.lock()).await.ok()
    }

    /// Says that a connection of this origin carries one request at a time.
    pub(super) fn is_single(&self) {
        self.single.store(true, Relaxed);
    }

    /// Keeps a new connection for all, and gives the first lane on it.
    pub(super) fn share(&self, multiplex: Multiplex) -> Option<Lane> {
        self.single.store(false, Relaxed);
        let multiplex = Arc::new(multiplex);
        let lane = multiplex.lane();
        lock(&self.shared).push(multiplex);
        lane
    }

    /// Takes back what an answer that has ended came over.
    pub(crate) fn put(&self, carrier: Carrier) {
        let Carrier::Single(mut origin) = carrier else { return };
        if origin.sender.is_closed() {
            return;
        }
        let now = Instant::now();
        origin.idle = now;
        let mut idle = lock(&self.idle);
        while idle.front().is_some_and(|longest| now - longest.idle >= IDLE) {
            idle.pop_front();
        }
        if idle.len() < MOST {
            idle.push_back(origin);
        }
    }

    /// Closes all of them, those in use that several share included.
    pub(crate) fn clear(&self) {
        lock(&self.idle).clear();
        for multiplex in lock(&self.shared).drain(..) {
            multiplex.close();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shorter than the time after which common servers close one.
const IDLE: Duration = Duration::from_secs(30);
const MOST: usize = 64;
