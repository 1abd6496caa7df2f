//! The time of a recording as it is played: how fast it goes, and where somebody wants it to be.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::{Playback, PlayedKey, SteerPlayback};
use std::collections::VecDeque;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// Of one playback.
pub(super) struct Clock {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    /// Milliseconds of the recording that were reached then.
    at_ms: f64,
    then: Instant,
    speed: f64,
    plays: bool,
    skips_idle: bool,
    /// What comes is shown as it comes.
    follows: bool,
    /// Where somebody wants it to be.
    wish: Option<u64>,
    length_ms: u64,
    /// The session goes on.
    live: bool,
    keys: VecDeque<PlayedKey>,
    /// When somebody last asked.
    asked: Instant,
}

impl Clock {
    pub(super) fn new(live: bool) -> Self {
        let now = Instant::now();
        let state = State {
            at_ms: 0.0,
            then: now,
            speed: 1.0,
            plays: true,
            skips_idle: true,
            follows: live,
            wish: None,
            length_ms: 0,
            live,
            keys: VecDeque::new(),
            asked: now,
        };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// Does what somebody wants, and says how it is then.
    pub(super) fn steer(&self, wanted: &SteerPlayback) -> Playback {
        let mut state = self.state();
        let now = Instant::now();
        state.set(now);
        state.asked = now;
        let SteerPlayback { at_ms, speed, playing, skip_idle, follow } = *wanted;
        if let Some(at_ms) = at_ms {
            let at_ms = at_ms.min(state.length_ms);
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of a recording")]
            let at = at_ms as f64;
            (state.at_ms, state.wish, state.follows) = (at, Some(at_ms), false);
            state.keys.clear();
        }
        if let Some(speed) = speed {
            (state.speed, state.follows) = (speed.clamp(0.1, 64.0), false);
        }
        if let Some(playing) = playing {
            (state.plays, state.follows) = (playing, false);
        }
        state.skips_idle = skip_idle.unwrap_or(state.skips_idle);
        if follow == Some(true) && state.live {
            (state.follows, state.plays, state.wish) = (true, true, Some(state.length_ms));
        }
        let told = state.told();
        drop(state);
        self.changed.notify_one();
        told
    }

    /// Where somebody wants it to be, once.
    pub(super) fn take_wish(&self) -> Option<u64> {
        self.state().wish.take()
    }

    /// Waits until it is time for what happened at `at_ms`; `false`: somebody wants to be elsewhere.
    pub(super) async fn due(&self, at_ms: u64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a recording")]
        let at = at_ms as f64;
        loop {
            let wait = {
                let mut state = self.state();
                if state.wish.is_some() {
                    return false;
                }
                state.set(Instant::now());
                if state.follows {
                    state.at_ms = state.at_ms.max(at);
                } else if state.plays && state.skips_idle {
                    state.at_ms = state.at_ms.max(at - LONGEST_IDLE);
                }
                if at <= state.at_ms {
                    return true;
                }
                let left = Duration::from_secs_f64((at - state.at_ms) / state.speed / 1000.0);
                state.plays.then_some(left)
            };
            match wait {
                Some(left) => tokio::select! {
                    () = sleep(left) => {}
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// Completes when somebody wants something.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Completes when nobody has asked for too long from now on: who may no longer look can not ask.
    pub(super) async fn forgotten(&self) {
        self.state().asked = Instant::now();
        loop {
            let asked = self.state().asked;
            if asked.elapsed() >= SILENCE {
                return;
            }
            tokio::time::sleep_until(asked + SILENCE).await;
        }
    }

    pub(super) fn grown(&self, length_ms: u64, live: bool) {
        let mut state = self.state();
        (state.length_ms, state.live) = (length_ms, live);
        state.follows &= live;
    }

    pub(super) fn pressed(&self, key: PlayedKey) {
        let mut state = self.state();
        if state.keys.len() == KEYS {
            state.keys.pop_front();
        }
        state.keys.push_back(key);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn set(&mut self, now: Instant) {
        if self.plays {
            let passed = (now - self.then).as_secs_f64() * 1000.0;
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of a recording")]
            let length = self.length_ms as f64;
            // What is not there yet is not reached.
            self.at_ms = (self.at_ms + passed * self.speed).min(length.max(self.at_ms));
        }
        self.then = now;
    }

    fn told(&self) -> Playback {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "milliseconds of a recording"
        )]
        let at_ms = self.at_ms as u64;
        Playback {
            at_ms,
            length_ms: self.length_ms,
            speed: self.speed,
            playing: self.plays && (self.live || at_ms < self.length_ms),
            skip_idle: self.skips_idle,
            live: self.live,
            follows: self.follows,
            keys: self.keys.iter().cloned().collect(),
        }
    }
}

/// A pause that is not skipped, in milliseconds.
const LONGEST_IDLE: f64 = 1500.0;
/// Keys that are told of.
const KEYS: usize = 64;
/// Pages ask twice a second.
const SILENCE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{advance, timeout};

    fn clock() -> Clock {
        let clock = Clock::new(false);
        clock.grown(100_000, false);
        clock
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn time_goes_as_fast_as_is_wanted_and_stands_still_in_a_pause() {
        let (clock, began) = (clock(), Instant::now());
        let wanted =
            SteerPlayback { speed: Some(4.0), skip_idle: Some(false), ..Default::default() };
        clock.steer(&wanted);
        assert!(clock.due(8000).await);
        assert!((SECOND * 2..SECOND * 3).contains(&began.elapsed()), "{:?}", began.elapsed());
        clock.steer(&SteerPlayback { playing: Some(false), ..Default::default() });
        advance(SECOND * 60).await;
        let told = clock.steer(&SteerPlayback::default());
        assert!((8000..8100).contains(&told.at_ms) && !told.playing, "{told:?}");
        assert!(timeout(SECOND * 60, clock.due(9000)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_pause_of_the_recording_is_cut_short() {
        let (clock, began) = (clock(), Instant::now());
        assert!(clock.due(60_000).await);
        assert!(began.elapsed() < SECOND * 2, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_wants_to_be_elsewhere_is_told_of_once_and_what_was_passed_is_due() {
        let clock = clock();
        clock.pressed(PlayedKey { at_ms: 1, code: Some(1), unit: None, pressed: true });
        let told = clock.steer(&SteerPlayback { at_ms: Some(500_000), ..Default::default() });
        assert_eq!((told.at_ms, told.keys.len()), (100_000, 0), "no further than there is");
        assert!(!clock.due(90_000).await);
        assert_eq!((clock.take_wish(), clock.take_wish()), (Some(100_000), None));
        assert!(clock.due(90_000).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_is_shown_as_it_comes_until_somebody_looks_elsewhere() {
        let clock = Clock::new(true);
        clock.grown(10_000, true);
        let began = Instant::now();
        clock.steer(&SteerPlayback { follow: Some(true), ..Default::default() });
        assert_eq!(clock.take_wish(), Some(10_000));
        assert!(clock.due(20_000).await && began.elapsed() < SECOND);
        let told = clock.steer(&SteerPlayback { at_ms: Some(1000), ..Default::default() });
        assert!(told.live && !told.follows);
        clock.grown(20_000, false);
        let told = clock.steer(&SteerPlayback { follow: Some(true), ..Default::default() });
        assert!(!told.live && !told.follows, "it is over");
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_asks_for_is_forgotten() {
        let (clock, began) = (clock(), Instant::now());
        let asks = async {
            for _ in 0..10 {
                tokio::time::sleep(SECOND * 10).await;
                clock.steer(&SteerPlayback::default());
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = clock.forgotten() => {}
            () = asks => {}
        }
        assert_eq!(began.elapsed().as_secs(), 115);
    }
}
