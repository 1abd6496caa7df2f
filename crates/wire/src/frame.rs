//! One frame: a big-endian `u32` length and that many bytes of JSON.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest body of a frame, in bytes.
pub const MAX_FRAME: usize = 64 * 1024;

/// Why bytes are not a frame, or a message does not fit one.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {length} bytes is longer than {MAX_FRAME}")]
    TooLong { length: usize },
    #[error("a frame is not a message")]
    Malformed { source: serde_json::Error },
}

/// The frame that carries `message`.
pub fn encode<T: Serialize>(message: &T) -> Result<Bytes, FrameError> {
    let mut frame = BytesMut::with_capacity(TYPICAL);
    frame.put_u32(0);
    let mut writer = frame.writer();
    serde_json::to_writer(&mut writer, message)
        .map_err(|source| FrameError::Malformed { source })?;
    let mut frame = writer.into_inner();
    let length = frame.len() - HEAD;
    let too_long = FrameError::TooLong { length };
    let head = u32::try_from(length).ok().filter(|_| length <= MAX_FRAME).ok_or(too_long)?;
    frame[..HEAD].copy_from_slice(&head.to_be_bytes());
    Ok(frame.freeze())
}

/// Takes frames off a byte stream, and leaves what stands behind them untouched.
///
/// A frame that arrives in one piece is not copied; one that arrives in pieces is gathered in a
/// buffer of exactly its length.
#[derive(Debug, Default)]
pub struct Inbox {
    partial: BytesMut,
    chunk: Bytes,
}

impl Inbox {
    /// Adds received bytes. To be called when [`message`](Self::message) has given `None`.
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            let mut joined = BytesMut::with_capacity(self.chunk.len() + chunk.len());
            joined.put(self.chunk.split_to(self.chunk.len()));
            joined.put(chunk);
            self.chunk = joined.freeze();
        }
    }

    /// The next message, `None` while its frame is incomplete.
    pub fn message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let Some(body) = self.body()? else { return Ok(None) };
        serde_json::from_slice(&body).map(Some).map_err(|source| FrameError::Malformed { source })
    }

    /// What was received behind the last message, once nothing more is to be read as frames.
    pub fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.chunk)
    }

    /// Whether a frame has begun and not ended.
    pub fn is_partial(&self) -> bool {
        !self.partial.is_empty() || !self.chunk.is_empty()
    }

    fn body(&mut self) -> Result<Option<Bytes>, FrameError> {
        if self.partial.is_empty()
            && let Some(length) = length(&self.chunk)?
            && self.chunk.len() >= HEAD + length
        {
            self.chunk.advance(HEAD);
            return Ok(Some(self.chunk.split_to(length)));
        }
        self.gather(HEAD);
        let Some(length) = length(&self.partial)? else { return Ok(None) };
        self.gather(HEAD + length);
        if self.partial.len() < HEAD + length {
            return Ok(None);
        }
        let mut frame = std::mem::take(&mut self.partial).freeze();
        frame.advance(HEAD);
        Ok(Some(frame))
    }

    /// Moves bytes from the chunk until `total` are gathered or the chunk is used up.
    fn gather(&mut self, total: usize) {
        let missing = total.saturating_sub(self.partial.len());
        let taken = self.chunk.split_to(missing.min(self.chunk.len()));
        if !taken.is_empty() {
            self.partial.reserve(missing);
            self.partial.put(taken);
        }
    }
}

/// The length a frame announces; checked before anything is allocated for it.
fn length(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(head) = bytes.first_chunk::<HEAD>() else { return Ok(None) };
    let length = u32::from_be_bytes(*head) as usize;
    if length > MAX_FRAME {
        return Err(FrameError::TooLong { length });
    }
    Ok(Some(length))
}

const HEAD: usize = 4;
/// Holds nearly every header and reply without growing.
const TYPICAL: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_arrive_whole_however_they_are_cut(
            texts in prop::collection::vec(".{0,300}", 1..6),
            tail in prop::collection::vec(any::<u8>(), 0..40),
            cuts in prop::collection::vec(1usize..50, 1..60),
        ) {
            let mut wire = BytesMut::new();
            for text in &texts {
                wire.put(encode(text).unwrap());
            }
            wire.put(&tail[..]);
            let mut wire = wire.freeze();
            let (mut inbox, mut got, mut cuts) = (Inbox::default(), Vec::new(), cuts.iter().cycle());
            while got.len() < texts.len() {
                match inbox.message::<String>().unwrap() {
                    Some(text) => got.push(text),
                    None => inbox.push(wire.split_to((*cuts.next().unwrap()).min(wire.len()))),
                }
            }
            prop_assert_eq!(got, texts);
            let mut rest = BytesMut::from(&inbox.rest()[..]);
            rest.put(wire);
            prop_assert_eq!(&rest[..], &tail[..]);
        }

        #[test]
        fn no_bytes_make_the_inbox_panic(chunks in prop::collection::vec(
            prop::collection::vec(any::<u8>(), 0..64), 0..20)) {
            let mut inbox = Inbox::default();
            for chunk in chunks {
                inbox.push(chunk.into());
                while let Ok(Some(value)) = inbox.message::<serde_json::Value>() {
                    drop(value);
                }
            }
        }
    }

    #[test]
    fn a_length_past_the_cap_is_refused_before_anything_is_held_for_it() {
        for cut in 1..=4 {
            let mut inbox = Inbox::default();
            let mut head = Bytes::copy_from_slice(&(u32::MAX).to_be_bytes());
            inbox.push(head.split_to(cut));
            if cut < 4 {
                assert!(inbox.message::<String>().unwrap().is_none());
                inbox.push(head);
            }
            let refused = inbox.message::<String>();
            assert!(matches!(refused, Err(FrameError::TooLong { .. })), "{refused:?}");
            assert!(inbox.partial.capacity() < 1024, "{}", inbox.partial.capacity());
        }
    }

    #[test]
    fn a_message_past_the_cap_is_not_sent() {
        let text = "x".repeat(MAX_FRAME - 2);
        assert_eq!(encode(&text).unwrap().len(), HEAD + MAX_FRAME);
        assert!(matches!(encode(&format!("{text}x")), Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn a_frame_that_is_no_json_is_refused() {
        for body in [&b""[..], b"{", b"nope", b"\xff\xff", b"\"a\" \"b\""] {
            let mut frame = BytesMut::new();
            frame.put_u32(u32::try_from(body.len()).unwrap());
            frame.put(body);
            let mut inbox = Inbox::default();
            inbox.push(frame.freeze());
            let refused = inbox.message::<String>();
            assert!(matches!(refused, Err(FrameError::Malformed { .. })), "{refused:?}");
        }
    }
}
