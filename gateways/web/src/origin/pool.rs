//! Connections of one session that wait for the next request. Never of two sessions: what an origin
//! remembers of a connection belongs to who made it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Origin;

/// The connections nobody uses now, the last used last.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Vec<Origin>>);

impl Pool {
    /// A connection that takes a request at once.
    pub(crate) async fn take(&self) -> Option<Origin> {
        loop {
            let mut origin = self.pop()?;
            if origin.idle.elapsed() < IDLE && origin.is_ready().await {
                return Some(origin);
            }
        }
    }

    /// Keeps a connection whose last answer has ended.
    pub(crate) fn put(&self, mut origin: Origin) {
        if origin.sender.is_closed() {
            return;
        }
        origin.idle = Instant::now();
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|origin| origin.idle.elapsed() < IDLE);
        if idle.len() < MOST {
            idle.push(origin);
        }
    }

    /// Closes all that wait.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn pop(&self) -> Option<Origin> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// Shorter than the time after which common servers close one.
const IDLE: Duration = Duration::from_secs(30);
const MOST: usize = 64;
