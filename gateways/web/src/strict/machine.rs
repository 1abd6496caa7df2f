//! The state machine over a client's bytes: head, body, next head. Pure.

use std::borrow::Cow;

use access::{Code, Explain};
use bytes::{Bytes, BytesMut};

use super::chunked::Chunked;
use super::head::{self, Framing};

/// Why bytes are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a line does not end in CR LF")]
    LineEnd,
    #[error("the request line is none")]
    RequestLine,
    #[error("the version is neither HTTP/1.1 nor HTTP/1.0")]
    Version,
    #[error("the target is neither a path nor an URL of this host")]
    Target,
    #[error("a header is none")]
    Field,
    #[error("a header is folded over lines")]
    Folded,
    #[error("there is not exactly one good Host")]
    Host,
    #[error("the Content-Length is not one number")]
    Length,
    #[error("the Transfer-Encoding is not exactly chunked")]
    TransferEncoding,
    #[error("the chunked body is broken")]
    Chunk,
    #[error("a request with a body asks for another protocol")]
    Upgrade,
    #[error("the head is too large")]
    TooLarge,
}

impl Explain for Malformed {
    fn code(&self) -> Code {
        Code(match self {
            Self::TooLarge => "web.head_too_large",
            Self::LineEnd
            | Self::RequestLine
            | Self::Version
            | Self::Target
            | Self::Field
            | Self::Folded
            | Self::Host
            | Self::Length
            | Self::TransferEncoding
            | Self::Chunk
            | Self::Upgrade => "web.malformed",
        })
    }

    fn public(&self) -> Cow<'static, str> {
        format!("this is no sound HTTP request: {self}").into()
    }
}

/// Where the next byte stands.
#[derive(Debug, Default)]
pub(super) struct Machine {
    state: State,
    /// Bytes of the head under way that were looked at already.
    seen: usize,
    /// Whether its first line was looked at.
    line_seen: bool,
    /// Whether an empty line before it was forgiven; there is one at most, however it comes.
    forgiven: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    Length {
        left: u64,
        last: bool,
    },
    Chunked {
        body: Chunked,
        last: bool,
    },
    /// An upgrade was asked for; its answer decides what comes next.
    Held,
    /// Another protocol.
    Raw,
    /// The last request is over; the rest means nothing.
    Over,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// These bytes are sound.
    Pass(Bytes),
    /// More bytes are needed.
    More,
    /// Nothing passes until the upgrade is decided.
    Hold,
    /// The bytes mean nothing.
    Discard,
}

impl Machine {
    /// Takes sound bytes off the front of `input`.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Next, Malformed> {
        if input.is_empty() && !matches!(self.state, State::Held | State::Over) {
            return Ok(Next::More);
        }
        match &mut self.state {
            State::Head => self.head(input),
            State::Length { left, .. } => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                self.passed(taken);
                Ok(Next::Pass(input.split_to(taken).freeze()))
            }
            State::Chunked { body, last } => {
                let taken = body.take(input)?;
                if body.is_over() {
                    self.state = after(*last);
                }
                Ok(Next::Pass(input.split_to(taken).freeze()))
            }
            State::Held => Ok(Next::Hold),
            State::Raw => Ok(Next::Pass(input.split().freeze())),
            State::Over => Ok(Next::Discard),
        }
    }

    /// How many bytes may pass without being looked at; they are told with [`passed`](Self::passed).
    pub(super) fn unseen(&self) -> usize {
        let most = match &self.state {
            State::Length { left, .. } => *left,
            State::Raw => u64::MAX,
            State::Chunked { body, .. } => body.data_ahead(),
            State::Head | State::Held | State::Over => 0,
        };
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    pub(super) fn passed(&mut self, count: usize) {
        match &mut self.state {
            State::Length { left, last } => {
                *left -= count as u64;
                if *left == 0 {
                    self.state = after(*last);
                }
            }
            State::Chunked { body, .. } => body.skip(count),
            State::Head | State::Held | State::Raw | State::Over => {}
        }
    }

    /// Says how the upgrade that was asked for came out.
    pub(super) fn decide(&mut self, switched: bool) {
        if matches!(self.state, State::Held) {
            self.state = if switched { State::Raw } else { State::Head };
        }
    }

    /// Nothing that comes is looked at any more.
    pub(super) fn close(&mut self) {
        self.state = State::Over;
    }

    /// Whether a request's head has begun and not ended.
    pub(super) fn in_head(&self) -> bool {
        matches!(self.state, State::Head)
    }

    /// Whether a request's body has begun and not ended.
    pub(super) fn in_body(&self) -> bool {
        matches!(self.state, State::Length { .. } | State::Chunked { .. })
    }

    fn head(&mut self, input: &mut BytesMut) -> Result<Next, Malformed> {
        if self.seen == 0 && !self.forgiven {
            self.forgiven = skip_empty_line(input);
            if input.is_empty() || input[..] == *b"\r" {
                return Ok(Next::More);
            }
        }
        let Some(end) = self.head_end(input)? else { return Ok(Next::More) };
        let head = input.split_to(end).freeze();
        let checked = head::check(&head)?;
        (self.seen, self.line_seen, self.forgiven) = (0, false, false);
        self.state = match checked.body {
            _ if checked.upgrade => State::Held,
            Framing::Length(0) => after(checked.last),
            Framing::Length(left) => State::Length { left, last: checked.last },
            Framing::Chunked => State::Chunked { body: Chunked::default(), last: checked.last },
        };
        Ok(Next::Pass(head))
    }

    /// Looks at what is new of a head; says where it ends.
    fn head_end(&mut self, input: &[u8]) -> Result<Option<usize>, Malformed> {
        while let Some(next) = input[self.seen..].iter().position(|byte| is_telling(*byte)) {
            let at = self.seen + next;
            if at + 2 > MAX_HEAD {
                return Err(Malformed::TooLarge);
            }
            match (input[at], input.get(at + 1)) {
                (0, _) | (b'\r', Some(0)) => return Err(Malformed::Field),
                (b'\r', Some(b'\n')) => {}
                (b'\r', None) => {
                    self.seen = at;
                    return Ok(None);
                }
                _ => return Err(Malformed::LineEnd),
            }
            if !self.line_seen {
                head::check_line(&input[..at])?;
                self.line_seen = true;
            }
            self.seen = at + 2;
            if input[..self.seen].ends_with(b"\r\n\r\n") {
                return Ok(Some(self.seen));
            }
        }
        self.seen = input.len();
        if self.seen >= MAX_HEAD {
            return Err(Malformed::TooLarge);
        }
        Ok(None)
    }
}

