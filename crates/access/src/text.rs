//! Text from users and targets, on its way to an eye or a log.
//!
//! What strangers write reaches terminals, logs and other people's collectors. A line break in it
//! would forge a line there, an escape would drive the terminal, an override would turn the words
//! around, and what has no width would hide. Everything that prints such text prints it through
//! here.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write;

/// The text with each character that does not show as itself written out: `\n`, `\u{1b}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    replaced(text, is_hidden, |c, out| out.extend(c.escape_default()))
}

/// As [`visible`], for text of several lines that the program itself made: line breaks stay.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    let hidden = |c| c != '\n' && is_hidden(c);
    replaced(text, hidden, |c, out| out.extend(c.escape_default()))
}

/// The same JSON, with each such character as `\u….`: they stand in its texts only. Line breaks and
/// tabs between its parts stay.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    // A raw C0 character is not allowed in a text of JSON, so what is there is layout.
    let hidden = |c: char| !c.is_ascii_control() && is_hidden(c) || c == '\x7f';
    replaced(json, hidden, |c, out| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String does not fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

/// Whether a character controls what is shown around it, or does not show at all.
pub fn is_hidden(c: char) -> bool {
    c.is_control() || HIDDEN.iter().any(|&(first, last)| (first..=last).contains(&c))
}

/// An error and what caused it, in one line. What the error says already is not said again.
pub fn in_full(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

fn replaced(
    text: &str,
    hidden: impl Fn(char) -> bool,
    write: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    let Some(first) = text.find(&hidden) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        if hidden(c) {
            write(c, &mut out);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Beside the controls: soft hyphen, joiners and fillers without width, marks and overrides of the
/// writing direction, line and paragraph separators, and tags.
const HIDDEN: [(char, char); 14] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{e0000}', '\u{e0fff}'),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_does_not_show_as_itself_is_written_out() {
        let cases = [
            ("alice", "alice"),
            ("Zoë 日本 ✓", "Zoë 日本 ✓"),
            ("evil\x1b[2J\nsession.opened", "evil\\u{1b}[2J\\nsession.opened"),
            ("a\tb\rc\0", "a\\tb\\rc\\u{0}"),
            ("\u{9b}31m\x7f", "\\u{9b}31m\\u{7f}"),
            ("abc\u{202e}fdp.exe", "abc\\u{202e}fdp.exe"),
            ("one\u{2028}two\u{2029}", "one\\u{2028}two\\u{2029}"),
            ("ad\u{200b}min\u{feff}", "ad\\u{200b}min\\u{feff}"),
            ("tag\u{e0041}", "tag\\u{e0041}"),
        ];
        for (text, shown) in cases {
            assert_eq!(visible(text), shown);
        }
        assert_eq!(visible_lines("one\ntwo\x1b"), "one\ntwo\\u{1b}");
    }

    #[test]
    fn json_keeps_its_meaning_and_its_layout() {
        let text = "a\u{202e}\u{85}\u{e0041}\x7f\x1bé";
        let json = serde_json::to_string_pretty(&[text]).unwrap();
        let shown = visible_json(&json);
        assert_eq!(shown, "[\n  \"a\\u202e\\u0085\\udb40\\udc41\\u007f\\u001bé\"\n]");
        assert_eq!(serde_json::from_str::<[String; 1]>(&shown).unwrap(), [text]);
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left(text in hostile()) {
            let shown = visible(&text);
            prop_assert!(!shown.chars().any(is_hidden), "{shown:?}");
            prop_assert_eq!(visible(&shown), shown.clone());
            prop_assert!(shown.len() <= text.len() * 10);
        }

        #[test]
        fn what_hides_nothing_stays_as_it_is(text in "[ -~äöüß€λж日本語]*") {
            prop_assert!(matches!(visible(&text), Cow::Borrowed(same) if same == text));
        }

        #[test]
        fn json_reads_the_same_and_holds_nothing_hidden(text in hostile()) {
            let json = serde_json::to_string(&text).unwrap();
            let shown = visible_json(&json);
            prop_assert!(!shown.chars().any(is_hidden), "{shown:?}");
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }

    /// Any text, with more of what hides than chance would give.
    fn hostile() -> impl Strategy<Value = String> {
        let hidden = (0..HIDDEN.len()).prop_map(|index| HIDDEN[index].0);
        let control = proptest::char::range('\0', '\u{9f}');
        let one = prop_oneof![any::<char>(), hidden, control];
        proptest::collection::vec(one, 0..64).prop_map(|chars| chars.into_iter().collect())
    }
}
