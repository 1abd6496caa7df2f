//! Whether bytes that are forwarded are SSH in their turn.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// The beginnings of both directions of one channel.
#[derive(Debug, Default)]
pub(crate) struct Sniff {
    up: Beginning,
    down: Beginning,
    told: AtomicBool,
}

impl Sniff {
    /// Whether these bytes, on their way to the target, show that it is SSH; told once.
    pub(crate) fn up(&self, data: &[u8]) -> bool {
        self.up.shows(data) && !self.told.swap(true, Relaxed)
    }

    /// The same on the way to the user.
    pub(crate) fn down(&self, data: &[u8]) -> bool {
        self.down.shows(data) && !self.told.swap(true, Relaxed)
    }

    pub(crate) fn is_ssh(&self) -> bool {
        self.told.load(Relaxed)
    }
}

/// How many bytes so far are those an SSH peer begins with (RFC 4253, section 4.2).
#[derive(Debug, Default)]
struct Beginning(AtomicUsize);

impl Beginning {
    fn shows(&self, data: &[u8]) -> bool {
        let seen = self.0.load(Relaxed);
        if seen >= GREETING.len() || data.is_empty() {
            return false;
        }
        let rest = &GREETING[seen..];
        let length = rest.len().min(data.len());
        let next = if data[..length] == rest[..length] { seen + length } else { OTHER };
        self.0.store(next, Relaxed);
        next == GREETING.len()
    }
}

const GREETING: &[u8] = b"SSH-";
const OTHER: usize = usize::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_is_known_by_its_first_bytes_in_either_direction_and_told_once() {
        let told = |chunks: &[&[u8]]| {
            let sniff = Sniff::default();
            chunks.iter().filter(|chunk| sniff.up(chunk)).count()
        };
        assert_eq!(told(&[b"SSH-2.0-x\r\n", b"SSH-"]), 1);
        assert_eq!(told(&[b"S", b"", b"SH", b"-2.0"]), 1);
        for other in [&[&b"GET / SSH-"[..]][..], &[b"SS", b"L"], &[b"x", b"SSH-"], &[b"SSH"]] {
            assert_eq!(told(other), 0, "{other:?}");
        }
        let sniff = Sniff::default();
        assert!(!sniff.up(b"junk") && !sniff.is_ssh());
        assert!(sniff.down(b"SSH-2.0-y\r\n") && !sniff.up(b"SSH-") && sniff.is_ssh());
    }
}
