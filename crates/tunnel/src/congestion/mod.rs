//! Congestion control for paths that lose packets without being full.
//!
//! CUBIC takes each lost packet for a full queue, so at 0.1 % it stands nearly still. What a full
//! path does is measured here instead: round trips grow, or much is lost. Either is answered by
//! sending less than what arrives. Where that does not help, it was not our doing: no more is sent
//! into a queue of others, and more loss is borne, for a while. docs/adr/0022-congestion-control-of-our-own.md

mod model;
mod round;

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::congestion::{Controller, ControllerFactory};
use quinn_proto::RttEstimator;

use model::Model;
use round::{Losses, Round};

/// Builds an [`Adaptive`] for each path.
#[derive(Debug)]
pub(crate) struct AdaptiveConfig;

impl ControllerFactory for AdaptiveConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Adaptive::new(now, current_mtu))
    }
}

/// How much may be under way on one path.
#[derive(Clone, Debug)]
pub(crate) struct Adaptive {
    mtu: u64,
    window: u64,
    phase: Phase,
    round: Round,
    losses: Losses,
    model: Model,
    loss: Borne,
    /// The last round was late.
    suspected: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Twice as much in each round, until the path is full.
    Starting,
    /// A little more in each round, and more of it the more rounds in a row found no queue.
    Probing { clear: u32 },
    /// Less than what arrives, to see whether that helps.
    Yielding(Yield),
    /// Neither more nor less: the queue is not ours.
    Holding { until: Instant },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Yield {
    why: Why,
    /// What the window comes down to, by one packet for two that arrive: a window that is cut at
    /// once lets nobody send until all of the rest has arrived, whoever waits.
    target: u64,
    /// Since it is there.
    rounds: u32,
    /// What it is afterwards, where this does not help.
    held: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// So many microseconds of it.
    Queue(u64),
    Loss,
}

/// How much loss is borne, where sending less has not helped.
#[derive(Clone, Copy, Debug, Default)]
struct Borne {
    raised: Option<(u64, Instant)>,
}

impl Borne {
    /// Of a thousand bytes.
    fn limit(&self, now: Instant) -> u64 {
        match self.raised {
            Some((limit, until)) if now < until => limit.max(LOSS),
            Some(_) | None => LOSS,
        }
    }

    fn raise(&mut self, seen: u64, now: Instant) {
        self.raised = Some(((seen + seen / 2).min(MOST_LOSS), now + LOSS_BORNE));
    }
}

impl Adaptive {
    fn new(now: Instant, mtu: u16) -> Self {
        Self {
            mtu: mtu.into(),
            window: FIRST,
            phase: Phase::Starting,
            round: Round::new(now),
            losses: Losses::default(),
            model: Model::new(now),
            loss: Borne::default(),
            suspected: false,
        }
    }

    fn acked(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool) {
        self.round.acked(now, sent, bytes);
        self.losses.acked += bytes;
        // A window that is not used says nothing of what the path holds.
        if app_limited {
            return;
        }
        match self.phase {
            Phase::Starting => self.window += bytes,
            Phase::Probing { clear } => self.window += bytes >> shift(clear),
            Phase::Yielding(Yield { target, .. }) => {
                self.window = self.window.saturating_sub(bytes / 2).max(target);
            }
            Phase::Holding { .. } => {}
        }
    }

    fn lost(&mut self, now: Instant, persistent: bool, bytes: u64) {
        self.losses.lost += bytes;
        // No bytes: a router has marked packets instead of losing them.
        self.round.marked |= bytes == 0;
        if persistent {
            self.window = self.least();
            self.phase = Phase::Starting;
            self.round = Round::new(now);
            self.losses = Losses::default();
        }
    }

    /// Looks at a round trip's worth of packets once they have been answered.
    fn batch(&mut self, now: Instant, app_limited: bool) {
        self.slow_down();
        let Some(ended) = self.round.end(now) else { return };
        self.model.learn(now, &ended);
        // What is in the way is not ours, and how much would arrive is not known.
        if app_limited && !ended.marked {
            return;
        }
        let queue = ended.shortest.min(ended.smoothed).saturating_sub(self.model.shortest());
        let queue = u64::try_from(queue.as_micros()).unwrap_or(u64::MAX);
        if let Phase::Yielding(how) = self.phase {
            return self.look_again(now, how, queue);
        }
        let usual = self.usual_queue();
        let full = queue > usual;
        let late = full && self.is_sure();
        self.suspected &= full;
        if self.losses.judged(self.mtu) > Some(self.loss.limit(now)) {
            return self.give_way(Why::Loss);
        }
        match &mut self.phase {
            Phase::Holding { until } if full && now < *until && !ended.marked => {}
            Phase::Holding { .. } if !full => self.phase = Phase::Probing { clear: 0 },
            Phase::Starting | Phase::Probing { .. } | Phase::Holding { .. }
                if late || ended.marked =>
            {
                self.give_way(Why::Queue(queue));
            }
            Phase::Probing { clear } => {
                *clear = if queue < usual / 4 { *clear + 1 } else { 0 };
            }
            Phase::Starting | Phase::Holding { .. } | Phase::Yielding(_) => {}
        }
    }

