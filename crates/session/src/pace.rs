//! Refusals leave at even moments.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Waits for the next whole `step` after `started`.
///
/// A refusal that waits takes as long for what is absent as for what is there and forbidden: the
/// work behind it takes far less than a step, and so its length is not told.
pub async fn even(started: Instant, step: Duration) {
    let step = step.max(Duration::from_millis(1));
    let whole = started.elapsed().as_nanos() / step.as_nanos() + 1;
    // More steps than fit is longer than any deadline around the caller.
    let whole = u32::try_from(whole).unwrap_or(u32::MAX);
    sleep_until(started + step.saturating_mul(whole)).await;
}

/// The step for a credential that was not accepted, at every door.
pub const REFUSED: Duration = Duration::from_millis(100);

/// The step for an application that somebody who is signed in may not reach.
pub const DENIED: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_of_any_length_ends_at_a_whole_step() {
        for (work, told) in [(0, 100), (3, 100), (99, 100), (100, 200), (250, 300)] {
            let started = Instant::now();
            advance(Duration::from_millis(work)).await;
            even(started, REFUSED).await;
            assert_eq!(started.elapsed(), Duration::from_millis(told), "{work} ms of work");
        }
    }
}
