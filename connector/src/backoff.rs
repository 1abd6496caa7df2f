//! How long to wait before dialling again.

use std::time::Duration;

use tunnel::ConnectError;

/// Doubles with every failure up to a cap. Half of each wait is drawn at random, so that the
/// connectors of a relay that restarts do not come back in the same moment.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait; `random` is from 0 to 1.
    pub(crate) fn next(&mut self, random: f64) -> Duration {
        self.next_up_to(CAP, random)
    }

    /// The next wait after a dial that failed: longer and longer where the relay says that it knows no
    /// such machine, which somebody has to change.
    pub(crate) fn after(&mut self, error: &ConnectError, random: f64) -> Duration {
        let unknown = matches!(
            error.telling(),
            ConnectError::Refused { source } if source.code == "machine.unknown"
        );
        self.next_up_to(if unknown { CAP_OF_UNKNOWN } else { CAP }, random)
    }

    fn next_up_to(&mut self, cap: Duration, random: f64) -> Duration {
        let full = FIRST.saturating_mul(1 << self.failures.min(16)).min(cap);
        self.failures = self.failures.saturating_add(1);
        full / 2 + (full / 2).mul_f64(random.clamp(0.0, 1.0))
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

const FIRST: Duration = Duration::from_millis(250);
const CAP: Duration = Duration::from_secs(10);
/// A relay's database may be behind for a moment, so the first tries come as soon as any.
const CAP_OF_UNKNOWN: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_begin_anew() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        backoff.reset();
        assert_eq!(backoff.next(0.0).as_millis(), 125);
        for _ in 0..1000 {
            assert!(backoff.next(0.5) <= CAP);
        }
    }

    #[test]
    fn a_machine_that_the_relay_does_not_know_asks_more_and_more_seldom() {
        let refused = |code: &str| ConnectError::Refused {
            source: wire::Refusal { code: code.into(), message: "no".into(), hint: None },
        };
        let unknown = ConnectError::NoWay {
            tried: vec![(tunnel::Transport::Quic, refused("machine.unknown"))],
        };
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..14).map(|_| backoff.after(&unknown, 1.0).as_secs()).collect();
        assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        let other = backoff.after(&refused("certificate.unavailable"), 1.0);
        assert_eq!(other, CAP, "what passes by itself is tried again soon");
    }
}
