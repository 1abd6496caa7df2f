//! Finds the messages in what flows, and lets nothing on that is none. Pure.

/// Which end wrote the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    Client,
    Server,
}

/// One message: its body, or the beginning of a long one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub kind: u8,
    pub body: &'a [u8],
    /// Of the whole body.
    pub length: usize,
}

/// What is no message that this end may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("message type {0:#04x} is none that may be sent now")]
    Kind(u8),
    #[error("a message of type {kind:?} has no length of {length}")]
    Length { kind: char, length: u32 },
    #[error("a message of type {0:?} is cut short")]
    Body(char),
    #[error("message type {0:?} can not be sent while data is copied")]
    Copying(char),
}

/// Reads one direction.
#[derive(Debug)]
pub struct Scanner {
    writer: Writer,
    long: Option<Long>,
}

/// A message that goes on before it has come to its end.
#[derive(Debug)]
struct Long {
    kind: u8,
    length: usize,
    left: usize,
    kept: Vec<u8>,
}

impl Scanner {
    pub fn new(writer: Writer) -> Self {
        Self { writer, long: None }
    }

    /// Says how many of these bytes may go on: whole messages, and what there is of a long one. The
    /// others are to be shown again with what follows them. `each` is called for each message that
    /// ends in them.
    pub fn scan<E: From<Fault>>(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Message<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut at = 0;
        loop {
            if let Some(long) = &mut self.long {
                at += long.take(&bytes[at..]);
                if long.left > 0 {
                    return Ok(at);
                }
                let Long { kind, length, kept, .. } = &*long;
                each(Message { kind: *kind, body: kept, length: *length })?;
                self.long = None;
            }
            let Some((head, rest)) = bytes[at..].split_first_chunk::<HEAD>() else {
                return Ok(at);
            };
            let (kind, length) = self.writer.checked(*head)?;
            match rest.get(..length) {
                Some(body) => {
                    each(Message { kind, body, length })?;
                    at += HEAD + length;
                }
                None if length > HELD => {
                    self.long = Some(Long { kind, length, left: length, kept: Vec::new() });
                    at += HEAD;
                }
                None => return Ok(at),
            }
        }
    }

    /// Whether all that was let on are whole messages.
    pub fn is_between(&self) -> bool {
        self.long.is_none()
    }
}

impl Long {
    fn take(&mut self, bytes: &[u8]) -> usize {
        let taken = self.left.min(bytes.len());
        let room = KEPT.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&bytes[..taken.min(room)]);
        self.left -= taken;
        taken
    }
}

impl Writer {
    fn checked(self, head: [u8; HEAD]) -> Result<(u8, usize), Fault> {
        let [kind, a, b, c, d] = head;
        let length = u32::from_be_bytes([a, b, c, d]);
        let most = self.most(kind).ok_or(Fault::Kind(kind))?;
        if !(4..=most).contains(&length) {
            return Err(Fault::Length { kind: char::from(kind), length });
        }
        let length = usize::try_from(length - 4);
        Ok((kind, length.map_err(|_| Fault::Kind(kind))?))
    }

    /// The greatest length of a message of this kind; `None`: this end sends none after login.
    fn most(self, kind: u8) -> Option<u32> {
        match (self, kind) {
            // As PostgreSQL limits them.
            (Self::Client, b'Q' | b'P' | b'B' | b'F' | b'd') => Some(GREATEST),
            (Self::Client, b'C' | b'D' | b'E' | b'H' | b'S' | b'X' | b'c' | b'f') => Some(10_000),
            (Self::Server, b'A' | b'D' | b'E' | b'N' | b'S' | b'T' | b'V' | b'd' | b't') => {
                Some(GREATEST)
            }
            (
                Self::Server,
                b'1' | b'2' | b'3' | b'C' | b'G' | b'H' | b'I' | b'W' | b'Z' | b'c' | b'n' | b's',
            ) => Some(30_000),
            (Self::Client | Self::Server, _) => None,
        }
    }
}

/// A type and a length.
const HEAD: usize = 5;
/// Messages up to this length go on in one piece.
pub const HELD: usize = 32 * 1024;
/// What is kept of a longer one, for whoever reads it: a text and the names before it.
pub const KEPT: usize = 80 * 1024;
/// What PostgreSQL can have in memory at once.
const GREATEST: u32 = 0x3fff_ffff;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind][..], &length.to_be_bytes(), body].concat()
    }

    type Scanned = (Vec<(u8, usize)>, Vec<u8>);

    /// All messages, and the bytes that were let on, when they come in pieces of this size.
    fn scanned(bytes: &[u8], piece: usize) -> Result<Scanned, Fault> {
        let mut scanner = Scanner::new(Writer::Client);
        let (mut seen, mut on, mut held) = (Vec::new(), Vec::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            held.extend_from_slice(piece);
            let count = scanner.scan(&held, |message| {
                seen.push((message.kind, message.length));
                Ok::<_, Fault>(())
            })?;
            on.extend(held.drain(..count));
        }
        Ok((seen, on))
    }

    #[test]
    fn a_message_goes_on_whole_and_a_long_one_as_it_comes() {
        let bytes = [framed(b'Q', b"select 1\0"), framed(b'd', &[7; 100_000])].concat();
        let mut scanner = Scanner::new(Writer::Client);
        let mut none = |_: Message<'_>| Ok::<_, Fault>(());
        assert_eq!(scanner.scan(&bytes[..13], &mut none), Ok(0));
        assert_eq!(scanner.scan(&bytes[..17], &mut none), Ok(14));
        assert!(scanner.is_between());
        assert_eq!(scanner.scan(&bytes[14..1014], &mut none), Ok(1000));
        assert!(!scanner.is_between());
        assert_eq!(scanner.scan(&bytes[1014..], &mut none), Ok(bytes.len() - 1014));
        assert!(scanner.is_between());
    }

    #[test]
    fn what_is_no_message_is_not_let_on() {
        let head = |kind: u8, length: u32| [&[kind][..], &length.to_be_bytes()].concat();
        for length in [0, 3, 0x4000_0000, 1 << 31, u32::MAX] {
            assert!(scanned(&head(b'Q', length), 64).is_err(), "{length}");
        }
        for kind in [0, 0xff, b'p', b'R', b'Z', b'S' + 1] {
            assert_eq!(scanned(&head(kind, 8), 64), Err(Fault::Kind(kind)));
        }
        assert!(scanned(&head(b'S', 10_001), 64).is_err());
        // A startup packet, or a request for TLS, after the login.
        assert_eq!(scanned(&[0, 0, 0, 8, 4, 210, 22, 47], 64), Err(Fault::Kind(0)));
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(
            bodies in prop::collection::vec((0usize..3, 0usize..70_000), 1..6),
            piece in 1usize..50_000,
        ) {
            let kinds = [b'Q', b'd', b'B'];
            let bytes: Vec<u8> =
                bodies.iter().flat_map(|(kind, length)| framed(kinds[*kind], &vec![1; *length])).collect();
            let (seen, on) = scanned(&bytes, piece).unwrap();
            let expected: Vec<_> = bodies.iter().map(|(kind, length)| (kinds[*kind], *length)).collect();
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(on, bytes);
        }

        #[test]
        fn no_byte_of_what_is_none_goes_on(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1usize..20) {
            if let Ok((_, on)) = scanned(&bytes, piece) {
                prop_assert!(bytes.starts_with(&on));
            }
        }
    }
}
