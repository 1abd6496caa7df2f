//! Logs that are read page after page, the latest row first.

use api::{StatementPage, StatementRow, WebRequestPage, WebRequestRow};
use serde::de::DeserializeOwned;

use crate::context::{Context, PAGE};
use crate::exit::Failure;

/// A page of a log.
pub(super) trait LogPage: DeserializeOwned {
    type Row;

    /// Its rows, and what the next page is asked for with, where there is one.
    fn into_parts(self) -> (Vec<Self::Row>, Option<String>);
}

impl LogPage for StatementPage {
    type Row = StatementRow;

    fn into_parts(self) -> (Vec<StatementRow>, Option<String>) {
        (self.statements, self.next)
    }
}

impl LogPage for WebRequestPage {
    type Row = WebRequestRow;

    fn into_parts(self) -> (Vec<WebRequestRow>, Option<String>) {
        (self.requests, self.next)
    }
}

/// Hands on a log's rows, `limit` at most, and says whether there may be more. `path` is told what a page
/// comes before and how many rows it may have.
pub(super) async fn read<P: LogPage>(
    context: &Context,
    limit: u64,
    path: impl Fn(Option<String>, u64) -> String,
    mut take: impl FnMut(Vec<P::Row>) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    let (mut left, mut before) = (limit, None);
    while left > 0 {
        let page: P = context.get(&path(before, left.min(PAGE))).await?;
        let (rows, next) = page.into_parts();
        left = left.saturating_sub(rows.len() as u64);
        take(rows)?;
        if next.is_none() {
            return Ok(false);
        }
        before = next;
    }
    Ok(true)
}

/// A log's last rows, `limit` at most.
pub(super) async fn last<P: LogPage>(
    context: &Context,
    limit: u64,
    path: impl Fn(Option<String>, u64) -> String,
) -> Result<(Vec<P::Row>, bool), Failure> {
    let mut rows = Vec::new();
    let more = read::<P>(context, limit, path, |page| {
        rows.extend(page);
        Ok(())
    });
    let more = more.await?;
    Ok((rows, more))
}
