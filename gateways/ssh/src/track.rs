//! What the audit log and a recording are told of one program.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use session::{Entry, Facts, Screen, Tape};
use tokio::time::Instant;

use crate::reach::Reach;

/// A program that runs on a channel. Its end is told once, be it that nobody waited for it.
pub(crate) struct Track {
    reach: Arc<Reach>,
    channel: u32,
    /// The action as which it began, and its detail.
    noted: (&'static str, String),
    began: Instant,
    /// Only what a terminal shows is kept; of others, how much it was.
    shows: bool,
    outcome: Mutex<Option<String>>,
    up: AtomicU64,
    down: AtomicU64,
    ended: AtomicBool,
    /// Whether a line was begun at the terminal.
    typing: AtomicBool,
}

impl Track {
    /// A program begins on `channel`.
    pub(crate) async fn begin(
        reach: Arc<Reach>,
        channel: u32,
        noted: (&'static str, String),
        terminal: Option<Screen>,
    ) -> Self {
        let shows = terminal.is_some();
        let track = Self {
            reach,
            channel,
            noted,
            began: Instant::now(),
            shows,
            outcome: Mutex::default(),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            typing: AtomicBool::new(false),
        };
        if let Some(tape) = track.reach.tape() {
            let (program, detail) = track.noted.clone();
            tape.write(Entry::Began { channel, program, detail, terminal }).await;
        }
        track
    }

    /// Before the user sees it.
    pub(crate) async fn output(&self, bytes: &Bytes) {
        self.down.fetch_add(bytes.len() as u64, Relaxed);
        if let Some(tape) = self.shown() {
            tape.write(Entry::Output { channel: self.channel, bytes: bytes.clone() }).await;
        }
    }

    /// Before the target gets it.
    pub(crate) async fn input(&self, bytes: &Bytes) {
        self.up.fetch_add(bytes.len() as u64, Relaxed);
        let Some(tape) = self.shown() else { return };
        let channel = self.channel;
        for enter in lines(bytes, &self.typing) {
            tape.write(Entry::Typed { channel, enter }).await;
        }
        if tape.takes_input() {
            tape.write(Entry::Input { channel, bytes: bytes.clone() }).await;
        }
    }

    pub(crate) async fn resized(&self, columns: u32, rows: u32) {
        if let Some(tape) = self.shown() {
            tape.write(Entry::Resized { channel: self.channel, columns, rows }).await;
        }
    }

    /// How the program ended: an exit status, or the signal that ended it.
    pub(crate) fn outcome(&self, outcome: String) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    pub(crate) async fn end(&self) {
        let Some(entry) = self.over() else { return };
        if let Some(tape) = self.reach.tape() {
            tape.write(entry).await;
        }
    }

    fn shown(&self) -> Option<&Tape> {
        self.reach.tape().filter(|_| self.shows)
    }

    /// Tells the audit log of its end, once; what a recording is told.
    fn over(&self) -> Option<Entry> {
        if self.ended.swap(true, Relaxed) {
            return None;
        }
        let channel = self.channel;
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (up, down) = (self.up.load(Relaxed), self.down.load(Relaxed));
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (what, detail) = &self.noted;
        let facts = Facts::Ended { channel, outcome: outcome.clone(), up, down, millis };
        self.reach.note_now(&format!("{what}_ended"), detail, facts);
        Some(Entry::Ended { channel, outcome, up, down })
    }
}

impl Drop for Track {
    fn drop(&mut self) {
        if let (Some(entry), Some(tape)) = (self.over(), self.reach.tape()) {
            tape.write_now(entry);
        }
    }
}

/// Where lines begin in what is typed (`false`), and where Enter is pressed (`true`). A line that is
/// given up is begun anew. Of much at once the first lines are told.
fn lines(typed: &[u8], typing: &AtomicBool) -> Vec<bool> {
    let mut lines = Vec::new();
    for byte in typed {
        if !typing.swap(true, Relaxed) {
            lines.push(false);
        }
        if matches!(byte, b'\r' | b'\n') {
            lines.push(true);
        }
        if matches!(*byte, b'\r' | b'\n' | INTERRUPT | END | SUSPEND) {
            typing.store(false, Relaxed);
        }
    }
    lines.truncate(MOST_LINES);
    lines
}

/// Ctrl-C, Ctrl-D and Ctrl-Z.
const INTERRUPT: u8 = 3;
const END: u8 = 4;
const SUSPEND: u8 = 26;
/// What is pasted may be long, and is seen in the output.
const MOST_LINES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_begin_at_their_first_key_and_end_with_enter_however_they_are_cut() {
        let told = |pieces: &[&str]| {
            let typing = AtomicBool::new(false);
            pieces.iter().flat_map(|it| lines(it.as_bytes(), &typing)).collect::<Vec<_>>()
        };
        assert_eq!(told(&["l", "s", "\r", "\u{1b}[A", "\r"]), [false, true, false, true]);
        assert_eq!(told(&["ls\rpwd\r"]), [false, true, false, true]);
        assert_eq!(told(&["rm\u{3}", "ls\r"]), [false, false, true]);
        assert_eq!(told(&["\r"]), [false, true]);
        assert_eq!(told(&[&"\r".repeat(1000)]).len(), 64);
    }
}
