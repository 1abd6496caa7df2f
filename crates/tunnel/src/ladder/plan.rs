//! What is tried when. Pure: time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use crate::carrier::Transport;

/// The ways to a relay, the best one first.
pub(crate) const RUNGS: [Transport; 3] = [Transport::Quic, Transport::Tls, Transport::WebSocket];

/// Which ways are tried when, until one of them stands.
#[derive(Clone, Debug)]
pub(super) struct Race {
    waiting: VecDeque<(Transport, Duration)>,
}

impl Race {
    /// All ways. Each has a head start before the next one; but what is expected to work, because it
    /// did before, comes nearly at once, and with it all that is better.
    pub(super) fn of_all(expected: Option<Transport>) -> Self {
        let expected = expected.unwrap_or(Transport::Quic);
        let at = |rung: Transport| {
            let place = |of| RUNGS.iter().position(|rung| *rung == of).unwrap_or_default();
            let behind = place(rung).saturating_sub(place(expected));
            let behind = HEAD_START * u32::try_from(behind).unwrap_or_default();
            let margin = if rung == Transport::Quic { Duration::ZERO } else { MARGIN };
            behind + margin
        };
        Self { waiting: RUNGS.into_iter().map(|rung| (rung, at(rung))).collect() }
    }

    /// Those that are better than `current`.
    pub(super) fn above(current: Transport) -> Self {
        let better = RUNGS.into_iter().take_while(|rung| *rung != current);
        let apart = (0..).map(|place| HEAD_START * place);
        Self { waiting: better.zip(apart).collect() }
    }

    /// The next way that is tried now; at once where no other is under way.
    pub(super) fn due(&mut self, elapsed: Duration, idle: bool) -> Option<Transport> {
        let (_, at) = self.waiting.front()?;
        if idle || elapsed >= *at { self.waiting.pop_front().map(|(rung, _)| rung) } else { None }
    }

    /// When to ask again.
    pub(super) fn next(&self) -> Option<Duration> {
        self.waiting.front().map(|(_, at)| *at)
    }
}

/// When the better way is tried again.
#[derive(Clone, Debug, Default)]
pub(super) struct Climb {
    tries: u32,
}

impl Climb {
    /// The pause before the next try; `random` is from 0 to 1.
    pub(super) fn pause(&mut self, random: f64) -> Duration {
        let full = FIRST.saturating_mul(1 << self.tries.min(16)).min(LAST);
        self.tries = self.tries.saturating_add(1);
        full.mul_f64(0.9 + 0.1 * random.clamp(0.0, 1.0))
    }

    /// Takes note of how long a connection stood that was lost: one that did not stand for long is
    /// not to be had again at once, or a way that comes and goes would be climbed all day.
    pub(super) fn lost_after(&mut self, stood: Duration) {
        if stood >= STEADY {
            self.tries = 0;
        }
    }
}

/// Before the next way is tried too.
const HEAD_START: Duration = Duration::from_millis(300);
/// What QUIC has before the rest even where it did not work before.
const MARGIN: Duration = Duration::from_millis(50);
const FIRST: Duration = Duration::from_secs(5);
/// With what a try takes, less than a minute.
const LAST: Duration = Duration::from_secs(40);
const STEADY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use Transport::{Quic, Tls, WebSocket};

    use super::*;

    /// What starts at which millisecond while nothing fails.
    fn starts(mut race: Race) -> Vec<(u64, Transport)> {
        let mut started = Vec::new();
        for millis in 0..2000 {
            let elapsed = Duration::from_millis(millis);
            while let Some(rung) = race.due(elapsed, false) {
                started.push((millis, rung));
            }
        }
        started
    }

    #[test]
    fn each_way_has_a_head_start_before_the_next() {
        let all = starts(Race::of_all(None));
        assert_eq!(all, [(0, Quic), (350, Tls), (650, WebSocket)]);
        assert_eq!(starts(Race::of_all(Some(Quic))), all);
    }

    #[test]
    fn what_worked_before_is_tried_at_once_beside_what_is_better() {
        let tls = starts(Race::of_all(Some(Tls)));
        assert_eq!(tls, [(0, Quic), (50, Tls), (350, WebSocket)]);
        let websocket = starts(Race::of_all(Some(WebSocket)));
        assert_eq!(websocket, [(0, Quic), (50, Tls), (50, WebSocket)]);
    }

    #[test]
    fn a_way_that_fails_gives_its_head_start_up() {
        let mut race = Race::of_all(None);
        assert_eq!(race.due(Duration::ZERO, true), Some(Quic));
        assert_eq!(race.due(Duration::from_millis(1), false), None);
        assert_eq!(race.next(), Some(Duration::from_millis(350)));
        assert_eq!(race.due(Duration::from_millis(1), true), Some(Tls));
        assert_eq!(race.due(Duration::from_millis(2), true), Some(WebSocket));
        assert_eq!((race.due(Duration::from_secs(9), true), race.next()), (None, None));
    }

    #[test]
    fn only_what_is_better_is_climbed_to() {
        assert_eq!(starts(Race::above(Quic)), []);
        assert_eq!(starts(Race::above(Tls)), [(0, Quic)]);
        assert_eq!(starts(Race::above(WebSocket)), [(0, Quic), (300, Tls)]);
    }

    #[test]
    fn the_better_way_is_tried_soon_and_then_at_least_once_in_a_minute() {
        let mut climb = Climb::default();
        let pauses: Vec<_> = (0..6).map(|_| climb.pause(1.0).as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 40, 40]);
        climb.lost_after(Duration::from_secs(59));
        assert_eq!(climb.pause(1.0).as_secs(), 40);
        climb.lost_after(STEADY);
        assert_eq!(climb.pause(0.0), FIRST.mul_f64(0.9));
    }
}
