//! Wake-ups of a connection that is driven by whoever uses it.
//!
//! Its parts wake each other whenever one hands something to the next. While the connection is driven
//! that says nothing new: each part is looked at in its turn, and a second look for the same request
//! costs as much as the first. Only what comes from elsewhere wakes the task.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// What the parts of one connection wake.
pub(super) struct Bell {
    ring: Arc<Ring>,
    /// Rings it.
    waker: Waker,
}

#[derive(Default)]
struct Ring(Mutex<State>);

#[derive(Default)]
struct State {
    /// Somebody looks at the parts now.
    looking: bool,
    /// A part that was looked at already has to be looked at again.
    again: bool,
    /// Who waits for the connection. Nobody once there was a result, until it is polled again: what is
    /// asked of it in between is looked at then.
    waits: Option<Waker>,
}

impl Bell {
    pub(super) fn new() -> Self {
        let ring = Arc::<Ring>::default();
        Self { waker: Waker::from(ring.clone()), ring }
    }

    /// Looks at the parts until there is a result or none of them has more to do. `look` is given what
    /// they are to wake, and calls [`Looking::on`] where all that
    /// were told something so far are looked at after it.
    pub(super) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        mut look: impl FnMut(&mut Context<'_>, &Looking<'_>) -> Poll<T>,
    ) -> Poll<T> {
        loop {
            self.ring.begin(cx.waker());
            let looking = Looking(&self.ring);
            let polled = look(&mut Context::from_waker(&self.waker), &looking);
            drop(looking);
            if polled.is_ready() {
                self.ring.lock().waits = None;
                return polled;
            }
            if !self.ring.is_due() {
                return polled;
            }
        }
    }
}

/// While the parts are looked at.
pub(super) struct Looking<'a>(&'a Ring);

impl Looking<'_> {
    /// Those who were told something so far are looked at from here on.
    pub(super) fn on(&self) {
        self.0.lock().again = false;
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.lock().looking = false;
    }
}

impl Ring {
    fn begin(&self, waits: &Waker) {
        let mut state = self.lock();
        (state.looking, state.again) = (true, false);
        if !state.waits.as_ref().is_some_and(|waker| waker.will_wake(waits)) {
            state.waits = Some(waits.clone());
        }
    }

    /// Whether a part was told something after it was looked at.
    fn is_due(&self) -> bool {
        self.lock().again
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let waits = {
            let mut state = self.lock();
            state.again |= state.looking;
            if state.looking { None } else { state.waits.take() }
        };
        if let Some(waker) = waits {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn what_parts_tell_each_other_wakes_nobody_and_is_not_missed() {
        let (bell, task) = (Bell::new(), Arc::<Task>::default());
        let waker = Waker::from(task.clone());
        let mut cx = Context::from_waker(&waker);
        // Told to a part that comes after: no second look.
        let mut looks = 0;
        let polled = bell.poll(&mut cx, |cx, looking| {
            looks += 1;
            cx.waker().wake_by_ref();
            looking.on();
            Poll::<()>::Pending
        });
        assert!(polled.is_pending() && looks == 1);
        // Told to one that was looked at: one more.
        let mut looks = 0;
        let polled = bell.poll(&mut cx, |cx, looking| {
            looks += 1;
            looking.on();
            if looks == 1 {
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        assert!(polled.is_pending() && looks == 2);
        assert_eq!(task.0.load(Relaxed), 0);
    }

    #[test]
    fn what_comes_from_elsewhere_wakes_the_last_who_waits() {
        let (bell, first, second) = (Bell::new(), Arc::<Task>::default(), Arc::<Task>::default());
        let mut kept = None;
        for task in [&first, &second] {
            let waker = Waker::from(task.clone());
            let polled = bell.poll(&mut Context::from_waker(&waker), |cx, _| {
                kept = Some(cx.waker().clone());
                Poll::<()>::Pending
            });
            assert!(polled.is_pending());
        }
        let ring: Waker = kept.unwrap();
        ring.wake_by_ref();
        assert_eq!((first.0.load(Relaxed), second.0.load(Relaxed)), (0, 1));
        // Who has a result waits no more.
        let waker = Waker::from(first.clone());
        let polled = bell.poll(&mut Context::from_waker(&waker), |_, _| Poll::Ready(()));
        ring.wake();
        assert!(polled.is_ready() && first.0.load(Relaxed) == 0);
    }
}
