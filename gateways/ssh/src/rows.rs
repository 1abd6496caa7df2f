//! How many rows of the audit log one session takes for what its programs do with files.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A place for each row: so many at once, and then one from time to time.
#[derive(Debug)]
pub(crate) struct Rows(Mutex<Places>);

#[derive(Debug)]
struct Places {
    free: u32,
    /// Up to when places were given back.
    until: Instant,
}

impl Default for Rows {
    fn default() -> Self {
        Self(Mutex::new(Places { free: AT_ONCE, until: Instant::now() }))
    }
}

impl Rows {
    /// Takes a place, if there is one.
    pub(crate) fn take(&self) -> bool {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let back = places.until.elapsed().as_millis() / EACH.as_millis();
        let back = u32::try_from(back).unwrap_or(u32::MAX);
        places.free = places.free.saturating_add(back).min(AT_ONCE);
        places.until += EACH.saturating_mul(back);
        let taken = places.free > 0;
        places.free -= u32::from(taken);
        taken
    }
}

pub(crate) const AT_ONCE: u32 = 200;
const EACH: Duration = Duration::from_secs(6);

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_has_many_rows_at_once_and_then_ten_a_minute() {
        let rows = Rows::default();
        let taken = |tries: u32| (0..tries).filter(|_| rows.take()).count();
        assert_eq!(taken(1000), 200);
        advance(Duration::from_secs(60)).await;
        assert_eq!(taken(1000), 10);
        advance(Duration::from_secs(7 * 24 * 3600)).await;
        assert_eq!(taken(1000), 200);
    }
}
