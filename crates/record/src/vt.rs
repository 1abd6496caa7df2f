//! What a program says to its terminal, character by character: texts and commands (ECMA-48, and
//! xterm's `ctlseqs`). Nothing of unbounded length is kept.

/// Finds the commands among the characters, wherever those are cut.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Text,
    Escape,
    /// One more character belongs to a sequence that moves nothing.
    Last,
    Control(Control),
    /// Inside a string for the terminal itself: a title, a clipboard, a key definition.
    Words,
    /// The same, where an escape may be its end.
    WordsEscape,
}

/// A control sequence, `ESC [` and what follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    /// `?` and its like, before the numbers.
    pub(crate) mark: Option<char>,
    numbers: [u16; NUMBERS],
    count: usize,
    /// It has something that is not known here.
    odd: bool,
}

/// What a terminal is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Print(char),
    /// A control character: a line feed, a backspace…
    Single(char),
    /// `ESC` and this character.
    Escape(char),
    /// A control sequence that ends with this character.
    Control(Control, char),
}

impl Parser {
    /// What the terminal is to do at this character, if anything.
    pub(crate) fn take(&mut self, c: char) -> Option<Act> {
        let (state, act) = match std::mem::take(&mut self.state) {
            State::Text => text(c),
            State::Escape => escape(c),
            State::Last => (State::Text, None),
            State::Control(control) => control.take(c),
            State::Words => match c {
                '\u{7}' | '\u{9c}' | '\u{18}' | '\u{1a}' => (State::Text, None),
                ESC => (State::WordsEscape, None),
                _ => (State::Words, None),
            },
            State::WordsEscape if c == '\\' => (State::Text, None),
            State::WordsEscape => escape(c),
        };
        self.state = state;
        act
    }
}

impl Control {
    /// The number in this place, where it has one that is not 0.
    pub(crate) fn number(&self, place: usize) -> Option<usize> {
        let number = self.numbers[..self.count.min(NUMBERS)].get(place)?;
        Some(usize::from(*number)).filter(|number| *number > 0)
    }

    /// How far, or how many: 1 where it does not say.
    pub(crate) fn many(&self) -> usize {
        self.number(0).unwrap_or(1)
    }

    /// Its numbers, where it is one of a private mode's.
    pub(crate) fn modes(&self) -> impl Iterator<Item = u16> + '_ {
        let count = if self.mark == Some('?') { self.count.min(NUMBERS) } else { 0 };
        self.numbers[..count].iter().copied()
    }

    fn take(mut self, c: char) -> (State, Option<Act>) {
        match c {
            '0'..='9' => {
                let place = self.count.max(1) - 1;
                self.count = self.count.max(1);
                if let (Some(number), Some(digit)) = (self.numbers.get_mut(place), c.to_digit(10)) {
                    *number = number
                        .saturating_mul(10)
                        .saturating_add(u16::try_from(digit).unwrap_or(0))
                        .min(9999);
                }
            }
            ';' | ':' => self.count = self.count.max(1).saturating_add(1),
            '<'..='?' if self.count == 0 && self.mark.is_none() => self.mark = Some(c),
            '\u{40}'..='\u{7e}' => {
                return (State::Text, (!self.odd).then_some(Act::Control(self, c)));
            }
            ESC => return (State::Escape, None),
            '\u{18}' | '\u{1a}' => return (State::Text, None),
            // A terminal obeys these in the middle of a sequence.
            '\n' | '\r' | '\u{8}' => return (State::Control(self), Some(Act::Single(c))),
            _ => self.odd = true,
        }
        (State::Control(self), None)
    }
}

fn text(c: char) -> (State, Option<Act>) {
    match c {
        ESC => (State::Escape, None),
        '\u{9b}' => (State::Control(Control::default()), None),
        '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => (State::Words, None),
        c if c.is_control() => (State::Text, Some(Act::Single(c))),
        c => (State::Text, Some(Act::Print(c))),
    }
}

fn escape(c: char) -> (State, Option<Act>) {
    match c {
        '[' => (State::Control(Control::default()), None),
        ']' | 'P' | 'X' | '^' | '_' => (State::Words, None),
        ' '..='/' => (State::Last, None),
        ESC => (State::Escape, None),
        c if c.is_control() => (State::Escape, Some(Act::Single(c))),
        c => (State::Text, Some(Act::Escape(c))),
    }
}

const ESC: char = '\u{1b}';
/// Numbers of one sequence that are kept.
const NUMBERS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn acts(text: &str) -> Vec<Act> {
        let mut parser = Parser::default();
        text.chars().filter_map(|c| parser.take(c)).collect()
    }

    #[test]
    fn what_is_shown_is_told_from_what_the_terminal_is_told() {
        let printed = |text: &str| {
            let print = |act| if let Act::Print(c) = act { Some(c) } else { None };
            acts(text).into_iter().filter_map(print).collect::<String>()
        };
        for (text, shown) in [
            ("a\u{1b}[1;31mb\u{1b}[0mc", "abc"),
            ("a\u{1b}]0;title\u{7}b\u{1b}]52;c;eA==\u{1b}\\c", "abc"),
            ("a\u{1b}P1$r0m\u{1b}\\b\u{1b}_x\u{1b}\\c\u{9d}0;x\u{9c}d", "abcd"),
            ("a\u{1b}(0b\u{1b}#8c\u{1b}=d\u{1b}[?2004he\u{1b}[>4;2mf", "abcdef"),
            ("a\u{1b}[1\u{1b}[2mb\u{1b}[999999999999999999999Cc", "abc"),
            ("grüß\r\n\t\u{8}", "grüß"),
        ] {
            assert_eq!(printed(text), shown, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_read_as_far_as_they_are_kept() {
        let read = |text: &str| match acts(text)[..] {
            [Act::Control(control, last)] => (control.number(0), control.number(1), last),
            _ => (None, None, ' '),
        };
        assert_eq!(read("\u{1b}[H"), (None, None, 'H'));
        assert_eq!(read("\u{1b}[5;12H"), (Some(5), Some(12), 'H'));
        assert_eq!(read("\u{1b}[;3H"), (None, Some(3), 'H'));
        assert_eq!(read("\u{1b}[99999K"), (Some(9999), None, 'K'));
        assert_eq!(read(&format!("\u{1b}[{}7m", "1;".repeat(100))), (Some(1), Some(1), 'm'));
        assert_eq!(read("\u{1b}[1$y"), (None, None, ' '), "what is odd is nothing");
    }
}
