//! Two machines with one connector's key.
//!
//! A connector that starts again is another process, and the one before it never returns. One that
//! returns after another process took its place is alive beside it: somebody copied its state.

use std::collections::{HashMap, VecDeque};
use std::time::SystemTime;

use access::ConnectorId;

/// What is known of the processes of each connector.
#[derive(Debug, Default)]
pub(super) struct Clones(HashMap<ConnectorId, Known>);

#[derive(Debug, Default)]
struct Known {
    /// Those whose place another has taken, the last ones.
    replaced: VecDeque<String>,
    since: Option<SystemTime>,
}

impl Clones {
    /// Takes note of processes that `process` takes the place of. Whether that shows, for the first
    /// time, that two are alive.
    pub(super) fn note(
        &mut self,
        id: ConnectorId,
        process: Option<&str>,
        replaced: impl Iterator<Item = String>,
        now: SystemTime,
    ) -> bool {
        let known = self.0.entry(id).or_default();
        for process in replaced {
            known.replaced.retain(|other| *other != process);
            known.replaced.push_back(process);
            if known.replaced.len() > KEPT {
                known.replaced.pop_front();
            }
        }
        let returned = process.is_some_and(|process| known.replaced.iter().any(|p| p == process));
        let first = returned && known.since.is_none();
        if first {
            known.since = Some(now);
        }
        first
    }

    /// When it was first seen that a connector has two.
    pub(super) fn since(&self, id: ConnectorId) -> Option<SystemTime> {
        self.0.get(&id)?.since
    }

    /// An enrolment that is over has none.
    pub(super) fn forget(&mut self, id: ConnectorId) {
        self.0.remove(&id);
    }
}

const KEPT: usize = 8;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_process_that_returns_after_another_took_its_place_has_a_clone() {
        let (mut clones, id) = (Clones::default(), ConnectorId(Uuid::nil()));
        let now = SystemTime::now();
        let mut joins = |process, replaced: &[&str]| {
            let replaced = replaced.iter().map(|process| (*process).to_owned());
            clones.note(id, Some(process), replaced, now)
        };
        assert!(!joins("a", &[]));
        // Started again, three times.
        assert!(!joins("b", &["a"]) && !joins("c", &["b"]) && !joins("d", &["c"]));
        // It goes by another way, and comes back.
        assert!(!joins("d", &[]));
        assert!(joins("c", &["d"]));
        assert!(!joins("d", &["c"]), "it is said once");
        assert_eq!(clones.since(id), Some(now));
        clones.forget(id);
        assert_eq!(clones.since(id), None);
    }
}