/// Whether a byte ends a line or stands in none.
fn is_telling(byte: u8) -> bool {
    matches!(byte, 0 | b'\r' | b'\n')
}

fn after(last: bool) -> State {
    if last { State::Over } else { State::Head }
}

/// One empty line before a request is forgiven, as RFC 9112 section 2.2 asks.
fn skip_empty_line(input: &mut BytesMut) -> bool {
    let empty = input.starts_with(b"\r\n");
    if empty {
        drop(input.split_to(2));
    }
    empty
}

pub(super) const MAX_HEAD: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_belongs_to_one_request_however_the_bytes_are_cut() {
        let sent = b"\r\nPOST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
            POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n\
            GET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\n";
        for piece in 1..sent.len() {
            let passed = run(&mut Machine::default(), sent.chunks(piece)).unwrap();
            let text = String::from_utf8(passed).unwrap();
            assert!(text.starts_with("POST /a") && text.ends_with("close\r\n\r\n"), "{text}");
        }
    }

    #[test]
    fn nothing_passes_before_an_upgrade_is_decided() {
        let asked =
            b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        for (switched, rest) in [(true, &b"\x81\x00raw\n"[..]), (false, b"GET / HTTP/1.1\n")] {
            let mut machine = Machine::default();
            let mut input = BytesMut::from(&[&asked[..], rest].concat()[..]);
            assert_eq!(machine.next(&mut input), Ok(Next::Pass(Bytes::from_static(asked))));
            assert_eq!(machine.next(&mut input), Ok(Next::Hold));
            machine.decide(switched);
            let expected = match switched {
                true => Ok(Next::Pass(Bytes::from_static(rest))),
                false => Err(Malformed::LineEnd),
            };
            assert_eq!(machine.next(&mut input), expected);
        }
    }

    #[test]
    fn what_is_no_http_is_refused_before_its_head_ends() {
        let cases: [(&[u8], Malformed); 6] = [
            (b"GET / HTTP/1.1\nHost: x\n\n", Malformed::LineEnd),
            (b"GET / HTTP/1.1\rHost", Malformed::LineEnd),
            (b"GET / HTTP/1.1\r\nA: b\rc", Malformed::LineEnd),
            (b"GET /\0", Malformed::Field),
            (b"GET /\r\n", Malformed::RequestLine),
            (b"\r\n\r\nGET / HTTP/1.1\r\n", Malformed::RequestLine),
        ];
        for (bytes, error) in cases {
            let refused = run(&mut Machine::default(), [bytes].into_iter());
            assert_eq!(refused, Err(error), "{:?}", bytes.escape_ascii().to_string());
        }
        let cut = b"\r\n\r\nGET / HTTP/1.1\r\n".chunks(1);
        assert_eq!(run(&mut Machine::default(), cut), Err(Malformed::RequestLine));
        let long = vec![b'a'; MAX_HEAD];
        assert_eq!(run(&mut Machine::default(), long.chunks(1000)), Err(Malformed::TooLarge));
    }

    fn run<'a>(
        machine: &mut Machine,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<u8>, Malformed> {
        let (mut input, mut passed) = (BytesMut::new(), Vec::new());
        for piece in pieces {
            input.extend_from_slice(piece);
            while let Next::Pass(bytes) = machine.next(&mut input)? {
                passed.extend_from_slice(&bytes);
            }
        }
        Ok(passed)
    }
}
