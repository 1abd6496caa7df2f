//! `adit admin requests ls|approve|deny|revoke|channels`: for approvers too.

use access::Name;
use api::{AccessRequest, Decision, NoticeChannel, RequestState, Span};
use clap::{Args, Subcommand};

use super::take_away;
use crate::commands::request;
use crate::context::{Context, query, segment};
use crate::exit::Failure;
use crate::times;

#[derive(Debug, Subcommand)]
pub enum RequestsCommand {
    /// List the requests you may decide on
    Ls {
        /// Only those nobody has decided on
        #[arg(long)]
        pending: bool,
        /// Only those of this user
        #[arg(long)]
        user: Option<Name>,
    },
    /// Give the access that was asked for; it ends by itself
    Approve(ApproveArgs),
    /// Do not give it
    Deny(DenyArgs),
    /// Show who is told of requests, and what they have still to be told
    Channels,
    /// Take approved access back before its end; sessions on it end
    Revoke {
        /// The request's id
        id: String,
    },
}

#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// The request's id
    id: String,
    /// For how long, from now on [default: as asked]
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<Span>,
    /// What whoever asked is told
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

#[derive(Debug, Args)]
pub struct DenyArgs {
    /// The request's id
    id: String,
    /// What whoever asked is told
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

pub(super) async fn run(command: RequestsCommand, context: &Context) -> Result<(), Failure> {
    match command {
        RequestsCommand::Ls { pending, user } => list(pending, user, context).await,
        RequestsCommand::Approve(ApproveArgs { id, duration, comment }) => {
            decide(&id, "approve", &Decision { comment, duration }, context).await
        }
        RequestsCommand::Deny(DenyArgs { id, comment }) => {
            decide(&id, "deny", &Decision { comment, duration: None }, context).await
        }
        RequestsCommand::Channels => channels(context).await,
        RequestsCommand::Revoke { id } => {
            let path = format!("/api/v1/requests/{}", segment(&id));
            take_away(context, &path, &format!("Revoked request {id}")).await
        }
    }
}

async fn list(pending: bool, user: Option<Name>, context: &Context) -> Result<(), Failure> {
    let state = pending.then(|| RequestState::Pending.to_string());
    let asked = [("state", state), ("user", user.map(String::from))];
    let requests: Vec<AccessRequest> = context.list(&query("/api/v1/requests", &asked)).await?;
    request::list(&requests, "There are no requests.", context)
}

async fn channels(context: &Context) -> Result<(), Failure> {
    let channels: Vec<NoticeChannel> = context.get("/api/v1/requests/channels").await?;
    let none = "Nobody is told of requests: see [[notify]] in relay.toml.";
    let heads = ["name", "kind", "to", "waiting", "since", "sent", "lost", "failures", "error"];
    context.ui.list(&channels, none, heads, |channel| {
        let NoticeChannel { name, kind, to, waiting, lost, failures, error, .. } = channel;
        let sent = channel.sent_ms.map(|ms| times::to_the_second(ms / 1000));
        [
            name.to_string(),
            kind.clone(),
            to.clone(),
            waiting.to_string(),
            channel.oldest.map(times::to_the_second).unwrap_or_default(),
            sent.unwrap_or_default(),
            lost.to_string(),
            failures.to_string(),
            error.clone().unwrap_or_default(),
        ]
    })
}

async fn decide(
    id: &str,
    how: &str,
    decision: &Decision,
    context: &Context,
) -> Result<(), Failure> {
    let path = format!("/api/v1/requests/{}/{how}", segment(id));
    let request: AccessRequest = context.post(&path, decision).await?;
    if context.ui.wants_json() {
        return context.ui.json(&request);
    }
    let AccessRequest { user, application, state, ends, .. } = request;
    let until = ends.map(|end| format!(" until {}", times::utc(end))).unwrap_or_default();
    context.ui.say(format_args!("{user} for {application}: {state}{until}."));
    Ok(())
}
