//! What was typed at a terminal, as far as that showed it.
//!
//! Whether a terminal echoes is known to the target alone. What stands here is the best that can be
//! told from beside it: a line is kept where all of it was shown after it was typed, before the
//! terminal went on to the next line; of any other a mark is kept. So a password is not kept, nor
//! are the keys of programs that show something else for them. Keys that are no characters are kept.

use std::collections::VecDeque;

use zeroize::{Zeroize, Zeroizing};

use crate::vt::{Act, Parser};

/// The input of one terminal that is held back.
#[derive(Default)]
pub(crate) struct Typed {
    keys: Keys,
    held: VecDeque<Piece>,
    parser: Parser,
    /// What was shown since the first of `held` was begun.
    shown: Zeroizing<String>,
}

/// Characters, and the key that ended them.
#[derive(Default)]
struct Piece {
    text: Zeroizing<String>,
    /// There was more than is held.
    long: bool,
    key: Option<String>,
}

/// What may be kept of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) text: String,
    /// There were characters, and they are not in `text`.
    pub(crate) hidden: bool,
}

impl Typed {
    /// Something was typed.
    pub(crate) fn input(&mut self, text: &str) -> Vec<Kept> {
        for c in text.chars() {
            match self.keys.take(c) {
                Key::More => {}
                Key::Character(c) => self.open().push(c),
                Key::Backspace if self.held.back().is_some_and(Piece::takes_back) => {
                    self.open().text.pop();
                }
                Key::Backspace => self.open().key = Some("\u{7f}".to_owned()),
                Key::Other(key) => self.open().key = Some(key),
            }
        }
        let mut kept = self.settle();
        while self.held.len() > MOST_HELD {
            kept.extend(self.held.pop_front().and_then(|piece| piece.kept(false)));
        }
        kept
    }

    /// The terminal showed something.
    pub(crate) fn output(&mut self, text: &str) -> Vec<Kept> {
        let mut kept = Vec::new();
        for c in text.chars() {
            let act = self.parser.take(c);
            if self.held.is_empty() {
                continue;
            }
            match act {
                Some(Act::Print(c)) => self.show(c),
                Some(Act::Single('\u{8}')) => drop(self.shown.pop()),
                Some(Act::Single('\n')) => kept.extend(self.next_line()),
                _ => {}
            }
        }
        kept.extend(self.settle());
        kept
    }

    /// The program is over.
    pub(crate) fn end(&mut self) -> Vec<Kept> {
        let mut kept = self.settle();
        kept.extend(self.held.drain(..).filter_map(|piece| piece.kept(false)));
        kept
    }

    /// The piece that characters are added to.
    fn open(&mut self) -> &mut Piece {
        if self.held.is_empty() {
            self.shown.zeroize();
        }
        if self.held.back().is_none_or(|last| last.key.is_some()) {
            self.held.push_back(Piece::default());
        }
        // There is one: it was put there.
        let last = self.held.len() - 1;
        &mut self.held[last]
    }

    fn show(&mut self, c: char) {
        if self.shown.len() >= MOST_SHOWN {
            let half = self.shown.ceil_char_boundary(MOST_SHOWN / 2);
            self.shown.drain(..half);
        }
        self.shown.push(c);
    }

    /// What was entered before the terminal goes on to the next line is shown by now, or is not.
    fn next_line(&mut self) -> Vec<Kept> {
        let mut kept = self.settle();
        while self.held.front().is_some_and(|first| first.key.is_some()) {
            kept.extend(self.held.pop_front().and_then(|piece| piece.kept(false)));
        }
        kept
    }

    /// Lets go of the pieces that have ended and were shown, in their order.
    fn settle(&mut self) -> Vec<Kept> {
        let mut kept = Vec::new();
        while let Some(first) = self.held.front().filter(|first| first.key.is_some()) {
            let Some(end) = first.shown_in(&self.shown) else { break };
            self.shown.drain(..end);
            kept.extend(self.held.pop_front().and_then(|piece| piece.kept(true)));
        }
        kept
    }
}

impl Piece {
    fn push(&mut self, c: char) {
        match self.text.len() < MOST_TEXT {
            true => self.text.push(c),
            false => self.long = true,
        }
    }

    fn takes_back(&self) -> bool {
        self.key.is_none() && !self.text.is_empty()
    }

    /// Where in `shown` it ends, if it is there, whatever the blanks.
    fn shown_in(&self, shown: &str) -> Option<usize> {
        if self.long {
            return None;
        }
        let dense = |text: &str| Zeroizing::new(text.split_whitespace().collect::<String>());
        let text = dense(&self.text);
        if text.is_empty() {
            // Blanks alone are a password to nobody.
            return Some(0);
        }
        let mut left = dense(shown).find(text.as_str())? + text.len();
        let is_last = |c: char| {
            left -= if c.is_whitespace() { 0 } else { c.len_utf8() };
            left == 0
        };
        let last = shown.find(is_last)?;
        Some(shown.ceil_char_boundary(last + 1))
    }

    fn kept(self, shown: bool) -> Option<Kept> {
        let hidden = !shown && (self.long || !self.text.is_empty());
        let mut text = if hidden { String::new() } else { self.text.to_string() };
        text.push_str(self.key.as_deref().unwrap_or_default());
        (hidden || !text.is_empty()).then_some(Kept { text, hidden })
    }
}

/// Tells keys from characters, wherever they are cut.
#[derive(Default)]
struct Keys {
    begun: String,
}

enum Key {
    /// A part of one.
    More,
    Character(char),
    Backspace,
    Other(String),
}

