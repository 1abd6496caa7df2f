//! What is wrong with the TLS of origins, in the relay's log. Requests come by the thousand, and say it
//! once.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use access::{Application, ApplicationId, Code};
use tokio::time::Instant;

use crate::origin::OriginError;

/// What was said of which application, and when.
#[derive(Default)]
pub(crate) struct Faults(Mutex<HashMap<(ApplicationId, Code), Instant>>);

impl Faults {
    /// Says why a handshake with an origin failed, unless that was said within a day.
    pub(crate) fn tell(&self, application: &Application, error: &OriginError) {
        let OriginError::Tls(cause) = error else { return };
        let code = error.recorded();
        if self.is_news(application.id, code) {
            let (application, remedy) = (application.label(), error.remedy());
            let cause: &(dyn Error + 'static) = cause;
            tracing::warn!(application, %code, error = cause, remedy, "No TLS with an origin");
        }
    }

    fn is_news(&self, application: ApplicationId, code: Code) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, at| at.elapsed() < AGAIN);
        let room = told.len() < MOST && !told.contains_key(&(application, code));
        if room {
            told.insert((application, code), Instant::now());
        }
        room
    }
}

const AGAIN: Duration = Duration::from_secs(24 * 3600);
/// Faults in a day. More than an admin reads.
const MOST: usize = 1024;

#[cfg(test)]
mod tests {
    use tokio::time::advance;
    use uuid::Uuid;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_fault_is_told_once_a_day_for_each_application() {
        let (faults, [one, other]) = (Faults::default(), [1, 2].map(id));
        let (name, expired) = (Code("origin.wrong_name"), Code("origin.expired"));
        for _ in 0..2 {
            assert!(faults.is_news(one, name));
            assert!(!faults.is_news(one, name));
            assert!(faults.is_news(one, expired));
            assert!(faults.is_news(other, name));
            advance(AGAIN).await;
        }
        let told = (0..2 * MOST as u128).filter(|n| faults.is_news(id(*n), name)).count();
        assert_eq!(told, MOST);
    }

    fn id(n: u128) -> ApplicationId {
        ApplicationId(Uuid::from_u128(n))
    }
}
