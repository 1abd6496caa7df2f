//! `adit admin web`

use std::time::SystemTime;

use access::SessionId;
use api::{WebRequestPage, WebRequestRow};
use clap::{Args, Subcommand};

use super::logs::{self, ExportArgs, ListArgs};
use crate::context::{Context, query};
use crate::exit::Failure;
use crate::times;

#[derive(Debug, Subcommand)]
pub enum WebCommand {
    /// List the last requests at the web door, the latest first
    Log(ListArgs<Wanted>),
    /// Print the requests as JSON lines, the latest first
    Export(ExportArgs<Wanted>),
}

#[derive(Debug, Args)]
pub struct Wanted {
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
        WebCommand::Export(args) => logs::export(&args, context).await,
    }
}

async fn log(args: &ListArgs<Wanted>, context: &Context) -> Result<(), Failure> {
    let (rows, _) = logs::last(&args.wanted, args.limit, context).await?;
    let heads = ["at", "user", "from", "method", "host", "path", "status", "up", "down", "ms"];
    context.ui.list(&rows, "No request is recorded.", heads, columns)
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

impl logs::Wanted for Wanted {
    type Page = WebRequestPage;

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
