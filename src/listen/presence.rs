//! What is known of an HTTP connection besides its requests: whether anybody was vouched for on it,
//! and for how long nothing has been asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// One connection; an extension of each of its requests.
#[derive(Clone, Debug)]
pub(crate) struct Presence {
    vouched: CancellationToken,
    asked: Arc<Mutex<Asked>>,
}

#[derive(Debug)]
struct Asked {
    /// Requests whose answer is not over.
    open: usize,
    /// When that last changed.
    since: Instant,
}

/// A request on its way; it ends with the last of its answer, or with whoever waited for it.
pub(crate) struct Asking(Presence);

impl Presence {
    pub(crate) fn new() -> Self {
        let asked = Asked { open: 0, since: Instant::now() };
        Self { vouched: CancellationToken::new(), asked: Arc::new(Mutex::new(asked)) }
    }

    /// Somebody signed in on this connection.
    pub(crate) fn vouch(&self) {
        self.vouched.cancel();
    }

    /// Cancelled when somebody has signed in; whoever signs somebody in may cancel it.
    pub(crate) fn proven(&self) -> CancellationToken {
        self.vouched.clone()
    }

    /// Completes when somebody has signed in.
    pub(crate) async fn vouched(&self) {
        self.vouched.cancelled().await;
    }

    pub(crate) fn ask(&self) -> Asking {
        self.change(|asked| asked.open += 1);
        Asking(self.clone())
    }

    /// Completes once nothing was asked for `limit`.
    pub(crate) async fn idle(&self, limit: Duration) {
        loop {
            let due = {
                let asked = self.lock();
                // While there is a request, the next look is a whole limit away.
                if asked.open == 0 { asked.since + limit } else { Instant::now() + limit }
            };
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Asked)) {
        let mut asked = self.lock();
        change(&mut asked);
        asked.since = Instant::now();
    }

    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.change(|asked| asked.open -= 1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_from_its_last_answer_on() {
        let (presence, started) = (Presence::new(), Instant::now());
        let asking = presence.ask();
        let busy = timeout(LIMIT * 5, presence.idle(LIMIT)).await;
        assert!(busy.is_err(), "idle while a request was open");
        drop(asking);
        presence.idle(LIMIT).await;
        assert_eq!(started.elapsed(), LIMIT * 6);
    }

    #[tokio::test(start_paused = true)]
    async fn each_request_puts_the_end_off() {
        let (presence, started) = (Presence::new(), Instant::now());
        let ask = async {
            for _ in 0..3 {
                sleep(LIMIT / 2).await;
                drop(presence.ask());
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = presence.idle(LIMIT) => {}
            () = ask => {}
        }
        assert_eq!(started.elapsed(), LIMIT / 2 * 3 + LIMIT);
    }

    const LIMIT: Duration = Duration::from_secs(60);
}
