//! What a multiplexed stream consists of: records, each with a head of four bytes.
//!
//! yamux tells the end of a stream and its reset apart from neither side, and has no word for why. So
//! the end is said in the stream itself, and what ends without it is broken.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// One record, or the next piece of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// Bytes of the stream.
    Data(Bytes),
    /// The sender has said all.
    End,
    /// The sender has given the stream up, and why.
    Abort { code: u32 },
    /// The sender closes the connection, and why. On the first stream only.
    Close { code: u32, why: String },
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordError {
    #[error("a record of a kind that nobody sends")]
    Kind,
    #[error("a record of a length that its kind does not have")]
    Length,
}

/// Takes records off a byte stream. A record's bytes are handed on as they come.
#[derive(Debug, Default)]
pub(super) struct Records {
    chunk: Bytes,
    /// A head, or a record other than data, that has come in part.
    partial: BytesMut,
    /// Of the data record that is under way.
    left: usize,
}

impl Records {
    /// Adds received bytes. To be called when [`next`](Self::next) has given `None`.
    pub(super) fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "what came before is taken first");
        self.chunk = chunk;
    }

    /// The next record or piece of one, `None` while more bytes are needed.
    pub(super) fn next(&mut self) -> Result<Option<Record>, RecordError> {
        loop {
            if self.left > 0 {
                return Ok(self.data());
            }
            let Some((kind, length)) = self.head() else { return Ok(None) };
            match kind {
                DATA => {
                    self.left = length;
                    self.partial.clear();
                }
                END | ABORT | CLOSE => return self.other(kind, length),
                _ => return Err(RecordError::Kind),
            }
        }
    }

    fn data(&mut self) -> Option<Record> {
        let piece = self.chunk.split_to(self.left.min(self.chunk.len()));
        self.left -= piece.len();
        (!piece.is_empty()).then_some(Record::Data(piece))
    }

    /// Gathers a head; `None` while it is incomplete.
    fn head(&mut self) -> Option<(u8, usize)> {
        self.gather(HEAD);
        let head = u32::from_be_bytes(*self.partial.first_chunk::<HEAD>()?);
        let [kind, ..] = head.to_be_bytes();
        Some((kind, (head & LENGTH) as usize))
    }

    /// A record that is only understood as a whole, and short.
    fn other(&mut self, kind: u8, length: usize) -> Result<Option<Record>, RecordError> {
        let fits = match kind {
            END => length == 0,
            ABORT => length == CODE,
            _ => (CODE..=CODE + MAX_WHY).contains(&length),
        };
        if !fits {
            return Err(RecordError::Length);
        }
        self.gather(HEAD + length);
        if self.partial.len() < HEAD + length {
            return Ok(None);
        }
        let mut body = std::mem::take(&mut self.partial).freeze();
        body.advance(HEAD);
        if kind == END {
            return Ok(Some(Record::End));
        }
        let code = body.get_u32();
        Ok(Some(match kind {
            ABORT => Record::Abort { code },
            _ => Record::Close { code, why: String::from_utf8_lossy(&body).into_owned() },
        }))
    }

    fn gather(&mut self, total: usize) {
        let missing = total.saturating_sub(self.partial.len());
        let taken = self.chunk.split_to(missing.min(self.chunk.len()));
        self.partial.extend_from_slice(&taken);
    }
}

/// A data record with the first bytes of `data`, which are taken from it. At most [`MAX_DATA`].
pub(super) fn data(data: &mut Bytes) -> Bytes {
    let body = data.split_to(data.len().min(MAX_DATA));
    let mut record = BytesMut::with_capacity(HEAD + body.len());
    record.put_u32(head(DATA, body.len()));
    record.put(body);
    record.freeze()
}

pub(super) fn end() -> Bytes {
    Bytes::copy_from_slice(&head(END, 0).to_be_bytes())
}

pub(super) fn abort(code: u32) -> Bytes {
    let mut record = BytesMut::with_capacity(HEAD + CODE);
    record.put_u32(head(ABORT, CODE));
    record.put_u32(code);
    record.freeze()
}

pub(super) fn close(code: u32, why: &str) -> Bytes {
    let why = &why.as_bytes()[..why.floor_char_boundary(MAX_WHY)];
    let mut record = BytesMut::with_capacity(HEAD + CODE + why.len());
    record.put_u32(head(CLOSE, CODE + why.len()));
    record.put_u32(code);
    record.put_slice(why);
    record.freeze()
}

/// A data record of no bytes: it opens a stream without saying anything.
pub(super) fn nothing() -> Bytes {
    Bytes::copy_from_slice(&head(DATA, 0).to_be_bytes())
}

fn head(kind: u8, length: usize) -> u32 {
    debug_assert!(length <= MAX_DATA, "what is sent is cut before");
    u32::from(kind) << 24 | (u32::try_from(length).unwrap_or_default() & LENGTH)
}

const HEAD: usize = 4;
const LENGTH: u32 = 0x00ff_ffff;
const CODE: usize = 4;
/// With its head it fits one frame of the multiplexer.
const MAX_DATA: usize = 16 * 1024 - HEAD;
const MAX_WHY: usize = 256;
const DATA: u8 = 0;
const END: u8 = 1;
const ABORT: u8 = 2;
const CLOSE: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_however_it_is_cut() {
        let mut long = Bytes::from(vec![7; 40_000]);
        let mut wire = BytesMut::new();
        wire.extend(nothing());
        while !long.is_empty() {
            wire.extend(data(&mut long));
        }
        wire.extend([end(), abort(9), close(3, "gone")].into_iter().flatten());
        for step in [1, 3, 5, 1000, wire.len()] {
            let (mut records, mut bytes, mut others) = (Records::default(), 0, Vec::new());
            for piece in wire.chunks(step) {
                records.push(Bytes::copy_from_slice(piece));
                while let Some(record) = records.next().unwrap() {
                    match record {
                        Record::Data(data) => bytes += data.len(),
                        other => others.push(other),
                    }
                }
            }
            assert_eq!(bytes, 40_000, "in steps of {step}");
            let close = Record::Close { code: 3, why: "gone".into() };
            assert_eq!(others, [Record::End, Record::Abort { code: 9 }, close]);
        }
    }

    #[test]
    fn what_nobody_sends_is_refused_before_it_is_gathered() {
        let wrong = [
            (vec![4, 0, 0, 0], RecordError::Kind),
            (vec![END, 0, 0, 1], RecordError::Length),
            (vec![ABORT, 0, 0, 5], RecordError::Length),
            (vec![CLOSE, 0, 0, 3], RecordError::Length),
            (vec![CLOSE, 0xff, 0xff, 0xff], RecordError::Length),
        ];
        for (bytes, error) in wrong {
            let mut records = Records::default();
            records.push(bytes.into());
            assert_eq!(records.next(), Err(error));
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_two_letters() {
        let why = "ä".repeat(MAX_WHY);
        let mut records = Records::default();
        records.push(close(0, &why));
        let Ok(Some(Record::Close { why, .. })) = records.next() else { panic!("no close") };
        assert_eq!(why, "ä".repeat(MAX_WHY / 2));
    }
}
