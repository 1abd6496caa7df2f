//! What is known of a path.

use std::time::{Duration, Instant};

use super::round::Ended;

/// The shortest round trip, and the rate at which packets arrive.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// Of this epoch and of the one before: a path that became longer is believed in the end.
    shortest: [Duration; 2],
    epoch: Instant,
    /// Of the last two rounds, in bytes a second: answers that came in one heap make the one of them
    /// look slower than it was.
    rates: [u64; 2],
}

impl Model {
    pub(super) fn new(now: Instant) -> Self {
        Self { shortest: [Duration::MAX; 2], epoch: now, rates: [0; 2] }
    }

    pub(super) fn learn(&mut self, now: Instant, round: &Ended) {
        if now.duration_since(self.epoch) > EPOCH {
            (self.shortest, self.epoch) = ([Duration::MAX, self.shortest[0]], now);
        }
        self.shortest[0] = self.shortest[0].min(round.shortest);
        self.rates = [round.rate, self.rates[0]];
    }

    pub(super) fn shortest(&self) -> Duration {
        self.shortest[0].min(self.shortest[1])
    }

    /// Bytes that arrive in such a time.
    pub(super) fn arrives_in(&self, time: Duration) -> u64 {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.rates[0].max(self.rates[1]).saturating_mul(micros) / 1_000_000
    }
}

const EPOCH: Duration = Duration::from_secs(15);
