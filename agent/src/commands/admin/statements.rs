//! `adit admin query`

use access::SessionId;
use api::{StatementPage, StatementRow};
use clap::{Args, Subcommand};

use crate::context::{Context, PAGE, query};
use crate::exit::Failure;
use crate::times;

#[derive(Debug, Subcommand)]
pub enum QueryCommand {
    /// List the last statements at the doors of databases, the latest first
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Print the statements as JSON lines, the latest first
    Export(Wanted),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
    #[command(flatten)]
    wanted: Wanted,
}

#[derive(Debug, Args)]
pub struct Wanted {
    /// Only statements of this session
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
    /// Only statements of this user
    #[arg(long)]
    user: Option<String>,
    /// Only statements at this application, by its host label APP-SITE
    #[arg(long, value_name = "LABEL")]
    application: Option<String>,
    /// Only statements in this database
    #[arg(long)]
    database: Option<String>,
    /// Only statements that failed
    #[arg(long)]
    failed: bool,
}

pub(super) async fn run(command: QueryCommand, context: &Context) -> Result<(), Failure> {
    match command {
        QueryCommand::Ls(args) => list(&args, context).await,
        QueryCommand::Export(wanted) => export(&wanted, context).await,
    }
}

async fn list(args: &ListArgs, context: &Context) -> Result<(), Failure> {
    let (mut rows, mut before) = (Vec::new(), None);
    while (rows.len() as u64) < args.limit {
        let left = args.limit - rows.len() as u64;
        let page: StatementPage = context.get(&args.wanted.path(before, left)).await?;
        rows.extend(page.statements);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let heads = ["at", "user", "application", "database", "role", "ms", "rows", "error", "text"];
    context.ui.list(&rows, "No statement is recorded.", heads, columns)
}

async fn export(wanted: &Wanted, context: &Context) -> Result<(), Failure> {
    let mut before = None;
    loop {
        let page: StatementPage = context.get(&wanted.path(before, PAGE)).await?;
        for row in &page.statements {
            context.ui.json_line(row)?;
        }
        before = page.next;
        if before.is_none() {
            return Ok(());
        }
    }
}

fn columns(row: &StatementRow) -> [String; 9] {
    let millis = |micros: u64| format!("{}.{:03}", micros / 1000, micros % 1000);
    let text: String = row.text.chars().take(SHOWN).collect();
    let more = if row.text.chars().nth(SHOWN).is_some() { "…" } else { "" };
    [
        times::utc(row.at_ms / 1000),
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

impl Wanted {
    fn path(&self, before: Option<String>, left: u64) -> String {
        let parameters = [
            ("before", before),
            ("limit", Some(left.min(PAGE).to_string())),
            ("session", self.session.map(|id| id.to_string())),
            ("user", self.user.clone()),
            ("application", self.application.clone()),
            ("database", self.database.clone()),
            ("failed", self.failed.then(|| "true".to_owned())),
        ];
        query("/api/v1/statements", &parameters)
    }
}

/// Characters of a text in a list.
const SHOWN: usize = 80;
