//! `adit admin web log`

use access::SessionId;
use api::{WebRequestPage, WebRequestRow};
use clap::{Args, Subcommand};

use crate::context::{Context, PAGE, query};
use crate::exit::Failure;
use crate::times;

#[derive(Debug, Subcommand)]
pub enum WebCommand {
    /// List the last requests at the web door, the latest first
    Log(LogArgs),
}

#[derive(Debug, Args)]
pub struct LogArgs {
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
    /// Only requests of this session
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
    /// Only requests of this user
    #[arg(long)]
    user: Option<String>,
    /// Only requests to this application, by its host label APP-SITE
    #[arg(long, value_name = "LABEL")]
    application: Option<String>,
}

pub(super) async fn run(command: WebCommand, context: &Context) -> Result<(), Failure> {
    match command {
        WebCommand::Log(args) => log(args, context).await,
    }
}

async fn log(args: LogArgs, context: &Context) -> Result<(), Failure> {
    let (mut rows, mut before) = (Vec::new(), None);
    while (rows.len() as u64) < args.limit {
        let left = args.limit - rows.len() as u64;
        let page: WebRequestPage = context.get(&args.path(before, left)).await?;
        rows.extend(page.requests);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let heads = ["at", "user", "from", "method", "host", "path", "status", "up", "down", "ms"];
    context.ui.list(&rows, "No request is recorded.", heads, columns)
}

fn columns(row: &WebRequestRow) -> [String; 10] {
    let status = row.status.map(|status| status.to_string()).unwrap_or_default();
    let code = row.code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
    [
        times::utc(row.at_ms / 1000),
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

impl LogArgs {
    fn path(&self, before: Option<String>, left: u64) -> String {
        let parameters = [
            ("before", before),
            ("limit", Some(left.min(PAGE).to_string())),
            ("session", self.session.map(|id| id.to_string())),
            ("user", self.user.clone()),
            ("application", self.application.clone()),
        ];
        query("/api/v1/web/requests", &parameters)
    }
}
