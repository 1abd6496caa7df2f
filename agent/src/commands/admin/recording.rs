//! `adit admin session play|recording|commands`, `adit admin recording search`

use std::time::{Duration, SystemTime};

use access::{Kind, Name, SessionId};
use api::{CommandsPage, RecordingEvent, RecordingMatch, RecordingPage, SearchPage};
use clap::{Args, Subcommand};
use tokio::time::sleep;

use super::statements;
use crate::asciicast::{Cast, moment};
use crate::context::{Context, query};
use crate::exit::Failure;
use crate::replay::{Drawing, RESTORE};
use crate::times;

#[derive(Debug, Args)]
pub struct PlayArgs {
    /// The session's id, as `ls`, `ls --ended` and the audit log show it
    id: SessionId,
    /// How many times as fast as it happened
    #[arg(long, default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// Wait no longer than this many seconds where nothing happened
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    idle: f64,
    /// The terminal to show, where a session had several [default: the first]
    #[arg(long, value_name = "N")]
    channel: Option<u32>,
    /// Show a session that goes on from now, as it happens
    #[arg(long, conflicts_with_all = ["speed", "idle"])]
    live: bool,
}

#[derive(Debug, Args)]
pub struct PrintArgs {
    /// The session's id, as `ls`, `ls --ended` and the audit log show it
    id: SessionId,
    /// Print one terminal in the form of asciicast, version 2
    #[arg(long)]
    asciicast: bool,
    /// The terminal to print, where a session had several [default: the first]
    #[arg(long, value_name = "N", requires = "asciicast")]
    channel: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub enum RecordingCommand {
    /// Find where recorded terminals showed a text, the oldest session first
    Search(SearchArgs),
}

#[derive(Debug, Args)]
pub struct SearchArgs {
    /// What one line showed; the case of letters does not matter
    text: String,
    /// Only in sessions of this user
    #[arg(long)]
    user: Option<Name>,
    /// Only in sessions to this application: APP, or APP.SITE
    #[arg(long, visible_alias = "app", value_name = "APP")]
    application: Option<String>,
    /// Only what was shown since: 2h (ago), 2026-12-01, 2026-12-01T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = times::moment)]
    since: Option<SystemTime>,
    /// Only what was shown before; written as --since
    #[arg(long, value_name = "TIME", value_parser = times::moment)]
    until: Option<SystemTime>,
    /// At most this many finds
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

pub(super) async fn run(command: RecordingCommand, context: &Context) -> Result<(), Failure> {
    match command {
        RecordingCommand::Search(args) => search(args, context).await,
    }
}

/// Asks for part after part: one may hold nothing, and more still follow.
async fn search(args: SearchArgs, context: &Context) -> Result<(), Failure> {
    let (mut found, mut unread, mut after) = (Vec::new(), Vec::new(), None);
    while found.len() < args.limit {
        let page: SearchPage = context.get(&args.path(args.limit - found.len(), after)).await?;
        found.extend(page.found);
        unread.extend(page.unread);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let heads = ["time", "session", "into it", "user", "application", "line"];
    context.ui.list(&found, "No recorded terminal showed that.", heads, cells)?;
    for session in unread {
        context.ui.say(format_args!("The recording of session {session} could not be read."));
    }
    if after.is_some() {
        context.ui.say("There may be more: give a larger --limit, or another --since.");
    }
    Ok(())
}

fn cells(found: &RecordingMatch) -> [String; 6] {
    [
        times::to_the_second((found.opened_ms + found.at_ms) / 1000),
        found.session.to_string(),
        into(found.at_ms),
        found.user.to_string(),
        format!("{}.{}", found.application, found.site),
        found.line.trim_start().to_owned(),
    ]
}

/// How far into a recording: `1:02:03`.
fn into(at_ms: u64) -> String {
    let seconds = at_ms / 1000;
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Lists what was typed, as far as the terminals showed it.
pub(super) async fn commands(id: SessionId, context: &Context) -> Result<(), Failure> {
    let path = format!("/api/v1/sessions/{id}/commands");
    let (mut commands, mut after) = (Vec::new(), None);
    let opened = loop {
        let page: CommandsPage = context.get(&query(&path, &[("after", after)])).await?;
        commands.extend(page.commands);
        after = page.next;
        if after.is_none() {
            break page.opened_ms;
        }
    };
    let heads = ["time", "into it", "channel", "command"];
    context.ui.list(&commands, "No terminal of it showed a command.", heads, |command| {
        [
            times::to_the_second((opened + command.at_ms) / 1000),
            into(command.at_ms),
            command.channel.to_string(),
            command.text.clone(),
        ]
    })
}

/// Shows a terminal again; of a session at a database's door its statements, whether it was recorded or
/// not, and its recording where the log has them no more.
pub(super) async fn play(args: PlayArgs, context: &Context) -> Result<(), Failure> {
    let id = args.id;
    match draw(&args, !args.live, context).await {
        Ok(Drawn::Terminal) => Ok(()),
        Ok(Drawn::Statements) if statements::transcript(id, context).await? => Ok(()),
        Ok(Drawn::Statements) => draw(&args, false, context).await.map(drop),
        Err(absent) if absent.code() == Some("recording.not_found") => {
            if statements::transcript(id, context).await? { Ok(()) } else { Err(absent) }
        }
        Err(failed) => Err(failed),
    }
}

/// What a recording turned out to be of.
enum Drawn {
    Terminal,
    /// Statements, which are told better by their log: nothing was drawn.
    Statements,
}

/// What would do more to the viewer's terminal than draw is left out.
async fn draw(
    args: &PlayArgs,
    leaves_statements: bool,
    context: &Context,
) -> Result<Drawn, Failure> {
    let mut pages = Pages::of(args.id, args.live);
    let (mut channel, mut drawing, mut last) = (args.channel, Drawing::default(), None);
    let mut desktop = false;
    while let Some(page) = pages.next(context).await? {
        for event in &page.events {
            if let RecordingEvent::Session { kind, .. } = event {
                desktop |= *kind == Kind::Rdp;
                if leaves_statements && kind.is_database() {
                    return Ok(Drawn::Statements);
                }
            }
            let Some((at_ms, of)) = moment(event) else { continue };
            if *channel.get_or_insert(of) != of {
                continue;
            }
            let before = last.replace(at_ms).unwrap_or(at_ms);
            if !args.live {
                let waited = args.wait(at_ms.saturating_sub(before));
                sleep(waited).await;
            }
            if let RecordingEvent::Output { text, .. } = event {
                context.ui.draw(&drawing.of(text))?;
            }
        }
    }
    if last.is_none() {
        return Err(if desktop { in_a_browser(args.id) } else { no_terminal(args.id) });
    }
    if context.ui.is_read_by_a_person() {
        context.ui.draw(RESTORE)?;
    }
    context.ui.say("");
    Ok(Drawn::Terminal)
}

pub(super) async fn print(args: PrintArgs, context: &Context) -> Result<(), Failure> {
    let mut pages = Pages::of(args.id, false);
    let (mut cast, mut opened, mut desktop) = (Cast::of(args.channel), 0, false);
    while let Some(page) = pages.next(context).await? {
        for event in &page.events {
            if !args.asciicast {
                context.ui.json_line(event)?;
                continue;
            }
            if let RecordingEvent::Session { opened_ms, kind, .. } = event {
                (opened, desktop) = (*opened_ms, *kind == Kind::Rdp);
            }
            if let Some(line) = cast.line(event, opened) {
                context.ui.json_line(&line)?;
            }
        }
    }
    match args.asciicast && !cast.has_begun() {
        true if desktop => Err(in_a_browser(args.id)),
        true => Err(no_terminal(args.id)),
        false => Ok(()),
    }
}

/// The parts of a recording, one after another.
struct Pages {
    session: SessionId,
    after: Option<String>,
    /// Whether to wait for more of a session that goes on.
    follow: bool,
    over: bool,
}

impl Pages {
    fn of(session: SessionId, follow: bool) -> Self {
        Self { session, after: None, follow, over: false }
    }

    async fn next(&mut self, context: &Context) -> Result<Option<RecordingPage>, Failure> {
        if self.over {
            return Ok(None);
        }
        let path = format!("/api/v1/sessions/{}/recording", self.session);
        loop {
            let path = query(&path, &[("after", self.after.clone())]);
            let page: RecordingPage = context.get(&path).await?;
            self.over = page.next.is_none() || (page.events.is_empty() && !self.follow);
            self.after.clone_from(&page.next);
            if self.over || !page.events.is_empty() {
                return Ok(Some(page));
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

impl SearchArgs {
    fn path(&self, left: usize, after: Option<String>) -> String {
        let parameters = [
            ("text", Some(self.text.clone())),
            ("user", self.user.as_ref().map(ToString::to_string)),
            ("application", self.application.clone()),
            ("since", self.since.map(times::rfc3339)),
            ("until", self.until.map(times::rfc3339)),
            ("limit", Some(left.min(MOST_FOUND).to_string())),
            ("after", after),
        ];
        query("/api/v1/recordings/search", &parameters)
    }
}

impl PlayArgs {
    fn wait(&self, millis: u64) -> Duration {
        let real = Duration::from_millis(millis).as_secs_f64() / self.speed;
        Duration::from_secs_f64(real.min(self.idle))
    }
}

/// A desktop's picture is for a page that can decode it.
fn in_a_browser(id: SessionId) -> Failure {
    let detail = format!("session {id} showed a desktop, which only a browser can play");
    Failure::coded("recording.desktop", detail).hint(format!(
        "open /desktop#recording={id} at the relay; `adit admin session recording {id}` prints what \
         is in the file, as docs/recordings.md says"
    ))
}

fn no_terminal(id: SessionId) -> Failure {
    Failure::coded("recording.not_found", format!("session {id} had no such terminal"))
        .hint("`adit admin session recording ID` prints what it did")
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "a number such as 4 or 0.5".to_owned())?;
    match (0.1..=1000.0).contains(&speed) {
        true => Ok(speed),
        false => Err("from 0.1 to 1000".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds".to_owned())?;
    match (0.0..=3600.0).contains(&seconds) {
        true => Ok(seconds),
        false => Err("from 0 to 3600".to_owned()),
    }
}

const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Finds in one answer.
const MOST_FOUND: usize = 1000;