    /// One late answer in a round of few packets may be the doing of a processor that was busy.
    fn is_sure(&mut self) -> bool {
        let before = std::mem::replace(&mut self.suspected, true);
        before || self.window > FEW * self.mtu
    }

    /// Stops growing as soon as answers come late: at the end of the round twice as much would be
    /// under way again (RFC 9406).
    fn slow_down(&mut self) {
        let seen = self.round.seen().map(|seen| seen.min(self.round.smoothed));
        let late = seen.and_then(|seen| seen.checked_sub(self.model.shortest()));
        let late = late.is_some_and(|late| late > Duration::from_micros(self.usual_queue() / 2));
        match &mut self.phase {
            Phase::Starting if late => self.phase = Phase::Probing { clear: STEADY },
            Phase::Probing { clear } if late => *clear = 0,
            Phase::Starting
            | Phase::Probing { .. }
            | Phase::Yielding(_)
            | Phase::Holding { .. } => {}
        }
    }

    /// Sends a little less than what arrives, so that what waits in the queue goes.
    fn give_way(&mut self, why: Why) {
        let most = self.arrives().min(self.window);
        let target = (most - most / PART).max(self.least());
        // What was more than enough when this began is not what to come back to.
        let held = if matches!(self.phase, Phase::Holding { .. }) { self.window } else { target };
        self.phase = Phase::Yielding(Yield { why, target, rounds: 0, held });
    }

    /// Whether yielding has helped; the first round still shows what was sent before.
    fn look_again(&mut self, now: Instant, how: Yield, queue: u64) {
        if self.window > how.target {
            return;
        }
        if how.rounds == 0 {
            self.losses = Losses::default();
        }
        self.phase = Phase::Yielding(Yield { rounds: how.rounds + 1, ..how });
        if how.rounds < SETTLED {
            return;
        }
        let full = queue > self.usual_queue();
        match how.why {
            // It was ours, and more of it than was thought; or the path has changed meanwhile.
            Why::Queue(before) if full && queue.abs_diff(before) > before / 4 => {
                return self.give_way(Why::Queue(queue));
            }
            Why::Queue(_) if full => {
                self.window = how.held;
                self.phase = Phase::Holding { until: now + HELD };
                return;
            }
            // What waited is gone: what arrives may be sent again.
            Why::Queue(_) => self.window += self.window / (PART - 1),
            Why::Loss => match self.losses.judged(self.mtu) {
                None => return,
                Some(loss) if loss > self.loss.limit(now) => self.loss.raise(loss, now),
                Some(_) => {}
            },
        }
        self.phase = Phase::Probing { clear: 0 };
    }

    /// What the path holds without a queue.
    fn arrives(&self) -> u64 {
        let least = if self.is_near() { BUSY / 2 } else { QUEUE / 2 };
        self.model.arrives_in(self.model.shortest().max(least))
    }

    /// The queue that is usual on a path of this length, in microseconds.
    fn usual_queue(&self) -> u64 {
        let part = self.model.shortest() / 8;
        let least = if self.is_near() { BUSY } else { QUEUE };
        u64::try_from(part.max(least).as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether what makes answers late is a processor rather than a link.
    fn is_near(&self) -> bool {
        self.model.shortest() < NEAR
    }

    fn least(&self) -> u64 {
        LEAST * self.mtu
    }
}

/// By what part of itself a window grows after so many rounds without a queue, as a shift: a 64th,
/// then a 16th; and when no queue comes even so, twice the window is not too much.
fn shift(clear: u32) -> u32 {
    match clear {
        0..STEADY => 6 - clear,
        STEADY..10 => 4,
        10..14 => 13 - clear,
        14.. => 0,
    }
}

impl Controller for Adaptive {
    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        // Without the time for which the peer kept its answer back.
        self.round.smoothed = rtt.get();
        self.acked(now, sent, bytes, app_limited);
    }

    fn on_end_acks(&mut self, now: Instant, _: u64, app_limited: bool, _: Option<u64>) {
        self.batch(now, app_limited);
    }

    fn on_congestion_event(&mut self, now: Instant, _: Instant, persistent: bool, lost: u64) {
        self.lost(now, persistent, lost);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu.into();
        self.window = self.window.max(self.least());
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        FIRST
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// RFC 9002, section 7.2.
const FIRST: u64 = 14_720;
/// Packets that may always be under way: for fewer of them a peer keeps its answer back.
const LEAST: u64 = 10;
/// Rounds without a queue after which a window grows steadily.
const STEADY: u32 = 2;
/// Packets in a round whose answers tell a queue from chance.
const FEW: u64 = 64;
/// What part less is sent.
const PART: u64 = 8;
/// Rounds after which what yielding does is seen.
const SETTLED: u32 = 1;
/// What may wait on the way.
const QUEUE: Duration = Duration::from_millis(10);
/// The same on a path within a building, where it is the peer's processor that is waited for.
const BUSY: Duration = Duration::from_millis(40);
const NEAR: Duration = Duration::from_millis(2);
/// Of a thousand bytes.
const LOSS: u64 = 30;
const MOST_LOSS: u64 = 300;
const HELD: Duration = Duration::from_secs(10);
const LOSS_BORNE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
