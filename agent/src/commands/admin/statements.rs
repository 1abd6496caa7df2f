//! `adit admin query`

use std::time::SystemTime;

use access::SessionId;
use access::text::visible_lines;
use api::{StatementPage, StatementRow};
use clap::{Args, Subcommand};

use super::logs::{self, ExportArgs, ListArgs};
use crate::context::{Context, query};
use crate::exit::Failure;
use crate::times;

#[derive(Debug, Subcommand)]
pub enum QueryCommand {
    /// List the last statements at the doors of databases, the latest first
    #[command(visible_alias = "list")]
    Ls(ListArgs<Wanted>),
    /// Print the statements as JSON lines, the latest first
    Export(ExportArgs<Wanted>),
}

#[derive(Debug, Default, Args)]
pub struct Wanted {
    /// Only statements of this session
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
    /// Only statements of this user
    #[arg(long)]
    user: Option<String>,
    /// Only statements at this application: APP, or APP.SITE
    #[arg(long, visible_alias = "app", value_name = "APP")]
    application: Option<String>,
    /// Only statements in this database
    #[arg(long)]
    database: Option<String>,
    /// Only statements that failed
    #[arg(long)]
    failed: bool,
    /// Only statements sent since: 2h (ago), 2026-12-01, 2026-12-01T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = times::moment)]
    since: Option<SystemTime>,
    /// Only statements sent before; written as --since
    #[arg(long, value_name = "TIME", value_parser = times::moment)]
    until: Option<SystemTime>,
}

pub(super) async fn run(command: QueryCommand, context: &Context) -> Result<(), Failure> {
    match command {
        QueryCommand::Ls(args) => list(&args, context).await,
        QueryCommand::Export(args) => logs::export(&args, context).await,
    }
}

async fn list(args: &ListArgs<Wanted>, context: &Context) -> Result<(), Failure> {
    let (rows, _) = logs::last(&args.wanted, args.limit, context).await?;
    let heads = ["at", "user", "application", "database", "role", "ms", "rows", "error", "text"];
    context.ui.list(&rows, "No statement is recorded.", heads, columns)
}

/// Prints what a session asked and how it went, the first statement first. Whether there is any.
pub(super) async fn transcript(session: SessionId, context: &Context) -> Result<bool, Failure> {
    let wanted = Wanted { session: Some(session), ..Wanted::default() };
    let (rows, more) = logs::last(&wanted, LONGEST, context).await?;
    if more {
        let all = format!("adit admin query export --session {session}");
        context.ui.say(format_args!("The last {} statements; all of them: {all}", rows.len()));
    }
    for row in rows.iter().rev() {
        context.ui.data(told(row))?;
    }
    Ok(!rows.is_empty())
}

/// One statement in a transcript.
fn told(row: &StatementRow) -> String {
    let time = times::to_the_second(row.at_ms / 1000);
    let rows = row.rows.map(|rows| format!("{rows} rows"));
    let error = row.error.as_ref().map(|error| format!("error {error}"));
    let took = row.micros.map(|micros| format!("{} ms", millis(micros)));
    let took = took.unwrap_or_else(|| "no end seen".to_owned());
    let outcome: Vec<_> = rows.into_iter().chain(error).chain([took]).collect();
    let text = visible_lines(&row.text);
    let cut = if row.cut > 0 { format!(" … {} bytes more", row.cut) } else { String::new() };
    format!("{time}  {}=> {text}{cut}\n-- {}", row.database, outcome.join(", "))
}

fn millis(micros: u64) -> String {
    format!("{}.{:03}", micros / 1000, micros % 1000)
}

fn columns(row: &StatementRow) -> [String; 9] {
    let text: String = row.text.chars().take(SHOWN).collect();
    let more = if row.text.chars().nth(SHOWN).is_some() { "…" } else { "" };
    [
        times::to_the_second(row.at_ms / 1000),
        row.user.clone(),
        row.application.clone(),
        row.database.clone(),
        row.role.clone(),
        row.micros.map(millis).unwrap_or_default(),
        row.rows.map(|rows| rows.to_string()).unwrap_or_default(),
        row.error.clone().unwrap_or_default(),
        format!("{}{more}", text.split_whitespace().collect::<Vec<_>>().join(" ")),
    ]
}

impl logs::Wanted for Wanted {
    type Page = StatementPage;

    fn path(&self, before: Option<String>, most: u64) -> String {
        let parameters = [
            ("before", before),
            ("limit", Some(most.to_string())),
            ("session", self.session.map(|id| id.to_string())),
            ("user", self.user.clone()),
            ("application", self.application.clone()),
            ("database", self.database.clone()),
            ("failed", self.failed.then(|| "true".to_owned())),
            ("since", self.since.map(times::rfc3339)),
            ("until", self.until.map(times::rfc3339)),
        ];
        query("/api/v1/statements", &parameters)
    }
}

/// Characters of a text in a list.
const SHOWN: usize = 80;
/// Statements in a transcript, about.
const LONGEST: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_told_with_how_it_went() {
        let row = StatementRow {
            id: String::new(),
            at_ms: 1_764_252_000_000,
            session: SessionId(uuid::Uuid::nil()),
            user: "alice".to_owned(),
            application: "orders-db-hq".to_owned(),
            database: "orders".to_owned(),
            role: "orders_ro".to_owned(),
            client: None,
            text: "select 1\nfrom \x1b[2Jt".to_owned(),
            cut: 0,
            micros: Some(1_234),
            rows: Some(2),
            error: None,
        };
        let time = times::to_the_second(1_764_252_000);
        let text = "select 1\nfrom \\u{1b}[2Jt";
        assert_eq!(told(&row), format!("{time}  orders=> {text}\n-- 2 rows, 1.234 ms"));
        let failed = StatementRow { rows: None, error: Some("42P01".to_owned()), cut: 7, ..row };
        assert!(told(&failed).ends_with(" … 7 bytes more\n-- error 42P01, 1.234 ms"));
    }
}
