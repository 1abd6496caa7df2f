//! Finds the messages in what flows, and lets nothing on that is none. Pure.
//!
//! A message is one packet, or several where it has 16 MiB or more. Each packet has a number: who
//! asks begins at 0, and every following packet of question and answer has the next one.

use crate::proto::head;

/// Which end wrote the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    Client,
    Server,
}

/// One message: its body, or the beginning of a long one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub body: &'a [u8],
    /// Of the whole body.
    pub length: usize,
}

/// A step forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// So many bytes may go on.
    pub count: usize,
    /// What of a body is in them.
    pub piece: &'a [u8],
    /// The message that ends with them.
    pub message: Option<Message<'a>>,
}

/// What is no message that may come now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("packet number {found} came where {expected} was to come")]
    Sequence { expected: u8, found: u8 },
    #[error("a message is longer than any may be")]
    Length,
    #[error("a message is empty")]
    Empty,
    #[error("command {0:#04x} is none that may be sent")]
    Command(u8),
    #[error("a message of command {0:#04x} is too long, or cut short")]
    Body(u8),
    #[error("something was said before the answer to what was asked had ended")]
    Turn,
    #[error("an answer begins with {0:#04x}, which none does")]
    Answer(u8),
    #[error("a file was asked for that no statement names")]
    File,
    #[error("a statement too long to be looked at kills a connection or opens a database")]
    Reach,
}

/// Reads one direction.
#[derive(Debug)]
pub struct Scanner {
    writer: Writer,
    next: u8,
    long: Option<Long>,
}

/// A message that goes on before it has come to its end.
#[derive(Debug)]
struct Long {
    length: usize,
    /// Of the packet that is under way.
    left: usize,
    /// Whether that is the last one.
    last: bool,
    kept: Vec<u8>,
    ended: bool,
}

impl Scanner {
    pub fn new(writer: Writer) -> Self {
        Self { writer, next: 0, long: None }
    }

    /// Says which number the next packet is to have.
    pub fn expect(&mut self, number: u8) {
        self.next = number;
    }

    /// The number that the next packet is to have.
    pub fn next_number(&self) -> u8 {
        self.next
    }

    /// Whether what comes next is the head of a packet.
    pub fn is_at_head(&self) -> bool {
        self.long.as_ref().is_none_or(|long| long.ended || long.left == 0 && !long.last)
    }

    /// Whether all that was let on are whole messages.
    pub fn is_between(&self) -> bool {
        self.long.as_ref().is_none_or(|long| long.ended)
    }

    /// Takes a step into these bytes; `None`: more of them are needed. Those of a step are not to be
    /// shown again.
    pub fn step<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Option<Step<'a>>, Fault> {
        if self.long.as_ref().is_some_and(|long| long.ended) {
            self.long = None;
        }
        if self.long.is_some() { self.on(bytes) } else { self.begin(bytes) }
    }

    fn begin<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Option<Step<'a>>, Fault> {
        let Some((packet, rest)) = bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
        let (length, number) = head(*packet);
        self.check(number)?;
        if length > HELD {
            // Its first byte says what it is, so nothing goes on without that.
            let piece = &rest[..rest.len().min(length)];
            if piece.is_empty() {
                return Ok(None);
            }
            self.count();
            let (last, kept) = (length < FULL, piece[..piece.len().min(self.kept())].to_vec());
            let left = length - piece.len();
            let long = self.long.insert(Long { length, left, last, kept, ended: false });
            return Ok(Some(long.step(HEAD + piece.len(), piece)));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        self.count();
        let message = Some(Message { body, length });
        Ok(Some(Step { count: HEAD + length, piece: body, message }))
    }

    fn on<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Option<Step<'a>>, Fault> {
        let (expected, most) = (self.next, self.kept());
        let Some(long) = &mut self.long else { return Ok(None) };
        if long.left == 0 && !long.last {
            // What follows a packet that is full.
            let Some((packet, _)) = bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
            let (length, found) = head(*packet);
            if found != expected {
                return Err(Fault::Sequence { expected, found });
            }
            (long.left, long.last) = (length, length < FULL);
            long.length += length;
            if long.length > GREATEST {
                return Err(Fault::Length);
            }
            self.next = expected.wrapping_add(1);
            return Ok(Some(long.step(HEAD, &[])));
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let piece = &bytes[..long.left.min(bytes.len())];
        let room = most.saturating_sub(long.kept.len());
        long.kept.extend_from_slice(&piece[..piece.len().min(room)]);
        long.left -= piece.len();
        Ok(Some(long.step(piece.len(), piece)))
    }

    fn check(&self, found: u8) -> Result<(), Fault> {
        let expected = self.next;
        if found == expected { Ok(()) } else { Err(Fault::Sequence { expected, found }) }
    }

    fn count(&mut self) {
        self.next = self.next.wrapping_add(1);
    }

    /// What is kept of a long message, for whoever reads it.
    fn kept(&self) -> usize {
        match self.writer {
            Writer::Client => KEPT,
            Writer::Server => KEPT_OF_ROW,
        }
    }
}

