//! What terminals showed, line by line, as it is searched.
//!
//! A line is what stood there when the terminal went on to another: by a line feed, by moving the
//! cursor to another row, or by writing over it from its beginning. INVARIANT: pure, and bounded.

use std::collections::HashMap;

use api::{RecordingEvent, RecordingMatch};

use crate::scan::Finder;
use crate::vt::{Act, Control, Parser};

/// Finds a text in what terminals showed, whatever the case of its letters.
pub(crate) struct Searched {
    text: String,
    /// Unix milliseconds: only what was shown from then on, and before then.
    from_ms: u64,
    until_ms: u64,
    whose: RecordingMatch,
    lines: HashMap<u32, Line>,
}

/// The line that a terminal's cursor is on.
#[derive(Default)]
struct Line {
    parser: Parser,
    cells: Vec<char>,
    column: usize,
    /// The cursor was sent to its beginning.
    returned: bool,
    began_ms: u64,
}

impl Searched {
    /// `whose`: what is told of each find, but for the find.
    pub(crate) fn new(text: &str, (from_ms, until_ms): (u64, u64), whose: RecordingMatch) -> Self {
        Self { text: text.to_lowercase(), from_ms, until_ms, whose, lines: HashMap::new() }
    }

    fn matches(&self, channel: u32, lines: Vec<(u64, String)>) -> Vec<RecordingMatch> {
        let found = lines.into_iter().filter(|(at_ms, line)| {
            let at = self.whose.opened_ms.saturating_add(*at_ms);
            (self.from_ms..self.until_ms).contains(&at) && line.to_lowercase().contains(&self.text)
        });
        found
            .map(|(at_ms, line)| RecordingMatch { at_ms, channel, line, ..self.whose.clone() })
            .collect()
    }
}

impl Finder for Searched {
    type Found = RecordingMatch;

    fn take(&mut self, event: &RecordingEvent) -> Vec<RecordingMatch> {
        match event {
            RecordingEvent::Output { at_ms, channel, text } => {
                if self.lines.len() >= MOST_TERMINALS && !self.lines.contains_key(channel) {
                    return Vec::new();
                }
                let lines = self.lines.entry(*channel).or_default().output(*at_ms, text);
                self.matches(*channel, lines)
            }
            RecordingEvent::Ended { channel, .. } => {
                let Some(mut line) = self.lines.remove(channel) else { return Vec::new() };
                self.matches(*channel, Vec::from_iter(line.end()))
            }
            RecordingEvent::Session { .. }
            | RecordingEvent::Began { .. }
            | RecordingEvent::Resized { .. }
            | RecordingEvent::Typed { .. }
            | RecordingEvent::Input { .. }
            | RecordingEvent::File { .. }
            | RecordingEvent::Change { .. }
            | RecordingEvent::Screen { .. }
            | RecordingEvent::Repaint { .. }
            | RecordingEvent::Key { .. }
            | RecordingEvent::Lost { .. } => Vec::new(),
        }
    }

    fn end(&mut self) -> Vec<RecordingMatch> {
        let ended = self.lines.drain().map(|(channel, mut line)| (channel, line.end()));
        let ended: Vec<_> = ended.collect();
        let matches =
            |(channel, line): (u32, Option<_>)| self.matches(channel, Vec::from_iter(line));
        ended.into_iter().flat_map(matches).collect()
    }

    fn is_idle(&self) -> bool {
        self.lines.values().all(|line| line.cells.is_empty())
    }
}

impl Line {
    fn output(&mut self, at_ms: u64, text: &str) -> Vec<(u64, String)> {
        let mut lines = Vec::new();
        for c in text.chars() {
            match self.parser.take(c) {
                Some(Act::Print(c)) => lines.extend(self.print(at_ms, c)),
                Some(Act::Single('\r')) => (self.column, self.returned) = (0, true),
                Some(Act::Single('\u{8}')) => self.column = self.column.saturating_sub(1),
                Some(Act::Single('\t')) => self.column = (self.column / 8 * 8 + 8).min(LONGEST),
                Some(
                    Act::Single('\n' | '\u{b}' | '\u{c}') | Act::Escape('D' | 'E' | 'M' | 'c'),
                ) => {
                    lines.extend(self.end());
                }
                Some(Act::Control(control, last)) => lines.extend(self.control(&control, last)),
                Some(Act::Single(_) | Act::Escape(_)) | None => {}
            }
        }
        lines
    }

