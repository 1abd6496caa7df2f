//! What a program wrote to a terminal, made fit for somebody else's.
//!
//! A recording is written by whoever was recorded. Played, it may draw: characters, colours, the
//! cursor, the screen. It may not ask the viewer's terminal anything (it would answer as if its
//! owner had typed), nor set titles, clipboards, keys, modes or the size of the window. Sequences as
//! in ECMA-48 and xterm's `ctlseqs`.

/// Lets through what draws. Keeps its place between pieces, for sequences may be cut anywhere.
#[derive(Debug, Default)]
pub struct Drawing {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Text,
    Escape,
    /// A character set is being named, for G0 or G1.
    Charset(char),
    /// One more character belongs to a sequence that is not let through.
    Last,
    Control(String),
    /// Too long, or of a kind that is not let through: nothing until its end.
    Refused,
    /// Inside a string for the terminal itself: a title, a clipboard, a key definition.
    Words,
    /// The same, where an escape may be its end.
    WordsEscape,
}

impl Drawing {
    /// What of `text` may reach a terminal.
    pub fn of(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            self.take(c, &mut out);
        }
        out
    }

    fn take(&mut self, c: char, out: &mut String) {
        self.state = match std::mem::take(&mut self.state) {
            State::Text => text(c, out),
            State::Escape => escape(c, out),
            State::Charset(set) => {
                if matches!(c, '0' | 'A' | 'B') {
                    out.extend([ESC, set, c]);
                }
                State::Text
            }
            State::Last => State::Text,
            State::Control(sequence) => control(sequence, c, out),
            State::Refused => match c {
                '\u{40}'..='\u{7e}' => State::Text,
                ESC => State::Escape,
                _ => State::Refused,
            },
            State::Words => match c {
                BEL | C1_END => State::Text,
                ESC => State::WordsEscape,
                _ => State::Words,
            },
            State::WordsEscape => match c {
                '\\' => State::Text,
                c => escape(c, out),
            },
        };
    }
}

fn text(c: char, out: &mut String) -> State {
    match c {
        ESC => return State::Escape,
        '\n' | '\r' | '\t' | '\u{8}' | '\u{e}' | '\u{f}' => out.push(c),
        // A terminal takes these for sequences of one character.
        '\u{80}'..='\u{9f}' => {
            return match c {
                '\u{9b}' => State::Control(String::new()),
                '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => State::Words,
                _ => State::Text,
            };
        }
        c if c.is_control() => {}
        c => out.push(c),
    }
    State::Text
}

fn escape(c: char, out: &mut String) -> State {
    match c {
        '[' => State::Control(String::new()),
        ']' | 'P' | 'X' | '^' | '_' => State::Words,
        '(' | ')' => State::Charset(c),
        // Save and restore the cursor, next line, index and its reverse, set a tab stop.
        '7' | '8' | 'D' | 'E' | 'H' | 'M' => {
            out.extend([ESC, c]);
            State::Text
        }
        // One more character belongs to these: other sets, sizes of lines, 7 or 8 bits.
        ' '..='/' => State::Last,
        ESC => State::Escape,
        _ => State::Text,
    }
}

fn control(mut sequence: String, c: char, out: &mut String) -> State {
    match c {
        '\u{40}'..='\u{7e}' => {
            if draws(&sequence, c) {
                out.extend([ESC, '[']);
                out.push_str(&sequence);
                out.push(c);
            }
            State::Text
        }
        ESC => State::Escape,
        '\u{20}'..='\u{3f}' if sequence.len() < LONGEST => {
            sequence.push(c);
            State::Control(sequence)
        }
        _ => State::Refused,
    }
}

/// Whether a control sequence only draws.
fn draws(parameters: &str, last: char) -> bool {
    if let Some(modes) = parameters.strip_prefix('?') {
        let mut modes = modes.split(';');
        return matches!(last, 'h' | 'l') && modes.all(|mode| MODES.contains(&mode));
    }
    let plain = |c: char| c.is_ascii_digit() || matches!(c, ';' | ':');
    let mut numbers = parameters.split([';', ':']);
    if !parameters.chars().all(plain) || !numbers.all(|number| number.len() <= DIGITS) {
        return false;
    }
    match last {
        'm' => true,
        'h' | 'l' => parameters == "4",
        's' | 'u' => parameters.is_empty(),
        last => FINALS.contains(last),
    }
}

/// What the viewer's terminal gets at the end, however the recording left it: the usual screen,
/// colours, character set, margins and cursor.
pub const RESTORE: &str =
    "\u{1b}[?1049l\u{1b}[0m\u{1b}(B\u{f}\u{1b}[r\u{1b}[4l\u{1b}[?7h\u{1b}[?25h";

