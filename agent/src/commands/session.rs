//! `adit sessions`: what is open in one's own name.

use access::SessionId;
use api::{Removed, SessionRow};
use clap::{Args, Subcommand};

use super::admin::session::table;
use crate::context::Context;
use crate::exit::Failure;

#[derive(Debug, Args)]
pub struct SessionsArgs {
    #[command(subcommand)]
    command: Option<SessionsCommand>,
}

#[derive(Debug, Subcommand)]
enum SessionsCommand {
    /// End one at once
    End {
        /// Its id, as `adit sessions` shows it
        id: SessionId,
    },
}

pub async fn run(args: SessionsArgs, context: &Context) -> Result<(), Failure> {
    match args.command {
        None => {
            let rows: Vec<SessionRow> = context.list("/api/v1/me/sessions").await?;
            table(&rows, "You have no open sessions.", context)
        }
        Some(SessionsCommand::End { id }) => {
            let _: Removed = context.delete(&format!("/api/v1/me/sessions/{id}")).await?;
            context.ui.say(format_args!("Ended session {id}."));
            Ok(())
        }
    }
}
