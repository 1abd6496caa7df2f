//! What a recording is told of one channel.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use session::{Entry, Screen, Tape};

/// One channel of a session that is recorded; of any other it does nothing.
#[derive(Default)]
pub(crate) struct Track {
    tape: Option<(Tape, u32)>,
    /// Only what a terminal shows is kept; of others, how much it was.
    shows: bool,
    outcome: Mutex<Option<String>>,
    up: AtomicU64,
    down: AtomicU64,
}

impl Track {
    /// A program begins on `channel`.
    pub(crate) async fn begin(
        tape: Option<&Tape>,
        channel: u32,
        (program, detail): (&'static str, String),
        terminal: Option<Screen>,
    ) -> Self {
        let Some(tape) = tape else { return Self::default() };
        let shows = terminal.is_some();
        tape.write(Entry::Began { channel, program, detail, terminal }).await;
        Self { tape: Some((tape.clone(), channel)), shows, ..Self::default() }
    }

    /// Before the user sees it.
    pub(crate) async fn output(&self, bytes: &Bytes) {
        self.down.fetch_add(bytes.len() as u64, Relaxed);
        if let Some((tape, channel)) = self.tape.as_ref().filter(|_| self.shows) {
            tape.write(Entry::Output { channel: *channel, bytes: bytes.clone() }).await;
        }
    }

    pub(crate) fn input(&self, bytes: &Bytes) {
        self.up.fetch_add(bytes.len() as u64, Relaxed);
    }

    pub(crate) async fn resized(&self, columns: u32, rows: u32) {
        if let Some((tape, channel)) = self.tape.as_ref().filter(|_| self.shows) {
            tape.write(Entry::Resized { channel: *channel, columns, rows }).await;
        }
    }

    /// How the program ended: an exit status, or the signal that ended it.
    pub(crate) fn outcome(&self, outcome: String) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    pub(crate) async fn end(&self) {
        let Some((tape, channel)) = &self.tape else { return };
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (up, down) = (self.up.load(Relaxed), self.down.load(Relaxed));
        tape.write(Entry::Ended { channel: *channel, outcome, up, down }).await;
    }
}
