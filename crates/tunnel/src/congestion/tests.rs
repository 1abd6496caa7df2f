//! The controller on a path that is computed: a link of some rate with a queue before it, some
//! length, and a dice.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::*;

const MTU: u64 = 1200;

/// A path, and what came of a transfer over it.
struct Link {
    /// Bytes a millisecond.
    rate: u64,
    /// Milliseconds there and back.
    length: u64,
    /// Bytes that wait before one is lost.
    room: u64,
    /// Of a thousand.
    lost: u64,
    /// Bytes of others that always wait before ours.
    others: u64,
    dice: u64,
}

#[derive(Debug, Default)]
struct Seen {
    /// Bytes that arrived in the last half of the time.
    arrived: u64,
    sent: u64,
    overflowed: u64,
    /// The longest wait in the queue in the last half of the time, in milliseconds.
    waited: u64,
}

struct Packet {
    sent: Instant,
    answered: u64,
    lost: bool,
}

impl Link {
    fn new(rate: u64, length: u64) -> Self {
        let room = rate * length;
        Self { rate, length, room, lost: 0, others: 0, dice: 7 }
    }

    /// Sends as much as the controller allows for so many milliseconds; `turn` changes the link.
    fn carry(&mut self, millis: u64, mut turn: impl FnMut(u64, &mut Self)) -> Seen {
        let start = Instant::now();
        let mut controller = Adaptive::new(start, u16::try_from(MTU).unwrap());
        let (mut under_way, mut seen) = (VecDeque::<Packet>::new(), Seen::default());
        let (mut waiting, mut in_flight) = (0, 0);
        for tick in 0..millis {
            turn(tick, self);
            let now = start + Duration::from_millis(tick);
            waiting = u64::saturating_sub(waiting, self.rate);
            let late = tick >= millis / 2;
            let (mut answered, mut lost) = (false, 0);
            while under_way.front().is_some_and(|packet| packet.answered <= tick) {
                let Some(packet) = under_way.pop_front() else { break };
                in_flight -= MTU;
                if packet.lost {
                    lost += MTU;
                    continue;
                }
                controller.acked(now, packet.sent, MTU, false);
                answered = true;
                seen.arrived += if late { MTU } else { 0 };
            }
            if answered {
                controller.batch(now, false);
            }
            if lost > 0 {
                controller.lost(now, false, lost);
            }
            // As quinn paces: a window and a quarter in a round trip.
            let mut pace = (controller.window * 5 / 4 / self.length).max(MTU);
            while in_flight + MTU <= controller.window && pace >= MTU {
                pace -= MTU;
                in_flight += MTU;
                seen.sent += MTU;
                let full = waiting + MTU > self.room;
                let unlucky = self.draw() < self.lost;
                let wait = (waiting + self.others) / self.rate;
                if full {
                    seen.overflowed += MTU;
                } else {
                    waiting += MTU;
                    seen.waited = seen.waited.max(if late { waiting / self.rate } else { 0 });
                }
                let (answered, lost) = (tick + self.length + wait, full || unlucky);
                under_way.push_back(Packet { sent: now, answered, lost });
            }
        }
        seen
    }

    fn draw(&mut self) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % 1000
    }
}

/// How much of what the link can carry arrived, in hundredths.
fn share(link: &Link, seen: &Seen, millis: u64) -> u64 {
    seen.arrived * 100 / (link.rate * millis / 2)
}

/// 100 Mbit/s.
const RATE: u64 = 12_500;

#[test]
fn packets_that_are_lost_by_chance_slow_nothing_down() {
    for lost in [0, 1, 10, 20] {
        let mut link = Link { lost, ..Link::new(RATE, 50) };
        let seen = link.carry(20_000, |_, _| {});
        let share = share(&link, &seen, 20_000);
        assert!(share >= 85, "{lost} of 1000: {share} % {seen:?}");
    }
}

#[test]
fn more_loss_than_a_full_path_has_is_borne_once_yielding_has_not_helped() {
    let mut link = Link { lost: 60, ..Link::new(RATE, 50) };
    let seen = link.carry(20_000, |_, _| {});
    let share = share(&link, &seen, 20_000);
    assert!(share >= 60, "{share} % {seen:?}");
}

#[test]
fn a_deep_queue_is_not_filled() {
    for lost in [0, 10] {
        // Two seconds would fit.
        let mut link = Link { lost, room: RATE * 2000, ..Link::new(RATE, 50) };
        let seen = link.carry(20_000, |_, _| {});
        assert!(seen.waited <= 25, "{lost} of 1000: {seen:?}");
    }
}

#[test]
fn a_path_without_a_queue_loses_little_of_what_is_sent() {
    let mut link = Link { room: RATE * 4, ..Link::new(RATE, 50) };
    let seen = link.carry(30_000, |_, _| {});
    let lost = seen.overflowed * 1000 / seen.sent;
    assert!(lost <= 40 && share(&link, &seen, 30_000) >= 70, "{lost} of 1000 {seen:?}");
}

#[test]
fn a_link_that_became_slower_is_followed() {
    let mut link = Link { room: RATE * 2000, ..Link::new(RATE, 50) };
    let slow = |tick, link: &mut Link| {
        if tick == 5_000 {
            link.rate = RATE / 10;
        }
    };
    let seen = link.carry(20_000, slow);
    assert!(seen.waited <= 60 && share(&link, &seen, 20_000) >= 80, "{seen:?}");
}

#[test]
fn a_queue_that_others_keep_full_does_not_starve_us() {
    let mut link = Link::new(RATE, 50);
    let late = |tick, link: &mut Link| link.others = if tick < 2_000 { 0 } else { RATE * 60 };
    let seen = link.carry(20_000, late);
    assert!(share(&link, &seen, 20_000) >= 15, "{seen:?}");
}

#[test]
fn a_path_that_went_silent_is_tried_anew_with_little() {
    let now = Instant::now();
    let mut controller = Adaptive::new(now, 1200);
    controller.window = 10 << 20;
    controller.lost(now, true, 5 << 20);
    assert_eq!((controller.window, controller.phase), (12_000, Phase::Starting));
}

#[test]
fn a_mark_of_a_router_is_a_full_queue() {
    let start = Instant::now();
    let mut controller = Adaptive::new(start, 1200);
    let at = |millis| start + Duration::from_millis(millis);
    controller.acked(at(51), at(1), 12_000, false);
    controller.batch(at(51), false);
    let before = controller.window;
    controller.lost(at(60), false, 0);
    controller.acked(at(110), at(60), 12_000, false);
    controller.batch(at(110), false);
    assert!(controller.window <= before + 12_000 && matches!(controller.phase, Phase::Yielding(_)));
}

#[test]
fn answers_that_come_late_at_the_start_slow_nothing_down_for_long() {
    let mut link = Link::new(RATE, 50);
    let busy = |tick, link: &mut Link| {
        link.others = if (60..200).contains(&tick) { RATE * 40 } else { 0 };
    };
    let seen = link.carry(6_000, busy);
    assert!(share(&link, &seen, 6_000) >= 80, "{seen:?}");
}
