//! `adit admin session ls|kill|export|play|recording|commands`

use access::{Name, SessionId};
use api::SessionRow;
use clap::Subcommand;

use super::{audit, recording, take_away};
use crate::context::{Context, query};
use crate::exit::Failure;
use crate::times;

#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// List the sessions open now
    Ls {
        /// Only of this user
        #[arg(long)]
        user: Option<Name>,
        /// Only to this application: APP, or APP.SITE
        #[arg(long, value_name = "APP")]
        application: Option<String>,
    },
    /// End a session at once
    Kill {
        /// Its id, as `ls` shows it
        id: SessionId,
        /// What its user is told besides, where the protocol has words for it; recorded
        #[arg(long, value_name = "TEXT")]
        message: Option<String>,
    },
    /// Print everything recorded about a session, a line of JSON each
    Export {
        /// Its id, as `ls` and the audit log show it
        id: SessionId,
    },
    /// Show what a recorded session's terminal showed, as it happened
    Play(recording::PlayArgs),
    /// Print a session's recording: a line of JSON for each event, or as asciicast
    Recording(recording::PrintArgs),
    /// List the command lines typed in a recorded session, as far as its terminals showed them
    ///
    /// They are read off the screen: best effort, and no proof of what ran.
    Commands {
        /// The session's id, as `ls` and the audit log show it
        id: SessionId,
    },
}

pub(super) async fn run(command: SessionCommand, context: &Context) -> Result<(), Failure> {
    match command {
        SessionCommand::Ls { user, application } => list(user, application, context).await,
        SessionCommand::Kill { id, message } => {
            let path = query(&format!("/api/v1/sessions/{id}"), &[("message", message)]);
            take_away(context, &path, &format!("Ended session {id}")).await
        }
        SessionCommand::Export { id } => audit::export_session(id, context).await,
        SessionCommand::Play(args) => recording::play(args, context).await,
        SessionCommand::Recording(args) => recording::print(args, context).await,
        SessionCommand::Commands { id } => recording::commands(id, context).await,
    }
}

async fn list(
    user: Option<Name>,
    application: Option<String>,
    context: &Context,
) -> Result<(), Failure> {
    let asked = [("user", user.map(String::from)), ("application", application)];
    let sessions: Vec<SessionRow> = context.list(&query("/api/v1/sessions", &asked)).await?;
    table(&sessions, "No sessions are open.", context)
}

/// Open sessions as a table.
pub(in crate::commands) fn table(
    sessions: &[SessionRow],
    none: &str,
    context: &Context,
) -> Result<(), Failure> {
    let heads = ["id", "user", "application", "door", "from", "login", "opened", "up", "down"];
    context.ui.list(sessions, none, heads, |session| {
        [
            session.id.to_string(),
            session.user.to_string(),
            format!("{}.{}", session.application, session.site),
            match &session.relay {
                Some(relay) => format!("{} at {relay}", session.door),
                None => session.door.clone(),
            },
            session.from.to_string(),
            session.login.clone().unwrap_or_default(),
            times::utc(session.opened_ms / 1000),
            times::bytes(session.up),
            times::bytes(session.down),
        ]
    })
}
