//! The list of applications at a terminal, whatever is typed.

use gateway_ssh::fuzzing::{MENU, menu_drawn};

/// The first two bytes are the terminal's size, the others are typed. Nothing is asked of the terminal
/// but to move the cursor, to erase and to mark, and no text is longer than the list.
pub(crate) fn keys(bytes: &[u8]) {
    let [columns, rows, typed @ ..] = bytes else { return };
    let (drawn, picked) = menu_drawn((u32::from(*columns), u32::from(*rows)), typed);
    assert!(picked.is_none_or(|index| index < MENU), "{picked:?}");
    for text in drawn {
        assert!(text.len() < MOST, "{} bytes", text.len());
        let rest = without_sequences(&text);
        let hidden = rest.chars().find(|c| c.is_control() && !matches!(c, '\r' | '\n'));
        assert_eq!(hidden, None, "{text:?}");
    }
}

/// The text without the sequences that the menu may draw with.
fn without_sequences(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut rest = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let part = part.trim_start_matches(|c: char| c.is_ascii_digit());
        match part.strip_prefix(['A', 'C', 'J', 'm']) {
            Some(behind) => rest.push_str(behind),
            None => panic!("a sequence of another kind: {text:?}"),
        }
    }
    rest
}

/// Fifteen lines of 255 columns, of letters of three bytes, and what is around them.
const MOST: usize = 20_000;
