//! What follows sftp, for fuzzing.

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
