//! `adit request` and `adit requests`: asking for access, and what became of it.

use api::{AccessRequest, AskAccess, Removed, Span};
use clap::{Args, Subcommand};

use crate::context::{Context, segment};
use crate::exit::Failure;
use crate::times;

#[derive(Debug, Args)]
pub struct RequestArgs {
    /// The application: APP, or APP.SITE where several sites have one of that name
    #[arg(value_name = "APP")]
    application: String,
    /// What you need it for; whoever decides reads it
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// For how long, from the approval on: 30m, 2h, 1d
    #[arg(long = "for", value_name = "TIME")]
    duration: Span,
}

#[derive(Debug, Args)]
pub struct RequestsArgs {
    #[command(subcommand)]
    command: Option<RequestsCommand>,
}

#[derive(Debug, Subcommand)]
enum RequestsCommand {
    /// Take a request back, decided or not; sessions that stand on it end
    Rm {
        /// Its id, as `adit requests` shows it
        id: String,
    },
}

/// `adit request`
pub async fn ask(args: RequestArgs, context: &Context) -> Result<(), Failure> {
    let RequestArgs { application, reason, duration } = args;
    let wanted = AskAccess { application, reason, duration };
    let request: AccessRequest = context.post("/api/v1/me/requests", &wanted).await?;
    if context.ui.wants_json() {
        return context.ui.json(&request);
    }
    let AccessRequest { id, application, duration, .. } = request;
    context.ui.say(format_args!("Asked for {application} for {duration}. The request is {id}."));
    context.ui.say("`adit requests` shows what becomes of it.");
    Ok(())
}

/// `adit requests`
pub async fn run(args: RequestsArgs, context: &Context) -> Result<(), Failure> {
    match args.command {
        None => {
            let requests: Vec<AccessRequest> = context.list("/api/v1/me/requests").await?;
            list(&requests, "You have asked for nothing.", context)
        }
        Some(RequestsCommand::Rm { id }) => {
            let path = format!("/api/v1/me/requests/{}", segment(&id));
            let _: Removed = context.delete(&path).await?;
            context.ui.say(format_args!("Withdrew {id}."));
            Ok(())
        }
    }
}

/// Requests as a table.
pub(super) fn list(
    requests: &[AccessRequest],
    none: &str,
    context: &Context,
) -> Result<(), Failure> {
    let heads =
        ["id", "user", "application", "for", "state", "asked", "ends", "by", "reason", "comment"];
    context.ui.list(requests, none, heads, |request| {
        [
            request.id.to_string(),
            request.user.to_string(),
            request.application.clone(),
            request.duration.to_string(),
            request.state.to_string(),
            times::utc(request.created),
            request.ends.map(times::utc).unwrap_or_default(),
            request.decided_by.clone().unwrap_or_default(),
            request.reason.clone(),
            request.comment.clone().unwrap_or_default(),
        ]
    })
}
