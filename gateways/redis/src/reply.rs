//! What servers write: replies of either version of the protocol, of any length, in pieces of any
//! size. Nothing goes on that is none. Pure.

use crate::proto::{Fault, integer};

/// What was seen of a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The character that it began with, attributes aside.
    pub kind: u8,
    /// The beginning of a line's or a string's text; of an array's first element.
    pub text: Vec<u8>,
    /// The last number among an array's own elements.
    pub number: Option<i64>,
    /// How many elements it has, where it has any: pairs of a map count once.
    pub elements: Option<u64>,
    /// The first error among an array's own elements.
    pub inner: Option<Vec<u8>>,
}

impl Seen {
    pub fn is_error(&self) -> bool {
        matches!(self.kind, b'-' | b'!')
    }
}

/// What is told of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// With the byte at this place begins a reply of this kind.
    Begins(usize, u8),
    /// Before the byte at this place it ends.
    Ends(usize, Seen),
}

/// Reads what a server writes.
#[derive(Debug, Default)]
pub struct Replies {
    /// What is open, the outermost first.
    open: Vec<Open>,
    /// Bytes of a string that are still to come, with its end.
    left: u64,
    line: Option<Line>,
    seen: Option<Seen>,
    noting: Noting,
    /// Whether an element has been seen.
    told: bool,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    left: u64,
    /// What it says is of the value that follows it, and no value itself.
    attribute: bool,
}

/// A line that has begun.
#[derive(Debug, Default)]
struct Line {
    kind: u8,
    kept: Vec<u8>,
    /// Whether the last byte was the first one of its end.
    ending: bool,
}

impl Replies {
    /// Looks at bytes that follow those of the last call.
    pub fn scan<E: From<Fault>>(
        &mut self,
        bytes: &[u8],
        mut tell: impl FnMut(Told) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut at = 0;
        while at < bytes.len() {
            if self.left > 0 {
                at += self.string(&bytes[at..])?;
            } else if self.line.is_some() {
                at += self.line(&bytes[at..])?;
            } else {
                let kind = bytes[at];
                if self.seen.is_none() {
                    tell(Told::Begins(at, kind))?;
                    (self.seen, self.told) = (Some(Seen::default()), false);
                }
                self.begin(kind)?;
                at += 1;
            }
            if self.is_whole()
                && let Some(seen) = self.seen.take()
            {
                tell(Told::Ends(at, seen))?;
            }
        }
        Ok(())
    }

    /// Whether all that was looked at are whole replies.
    pub fn is_between(&self) -> bool {
        self.seen.is_none()
    }

    fn is_whole(&self) -> bool {
        // An attribute of the outermost value ends before that begins.
        self.open.is_empty()
            && self.left == 0
            && self.line.is_none()
            && self.seen.as_ref().is_some_and(|seen| seen.kind != 0)
    }

    fn begin(&mut self, kind: u8) -> Result<(), Fault> {
        match kind {
            b'+' | b'-' | b':' | b'$' | b'*' | b'_' | b',' | b'#' | b'!' | b'=' | b'(' | b'%'
            | b'~' | b'>' | b'|' => {
                self.line = Some(Line { kind, ..Line::default() });
                Ok(())
            }
            other => Err(Fault::Kind(other)),
        }
    }

    fn string(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let text = usize::try_from(self.left.saturating_sub(2)).unwrap_or(usize::MAX).min(taken);
        self.note(&bytes[..text]);
        self.left -= text as u64;
        for byte in &bytes[text..taken] {
            let expected = if self.left == 2 { b'\r' } else { b'\n' };
            if *byte != expected {
                return Err(Fault::End);
            }
            self.left -= 1;
        }
        if self.left == 0 {
            self.value();
        }
        Ok(taken)
    }

