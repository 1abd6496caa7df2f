//! The frames a recording is made of: compressed, sealed, numbered by their place.

use std::io;

use access::SessionId;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

/// What the keys of all recordings follow from.
pub struct RecordingsKey(hmac::Key);

impl RecordingsKey {
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The seal of one session's recording.
    pub(crate) fn of(&self, session: SessionId) -> Result<Seal, FrameError> {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"adit recording 1 ");
        context.update(session.0.as_bytes());
        let key = Zeroizing::new(context.sign().as_ref().to_vec());
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| FrameError::Damaged)?;
        Ok(Seal(LessSafeKey::new(key)))
    }
}

impl std::fmt::Debug for RecordingsKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecordingsKey([REDACTED])")
    }
}

/// Seals and opens the frames of one recording. A session is recorded once, by one writer, so that
/// the number of a frame is used once with this key.
pub(crate) struct Seal(LessSafeKey);

/// Whether more follows a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    More,
    Last,
}

/// Why a frame could not be made or opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame is damaged, or not in its place")]
    Damaged,
    #[error("a frame is longer than any that is written")]
    Length,
    #[error("a frame could not be compressed")]
    Compress(#[source] io::Error),
}

impl Seal {
    /// Appends the frame that holds `lines` to `to`.
    pub(crate) fn seal(
        &self,
        number: u64,
        part: Part,
        lines: &[u8],
        to: &mut Vec<u8>,
    ) -> Result<(), FrameError> {
        let mut body = zstd::bulk::compress(lines, LEVEL).map_err(FrameError::Compress)?;
        let sealed =
            self.0.seal_in_place_append_tag(nonce(number), Aad::from([part.byte()]), &mut body);
        sealed.map_err(|_| FrameError::Damaged)?;
        let length = u32::try_from(body.len() + 1).map_err(|_| FrameError::Length)?;
        to.extend_from_slice(&length.to_be_bytes());
        to.push(part.byte());
        to.extend_from_slice(&body);
        Ok(())
    }

    /// The lines of the frame `number`, whose bytes after the length are `frame`.
    pub(crate) fn open(
        &self,
        number: u64,
        mut frame: Vec<u8>,
    ) -> Result<(Part, Vec<u8>), FrameError> {
        let (first, body) = frame.split_first_mut().ok_or(FrameError::Damaged)?;
        let part = Part::of(*first).ok_or(FrameError::Damaged)?;
        let opened = self.0.open_in_place(nonce(number), Aad::from([part.byte()]), body);
        let opened = opened.map_err(|_| FrameError::Damaged)?;
        let lines = zstd::bulk::decompress(opened, MOST_LINES).map_err(|_| FrameError::Damaged)?;
        Ok((part, lines))
    }
}

impl Part {
    fn byte(self) -> u8 {
        match self {
            Self::More => 0,
            Self::Last => 1,
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::More, Self::Last].into_iter().find(|part| part.byte() == byte)
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// What a file begins with.
pub(crate) const MAGIC: &[u8] = b"adit recording 1\n";
/// Bytes of a frame after its length.
pub(crate) const MOST_FRAME: usize = 8 << 20;
/// Bytes of lines in one frame.
const MOST_LINES: usize = 8 << 20;
const LEVEL: i32 = 3;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn seal(session: u128) -> Seal {
        let key = RecordingsKey::new(&[7; 32]);
        key.of(SessionId(Uuid::from_u128(session))).unwrap()
    }

    fn frame(seal: &Seal, number: u64, part: Part) -> Vec<u8> {
        let mut bytes = Vec::new();
        seal.seal(number, part, b"{\"what\":\"output\"}\n", &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_frame_opens_in_its_place_and_nowhere_else() {
        let bytes = frame(&seal(1), 3, Part::More);
        let (length, body) = bytes.split_at(4);
        assert_eq!(usize::try_from(u32::from_be_bytes(length.try_into().unwrap())), Ok(body.len()));
        let (part, lines) = seal(1).open(3, body.to_vec()).unwrap();
        assert_eq!((part, lines.as_slice()), (Part::More, b"{\"what\":\"output\"}\n".as_slice()));
        assert!(seal(1).open(4, body.to_vec()).is_err(), "another number");
        assert!(seal(2).open(3, body.to_vec()).is_err(), "another session");
        let mut last = body.to_vec();
        last[0] = 1;
        assert!(seal(1).open(3, last).is_err(), "said to be the last");
        for at in 0..body.len() {
            let mut flipped = body.to_vec();
            flipped[at] ^= 1;
            assert!(seal(1).open(3, flipped).is_err(), "byte {at}");
        }
        assert!(seal(1).open(3, Vec::new()).is_err());
    }

    #[test]
    fn a_frame_of_a_bomb_is_not_unfolded() {
        let seal = seal(1);
        let mut bytes = Vec::new();
        seal.seal(0, Part::More, &vec![b'x'; MOST_LINES + 1], &mut bytes).unwrap();
        assert!(bytes.len() < 10_000);
        assert!(seal.open(0, bytes[4..].to_vec()).is_err());
    }
}
