//! Tasks that go on for as long as the relay does.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Waits for `stop`, and then for the tasks, which end by it. That one of them has ended before is said;
/// the others go on, and where there are none there is nothing to do until then.
pub(crate) async fn owned(mut tasks: JoinSet<()>, stop: &CancellationToken, whose: &str) {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = tasks.join_next() => {
                tracing::error!(panicked = ended.is_err(), "The task of a {whose} ended");
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}
