//! What clients write: commands, each an array of strings. Nothing goes on that is none. Pure.

use std::fmt;
use std::ops::Range;

use zeroize::Zeroizing;

/// One command, or the beginning of a long one.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    bytes: &'a [u8],
    spans: &'a [Range<usize>],
    /// How many arguments it has, the name among them.
    pub count: usize,
    pub part: Part,
}

/// How much of a command is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// It is long, and begins: the arguments that are there, whole each.
    Head,
    /// It was long, and ends: its arguments as far as they were kept.
    Tail,
}

impl<'a> Command<'a> {
    /// A command whose arguments are at these places of `bytes`.
    pub fn new(bytes: &'a [u8], spans: &'a [Range<usize>], count: usize, part: Part) -> Self {
        Self { bytes, spans, count, part }
    }

    /// The argument of this number, the name being 0; `None`: there is none, or it is not kept.
    pub fn arg(&self, n: usize) -> Option<&'a [u8]> {
        self.bytes.get(self.spans.get(n)?.clone())
    }

    /// The name as it was written.
    pub fn name(&self) -> &'a [u8] {
        self.arg(0).unwrap_or_default()
    }

    /// The arguments that are there.
    pub fn args(&self) -> impl Iterator<Item = &'a [u8]> {
        let bytes = self.bytes;
        self.spans.iter().filter_map(move |span| bytes.get(span.clone()))
    }
}

/// What becomes of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on as it is.
    Pass,
    /// This goes on in its place.
    Instead(Vec<u8>),
    /// This goes on in its place, and nothing behind it is looked at before that.
    Stop(Vec<u8>),
}

/// What is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("a command is an array of strings, and this begins with {0:#04x}")]
    Inline(u8),
    #[error("a command has no such number of arguments")]
    Count,
    #[error("an argument has no such length")]
    Length,
    #[error("an argument does not end where it should")]
    End,
    #[error("a command's name is too long")]
    Name,
    #[error("a command of that kind is not so long")]
    Long,
    #[error("a reply begins with {0:#04x}, which none does")]
    Kind(u8),
    #[error("a reply's number is none")]
    Number,
    #[error("a reply is nested too deeply")]
    Depth,
    #[error("a reply to nothing that was asked")]
    Unasked,
}

/// Reads what a client writes.
#[derive(Debug, Default)]
pub struct Commands {
    long: Option<Long>,
    spans: Vec<Range<usize>>,
}

/// What of the bytes goes on, in order: all up to `taken` but the cuts, and what stands for those.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    pub taken: usize,
    pub cuts: Vec<(Range<usize>, Vec<u8>)>,
    /// Something ended the look at these bytes before their end.
    pub stopped: bool,
}

impl Commands {
    /// Says what of these bytes may go on: whole commands, and what there is of a long one. The
    /// others are to be shown again with what follows them.
    pub fn scan<E: From<Fault>>(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Command<'_>) -> Result<Fate, E>,
    ) -> Result<Scanned, E> {
        let mut out = Scanned::default();
        loop {
            if let Some(long) = &mut self.long {
                let from = out.taken;
                let (taken, over) = long.take(&bytes[from..])?;
                out.taken += taken;
                if !long.passes && taken > 0 {
                    out.cuts.push((from..out.taken, Vec::new()));
                }
                if !over {
                    return Ok(out);
                }
                if long.passes {
                    each(long.kept())?;
                }
                self.long = None;
            }
            let rest = &bytes[out.taken..];
            match parse(rest, LIMITS, &mut self.spans)? {
                Parsed::Whole { count, length } => {
                    let spans = self.spans.as_slice();
                    let (from, part) = (out.taken, Part::Whole);
                    out.taken += length;
                    match each(Command { bytes: rest, spans, count, part })? {
                        Fate::Pass => {}
                        Fate::Instead(other) => out.cuts.push((from..out.taken, other)),
                        Fate::Stop(other) => {
                            out.cuts.push((from..out.taken, other));
                            out.stopped = true;
                            return Ok(out);
                        }
                    }
                }
                Parsed::Empty { length } => {
                    // A server skips it without an answer.
                    out.cuts.push((out.taken..out.taken + length, Vec::new()));
                    out.taken += length;
                }
                Parsed::Part { .. } if rest.len() < HELD => return Ok(out),
                Parsed::Part { count, length } => {
                    if self.spans.is_empty() {
                        return Err(Fault::Name.into());
                    }
                    let spans = self.spans.as_slice();
                    let fate = each(Command { bytes: rest, spans, count, part: Part::Head })?;
                    let long = Long::begin(rest, spans, count);
                    let from = out.taken;
                    out.taken += length;
                    self.long = Some(match fate {
                        Fate::Pass => long,
                        Fate::Instead(other) => {
                            out.cuts.push((from..out.taken, other));
                            Long { passes: false, ..long }
                        }
                        Fate::Stop(_) => return Err(Fault::Long.into()),
                    });
                }
            }
        }
    }