    fn line(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let Some(line) = &mut self.line else { return Ok(0) };
        if line.ending {
            return match bytes.first() {
                Some(b'\n') => {
                    let line = self.line.take().unwrap_or_default();
                    self.read(&line).map(|()| 1)
                }
                Some(_) | None => Err(Fault::End),
            };
        }
        let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let (text, taken) = match end {
            Some(end) if bytes[end] == b'\r' => {
                line.ending = true;
                (&bytes[..end], end + 1)
            }
            Some(_) => return Err(Fault::End),
            None => (bytes, bytes.len()),
        };
        let room = KEPT.saturating_sub(line.kept.len());
        line.kept.extend_from_slice(&text[..text.len().min(room)]);
        let is_text = matches!(line.kind, b'+' | b'-' | b'(' | b',');
        if text.len() > room && !is_text {
            return Err(Fault::Number);
        }
        Ok(taken)
    }

    fn read(&mut self, line: &Line) -> Result<(), Fault> {
        let Line { kind, kept, .. } = line;
        let number = || integer(kept).ok_or(Fault::Number);
        match kind {
            b'+' | b'-' | b',' | b'(' | b'#' | b'_' => {
                self.shows(*kind, None);
                self.note(kept);
                self.value();
            }
            b':' => {
                let number = number()?;
                self.shows(*kind, None);
                if matches!(self.open.as_slice(), [outer] if !outer.attribute)
                    && let Some(seen) = &mut self.seen
                {
                    seen.number = Some(number);
                }
                self.value();
            }
            b'$' | b'!' | b'=' => {
                self.shows(*kind, None);
                match u64::try_from(number()?) {
                    Ok(length) if length <= LONGEST => self.left = length + 2,
                    Ok(_) => return Err(Fault::Length),
                    Err(_) => self.value(),
                }
            }
            b'|' => {
                let pairs = u64::try_from(number()?).map_err(|_| Fault::Number)?;
                self.enter(pairs.checked_mul(2).ok_or(Fault::Number)?, true)?;
            }
            _ => {
                let Ok(count) = u64::try_from(number()?) else {
                    self.shows(*kind, None);
                    self.value();
                    return Ok(());
                };
                let many = if *kind == b'%' { count.checked_mul(2) } else { Some(count) };
                self.shows(*kind, Some(count));
                self.enter(many.ok_or(Fault::Number)?, false)?;
            }
        }
        Ok(())
    }

    fn enter(&mut self, left: u64, attribute: bool) -> Result<(), Fault> {
        match left {
            0 if attribute => {}
            0 => self.value(),
            _ if self.open.len() >= DEEPEST => return Err(Fault::Depth),
            _ => self.open.push(Open { left, attribute }),
        }
        Ok(())
    }

    /// A value has come to its end, and with it those of which it is the last.
    fn value(&mut self) {
        while let Some(open) = self.open.last_mut() {
            open.left -= 1;
            if open.left > 0 {
                return;
            }
            let attribute = open.attribute;
            self.open.pop();
            if attribute {
                return;
            }
        }
    }

    /// A value of this kind begins.
    fn shows(&mut self, kind: u8, elements: Option<u64>) {
        let Some(seen) = &mut self.seen else { return };
        self.noting = match self.open.as_slice() {
            [] => {
                (seen.kind, seen.elements) = (kind, elements);
                Noting::Text
            }
            [outer] if outer.attribute => Noting::Nothing,
            [_] if matches!(kind, b'-' | b'!') && seen.inner.is_none() => {
                seen.inner = Some(Vec::new());
                Noting::Inner
            }
            [_] if !self.told => Noting::Text,
            _ => Noting::Nothing,
        };
        self.told |= matches!(self.open.as_slice(), [outer] if !outer.attribute);
    }

    /// Keeps the beginning of what is told first.
    fn note(&mut self, text: &[u8]) {
        let Some(seen) = &mut self.seen else { return };
        let kept = match self.noting {
            Noting::Text => &mut seen.text,
            Noting::Inner => seen.inner.get_or_insert_default(),
            Noting::Nothing => return,
        };
        let room = KEPT.saturating_sub(kept.len());
        kept.extend_from_slice(&text[..text.len().min(room)]);
    }
}

/// Which text is being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Noting {
    #[default]
    Nothing,
    Text,
    Inner,
}

/// What is kept of a text.
const KEPT: usize = 128;
/// Nobody answers with so much nested, but a script that wants to.
const DEEPEST: usize = 128;
/// Four times what a client may set; a server can be told to take more than that.
const LONGEST: u64 = 4 * 1024 * 1024 * 1024;

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
