//! Certificates of the relay's own CA, made when somebody asks for a host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::pair::Pair;
use crate::ca::{Ca, RENEW_BEFORE};

/// Certificates by host. Only hosts of applications are asked for, so strangers make nothing grow.
pub(super) struct Made {
    ca: Arc<Ca>,
    pairs: Mutex<HashMap<String, Arc<Pair>>>,
}

impl Made {
    pub(super) fn new(ca: Arc<Ca>) -> Self {
        Self { ca, pairs: Mutex::default() }
    }

    /// The certificate of a host; `None` where none can be made.
    pub(super) fn of(&self, host: &str, now: SystemTime) -> Option<Arc<Pair>> {
        let mut pairs = self.lock();
        if let Some(pair) = pairs.get(host).filter(|pair| pair.left(now) > RENEW_BEFORE) {
            return Some(pair.clone());
        }
        let made = self.ca.host_certificate(host, now);
        let made = made.inspect_err(|error| tracing::error!(%error, host, "No certificate"));
        let made = made.ok().and_then(|made| Pair::new(&made.chain_pem, &made.key_pem).ok())?;
        // They cost little to make again.
        if pairs.len() >= MOST {
            pairs.clear();
        }
        let pair = Arc::new(made);
        pairs.insert(host.to_owned(), pair.clone());
        Some(pair)
    }

    /// The one that was made, if one was.
    pub(super) fn known(&self, host: &str) -> Option<Arc<Pair>> {
        self.lock().get(host).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Pair>>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Some megabytes.
const MOST: usize = 1024;
