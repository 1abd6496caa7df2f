//! Packets counted by round trips.

use std::time::{Duration, Instant};

/// From one moment to the answer to a packet that was sent after it.
#[derive(Clone, Debug)]
pub(super) struct Round {
    began: Instant,
    last_sent: Instant,
    bytes: u64,
    packets: u32,
    shortest: Duration,
    /// The latest estimate of all round trips.
    pub(super) smoothed: Duration,
    pub(super) marked: bool,
}

/// A round that is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    /// In bytes a second.
    pub(super) rate: u64,
    pub(super) shortest: Duration,
    pub(super) smoothed: Duration,
    pub(super) marked: bool,
}

impl Round {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            last_sent: now,
            bytes: 0,
            packets: 0,
            shortest: Duration::MAX,
            smoothed: Duration::MAX,
            marked: false,
        }
    }

    pub(super) fn acked(&mut self, now: Instant, sent: Instant, bytes: u64) {
        self.bytes += bytes;
        self.packets += 1;
        self.shortest = self.shortest.min(now.saturating_duration_since(sent));
        self.last_sent = self.last_sent.max(sent);
    }

    /// The shortest round trip so far, once there are some to tell.
    pub(super) fn seen(&self) -> Option<Duration> {
        (self.packets >= SOME).then_some(self.shortest)
    }

    /// Begins the next round, if this one is over.
    pub(super) fn end(&mut self, now: Instant) -> Option<Ended> {
        let lasted = now.saturating_duration_since(self.began);
        if self.last_sent <= self.began || lasted.is_zero() {
            return None;
        }
        let micros = u64::try_from(lasted.as_micros()).unwrap_or(u64::MAX).max(1);
        let rate = self.bytes.saturating_mul(1_000_000) / micros;
        let Self { shortest, smoothed, marked, .. } = *self;
        let ended = Ended { rate, shortest, smoothed, marked };
        *self = Self::new(now);
        Some(ended)
    }
}

/// What became of packets since this was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Losses {
    pub(super) acked: u64,
    pub(super) lost: u64,
}

impl Losses {
    /// How many of a thousand bytes were lost, once there are enough of them to tell; counts anew
    /// from then on.
    pub(super) fn judged(&mut self, mtu: u64) -> Option<u64> {
        let all = self.acked + self.lost;
        if all < ENOUGH * mtu {
            return None;
        }
        let lost = if self.lost < FEW * mtu { 0 } else { self.lost * 1000 / all };
        *self = Self::default();
        Some(lost)
    }
}

/// Packets.
const SOME: u32 = 8;
const ENOUGH: u64 = 64;
/// As many are lost by chance.
const FEW: u64 = 4;
