//! Records that are stored, and removed, some hundreds at once.

use sqlx::{Any, Encode, Type};
use tokio::sync::mpsc;

use crate::StoreError;
use crate::db::Pool;

/// Takes what waits already, until there are `most`.
pub(crate) fn fill_up<T>(batch: &mut Vec<T>, waiting: &mut mpsc::Receiver<T>, most: usize) {
    while batch.len() < most
        && let Ok(one) = waiting.try_recv()
    {
        batch.push(one);
    }
}

/// Removes what is before `before`, [`PART`] rows with each statement, which says so; and says how many.
/// In parts, for one that takes long would hold up those who open sessions.
pub(crate) async fn purge<T>(
    statement: &'static str,
    before: T,
    writer: &Pool,
) -> Result<u64, StoreError>
where
    T: for<'q> Encode<'q, Any> + Type<Any> + Clone + Send + 'static,
{
    let mut purged = 0;
    loop {
        let part = sqlx::query(statement).bind(before.clone()).execute(writer).await?;
        purged += part.rows_affected();
        if part.rows_affected() < PART {
            return Ok(purged);
        }
    }
}

const PART: u64 = 1000;
