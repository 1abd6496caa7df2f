//! `adit admin audit ls|export|verify|destinations`

mod destinations;
mod search;
mod verify;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::Failure;

pub(super) use search::export_session;

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Show the latest records, the last one first
    Ls(search::ListArgs),
    /// Print the audit log in its order, a line of JSON each
    Export(search::ExportArgs),
    /// Compute the log's chain again: is every record there, as it was written?
    ///
    /// Prints the end of the log, SEQ:HASH. Note it elsewhere, and give it to --expect the next
    /// time: then even who has the relay's master key can not take records back unseen.
    Verify(verify::VerifyArgs),
    /// List the places that the relay sends every record to, and how far each has come
    Destinations,
}

pub(super) async fn run(command: AuditCommand, context: &Context) -> Result<(), Failure> {
    match command {
        AuditCommand::Ls(args) => search::list(args, context).await,
        AuditCommand::Export(args) => search::export(args, context).await.map(drop),
        AuditCommand::Verify(args) => verify::run(args, context).await,
        AuditCommand::Destinations => destinations::list(context).await,
    }
}
