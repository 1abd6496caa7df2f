//! A chunked body, checked as it passes.

use super::{Malformed, head};

/// Where in a chunked body the next byte stands.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    state: State,
    /// Bytes of the line so far; of a trailer, the line itself.
    line: Vec<u8>,
    /// Bytes of trailers so far.
    trailers: usize,
}

#[derive(Debug, Default, PartialEq)]
enum State {
    #[default]
    Size,
    /// Bytes of the chunk that are still to come.
    Data(u64),
    DataCr,
    DataLf,
    Trailer,
    Over,
}

impl Chunked {
    /// How many bytes at the front of `bytes` are sound, up to the body's end.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut taken = 0;
        while taken < bytes.len() && self.state != State::Over {
            taken += self.step(&bytes[taken..])?;
        }
        Ok(taken)
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Bytes of plain data that come next, whatever they are.
    pub(super) fn data_ahead(&self) -> u64 {
        match self.state {
            State::Data(left) => left,
            State::Size | State::DataCr | State::DataLf | State::Trailer | State::Over => 0,
        }
    }

    /// Steps over data that has passed by itself, of at most what is ahead.
    pub(super) fn skip(&mut self, count: usize) {
        if let State::Data(left) = self.state {
            let left = left.saturating_sub(count as u64);
            self.state = if left == 0 { State::DataCr } else { State::Data(left) };
        }
    }

    fn step(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        match self.state {
            State::Size => self.line(bytes, |chunked, line| {
                chunked.state = match size(line)? {
                    0 => State::Trailer,
                    size => State::Data(size),
                };
                Ok(())
            }),
            State::Data(left) => {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                self.skip(taken);
                Ok(taken)
            }
            State::DataCr => self.exactly(bytes, b'\r', State::DataLf),
            State::DataLf => self.exactly(bytes, b'\n', State::Size),
            State::Trailer => self.line(bytes, |chunked, line| {
                if line.is_empty() {
                    chunked.state = State::Over;
                    return Ok(());
                }
                chunked.trailers += line.len();
                let (name, _) = head::field(line)?;
                let good = chunked.trailers <= MAX_TRAILERS && !decides(name);
                good.then_some(()).ok_or(Malformed::Chunk)
            }),
            State::Over => Ok(0),
        }
    }

    fn exactly(&mut self, bytes: &[u8], expected: u8, next: State) -> Result<usize, Malformed> {
        if bytes.first() != Some(&expected) {
            return Err(Malformed::Chunk);
        }
        self.state = next;
        Ok(1)
    }

    /// Collects a line, which ends in CR LF and holds neither otherwise.
    fn line(
        &mut self,
        bytes: &[u8],
        ended: impl FnOnce(&mut Self, &[u8]) -> Result<(), Malformed>,
    ) -> Result<usize, Malformed> {
        for (at, byte) in bytes.iter().enumerate() {
            let after_cr = self.line.last() == Some(&b'\r');
            match byte {
                b'\n' if after_cr => {
                    let mut line = std::mem::take(&mut self.line);
                    line.pop();
                    ended(self, &line)?;
                    return Ok(at + 1);
                }
                b'\n' | 0 => return Err(Malformed::Chunk),
                _ if after_cr => return Err(Malformed::Chunk),
                _ if self.line.len() == MAX_LINE => return Err(Malformed::Chunk),
                byte => self.line.push(*byte),
            }
        }
        Ok(bytes.len())
    }
}

/// The size a chunk's first line says. Extensions carry nothing anybody uses, and have been a way to
/// hide bytes: refused.
fn size(line: &[u8]) -> Result<u64, Malformed> {
    let hex = (1..=MAX_SIZE_DIGITS).contains(&line.len()) && line.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(line).ok().filter(|_| hex);
    text.and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or(Malformed::Chunk)
}

/// Whether a header in a trailer would change how the request is read.
fn decides(name: &[u8]) -> bool {
    const DECIDING: [&[u8]; 8] = [
        b"content-length",
        b"transfer-encoding",
        b"host",
        b"connection",
        b"upgrade",
        b"authorization",
        b"cookie",
        b"content-type",
    ];
    DECIDING.iter().any(|deciding| name.eq_ignore_ascii_case(deciding))
}

const MAX_LINE: usize = 8192;
const MAX_TRAILERS: usize = 16 * 1024;
/// Less than what a `u64` holds.
const MAX_SIZE_DIGITS: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_body_passes_whole_however_it_is_cut() {
        let body = b"5\r\nhello\r\n0000A\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n";
        let next = b"GET / HTTP/1.1\r\n";
        let all = [&body[..], next].concat();
        for piece in 1..all.len() {
            let mut chunked = Chunked::default();
            let mut taken = 0;
            for part in all.chunks(piece) {
                taken += chunked.take(part).unwrap();
                if chunked.is_over() {
                    break;
                }
            }
            assert_eq!(taken, body.len(), "in pieces of {piece}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let cases = [
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1 \r\n",
            "\r\n",
            "g\r\n",
            "10000000000000000\r\n",
            "1;a=b\r\n",
            "5\nhello",
            "5\r\nhello\n",
            "5\r\nhello0\r\n",
            "1\r\nAA\r\n",
            "0\r\nContent-Length: 50\r\n",
            "0\r\n folded\r\n",
            "0\r\nA : b\r\n",
            "0\r\nA: \rb\r\n",
            "0\r\n\r0",
        ];
        for case in cases {
            let refused = Chunked::default().take(case.as_bytes());
            assert_eq!(
                refused,
                Err(match case {
                    "0\r\n folded\r\n" => Malformed::Folded,
                    "0\r\nA : b\r\n" => Malformed::Field,
                    _ => Malformed::Chunk,
                }),
                "{case:?}"
            );
        }
        let endless = format!("0\r\n{}", "A: b\r\n".repeat(MAX_TRAILERS));
        assert_eq!(Chunked::default().take(endless.as_bytes()), Err(Malformed::Chunk));
    }
}