    /// Whether all that was let on are whole commands.
    pub fn is_between(&self) -> bool {
        self.long.is_none()
    }
}

/// What the beginning of some bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    Whole {
        count: usize,
        length: usize,
    },
    /// A command of no argument, or lines with nothing on them (`redis-cli --pipe` ends with one).
    Empty {
        length: usize,
    },
    /// Of the first `length` bytes each argument is whole.
    Part {
        count: usize,
        length: usize,
    },
}

/// How much a command may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub arguments: usize,
    pub length: usize,
}

/// Looks for the arguments of the command that these bytes begin with.
pub fn parse(bytes: &[u8], limits: Limits, spans: &mut Vec<Range<usize>>) -> Result<Parsed, Fault> {
    spans.clear();
    match bytes.first() {
        None => return Ok(Parsed::Part { count: 0, length: 0 }),
        Some(b'*') => {}
        Some(other) => {
            return match (blank_lines(bytes), bytes) {
                (0, [b'\r']) => Ok(Parsed::Part { count: 0, length: 0 }),
                (0, _) => Err(Fault::Inline(*other)),
                (length, _) => Ok(Parsed::Empty { length }),
            };
        }
    }
    let Some((count, mut at)) = number(bytes, 1).map_err(|()| Fault::Count)? else {
        return Ok(Parsed::Part { count: 0, length: 0 });
    };
    let count = match usize::try_from(count) {
        Ok(0) | Err(_) if count >= -1 => return Ok(Parsed::Empty { length: at }),
        Ok(count) if count <= limits.arguments => count,
        Ok(_) | Err(_) => return Err(Fault::Count),
    };
    for _ in 0..count {
        match bytes.get(at) {
            None => return Ok(Parsed::Part { count, length: at }),
            Some(b'$') => {}
            Some(_) => return Err(Fault::End),
        }
        let Some((length, from)) = number(bytes, at + 1).map_err(|()| Fault::Length)? else {
            return Ok(Parsed::Part { count, length: at });
        };
        let length = usize::try_from(length).map_err(|_| Fault::Length)?;
        if length > limits.length || (spans.is_empty() && length > LONGEST_NAME) {
            return Err(if length > limits.length { Fault::Length } else { Fault::Name });
        }
        let to = from + length;
        match bytes.get(to..to + 2) {
            Some(b"\r\n") => spans.push(from..to),
            Some(_) => return Err(Fault::End),
            None => return Ok(Parsed::Part { count, length: at }),
        }
        at = to + 2;
    }
    Ok(Parsed::Whole { count, length: at })
}

/// How many bytes at the beginning are lines with nothing on them.
fn blank_lines(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match &bytes[at..] {
            [b'\n', ..] => at += 1,
            [b'\r', b'\n', ..] => at += 2,
            _ => return at,
        }
    }
}

/// The number of a line that begins at `from`, and where the next one does; `None`: the line has not
/// come to its end.
fn number(bytes: &[u8], from: usize) -> Result<Option<(i64, usize)>, ()> {
    let rest = bytes.get(from..).unwrap_or_default();
    let line = &rest[..rest.len().min(LONGEST_NUMBER)];
    let Some(end) = line.iter().position(|byte| *byte == b'\r') else {
        let more = line.len() < LONGEST_NUMBER && line.iter().all(|byte| is_numeric(*byte));
        return if more { Ok(None) } else { Err(()) };
    };
    let value = integer(&line[..end]).ok_or(())?;
    match rest.get(end + 1) {
        Some(b'\n') => Ok(Some((value, from + end + 2))),
        Some(_) => Err(()),
        None => Ok(None),
    }
}

pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    // What `parse` takes besides.
    let plain = text.iter().all(|byte| is_numeric(*byte));
    plain.then(|| str::from_utf8(text).ok()?.parse().ok()).flatten()
}

fn is_numeric(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'-'
}

