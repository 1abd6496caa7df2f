//! Logs that are read page after page, the latest row first.

use api::{StatementPage, StatementRow, WebRequestPage, WebRequestRow};
use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::{Context, PAGE};
use crate::exit::Failure;

/// The last rows, for people.
#[derive(Debug, Args)]
pub struct ListArgs<W: Args> {
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(super) limit: u64,
    #[command(flatten)]
    pub(super) wanted: W,
}

/// All rows, for programs.
#[derive(Debug, Args)]
pub struct ExportArgs<W: Args> {
    /// At most this many [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    wanted: W,
}

/// Which rows of a log.
pub(super) trait Wanted {
    type Page: LogPage;

    /// Where a page of at most so many rows is, before what the page before it named.
    fn path(&self, before: Option<String>, most: u64) -> String;
}

/// A page of a log.
pub(super) trait LogPage: DeserializeOwned {
    type Row;

    /// Its rows, and what the next page is asked for with, where there is one.
    fn into_parts(self) -> (Vec<Self::Row>, Option<String>);
}

type Row<W> = <<W as Wanted>::Page as LogPage>::Row;

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

/// A log's last rows, `limit` at most, and whether there may be more.
pub(super) async fn last<W: Wanted>(
    wanted: &W,
    limit: u64,
    context: &Context,
) -> Result<(Vec<Row<W>>, bool), Failure> {
    let mut rows = Vec::new();
    let more = read(wanted, limit, context, |page| {
        rows.extend(page);
        Ok(())
    });
    let more = more.await?;
    Ok((rows, more))
}

/// Prints a log as JSON lines.
pub(super) async fn export<W: Wanted + Args>(
    args: &ExportArgs<W>,
    context: &Context,
) -> Result<(), Failure>
where
    Row<W>: Serialize,
{
    let print = |rows: Vec<_>| rows.iter().try_for_each(|row| context.ui.json_line(row));
    read(&args.wanted, args.limit.unwrap_or(u64::MAX), context, print).await.map(drop)
}

/// Hands on a log's rows, `limit` at most, and says whether there may be more.
async fn read<W: Wanted>(
    wanted: &W,
    limit: u64,
    context: &Context,
    mut take: impl FnMut(Vec<Row<W>>) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    let (mut left, mut before) = (limit, None);
    while left > 0 {
        let page: W::Page = context.get(&wanted.path(before, left.min(PAGE))).await?;
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
