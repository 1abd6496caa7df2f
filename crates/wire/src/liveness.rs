//! When to ask whether the peer still lives, and when to stop believing it.

use std::time::{Duration, Instant};

/// Watches one connection's silence. Sans-I/O: the caller waits until
/// [`poll_timeout`](Self::poll_timeout) and then asks [`handle_timeout`](Self::handle_timeout).
#[derive(Clone, Debug)]
pub struct Liveness {
    probe_after: Duration,
    heard: Instant,
    probed: Option<Instant>,
    doubted: bool,
}

/// What a silence calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a ping.
    Probe,
    /// The peer may be gone: see to another way to it, and keep this one.
    Doubt,
    /// The peer is gone.
    GiveUp,
}

impl Liveness {
    /// Silence after which the peer is asked.
    pub const PROBE_AFTER: Duration = Duration::from_secs(3);
    /// The same for the side that has to dial anew where this way has ended.
    pub const DIALLER_PROBE_AFTER: Duration = Duration::from_millis(1250);
    /// How long an answer may take before there is doubt. With the above: two seconds of silence.
    pub const DOUBT_AFTER: Duration = Duration::from_millis(750);
    /// How long it may take to answer. With the above: gone after 8 s of silence.
    pub const ANSWER_WITHIN: Duration = Duration::from_secs(5);

    pub fn new(now: Instant) -> Self {
        Self { probe_after: Self::PROBE_AFTER, heard: now, probed: None, doubted: false }
    }

    /// That of the dialling side, which asks sooner.
    pub fn of_dialler(now: Instant) -> Self {
        Self { probe_after: Self::DIALLER_PROBE_AFTER, ..Self::new(now) }
    }

    /// The peer was heard.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.probed = None;
        self.doubted = false;
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub fn poll_timeout(&self) -> Instant {
        match self.probed {
            None => self.heard + self.probe_after,
            Some(at) if !self.doubted => at + Self::DOUBT_AFTER,
            Some(at) => at + Self::ANSWER_WITHIN,
        }
    }

    /// What is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Action> {
        if now < self.poll_timeout() {
            return None;
        }
        // The answer's time counts from the probe and not from the last word, so that a process
        // which itself stood still for a while does not give up on a peer it never asked.
        match self.probed {
            None => {
                self.probed = Some(now);
                Some(Action::Probe)
            }
            Some(_) if !self.doubted => {
                self.doubted = true;
                Some(Action::Doubt)
            }
            Some(_) => Some(Action::GiveUp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_silent_peer_is_asked_and_then_given_up_within_ten_seconds() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        assert_eq!(liveness.poll_timeout(), start + seconds(3));
        assert_eq!(liveness.handle_timeout(start + seconds(2)), None);
        assert_eq!(liveness.handle_timeout(start + seconds(3)), Some(Action::Probe));
        let doubt = start + seconds(3) + Liveness::DOUBT_AFTER;
        assert_eq!(liveness.poll_timeout(), doubt);
        assert_eq!(liveness.handle_timeout(doubt), Some(Action::Doubt));
        assert_eq!(liveness.handle_timeout(start + seconds(7)), None);
        assert_eq!(liveness.poll_timeout(), start + seconds(8));
        assert_eq!(liveness.handle_timeout(start + seconds(8)), Some(Action::GiveUp));
    }

    #[test]
    fn the_side_that_dials_doubts_within_two_seconds_and_an_answer_ends_it() {
        let start = Instant::now();
        let mut liveness = Liveness::of_dialler(start);
        let asked = liveness.poll_timeout();
        assert_eq!(liveness.handle_timeout(asked), Some(Action::Probe));
        let doubted = liveness.poll_timeout();
        assert_eq!(doubted, start + seconds(2));
        assert_eq!(liveness.handle_timeout(doubted), Some(Action::Doubt));
        liveness.heard(doubted);
        assert_eq!(liveness.poll_timeout(), doubted + Liveness::DIALLER_PROBE_AFTER);
        let asked = liveness.poll_timeout();
        assert_eq!(liveness.handle_timeout(asked), Some(Action::Probe));
    }

    #[test]
    fn a_peer_that_answers_is_never_given_up() {
        let mut now = Instant::now();
        let mut liveness = Liveness::new(now);
        for _ in 0..100 {
            now = liveness.poll_timeout();
            assert_eq!(liveness.handle_timeout(now), Some(Action::Probe));
            assert_eq!(liveness.handle_timeout(now + seconds(1)), Some(Action::Doubt));
            now += seconds(4);
            assert_eq!(liveness.handle_timeout(now), None);
            liveness.heard(now);
        }
    }

    #[test]
    fn a_process_that_stood_still_asks_before_it_gives_up() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start);
        let late = start + seconds(3600);
        assert_eq!(liveness.handle_timeout(late), Some(Action::Probe));
        assert_eq!(liveness.handle_timeout(late + seconds(1)), Some(Action::Doubt));
        assert_eq!(liveness.poll_timeout(), late + seconds(5));
    }
}
