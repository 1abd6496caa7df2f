//! File descriptors kept back for when there are no others, so that an admin still comes in.

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Descriptors that are open only to be closed in need.
pub(crate) struct Spare {
    state: Mutex<State>,
}

/// A peer that came in on what was kept back. Its going fills the reserve again.
pub(crate) struct Lent {
    spare: Arc<Spare>,
}

#[derive(Default)]
struct State {
    kept: Vec<File>,
    lent: usize,
}

impl Spare {
    pub(crate) fn keep() -> Arc<Self> {
        let spare = Self { state: Mutex::default() };
        spare.refill();
        Arc::new(spare)
    }

    /// Closes what one peer needs; `None`: the reserve is used up.
    pub(crate) fn lend(self: &Arc<Self>) -> Option<Lent> {
        let mut state = self.lock();
        let left = state.kept.len().checked_sub(EACH)?;
        state.kept.truncate(left);
        state.lent += 1;
        Some(Lent { spare: self.clone() })
    }

    /// Opens again what is missing, as far as there is anything to open.
    pub(crate) fn refill(&self) {
        let mut state = self.lock();
        while state.kept.len() + state.lent * EACH < KEPT {
            match File::open("/dev/null") {
                Ok(file) => state.kept.push(file),
                Err(_) => return,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.spare.lock().lent -= 1;
        self.spare.refill();
    }
}

/// A socket, and what its requests may open.
const EACH: usize = 2;
/// Enough for some peers at once. Strangers among them have to make room for each other.
const KEPT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_comes_back_when_the_peer_goes() {
        let spare = Spare::keep();
        let mut peers: Vec<_> = std::iter::from_fn(|| spare.lend()).collect();
        assert_eq!(peers.len(), KEPT / EACH);
        assert_eq!(spare.lock().kept.len(), 0);
        spare.refill();
        assert_eq!(spare.lock().kept.len(), 0, "what is lent is not opened a second time");
        peers.pop();
        assert_eq!(spare.lock().kept.len(), EACH);
        assert!(spare.lend().is_some());
        drop(peers);
        assert_eq!(spare.lock().kept.len(), KEPT);
    }
}
