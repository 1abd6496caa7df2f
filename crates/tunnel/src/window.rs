//! How much may be under way to a peer.
//!
//! A window far beyond what the path holds fills the peer's socket buffer until it overflows: on
//! loopback 64 MiB lost thousands of packets at once and a transfer stood still for ten seconds,
//! where 2 MiB lost none and cost an eighth less CPU, because what is sent is still in the cache. A
//! long path needs more to be full. So the window follows the round trip.

use std::net::SocketAddr;
use std::time::Duration;

/// The send window of one connection, fitted to its path.
#[derive(Debug)]
pub(crate) struct SendWindow {
    path: Option<(SocketAddr, Duration)>,
    bytes: u64,
}

impl SendWindow {
    /// What a connection starts with.
    pub(crate) const FIRST: u64 = 2 << 20;
    const LARGEST: u64 = 64 << 20;
    /// Fills 5 Gbit/s.
    const PER_MILLISECOND: u64 = 640 << 10;

    pub(crate) fn new() -> Self {
        Self { path: None, bytes: Self::FIRST }
    }

    /// Takes a round trip as measured on the path to `peer`; the new window in bytes, if it changed.
    ///
    /// Only the shortest one counts: the others show our own queue, and following those would make
    /// it longer still. A peer that has moved is measured anew.
    pub(crate) fn measured(&mut self, peer: SocketAddr, round_trip: Duration) -> Option<u64> {
        let shortest = match self.path {
            Some((known, shortest)) if known == peer => shortest.min(round_trip),
            Some(_) | None => round_trip,
        };
        self.path = Some((peer, shortest));
        let micros = u64::try_from(shortest.as_micros()).unwrap_or(u64::MAX);
        let more = micros.saturating_mul(Self::PER_MILLISECOND) / 1000;
        let bytes = Self::FIRST.saturating_add(more).min(Self::LARGEST);
        let changed = bytes != self.bytes;
        self.bytes = bytes;
        changed.then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: ([u8; 4], u16) = ([10, 0, 0, 1], 443);

    #[test]
    fn a_long_path_gets_a_large_window_and_a_short_one_a_small_one() {
        let window = |micros| {
            let mut window = SendWindow::new();
            window.measured(NEAR.into(), Duration::from_micros(micros)).unwrap_or(SendWindow::FIRST)
        };
        assert_eq!(window(0), 2 << 20);
        assert_eq!(window(1000), (2 << 20) + (640 << 10));
        // 100 ms at 1 Gbit/s are 12.5 MB.
        assert!(window(100_000) > 12_500_000);
        assert_eq!(window(u64::MAX), 64 << 20);
    }

    #[test]
    fn our_own_queue_does_not_make_the_window_grow() {
        let mut window = SendWindow::new();
        let fitted = window.measured(NEAR.into(), Duration::from_millis(1));
        assert!(fitted.is_some());
        assert_eq!(window.measured(NEAR.into(), Duration::from_millis(30)), None);
    }

    #[test]
    fn a_peer_that_moved_is_measured_anew() {
        let mut window = SendWindow::new();
        let near = window.measured(NEAR.into(), Duration::from_millis(1));
        let far = window.measured(([192, 0, 2, 1], 443).into(), Duration::from_millis(80));
        assert!(far > near);
    }
}
