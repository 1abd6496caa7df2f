//! Records failed sign-ins, so that an auditor sees each attack and no attack fills the table.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use access::{Code, Explain, Name};
use session::{AuditEvent, AuditLog, AuthnError, Door};
use tokio::time::Instant;

use super::throttle::{make_room, network};

/// Writes `authn.failed` at a bounded rate per address; each row says how many were left out.
pub(super) struct Failures {
    audit: Arc<dyn AuditLog>,
    addresses: Mutex<HashMap<IpAddr, Window>>,
}

struct Window {
    start: Instant,
    written: u32,
    suppressed: u64,
}

impl Failures {
    pub(super) fn new(audit: Arc<dyn AuditLog>) -> Self {
        Self { audit, addresses: Mutex::default() }
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
        let Some(suppressed) = self.admit(from, now) else { return };
        self.audit.note(AuditEvent::AuthnFailed {
            door,
            from,
            user: user.map(ToString::to_string),
            code,
            detail: detail.to_owned(),
            suppressed,
        });
    }

    /// How many were left out before this one; `None` when this one is left out too.
    fn admit(&self, from: IpAddr, now: Instant) -> Option<u64> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let key = network(from);
        if !addresses.contains_key(&key) {
            // One with a count to report is kept past its window, for as long as there is room.
            let over = |w: &Window, now: Instant| w.suppressed == 0 && now >= w.start + WINDOW;
            make_room(&mut addresses, MOST, now, over, |w| w.start);
        }
        let window =
            addresses.entry(key).or_insert(Window { start: now, written: 0, suppressed: 0 });
        if now >= window.start + WINDOW {
            (window.start, window.written) = (now, 0);
        }
        if window.written == PER_WINDOW {
            window.suppressed += 1;
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}

const WINDOW: Duration = Duration::from_secs(60);
const PER_WINDOW: u32 = 10;
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
