//! What a tunnel is doing: counted as it happens, shown on a terminal, complained about once.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use splice::Counters;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::exit::Failure;
use crate::times;
use crate::ui::Ui;

/// Shared by all sessions of one tunnel.
pub struct Board {
    ui: Ui,
    subject: String,
    carried: Counters,
    live: AtomicUsize,
    opened: AtomicU64,
    last: Mutex<Option<Complaint>>,
    /// Sessions that are over and whose end has still to be said.
    ending: watch::Sender<usize>,
}

/// The last thing that went wrong, and how often it went wrong the same way since it was said.
struct Complaint {
    text: String,
    said: Instant,
    since: u64,
}

/// A place among the live sessions.
pub struct Live<'a>(&'a Board);

/// A place among those whose end has still to be said.
pub struct Ending<'a>(&'a Board);

impl Board {
    pub fn new(ui: Ui, subject: &str) -> Self {
        Self {
            ui,
            subject: subject.to_owned(),
            carried: Counters::default(),
            live: AtomicUsize::new(0),
            opened: AtomicU64::new(0),
            last: Mutex::new(None),
            ending: watch::Sender::new(0),
        }
    }

    /// Bytes of all sessions.
    pub fn carried(&self) -> &Counters {
        &self.carried
    }

    /// Counts a session until the guard is dropped.
    pub fn session(&self) -> Live<'_> {
        self.live.fetch_add(1, Relaxed);
        self.opened.fetch_add(1, Relaxed);
        Live(self)
    }

    /// Counts a session that is over until its end has been said.
    pub fn ending(&self) -> Ending<'_> {
        self.ending.send_modify(|ending| *ending += 1);
        Ending(self)
    }

    /// Completes when the end of each session that is over has been said.
    pub async fn all_said(&self) {
        // The sender lives as long as we do.
        drop(self.ending.subscribe().wait_for(|ending| *ending == 0).await);
    }

    /// Says what went wrong; the same again within [`QUIET`] is counted only, because a client that
    /// tries a thousand times a second is one problem.
    pub fn complain(&self, failure: Failure) {
        let failure = failure.about(&self.subject);
        let text = failure.to_string();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.as_mut().filter(|last| last.text == text) {
            last.since += 1;
            if last.said.elapsed() < QUIET {
                return;
            }
            self.ui.say(format_args!("adit: {text} ({} times)", last.since));
            (last.said, last.since) = (Instant::now(), 0);
            return;
        }
        self.ui.complain(&failure);
        *last = Some(Complaint { text, said: Instant::now(), since: 0 });
    }

    /// One line: what is going on, or went on.
    pub fn summary(&self) -> String {
        let live = match self.live.load(Relaxed) {
            0 => "idle".to_owned(),
            1 => "1 session".to_owned(),
            live => format!("{live} sessions"),
        };
        let (up, down) = (times::bytes(self.carried.up()), times::bytes(self.carried.down()));
        format!("{live}, {} since start, {up} up, {down} down", self.opened.load(Relaxed))
    }

    /// Keeps the last line of a terminal current; does nothing, forever, where there is none.
    pub async fn show(&self) {
        if !self.ui.is_live() {
            return std::future::pending().await;
        }
        let mut tick = interval(REFRESH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tick.tick().await;
            self.ui.progress(self.summary());
        }
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Relaxed);
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.ending.send_modify(|ending| *ending -= 1);
    }
}

const REFRESH: Duration = Duration::from_millis(500);
const QUIET: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Paper;

    #[tokio::test(start_paused = true)]
    async fn the_same_problem_is_said_once_and_then_counted() {
        let paper = Paper::default();
        let board = Board::new(paper.ui(false), "db");
        let refused = || Failure::coded("dial.refused", "refused");
        for _ in 0..1000 {
            board.complain(refused());
        }
        assert_eq!(paper.err(), "adit: db: refused [dial.refused]\n");
        tokio::time::advance(QUIET).await;
        board.complain(refused());
        assert!(paper.err().ends_with("refused [dial.refused] (1000 times)\n"), "{}", paper.err());
        board.complain(Failure::coded("dial.timeout", "slow"));
        assert!(paper.err().ends_with("adit: db: slow [dial.timeout]\n"), "{}", paper.err());
    }

    #[test]
    fn the_summary_counts_live_and_past_sessions() {
        let board = Board::new(Paper::default().ui(false), "db");
        let session = board.session();
        drop(board.session());
        board.carried().add_down(2048);
        assert_eq!(board.summary(), "1 session, 2 since start, 0 B up, 2.0 KiB down");
        drop(session);
        assert_eq!(board.summary(), "idle, 2 since start, 0 B up, 2.0 KiB down");
    }
}
