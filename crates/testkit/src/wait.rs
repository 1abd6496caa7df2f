use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks until the answer is yes; fails with `what` once the deadline has passed.
pub fn eventually(within: Duration, what: &str, mut answer: impl FnMut() -> bool) -> Result<()> {
    until(within, what, || answer().then_some(()))
}

/// Asks until there is an answer; fails with `what` once the deadline has passed.
pub fn until<T>(within: Duration, what: &str, mut answer: impl FnMut() -> Option<T>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = answer() {
            return Ok(value);
        }
        if started.elapsed() > within {
            bail!("after {within:?} still not: {what}");
        }
        std::thread::sleep(PAUSE);
    }
}

const PAUSE: Duration = Duration::from_millis(20);
