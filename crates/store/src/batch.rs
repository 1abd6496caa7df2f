//! Records that are stored some hundreds at once.

use tokio::sync::mpsc;

/// Takes what waits already, until there are `most`.
pub(crate) fn fill_up<T>(batch: &mut Vec<T>, waiting: &mut mpsc::Receiver<T>, most: usize) {
    while batch.len() < most
        && let Ok(one) = waiting.try_recv()
    {
        batch.push(one);
    }
}
