//! `adit admin audit export`

use access::SessionId;
use api::AuditPage;
use clap::{Args, Subcommand};

use super::query;
use crate::context::Context;
use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Print the audit log in its order, a line of JSON each
    Export(ExportArgs),
}

#[derive(Debug, Default, Args)]
pub struct ExportArgs {
    /// Only what comes after the record with this `seq`
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: u64,
    /// At most this many records [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Only records with this action, for example session.opened
    #[arg(long)]
    action: Option<String>,
    /// Only records of this session
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
    /// Only records of this user
    #[arg(long)]
    user: Option<String>,
}

pub(super) async fn run(command: AuditCommand, context: &Context) -> Result<(), Failure> {
    match command {
        AuditCommand::Export(args) => export(args, context).await.map(drop),
    }
}

/// Everything recorded about one session.
pub(super) async fn export_session(id: SessionId, context: &Context) -> Result<(), Failure> {
    let args = ExportArgs { session: Some(id), ..ExportArgs::default() };
    match export(args, context).await? {
        0 => Err(Failure::coded("session.not_found", format!("there is no session {id}"))
            .hint("`adit admin session ls` lists those that are open")),
        _ => Ok(()),
    }
}

/// Prints page after page and says how many records there were.
async fn export(args: ExportArgs, context: &Context) -> Result<u64, Failure> {
    let (mut after, mut printed) = (args.after, 0);
    loop {
        let left = args.limit.map_or(u64::MAX, |limit| limit.saturating_sub(printed));
        if left == 0 {
            return Ok(printed);
        }
        let page: AuditPage = context.get(&args.path(after, left)).await?;
        for event in &page.events {
            context.ui.json_line(event)?;
            printed += 1;
        }
        match page.next {
            Some(next) => after = next,
            None => return Ok(printed),
        }
    }
}

impl ExportArgs {
    fn path(&self, after: u64, left: u64) -> String {
        let parameters = [
            ("after", Some(after.to_string())),
            ("limit", Some(left.min(PAGE).to_string())),
            ("action", self.action.clone()),
            ("session", self.session.map(|id| id.to_string())),
            ("user", self.user.clone()),
        ];
        query("/api/v1/audit", &parameters)
    }
}

/// The longest page the relay gives.
const PAGE: u64 = 1000;
