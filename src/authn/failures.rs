//! Records failed sign-ins, so that an auditor sees each attack and no attack fills the table.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access::{Code, Explain, Name};
use session::{AuditEvent, AuditLog, AuthnError, Door};
use tokio::time::Instant;

use super::throttle::{make_room, network};

/// Writes `authn.failed` at a bounded rate: per address, and of machines per key, since one that was
/// removed may knock for ever. Each row says how many were left out.
pub(super) struct Failures {
    audit: Arc<dyn AuditLog>,
    addresses: Bounded<IpAddr>,
    keys: Bounded<[u8; 32]>,
}

/// So many for each in a window.
struct Bounded<K> {
    window: Duration,
    per_window: u32,
    windows: Mutex<HashMap<K, Window>>,
}

struct Window {
    start: Instant,
    written: u32,
    suppressed: u64,
}

impl Failures {
    pub(super) fn new(audit: Arc<dyn AuditLog>) -> Self {
        let (addresses, keys) = (Bounded::new(WINDOW, PER_WINDOW), Bounded::new(WINDOW_OF_KEY, 1));
        Self { audit, addresses, keys }
    }

    pub(super) fn note(
        &self,
        door: Door,
        from: IpAddr,
        told: AuthnError,
        detail: &str,
        now: Instant,
    ) {
        self.note_of(door, from, None, (told, detail), now);
    }

    /// As [`note`](Self::note), of a user that there is.
    pub(super) fn note_of(
        &self,
        door: Door,
        from: IpAddr,
        user: Option<&Name>,
        (told, detail): (AuthnError, &str),
        now: Instant,
    ) {
        self.note_code(door, from, user, (told.code(), detail), now);
    }

    /// As [`note_of`](Self::note_of), of what is no [`AuthnError`].
    pub(super) fn note_code(
        &self,
        door: Door,
        from: IpAddr,
        user: Option<&Name>,
        (code, detail): (Code, &str),
        now: Instant,
    ) {
        let Some(suppressed) = self.addresses.admit(network(from), now) else { return };
        let user = user.map(ToString::to_string);
        let detail = detail.to_owned();
        self.audit.note(AuditEvent::AuthnFailed { door, from, user, code, detail, suppressed });
    }

    /// Of a machine whose certificate is good, and whose key is not registered. Who has none of the
    /// CA's certificates does not come so far, so the address says nothing more.
    pub(super) fn note_key(
        &self,
        door: Door,
        from: IpAddr,
        key: [u8; 32],
        (told, detail): (AuthnError, &str),
        now: Instant,
    ) {
        let Some(suppressed) = self.keys.admit(key, now) else { return };
        let (code, detail) = (told.code(), detail.to_owned());
        let user = None;
        self.audit.note(AuditEvent::AuthnFailed { door, from, user, code, detail, suppressed });
    }
}

impl<K: Copy + Eq + Hash> Bounded<K> {
    fn new(window: Duration, per_window: u32) -> Self {
        Self { window, per_window, windows: Mutex::default() }
    }

    /// How many were left out before this one; `None` when this one is left out too.
    fn admit(&self, key: K, now: Instant) -> Option<u64> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if !windows.contains_key(&key) {
            // One with a count to report is kept past its window, for as long as there is room.
            let over = |w: &Window, now: Instant| w.suppressed == 0 && now >= w.start + self.window;
            make_room(&mut windows, MOST, now, over, |w| w.start);
        }
        let window = windows.entry(key).or_insert(Window { start: now, written: 0, suppressed: 0 });
        if now >= window.start + self.window {
            (window.start, window.written) = (now, 0);
        }
        if window.written == self.per_window {
            window.suppressed += 1;
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}

const WINDOW: Duration = Duration::from_secs(60);
const PER_WINDOW: u32 = 10;
const WINDOW_OF_KEY: Duration = Duration::from_secs(3600);
const MOST: usize = 8192;

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use session::{AuditError, ClosingSlot};

    use super::*;

    #[test]
    fn an_attack_fills_no_table_and_leaves_its_count() {
        let rows = Arc::new(Rows::default());
        let (failures, start) = (Failures::new(rows.clone()), Instant::now());
        let attacker = "192.0.2.1".parse().unwrap();
        for _ in 0..1000 {
            failures.note(Door::Ssh, attacker, AuthnError::Unknown, "x", start);
        }
        assert_eq!(rows.suppressed(), [0; PER_WINDOW as usize]);
        failures.note(Door::Ssh, "192.0.2.2".parse().unwrap(), AuthnError::Form, "y", start);
        failures.note(Door::Ssh, attacker, AuthnError::Unknown, "z", start + WINDOW);
        assert_eq!(rows.suppressed()[PER_WINDOW as usize..], [0, 990]);
    }

    #[test]
    fn a_machine_that_was_removed_and_knocks_for_ever_is_recorded_once_an_hour() {
        let rows = Arc::new(Rows::default());
        let (failures, start) = (Failures::new(rows.clone()), Instant::now());
        let unknown = (AuthnError::Unknown, "the key of connector:1");
        // Each ten seconds, from one address and another, for two hours and a half.
        for time in 0..900u32 {
            let from = IpAddr::from([192, 0, 2, u8::try_from(time % 2).unwrap()]);
            let now = start + time * Duration::from_secs(10);
            failures.note_key(Door::Connector, from, [1; 32], unknown, now);
        }
        assert_eq!(rows.suppressed(), [0, 359, 359]);
        // Another one's first is not among them, nor who tries something else from there.
        let from = IpAddr::from([192, 0, 2, 1]);
        failures.note_key(Door::Connector, from, [2; 32], unknown, start);
        failures.note(Door::Ssh, from, AuthnError::Unknown, "x", start);
        assert_eq!(rows.suppressed().len(), 5);
    }

    #[derive(Default)]
    struct Rows(Mutex<Vec<AuditEvent>>);

    impl Rows {
        fn suppressed(&self) -> Vec<u64> {
            let count = |event: &AuditEvent| match event {
                AuditEvent::AuthnFailed { suppressed, .. } => *suppressed,
                other => panic!("{other:?}"),
            };
            self.0.lock().unwrap().iter().map(count).collect()
        }
    }

    #[async_trait]
    impl AuditLog for Rows {
        async fn reserve(&self) -> Result<ClosingSlot, AuditError> {
            Err(AuditError::Stopped)
        }

        async fn append(&self, _: AuditEvent) -> Result<(), AuditError> {
            Err(AuditError::Stopped)
        }

        fn note(&self, event: AuditEvent) {
            self.0.lock().unwrap().push(event);
        }
    }
}
