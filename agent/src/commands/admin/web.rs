//! `adit admin web`

use std::time::SystemTime;

use access::SessionId;
use api::{WebRequestPage, WebRequestRow};
use clap::{Args, Subcommand};

use super::logs;
use crate::context::{Context, query};
use crate::exit::Failure;
use crate::times;

#[derive(Debug, Subcommand)]
pub enum WebCommand {
    /// List the last requests at the web door, the latest first
    Log(LogArgs),
    /// Print the requests as JSON lines, the latest first
    Export(ExportArgs),
}

#[derive(Debug, Args)]
pub struct LogArgs {
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
    #[command(flatten)]
    wanted: Wanted,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// At most this many [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    wanted: Wanted,
}

#[derive(Debug, Args)]
struct Wanted {
    /// Only requests of this session
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
    /// Only requests of this user
    #[arg(long)]
    user: Option<String>,
    /// Only requests to this application: APP, or APP.SITE
    #[arg(long, visible_alias = "app", value_name = "APP")]
    application: Option<String>,
    /// Only requests that were answered with a status of 400 or above, or not at all
    #[arg(long)]
    failed: bool,
    /// Only requests since: 2h (ago), 2026-12-01, 2026-12-01T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = times::moment)]
    since: Option<SystemTime>,
    /// Only requests before; written as --since
    #[arg(long, value_name = "TIME", value_parser = times::moment)]
    until: Option<SystemTime>,
}

pub(super) async fn run(command: WebCommand, context: &Context) -> Result<(), Failure> {
    match command {
        WebCommand::Log(args) => log(&args, context).await,
        WebCommand::Export(args) => export(&args, context).await,
    }
}

async fn log(args: &LogArgs, context: &Context) -> Result<(), Failure> {
    let path = |before, most| args.wanted.path(before, most);
    let (rows, _) = logs::last::<WebRequestPage>(context, args.limit, path).await?;
    let heads = ["at", "user", "from", "method", "host", "path", "status", "up", "down", "ms"];
    context.ui.list(&rows, "No request is recorded.", heads, columns)
}

async fn export(args: &ExportArgs, context: &Context) -> Result<(), Failure> {
    let path = |before, most| args.wanted.path(before, most);
    let print = |rows: Vec<_>| rows.iter().try_for_each(|row| context.ui.json_line(row));
    logs::read::<WebRequestPage>(context, args.limit.unwrap_or(u64::MAX), path, print).await?;
    Ok(())
}

fn columns(row: &WebRequestRow) -> [String; 10] {
    let status = row.status.map(|status| status.to_string()).unwrap_or_default();
    let code = row.code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
    [
        times::to_the_second(row.at_ms / 1000),
        row.user.clone().unwrap_or_default(),
        row.from.clone(),
        row.method.clone(),
        row.host.clone(),
        row.path.clone(),
        format!("{status}{code}"),
        times::bytes(row.up),
        times::bytes(row.down),
        row.millis.to_string(),
    ]
}

impl Wanted {
    fn path(&self, before: Option<String>, most: u64) -> String {
        let parameters = [
            ("before", before),
            ("limit", Some(most.to_string())),
            ("session", self.session.map(|id| id.to_string())),
            ("user", self.user.clone()),
            ("application", self.application.clone()),
            ("failed", self.failed.then(|| "true".to_owned())),
            ("since", self.since.map(times::rfc3339)),
            ("until", self.until.map(times::rfc3339)),
        ];
        query("/api/v1/web/requests", &parameters)
    }
}