    fn print(&mut self, at_ms: u64, c: char) -> Option<(u64, String)> {
        // What is written over was seen: the bar of something's progress, say.
        let over = std::mem::take(&mut self.returned) && self.column == 0;
        let before = match over {
            true => self.end(),
            false if self.column >= LONGEST => self.cut(),
            false => None,
        };
        if self.cells.is_empty() {
            self.began_ms = at_ms;
        }
        if self.cells.len() <= self.column {
            self.cells.resize(self.column + 1, ' ');
        }
        self.cells[self.column] = c;
        self.column += 1;
        before
    }

    fn control(&mut self, control: &Control, last: char) -> Option<(u64, String)> {
        let (many, column, length) = (control.many(), self.column, self.cells.len());
        match last {
            'K' if control.number(0).is_none() => self.cells.truncate(column),
            'C' | 'a' => self.column = (column + many).min(LONGEST),
            'D' => self.column = column.saturating_sub(many),
            'G' | '`' => self.column = (many - 1).min(LONGEST),
            'P' => drop(self.cells.drain(column.min(length)..(column + many).min(length))),
            '@' if column < length => {
                let blanks = std::iter::repeat_n(' ', many.min(LONGEST));
                drop(self.cells.splice(column..column, blanks));
                self.cells.truncate(LONGEST);
            }
            'A' | 'B' | 'E' | 'F' | 'H' | 'J' | 'K' | 'L' | 'M' | 'd' | 'e' | 'f' => {
                return self.end();
            }
            'h' | 'l' if control.modes().any(|mode| matches!(mode, 47 | 1047 | 1049)) => {
                return self.end();
            }
            _ => {}
        }
        None
    }

    /// The line, which is over.
    fn end(&mut self) -> Option<(u64, String)> {
        let line = self.line();
        self.cells.clear();
        (self.column, self.returned) = (0, false);
        line
    }

    /// The line so far, of which the end stays.
    fn cut(&mut self) -> Option<(u64, String)> {
        let line = self.line();
        let gone = self.cells.len().saturating_sub(LONGEST_TEXT);
        self.cells.drain(..gone);
        self.column = self.cells.len();
        line
    }

    fn line(&self) -> Option<(u64, String)> {
        let line: String = self.cells.iter().collect();
        let line = line.trim_end();
        (!line.is_empty()).then(|| (self.began_ms, line.to_owned()))
    }
}

/// Characters of a line. Of a longer one the end is looked at again with what follows.
const LONGEST: usize = 8192;
/// Characters of what is searched for.
pub const LONGEST_TEXT: usize = 200;
const MOST_TERMINALS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&str]) -> Vec<String> {
        let mut line = Line::default();
        let mut lines: Vec<_> = pieces.iter().flat_map(|piece| line.output(0, piece)).collect();
        lines.extend(line.end());
        lines.into_iter().map(|(_, line)| line).collect()
    }

    #[test]
    fn a_line_is_what_was_seen_of_it() {
        for (text, seen) in [
            ("one\r\ntwo", &["one", "two"][..]),
            ("\u{1b}[31merror\u{1b}[0m: \u{1b}]0;title\u{7}no", &["error: no"]),
            ("10%\r20%\r\ndone", &["10%", "20%", "done"]),
            ("$ lx\u{8} \u{8}s", &["$ ls"]),
            ("$ s\u{8}\u{1b}[1@l\u{1b}[C\r\n", &["$ ls"]),
            ("\u{1b}[2;1Hone\u{1b}[3;1Htwo\u{1b}[K", &["one", "two"]),
            ("a\tb", &["a       b"]),
            ("grüß\r\n\r\n", &["grüß"]),
        ] {
            assert_eq!(lines(&[text]), seen, "{text:?}");
            let pieces: Vec<_> = text.split_inclusive(|_| true).collect();
            assert_eq!(lines(&pieces), seen, "{text:?} in pieces");
        }
    }

    #[test]
    fn a_line_without_an_end_is_looked_at_in_parts_that_overlap() {
        let mut text = "x".repeat(LONGEST - 3);
        text.push_str("needle");
        text.push_str(&"y".repeat(3 * LONGEST));
        let lines = lines(&[&text]);
        assert!(lines.iter().any(|line| line.contains("needle")));
        assert!(lines.iter().all(|line| line.len() <= LONGEST));
    }
}