impl Keys {
    fn take(&mut self, c: char) -> Key {
        if self.begun.is_empty() {
            return match c {
                '\u{1b}' => self.more(c),
                '\u{8}' | '\u{7f}' => Key::Backspace,
                c if c.is_control() => Key::Other(c.to_string()),
                c => Key::Character(c),
            };
        }
        let mut before = self.begun.chars().skip(1);
        let is_over = match before.next() {
            None => !matches!(c, '[' | 'O'),
            Some('[') => ('\u{40}'..='\u{7e}').contains(&c),
            Some(_) => true,
        };
        if is_over || self.begun.len() >= LONGEST_KEY {
            let mut key = std::mem::take(&mut self.begun);
            key.push(c);
            return Key::Other(key);
        }
        self.more(c)
    }

    fn more(&mut self, c: char) -> Key {
        self.begun.push(c);
        Key::More
    }
}

/// Bytes of one piece.
const MOST_TEXT: usize = 4096;
const MOST_SHOWN: usize = 32 * 1024;
const MOST_HELD: usize = 256;
const LONGEST_KEY: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    enum Talk {
        In(&'static str),
        Out(&'static str),
    }
    use Talk::{In, Out};

    fn kept(talk: &[Talk]) -> Vec<(String, bool)> {
        let mut typed = Typed::default();
        let mut kept = Vec::new();
        for part in talk {
            kept.extend(match part {
                In(text) => typed.input(text),
                Out(text) => typed.output(text),
            });
        }
        kept.extend(typed.end());
        kept.into_iter().map(|Kept { text, hidden }| (text, hidden)).collect()
    }

    fn shown(text: &str) -> (String, bool) {
        (text.to_owned(), false)
    }

    fn hidden(text: &str) -> (String, bool) {
        (text.to_owned(), true)
    }

    #[test]
    fn a_line_that_was_echoed_is_kept_as_it_was_typed() {
        let echoed: [(&[Talk], &str); 6] = [
            (&[In("l"), Out("l"), In("s"), Out("s"), In("\r"), Out("\r\nfile")], "ls\r"),
            (&[In("ls -l\r"), Out("ls -l\r\nfile\r\n$ ")], "ls -l\r"),
            (
                &[In("lx"), Out("lx"), In("\u{7f}s"), Out("\u{8} \u{8}s"), In("\r"), Out("\r\n")],
                "ls\r",
            ),
            (
                &[
                    In("l"),
                    Out("l"),
                    In("s"),
                    Out("\u{8}\u{1b}[32mls\u{1b}[0m"),
                    In("\r"),
                    Out("\r\n"),
                ],
                "ls\r",
            ),
            (&[In("one two"), Out("one \r\u{1b}[Ktwo"), In("\r"), Out("\r\n")], "one two\r"),
            (&[In("grüß\r"), Out("grüß\r\n")], "grüß\r"),
        ];
        for (talk, text) in echoed {
            assert_eq!(kept(talk), [shown(text)], "{text}");
        }
    }

    #[test]
    fn a_password_is_not_kept_and_its_length_does_not_show() {
        let asked: [&[Talk]; 5] = [
            &[In("hunter2\r"), Out("\r\nroot# ")],
            &[In("h"), In("u"), In("nter2"), In("\r"), Out("\r\n")],
            &[
                In("hunx\u{7f}ter2"),
                Out("[1] done"),
                In("\r"),
                Out("\r\nhunter2 is in what follows"),
            ],
            &[In("hunter2"), Out("*******"), In("\r"), Out("\r\n")],
            &[In("hunter2\r")],
        ];
        for talk in asked {
            assert_eq!(kept(talk), [hidden("\r")]);
        }
    }

    #[test]
    fn one_line_is_hidden_and_those_around_it_are_not() {
        let talk = [
            In("sudo id\r"),
            Out("sudo id\r\n[sudo] password: "),
            In("hunter2\r"),
            Out("\r\nuid=0\r\n$ "),
            In("\u{1b}[A"),
            Out("sudo id"),
            In("\r"),
            Out("\r\n"),
        ];
        let expected = [shown("sudo id\r"), hidden("\r"), shown("\u{1b}[A"), shown("\r")];
        assert_eq!(kept(&talk), expected);
    }

    #[test]
    fn keys_are_kept_and_the_keys_of_a_program_that_shows_something_else_are_not() {
        assert_eq!(
            kept(&[In("\u{3}\u{1b}OA\u{1b}[1;5C\t")]).concat_text(),
            "\u{3}\u{1b}OA\u{1b}[1;5C\t"
        );
        let vim =
            [In("jjdd"), Out("\u{1b}[5;1Hother text"), In(":wq\r"), Out("\u{1b}[24;1Hwritten")];
        assert_eq!(kept(&vim), [hidden("\r")]);
    }

    #[test]
    fn much_input_without_an_echo_is_held_in_bounded_memory() {
        let mut typed = Typed::default();
        let mut marks = 0;
        for _ in 0..2000 {
            marks += typed.input("secret\t").len();
            typed.output(&"x".repeat(100));
        }
        typed.input(&"y".repeat(100_000));
        assert!(typed.held.len() <= MOST_HELD + 1 && typed.shown.len() <= MOST_SHOWN + 4);
        assert!(typed.held.iter().all(|piece| piece.text.len() <= MOST_TEXT + 4));
        assert!(marks > 1000);
    }

    trait ConcatText {
        fn concat_text(&self) -> String;
    }

    impl ConcatText for Vec<(String, bool)> {
        fn concat_text(&self) -> String {
            self.iter().map(|(text, _)| text.as_str()).collect()
        }
    }
}
