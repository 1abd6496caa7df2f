//! `adit admin session ls|kill|export|play|recording|commands`

use std::time::SystemTime;

use access::{Name, SessionId};
use api::{EndedSessionRow, KeptRecording, Page, SessionRow};
use clap::{Args, Subcommand};

use super::{audit, recording, take_away};
use crate::context::{Context, PAGE, query};
use crate::exit::Failure;
use crate::times;

#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// List the sessions open now, or those that have ended
    Ls(ListArgs),
    /// End a session at once
    Kill {
        /// Its id, as `ls` shows it
        id: SessionId,
        /// What its user is told besides, by the door's protocol or by their `adit`; recorded
        #[arg(long, value_name = "TEXT")]
        message: Option<String>,
    },
    /// Print everything recorded about a session, a line of JSON each
    Export {
        /// Its id, as `ls`, `ls --ended` and the audit log show it
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

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only of this user
    #[arg(long)]
    user: Option<Name>,
    /// Only to this application: APP, or APP.SITE
    #[arg(long, visible_alias = "app", value_name = "APP")]
    application: Option<String>,
    /// Those that have ended instead, the one that was opened last first
    #[arg(long)]
    ended: bool,
    /// Only those of which a recording was made
    #[arg(long, requires = "ended")]
    recorded: bool,
    /// Only those opened since: 2h (ago), 2026-12-01, 2026-12-01T08:00:00Z
    #[arg(long, requires = "ended", value_name = "TIME", value_parser = times::moment)]
    since: Option<SystemTime>,
    /// Only those opened before; written as --since
    #[arg(long, requires = "ended", value_name = "TIME", value_parser = times::moment)]
    until: Option<SystemTime>,
    /// At most this many [default: 100]
    #[arg(long, requires = "ended", value_name = "N")]
    limit: Option<u64>,
}

pub(super) async fn run(command: SessionCommand, context: &Context) -> Result<(), Failure> {
    match command {
        SessionCommand::Ls(args) if args.ended => list_ended(args, context).await,
        SessionCommand::Ls(args) => list(args, context).await,
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

async fn list(args: ListArgs, context: &Context) -> Result<(), Failure> {
    let asked = [("user", args.user.map(String::from)), ("application", args.application)];
    let sessions: Vec<SessionRow> = context.list(&query("/api/v1/sessions", &asked)).await?;
    table(&sessions, "No sessions are open; `--ended` lists those that were.", context)
}

/// Asks for page after page until there are as many as are wanted.
async fn list_ended(args: ListArgs, context: &Context) -> Result<(), Failure> {
    let limit = args.limit.unwrap_or(USUAL);
    let (mut rows, mut cursor) = (Vec::new(), None);
    while let Some(left) = limit.checked_sub(rows.len() as u64).filter(|left| *left > 0) {
        let page: Page<EndedSessionRow> = context.get(&args.path(cursor, left)).await?;
        rows.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let heads = [
        "id",
        "user",
        "application",
        "door",
        "from",
        "login",
        "opened",
        "ended",
        "end",
        "up",
        "down",
        "recording",
    ];
    context.ui.list(&rows, "No session that has ended fits.", heads, cells)?;
    if cursor.is_some() {
        context.ui.say("There are more: give a larger --limit, or an earlier --until.");
    }
    Ok(())
}

fn cells(row: &EndedSessionRow) -> [String; 12] {
    [
        row.id.to_string(),
        row.user.to_string(),
        format!("{}.{}", row.application, row.site),
        row.door.clone(),
        row.from.map(|from| from.to_string()).unwrap_or_default(),
        row.login.clone().unwrap_or_default(),
        times::to_the_second(row.opened_ms / 1000),
        times::to_the_second(row.ended_ms / 1000),
        row.code.clone(),
        times::bytes(row.up),
        times::bytes(row.down),
        row.recording.as_ref().map(recorded).unwrap_or_default(),
    ]
}

/// `terminal`, where it can be played; else what has become of it besides.
fn recorded(recording: &KeptRecording) -> String {
    let KeptRecording { shows, state, whole, .. } = recording;
    match (state.as_str(), whole) {
        ("kept", true) => shows.clone(),
        ("kept", false) => format!("{shows} (cut short)"),
        (state, _) => format!("{shows} ({state})"),
    }
}

impl ListArgs {
    fn path(&self, cursor: Option<String>, left: u64) -> String {
        let parameters = [
            ("limit", Some(left.min(PAGE).to_string())),
            ("cursor", cursor),
            ("user", self.user.as_ref().map(ToString::to_string)),
            ("application", self.application.clone()),
            ("since", self.since.map(times::rfc3339)),
            ("until", self.until.map(times::rfc3339)),
            ("recorded", self.recorded.then(|| "true".to_owned())),
        ];
        query("/api/v1/sessions/ended", &parameters)
    }
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

/// Rows of a list for whoever names no number.
const USUAL: u64 = 100;