const ESC: char = '\u{1b}';
const BEL: char = '\u{7}';
const C1_END: char = '\u{9c}';
/// Move the cursor, erase, insert and delete, scroll and its region, tabs.
const FINALS: &str = "@ABCDEFGHIJKLMPSTXZ`adefgr";
/// Cursor keys' mode does not draw; wrapping, origin, the cursor and the other screen do.
const MODES: [&str; 8] = ["6", "7", "12", "25", "47", "1047", "1048", "1049"];
const LONGEST: usize = 64;
/// Of one number: no screen is larger, and no terminal is kept busy.
const DIGITS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_that_is_not_let_through_leaves_nothing_behind() {
        assert_eq!(Drawing::default().of("a\u{1b}*Bb\u{1b} 0c\u{1b}#8d"), "abcd");
    }

    #[test]
    fn what_draws_is_let_through_as_it_is() {
        let drawn = [
            "plain, grüß, 😀\r\n\ttab\u{8}",
            "\u{1b}[1;31mred\u{1b}[0m \u{1b}[38;2;1;2;3mrgb\u{1b}[4:3mcurly",
            "\u{1b}[2J\u{1b}[H\u{1b}[10;20H\u{1b}[K\u{1b}[3A\u{1b}[5;20r\u{1b}[?25l\u{1b}[?1049h",
            "\u{1b}7\u{1b}8\u{1b}(0lqqk\u{1b}(B\u{1b}M",
        ];
        for text in drawn {
            assert_eq!(Drawing::default().of(text), text);
        }
    }

    #[test]
    fn what_would_act_on_the_viewers_terminal_is_not() {
        let hostile = [
            ("title", "\u{1b}]0;owned\u{7}"),
            ("title, ended by a string terminator", "\u{1b}]2;owned\u{1b}\\"),
            ("clipboard", "\u{1b}]52;c;cm0gLXJmIC8K\u{7}"),
            ("link", "\u{1b}]8;;https://evil.example\u{1b}\\"),
            ("asks for the cursor's place", "\u{1b}[6n"),
            ("asks what it is", "\u{1b}[c\u{1b}[>c\u{1b}[=c\u{1b}[>q"),
            ("asks for a setting", "\u{1b}P$qm\u{1b}\\"),
            ("asks for a colour", "\u{1b}]11;?\u{7}"),
            ("mouse, focus, pasting", "\u{1b}[?1000h\u{1b}[?1004h\u{1b}[?2004h"),
            ("keys", "\u{1b}[>4;2m\u{1b}[?1h\u{1b}=\u{1b}>"),
            ("size of the window", "\u{1b}[8;5000;5000t\u{1b}[21t"),
            ("print", "\u{1b}[5i"),
            ("reset", "\u{1b}c\u{1b}[!p"),
            ("repeat", "a\u{1b}[999999999b"),
            ("a cursor far away", "\u{1b}[99999999C"),
            ("one-character forms", "\u{9b}6n\u{9d}0;owned\u{9c}\u{90}x\u{9c}"),
            ("bell and enquiry", "\u{7}\u{5}"),
            ("text inside a device string", "\u{1b}_Gf=100;AAAA\u{1b}\\"),
            ("a mode hidden among others", "\u{1b}[?25;1000h"),
            ("a sequence without an end", "\u{1b}["),
        ];
        for (what, text) in hostile {
            let shown = Drawing::default().of(text).replace('a', "");
            assert_eq!(shown, "", "{what}");
        }
    }

    #[test]
    fn a_sequence_that_is_cut_is_the_same_sequence() {
        let text = "a\u{1b}[31mb\u{1b}]0;owned\u{1b}\\c\u{1b}[6nd\u{1b}(0e";
        let whole = Drawing::default().of(text);
        assert_eq!(whole, "a\u{1b}[31mbcd\u{1b}(0e");
        let mut drawing = Drawing::default();
        let pieces: String = text.chars().map(|c| drawing.of(&c.to_string())).collect();
        assert_eq!(pieces, whole);
    }

    #[test]
    fn text_after_a_refused_sequence_is_shown() {
        let long = format!("\u{1b}[{}mafter", "1;".repeat(100));
        assert_eq!(Drawing::default().of(&long), "after");
        assert_eq!(Drawing::default().of("\u{1b}[1\u{1b}[31mred"), "\u{1b}[31mred");
        assert_eq!(Drawing::default().of("\u{1b}#8after"), "after");
    }
}
