//! What a person presses at a terminal in raw mode, read from its bytes. Pure.

/// A key that the menu knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    Enter,
    Backspace,
    /// Ctrl-W.
    EraseWord,
    /// Ctrl-U.
    EraseAll,
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    /// Ctrl-L.
    Redraw,
    /// Escape, Ctrl-C or Ctrl-D.
    Leave,
}

/// Reads keys byte by byte; keeps no more than one that is not yet whole.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    state: State,
    /// A sequence's parameters, or the first bytes of a character.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape,
    /// After `ESC [`.
    Csi,
    /// After `ESC O`.
    Ss3,
}

impl Keys {
    /// The key that this byte completes.
    pub(crate) fn feed(&mut self, byte: u8) -> Option<Key> {
        match (self.state, byte) {
            (State::Ground, _) => self.plain(byte),
            (State::Escape, b'[') => self.enter(State::Csi),
            (State::Escape, b'O') => self.enter(State::Ss3),
            // Twice: whoever presses it again means it.
            (State::Escape, ESC) => Some(Key::Leave),
            (State::Escape, _) => self.enter(State::Ground),
            (State::Ss3, _) => {
                self.enter(State::Ground);
                arrow(byte)
            }
            (State::Csi, 0x40..=0x7e) => {
                let held = std::mem::take(&mut self.held);
                self.enter(State::Ground);
                if byte == b'~' { numbered(&held) } else { arrow(byte) }
            }
            (State::Csi, 0x20..=0x3f) if self.held.len() < MAX_HELD => {
                self.held.push(byte);
                None
            }
            // No key sends that.
            (State::Csi, _) => self.enter(State::Ground),
        }
    }

    /// Whether the last byte was the escape key or begins a sequence: what comes next tells.
    pub(crate) fn is_escaping(&self) -> bool {
        self.state == State::Escape
    }

    fn plain(&mut self, byte: u8) -> Option<Key> {
        if !byte.is_ascii() {
            return self.part(byte);
        }
        self.held.clear();
        match byte {
            ESC => self.enter(State::Escape),
            b'\r' | b'\n' => Some(Key::Enter),
            0x03 | 0x04 => Some(Key::Leave),
            0x08 | 0x7f => Some(Key::Backspace),
            0x0c => Some(Key::Redraw),
            0x0e => Some(Key::Down),
            0x10 => Some(Key::Up),
            0x15 => Some(Key::EraseAll),
            0x17 => Some(Key::EraseWord),
            b' '..=b'~' => Some(Key::Char(char::from(byte))),
            _ => None,
        }
    }

    /// One byte of a character that has several.
    fn part(&mut self, byte: u8) -> Option<Key> {
        self.held.push(byte);
        match std::str::from_utf8(&self.held) {
            Ok(text) => {
                let key = text.chars().next().map(Key::Char);
                self.held.clear();
                key
            }
            Err(error) => {
                if error.error_len().is_some() {
                    self.held.clear();
                }
                None
            }
        }
    }

    fn enter(&mut self, state: State) -> Option<Key> {
        self.state = state;
        self.held.clear();
        None
    }
}

fn arrow(last: u8) -> Option<Key> {
    Some(match last {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'H' => Key::First,
        b'F' => Key::Last,
        b'M' => Key::Enter,
        _ => return None,
    })
}

fn numbered(parameters: &[u8]) -> Option<Key> {
    Some(match parameters.split(|byte| *byte == b';').next()? {
        b"1" | b"7" => Key::First,
        b"4" | b"8" => Key::Last,
        b"5" => Key::PageUp,
        b"6" => Key::PageDown,
        _ => return None,
    })
}

const ESC: u8 = 0x1b;
/// Of a sequence's parameters; no key has as many.
const MAX_HELD: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_read_as_terminals_send_them() {
        let table: [(&[u8], &[Key]); 12] = [
            (b"a1", &[Key::Char('a'), Key::Char('1')]),
            ("ü日".as_bytes(), &[Key::Char('ü'), Key::Char('日')]),
            (b"\x1b[A\x1b[B\x1bOA\x1bOB", &[Key::Up, Key::Down, Key::Up, Key::Down]),
            (b"\x1b[1;5A", &[Key::Up]),
            (b"\x1b[5~\x1b[6~\x1b[1~\x1b[4~", &[Key::PageUp, Key::PageDown, Key::First, Key::Last]),
            (b"\x1b[H\x1b[F\x1bOM", &[Key::First, Key::Last, Key::Enter]),
            (b"\r\n", &[Key::Enter, Key::Enter]),
            (b"\x7f\x08\x15\x17", &[Key::Backspace, Key::Backspace, Key::EraseAll, Key::EraseWord]),
            (b"\x03\x04", &[Key::Leave, Key::Leave]),
            (b"\x1b\x1b", &[Key::Leave]),
            (b"\x1bx\x0e\x10\x0c", &[Key::Down, Key::Up, Key::Redraw]),
            (b"\xffa\xc3b", &[Key::Char('a'), Key::Char('b')]),
        ];
        for (bytes, keys) in table {
            assert_eq!(read(bytes).0, keys, "{bytes:?}");
        }
    }

    #[test]
    fn an_escape_may_begin_a_sequence_and_only_time_tells() {
        assert!(read(b"web\x1b").1.is_escaping());
        assert!(!read(b"web\x1b[").1.is_escaping());
        assert!(!read(b"web").1.is_escaping());
    }

    proptest! {
        #[test]
        fn nothing_that_is_typed_is_kept_for_long(
            bytes in proptest::collection::vec(any::<u8>(), 0..512),
        ) {
            let (keys, reader) = read(&bytes);
            prop_assert!(keys.len() <= bytes.len());
            prop_assert!(reader.held.len() <= MAX_HELD);
            let shown = |key: &Key| !matches!(key, Key::Char(c) if c.is_ascii_control());
            prop_assert!(keys.iter().all(shown));
        }
    }

    fn read(bytes: &[u8]) -> (Vec<Key>, Keys) {
        let mut keys = Keys::default();
        let read = bytes.iter().filter_map(|byte| keys.feed(*byte)).collect();
        (read, keys)
    }
}
