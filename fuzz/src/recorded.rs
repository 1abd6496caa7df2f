//! What is kept of sessions, and shown of them again.

use std::time::Duration;

use adit_agent::asciicast::Cast;
use adit_agent::replay::Drawing;
use api::{RecordedTerminal, RecordingEvent, TypedCommand};
use bytes::Bytes;
use record::Lines;
use session::Entry;

/// Output is kept as the text it is, one sound line for each event, wherever it is cut.
pub(crate) fn output(bytes: &[u8]) {
    let whole = kept(bytes, bytes.len());
    assert_eq!(whole, String::from_utf8_lossy(bytes));
    assert_eq!(kept(bytes, 1), whole);
    assert_eq!(kept(bytes, 5), whole);
}

/// Each line of a terminal's asciicast is one JSON value, and says what the terminal showed.
pub(crate) fn asciicast(bytes: &[u8]) {
    let mut cast = Cast::of(None);
    let terminal = RecordedTerminal { term: "xterm".to_owned(), columns: 80, rows: 24 };
    let began = RecordingEvent::Began {
        at_ms: 0,
        channel: 0,
        program: "ssh.shell".to_owned(),
        detail: String::new(),
        terminal: Some(terminal),
    };
    let mut lines: Vec<_> = cast.line(&began, 0).into_iter().collect();
    let mut shown = String::new();
    for (at_ms, piece) in (0..).zip(bytes.chunks(11)) {
        let text = String::from_utf8_lossy(piece).into_owned();
        shown.push_str(&text);
        lines.extend(cast.line(&RecordingEvent::Output { at_ms, channel: 0, text }, 0));
    }
    let said = lines.iter().skip(1).filter_map(|line| line.get(2)?.as_str());
    assert_eq!(said.collect::<String>(), shown);
    for line in lines {
        let written = line.to_string();
        assert!(!written.contains('\n'), "{written}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).ok(), Some(line));
    }
}

/// Commands are single lines of bounded length, and the same wherever output is cut. In the input a
/// zero byte is the first key of a line, and a one Enter.
pub(crate) fn commands(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let found = record::found(&typed_at(&text, usize::MAX));
    assert_eq!(record::found(&typed_at(&text, 1)), found);
    for TypedCommand { text, .. } in &found {
        assert!(!text.is_empty() && text.chars().count() <= 1000);
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    assert!(found.len() <= bytes.iter().filter(|byte| **byte == 1).count());
}

fn typed_at(text: &str, piece: usize) -> Vec<RecordingEvent> {
    let terminal = RecordedTerminal { term: String::new(), columns: 20, rows: 5 };
    let (program, detail) = (String::new(), String::new());
    let mut events = vec![RecordingEvent::Began {
        at_ms: 0,
        channel: 0,
        program,
        detail,
        terminal: Some(terminal),
    }];
    for part in text.split_inclusive(['\0', '\u{1}']) {
        let shown: Vec<char> = part.chars().filter(|c| !matches!(c, '\0' | '\u{1}')).collect();
        for piece in shown.chunks(piece.min(shown.len()).max(1)) {
            let text = piece.iter().collect();
            events.push(RecordingEvent::Output { at_ms: 0, channel: 0, text });
        }
        let last = part.chars().last().filter(|c| matches!(c, '\0' | '\u{1}'));
        events.extend(last.map(|c| RecordingEvent::Typed {
            at_ms: 0,
            channel: 0,
            enter: c == '\u{1}',
        }));
    }
    events
}

/// Of what was typed and not shown only keys are kept. The input is parts: a byte that says whether
/// it is typed or shown and how long it is, and the part.
pub(crate) fn typed(mut bytes: &[u8]) {
    let (mut lines, mut out) = (Lines::default(), Vec::new());
    let mut shown = false;
    while let Some((&first, rest)) = bytes.split_first() {
        let (part, rest) = rest.split_at(usize::from(first & 0x7f).min(rest.len()));
        let (channel, bytes_of) = (1, Bytes::copy_from_slice(part));
        let entry = match first & 0x80 {
            0 => Entry::Input { channel, bytes: bytes_of },
            _ => Entry::Output { channel, bytes: bytes_of },
        };
        shown |= first & 0x80 != 0;
        lines.add(Duration::ZERO, entry, &mut out);
        bytes = rest;
    }
    let ended = Entry::Ended { channel: 1, outcome: None, up: 0, down: 0 };
    lines.add(Duration::ZERO, ended, &mut out);
    for line in out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let Ok(event) = serde_json::from_slice(line) else { panic!("{}", line.escape_ascii()) };
        if let RecordingEvent::Input { text, hidden, .. } = event
            && (hidden || !shown)
        {
            // A key is a control character and what belongs to it; blanks are no secret.
            let text = text.trim_start();
            assert!(text.is_empty() || text.starts_with(char::is_control), "{text:?}");
        }
    }
}

/// A replay draws: it asks the viewer's terminal nothing and sets nothing, wherever output is cut.
pub(crate) fn replayed(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (mut whole, mut cut) = (Drawing::default(), Drawing::default());
    let drawn = whole.of(&text);
    let pieces: String = text.chars().map(|c| cut.of(c.encode_utf8(&mut [0; 4]))).collect();
    assert_eq!(pieces, drawn);
    // What is harmless stays as it is.
    assert_eq!(Drawing::default().of(&drawn), drawn);
    for (at, _) in drawn.match_indices('\u{1b}') {
        assert!(draws(&drawn[at + 1..]), "{drawn:?}");
    }
}

/// Whether what follows an escape draws: a control sequence of those that do, a character set, or
/// one of the few single characters.
fn draws(rest: &str) -> bool {
    let mut chars = rest.chars();
    match chars.next() {
        Some('[') => {
            let end = rest[1..].find(|c| ('\u{40}'..='\u{7e}').contains(&c));
            // The last one may have been cut; then nothing of it was let through.
            let Some(end) = end else { return false };
            let last = rest[1 + end..].chars().next();
            last.is_some_and(|last| !"cnqtxyR~p".contains(last))
        }
        Some(']' | 'P' | 'X' | '^' | '_') | None => false,
        Some(_) => true,
    }
}

fn kept(bytes: &[u8], piece: usize) -> String {
    let (mut lines, mut out) = (Lines::default(), Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        let entry = Entry::Output { channel: 1, bytes: Bytes::copy_from_slice(piece) };
        lines.add(Duration::ZERO, entry, &mut out);
    }
    let ended = Entry::Ended { channel: 1, outcome: None, up: 0, down: 0 };
    lines.add(Duration::ZERO, ended, &mut out);
    let lines = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let texts = lines.map(|line| match serde_json::from_slice(line) {
        Ok(RecordingEvent::Output { text, .. }) => text,
        Ok(_) => String::new(),
        Err(error) => panic!("{error}: {}", line.escape_ascii()),
    });
    texts.collect()
}
