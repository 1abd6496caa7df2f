//! One direction, packet by packet: the first bytes of each are gathered, the rest goes by.

use crate::sftp::LEAST;

pub(super) struct Packets {
    head: Vec<u8>,
    /// How much of the packet is still to come, once its head is there.
    rest: usize,
    told: bool,
    /// How many bytes of a packet its head has, by what is known of it. The more is known, the more
    /// it may be; nothing makes it much.
    wanted: fn(&[u8]) -> usize,
}

pub(super) enum Step<'a> {
    /// The bytes are used up.
    Waits,
    /// A packet's head is there.
    Head,
    /// What follows a head.
    Body(&'a [u8]),
    /// No packet is so long, or so short.
    Broken,
}

impl Packets {
    pub(super) fn new(wanted: fn(&[u8]) -> usize) -> Self {
        Self { head: Vec::new(), rest: 0, told: false, wanted }
    }

    /// The head, with its length, and how many bytes follow it.
    pub(super) fn head(&self) -> (&[u8], usize) {
        (&self.head, self.rest)
    }

    /// Takes some of `data`.
    pub(super) fn step<'a>(&mut self, data: &mut &'a [u8]) -> Step<'a> {
        if self.rest > 0 {
            let bytes = take(data, self.rest);
            self.rest -= bytes.len();
            return Step::Body(bytes);
        }
        if std::mem::take(&mut self.told) {
            self.head.clear();
        }
        loop {
            let Some((needed, whole)) = self.needed() else { return Step::Broken };
            if self.head.len() >= needed {
                (self.told, self.rest) = (true, whole - self.head.len());
                return Step::Head;
            }
            let bytes = take(data, needed - self.head.len());
            self.head.extend_from_slice(bytes);
            if self.head.len() < needed {
                return Step::Waits;
            }
        }
    }

    /// How many bytes the head has, as far as that is known, and the packet.
    fn needed(&self) -> Option<(usize, usize)> {
        let Some(length) = self.head.first_chunk().filter(|_| self.head.len() >= KNOWN) else {
            return Some((KNOWN, usize::MAX));
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let whole = (LEAST..=MOST).contains(&length).then_some(4 + length)?;
        Some(((self.wanted)(&self.head).min(whole), whole))
    }
}

fn take<'a>(data: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (bytes, rest) = data.split_at(most.min(data.len()));
    *data = rest;
    bytes
}

/// A length and a kind.
const KNOWN: usize = 5;
/// No server takes or sends as much; it is not gathered.
const MOST: usize = 4 << 20;