/// A command that goes on before it has come to its end.
#[derive(Debug)]
struct Long {
    count: usize,
    /// Arguments that have not begun.
    left: usize,
    /// Bytes of the one that has, with its end.
    open: usize,
    /// A line that has begun.
    line: Vec<u8>,
    kept: Vec<u8>,
    spans: Vec<Range<usize>>,
    /// Whether the argument that is read is the last one of `spans`.
    keeping: bool,
    passes: bool,
}

impl Long {
    /// Behind these arguments.
    fn begin(bytes: &[u8], spans: &[Range<usize>], count: usize) -> Self {
        let mut long = Self {
            count,
            left: count - spans.len(),
            open: 0,
            line: Vec::new(),
            kept: Vec::new(),
            spans: Vec::new(),
            keeping: false,
            passes: true,
        };
        for span in spans {
            long.keep_argument();
            long.keep(&bytes[span.clone()]);
        }
        long.keeping = false;
        long
    }

    /// How many of these bytes belong to it, and whether it ends with them.
    fn take(&mut self, bytes: &[u8]) -> Result<(usize, bool), Fault> {
        let mut at = 0;
        loop {
            if self.open > 0 {
                let taken = self.open.min(bytes.len() - at);
                self.argument(&bytes[at..at + taken])?;
                at += taken;
                if self.open > 0 {
                    return Ok((at, false));
                }
            }
            if self.left == 0 {
                return Ok((at, true));
            }
            let Some(byte) = bytes.get(at) else { return Ok((at, false)) };
            self.line.push(*byte);
            at += 1;
            if *byte == b'\n' {
                self.head()?;
            } else if self.line.len() > LONGEST_NUMBER {
                return Err(Fault::Length);
            }
        }
    }

    fn head(&mut self) -> Result<(), Fault> {
        let digits = self.line.strip_prefix(b"$").and_then(|line| line.strip_suffix(b"\r\n"));
        let length = digits.and_then(integer).and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|length| *length <= LIMITS.length).ok_or(Fault::Length)?;
        self.line.clear();
        self.left -= 1;
        self.open = length + END.len();
        self.keep_argument();
        Ok(())
    }

    fn argument(&mut self, piece: &[u8]) -> Result<(), Fault> {
        let text = self.open.saturating_sub(END.len()).min(piece.len());
        let (text, end) = piece.split_at(text);
        self.keep(text);
        let seen = END.len().saturating_sub(self.open - text.len());
        if !END[seen..].starts_with(end) {
            return Err(Fault::End);
        }
        self.open -= piece.len();
        Ok(())
    }

    fn keep_argument(&mut self) {
        self.keeping = self.kept.len() < KEPT && self.spans.len() < KEPT / 16;
        if self.keeping {
            self.spans.push(self.kept.len()..self.kept.len());
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        if let Some(span) = self.spans.last_mut().filter(|_| self.keeping) {
            let room = KEPT_OF_ONE.saturating_sub(span.len());
            self.kept.extend_from_slice(&piece[..piece.len().min(room)]);
            span.end = self.kept.len();
        }
    }

    fn kept(&self) -> Command<'_> {
        let Self { kept, spans, count, .. } = self;
        Command { bytes: kept, spans, count: *count, part: Part::Tail }
    }
}

/// Bytes that nobody is shown.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A command.
    pub fn command(args: &[&[u8]]) -> Self {
        let mut out = Zeroizing::default();
        command(&mut out, args);
        Self(out)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// The arguments of a command that has a token among them, without its name.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Vec<Secret>);

impl Secrets {
    pub fn of(command: &Command<'_>) -> Self {
        Self(command.args().skip(1).map(|arg| Secret(Zeroizing::new(arg.to_vec()))).collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Secret::bytes)
    }
}

/// Adds a command to `out`.
pub fn command(out: &mut Vec<u8>, args: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// What a server takes after a login: 512 MB is its own default, and a million arguments its most.
pub const LIMITS: Limits = Limits { arguments: 1024 * 1024, length: 512 * 1024 * 1024 };
/// Commands up to this length go on in one piece.
pub const HELD: usize = 16 * 1024;
/// What is kept of a longer one, and of each argument of it.
const KEPT: usize = 64 * 1024;
const KEPT_OF_ONE: usize = 1024;
const LONGEST_NAME: usize = 64;
const END: &[u8] = b"\r\n";
const LONGEST_NUMBER: usize = 24;

#[cfg(test)]
#[path = "proto_tests.rs"]
mod tests;
