//! What follows sftp, and the menu, for fuzzing.

use crate::keys::Keys;
use crate::menu::{Entry, Menu, Step};
use crate::observe::{Observer, Seen};

/// What is seen of a talk, whose parts go to the server (`true`) or come from it, in pieces of this
/// size: a line each, how many bytes it says were read and written, and whether it is the last.
pub fn sftp_seen(talk: &[(bool, &[u8])], piece: usize) -> Vec<(String, u64, bool)> {
    let mut observer = Observer::new(true);
    for (up, bytes) in talk {
        for piece in bytes.chunks(piece.max(1)) {
            match up {
                true => observer.up(piece),
                false => observer.down(piece),
            }
        }
    }
    observer.end();
    let line = |seen: Seen| match seen {
        Seen::File(file) => (format!("{file:?}"), file.read + file.written, false),
        Seen::Change(change) => (format!("{change:?}"), 0, false),
        Seen::Lost(why) => (why.to_owned(), 0, true),
    };
    observer.take().into_iter().map(line).collect()
}

/// How many applications the menu has below.
pub const MENU: usize = 40;

/// What the menu draws on a terminal of this size for the bytes that are typed, one text after each
/// key and one at its end; and what was picked, if anything was.
pub fn menu_drawn(size: (u32, u32), typed: &[u8]) -> (Vec<String>, Option<usize>) {
    let entry = |n: usize| Entry::new(&format!("web{n}"), "hq", &format!("env=\u{1b}[2J{n}日本"));
    let mut menu = Menu::new("Applications", (0..MENU).map(entry).collect(), "", size);
    let (mut keys, mut drawn) = (Keys::default(), vec![menu.draw()]);
    for byte in typed {
        let Some(key) = keys.feed(*byte) else { continue };
        match menu.key(key) {
            Step::Stay => drawn.push(menu.draw()),
            Step::Picked(index) => {
                drawn.push(menu.close(Some(index)));
                return (drawn, Some(index));
            }
            Step::Left => break,
        }
    }
    drawn.push(menu.close(None));
    (drawn, None)
}
