//! The last of what a terminal showed, for a browser that was away or is slow.

use std::collections::VecDeque;

use axum::body::Bytes;

/// Bytes counted from the first a terminal ever showed; the last [`KEPT`] of them are there.
#[derive(Default)]
pub(super) struct Ring {
    bytes: VecDeque<u8>,
    /// How many there were before the first one kept.
    gone: u64,
}

impl Ring {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let bytes = match bytes.len().checked_sub(KEPT) {
            Some(more) => {
                self.gone += (self.bytes.len() + more) as u64;
                self.bytes.clear();
                &bytes[more..]
            }
            None => bytes,
        };
        let over = (self.bytes.len() + bytes.len()).saturating_sub(KEPT);
        self.bytes.drain(..over);
        self.gone += over as u64;
        self.bytes.extend(bytes);
    }

    /// The number of the next byte.
    pub(super) fn end(&self) -> u64 {
        self.gone + self.bytes.len() as u64
    }

    /// Where who has seen this many goes on: there, or, where that is gone or never was, at the first
    /// byte that is kept.
    pub(super) fn from(&self, seen: u64) -> u64 {
        if (self.gone..=self.end()).contains(&seen) { seen } else { self.gone }
    }

    /// Up to `most` bytes from this one on, or from the first that is kept.
    pub(super) fn piece(&self, from: u64, most: usize) -> Bytes {
        let first = usize::try_from(from.saturating_sub(self.gone)).unwrap_or(usize::MAX);
        let first = first.min(self.bytes.len());
        let last = first.saturating_add(most).min(self.bytes.len());
        self.bytes.range(first..last).copied().collect::<Vec<u8>>().into()
    }
}

/// Bytes of one terminal: some thousand lines.
pub(super) const KEPT: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_back_gets_what_they_missed_and_nothing_twice() {
        let mut ring = Ring::default();
        ring.push(b"hello ");
        ring.push(b"world");
        assert_eq!((ring.end(), ring.from(6), ring.from(11)), (11, 6, 11));
        assert_eq!(ring.piece(6, 100), "world");
        assert_eq!(ring.piece(6, 2), "wo");
        assert_eq!(ring.piece(11, 100), "");
        // Somebody who says more than there was gets all.
        assert_eq!(ring.from(12), 0);
    }

    #[test]
    fn it_keeps_the_last_bytes_however_they_come() {
        for size in [1000, KEPT - 1, KEPT, KEPT + 1, 3 * KEPT] {
            let mut ring = Ring::default();
            ring.push(b"first");
            for _ in 0..4 {
                ring.push(&vec![b'x'; size]);
            }
            ring.push(b"last");
            let all = 5 + 4 * size as u64 + 4;
            assert_eq!(ring.end(), all, "{size}");
            let from = ring.from(0);
            let kept = ring.piece(from, usize::MAX);
            assert_eq!(from, all - kept.len() as u64);
            assert_eq!(kept.len() as u64, all.min(KEPT as u64), "{size}");
            assert!(kept.ends_with(b"xlast"));
        }
    }
}
