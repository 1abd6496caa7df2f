//! Entries as the lines they are kept as.

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use api::{RecordedTerminal, RecordingEvent};
use data_encoding::BASE64;
use session::{About, Entry, FileChange, FileUse, Key, Screen};
use zeroize::{Zeroize, Zeroizing};

use crate::typed::{Kept, Typed};

/// Turns entries into lines of JSON. What a terminal shows may be cut within a character: the rest
/// of it is waited for.
#[derive(Default)]
pub struct Lines {
    tails: HashMap<u32, Vec<u8>>,
    /// Of terminals whose input is kept.
    typed: HashMap<u32, Input>,
}

#[derive(Default)]
struct Input {
    tail: Zeroizing<Vec<u8>>,
    typed: Typed,
}

/// The first line.
pub(crate) fn first(about: &About) -> Vec<u8> {
    let opened = about.opened.duration_since(UNIX_EPOCH).unwrap_or_default();
    line(&RecordingEvent::Session {
        session: about.session,
        user: about.user.clone(),
        application: about.application.clone(),
        site: about.site.clone(),
        kind: about.kind,
        login: about.login.clone(),
        opened_ms: millis(opened),
    })
}

impl Lines {
    /// Appends what `entry` is kept as to `to`.
    pub fn add(&mut self, at: Duration, entry: Entry, to: &mut Vec<u8>) {
        let at_ms = millis(at);
        let event = match entry {
            Entry::Began { channel, program, detail, terminal } => RecordingEvent::Began {
                at_ms,
                channel,
                program: program.to_owned(),
                detail,
                terminal: terminal.map(terminal_of),
            },
            Entry::Output { channel, bytes } => {
                let text = self.text(channel, &bytes);
                if text.is_empty() {
                    return;
                }
                let kept = self.typed.get_mut(&channel).map(|input| input.typed.output(&text));
                to.extend(line(&RecordingEvent::Output { at_ms, channel, text }));
                return keep(at_ms, channel, kept.unwrap_or_default(), to);
            }
            Entry::Typed { channel, enter } => RecordingEvent::Typed { at_ms, channel, enter },
            Entry::Input { channel, bytes } => {
                let input = self.typed.entry(channel).or_default();
                let mut all = std::mem::take(&mut *input.tail);
                all.extend_from_slice(&bytes);
                *input.tail = all.split_off(all.len() - unfinished(&all));
                let text = Zeroizing::new(String::from_utf8_lossy(&all).into_owned());
                let kept = input.typed.input(&text);
                all.zeroize();
                return keep(at_ms, channel, kept, to);
            }
            Entry::Resized { channel, columns, rows } => {
                RecordingEvent::Resized { at_ms, channel, columns, rows }
            }
            Entry::Screen { bytes } => {
                RecordingEvent::Screen { at_ms, bytes: BASE64.encode(&bytes) }
            }
            Entry::Repaint => RecordingEvent::Repaint { at_ms },
            Entry::Key { key, pressed } => {
                let (code, unit) = match key {
                    Key::Code(code) => (Some(code), None),
                    Key::Unit(unit) => (None, Some(unit)),
                };
                RecordingEvent::Key { at_ms, code, unit, pressed }
            }
            Entry::File { channel, file } => file_of(at_ms, channel, file),
            Entry::Change { channel, change } => {
                let FileChange { request, path, to, result } = change;
                RecordingEvent::Change { at_ms, channel, request, path, to, result }
            }
            Entry::Lost { channel, why } => {
                RecordingEvent::Lost { at_ms, channel, why: why.to_owned() }
            }
            Entry::Ended { channel, outcome, up, down } => {
                if let Some(tail) = self.tails.remove(&channel) {
                    let text = String::from_utf8_lossy(&tail).into_owned();
                    to.extend(line(&RecordingEvent::Output { at_ms, channel, text }));
                }
                if let Some(mut input) = self.typed.remove(&channel) {
                    keep(at_ms, channel, input.typed.end(), to);
                }
                RecordingEvent::Ended { at_ms, channel, outcome, up, down }
            }
        };
        to.extend(line(&event));
    }

    fn text(&mut self, channel: u32, bytes: &[u8]) -> String {
        let mut all = self.tails.remove(&channel).unwrap_or_default();
        all.extend_from_slice(bytes);
        let tail = all.split_off(all.len() - unfinished(&all));
        if !tail.is_empty() {
            self.tails.insert(channel, tail);
        }
        String::from_utf8_lossy(&all).into_owned()
    }
}

/// How many bytes at the end are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let last = bytes.utf8_chunks().last();
    let invalid = last.map_or(&[][..], |chunk| chunk.invalid());
    // Invalid bytes at the very end are either no character at all or too few bytes of one.
    match std::str::from_utf8(invalid) {
        Err(error) if error.error_len().is_none() => invalid.len(),
        Err(_) | Ok(_) => 0,
    }
}

fn file_of(at_ms: u64, channel: u32, file: FileUse) -> RecordingEvent {
    let FileUse { path, mode, read, written, sha256, whole, result } = file;
    let mode = mode.as_str().to_owned();
    RecordingEvent::File { at_ms, channel, path, mode, read, written, sha256, whole, result }
}

fn keep(at_ms: u64, channel: u32, kept: Vec<Kept>, to: &mut Vec<u8>) {
    for Kept { text, hidden } in kept {
        to.extend(line(&RecordingEvent::Input { at_ms, channel, text, hidden }));
    }
}

fn terminal_of(screen: Screen) -> RecordedTerminal {
    let Screen { term, columns, rows } = screen;
    RecordedTerminal { term, columns, rows }
}

fn line(event: &RecordingEvent) -> Vec<u8> {
    // Texts and numbers only: this does not fail.
    let mut line = serde_json::to_vec(event).unwrap_or_default();
    line.push(b'\n');
    line
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn texts(pieces: &[&[u8]]) -> String {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        for piece in pieces {
            let bytes = Bytes::copy_from_slice(piece);
            lines.add(Duration::ZERO, Entry::Output { channel: 1, bytes }, &mut out);
        }
        let ended = Entry::Ended { channel: 1, outcome: None, up: 0, down: 0 };
        lines.add(Duration::ZERO, ended, &mut out);
        let lines = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let text = |line: &[u8]| match serde_json::from_slice(line).unwrap() {
            RecordingEvent::Output { text, .. } => text,
            _ => String::new(),
        };
        lines.map(text).collect()
    }

    #[test]
    fn a_character_that_is_cut_is_put_together_and_what_is_none_is_replaced() {
        assert_eq!(texts(&[b"gr\xc3", b"\xbc\xc3", b"\x9f"]), "grüß");
        assert_eq!(texts(&[b"\xf0\x9f", b"\x98", b"\x80!"]), "😀!");
        assert_eq!(texts(&[b"a\xffb"]), "a\u{fffd}b");
        assert_eq!(texts(&[b"end\xe2\x82"]), "end\u{fffd}");
    }

    proptest! {
        #[test]
        fn wherever_output_is_cut_the_same_text_is_kept(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
            cut in 0usize..64,
        ) {
            let cut = cut.min(bytes.len());
            let (a, b) = bytes.split_at(cut);
            prop_assert_eq!(texts(&[a, b]), texts(&[&bytes]));
        }
    }
}