impl Long {
    fn step<'a>(&'a mut self, count: usize, piece: &'a [u8]) -> Step<'a> {
        self.ended = self.left == 0 && self.last;
        let message = Message { body: &self.kept, length: self.length };
        Step { count, piece, message: self.ended.then_some(message) }
    }
}

/// A length and a number.
pub const HEAD: usize = 4;
/// Messages up to this length go on in one piece.
pub const HELD: usize = 32 * 1024;
/// What is kept of a longer one of a client's: a text.
pub const KEPT: usize = 80 * 1024;
const KEPT_OF_ROW: usize = 16;
/// A packet of this length is followed by another one.
const FULL: usize = 0xff_ffff;
/// The most that `max_allowed_packet` can be.
const GREATEST: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(first: u8, length: usize) -> Vec<u8> {
        let (mut bytes, mut left, mut number) = (Vec::new(), length, first);
        loop {
            let now = left.min(FULL);
            let [a, b, c, _] = u32::try_from(now).unwrap().to_le_bytes();
            bytes.extend([a, b, c, number]);
            bytes.resize(bytes.len() + now, 7);
            (left, number) = (left - now, number.wrapping_add(1));
            if now < FULL {
                return bytes;
            }
        }
    }

    type Scanned = (Vec<usize>, Vec<u8>);

    /// All messages' lengths, and the bytes that were let on, when they come in pieces of this size.
    fn scanned(bytes: &[u8], piece: usize) -> Result<Scanned, Fault> {
        let mut scanner = Scanner::new(Writer::Client);
        let (mut seen, mut on, mut held) = (Vec::new(), Vec::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            held.extend_from_slice(piece);
            while let Some(Step { count, message, .. }) = scanner.step(&held)? {
                seen.extend(message.map(|message| message.length));
                on.extend(held.drain(..count));
            }
            assert!(held.len() < HELD + HEAD);
        }
        Ok((seen, on))
    }

    #[test]
    fn a_message_goes_on_whole_and_a_long_one_as_it_comes() {
        let bytes = [framed(0, 9), framed(1, 100_000)].concat();
        let mut scanner = Scanner::new(Writer::Client);
        assert_eq!(scanner.step(&bytes[..12]), Ok(None));
        assert_eq!(scanner.step(&bytes[..15]).unwrap().unwrap().count, 13);
        assert!(scanner.is_between());
        assert_eq!(scanner.step(&bytes[13..17]), Ok(None));
        assert_eq!(scanner.step(&bytes[13..1017]).unwrap().unwrap().count, 1004);
        assert!(!scanner.is_between());
        let last = scanner.step(&bytes[1017..]).unwrap().unwrap();
        let Message { body, length } = last.message.unwrap();
        assert_eq!((last.count, length, body.len()), (99_000, 100_000, KEPT));
        assert!(scanner.is_between());
    }

    #[test]
    fn sixteen_megabytes_and_more_are_one_message() {
        for length in [FULL - 1, FULL, FULL + 1, 2 * FULL, 2 * FULL + 5] {
            let bytes = framed(0, length);
            assert_eq!(scanned(&bytes, 1 << 20), Ok((vec![length], bytes)), "{length}");
        }
    }

    #[test]
    fn a_number_out_of_order_is_not_let_on() {
        for first in [1, 2, 255] {
            let expected = Err(Fault::Sequence { expected: 0, found: first });
            assert_eq!(scanned(&framed(first, 5), 64), expected);
        }
        let mut bytes = framed(0, FULL + 5);
        bytes[HEAD + FULL + 3] = 7;
        assert_eq!(scanned(&bytes, 1 << 20), Err(Fault::Sequence { expected: 1, found: 7 }));
    }

    #[test]
    fn what_never_ends_is_not_let_on() {
        let mut scanner = Scanner::new(Writer::Server);
        let mut packet = vec![0; HEAD + FULL];
        let outcome = (0..100).try_for_each(|number| {
            packet[..HEAD].copy_from_slice(&[0xff, 0xff, 0xff, number]);
            let mut at = 0;
            while let Some(step) = scanner.step(&packet[at..])? {
                at += step.count;
            }
            Ok::<_, Fault>(())
        });
        assert_eq!(outcome, Err(Fault::Length));
        assert!(scanner.long.is_some_and(|long| long.kept.len() <= KEPT_OF_ROW));
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(
            lengths in prop::collection::vec(0usize..70_000, 1..6),
            piece in 1usize..50_000,
        ) {
            let packets = lengths.iter().zip(0..).map(|(length, number)| framed(number, *length));
            let bytes: Vec<u8> = packets.flatten().collect();
            prop_assert_eq!(scanned(&bytes, piece).unwrap(), (lengths, bytes));
        }

        #[test]
        fn no_byte_of_what_is_none_goes_on(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1usize..20) {
            if let Ok((_, on)) = scanned(&bytes, piece) {
                prop_assert!(bytes.starts_with(&on));
            }
        }
    }
}
