//! What stands beside the work of a connection: limits and ends, which seldom have something to say.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

/// Completes with a future that is polled when it was woken itself, and not with each step of what it
/// stands beside.
pub(super) async fn aside(future: impl Future<Output = ()>) {
    FuturesUnordered::from_iter([future]).collect::<()>().await;
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::time::Duration;

    use tokio::task::yield_now;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_polled_when_it_is_woken_and_not_before() {
        let mut polls = 0;
        let counted = async {
            let mut limit = pin!(sleep(Duration::from_secs(1)));
            poll_fn(|cx| {
                polls += 1;
                limit.as_mut().poll(cx)
            })
            .await;
        };
        let work = async {
            for _ in 0..100 {
                yield_now().await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = work => {}
            () = aside(counted) => {}
        }
        assert_eq!(polls, 2);
    }
}
