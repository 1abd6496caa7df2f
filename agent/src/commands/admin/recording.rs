//! `adit admin session play|recording`

use std::time::Duration;

use access::SessionId;
use api::{RecordingEvent, RecordingPage};
use clap::Args;
use tokio::time::sleep;

use crate::asciicast::{Cast, moment};
use crate::context::{Context, query};
use crate::exit::Failure;
use crate::replay::{Drawing, RESTORE};

#[derive(Debug, Args)]
pub struct PlayArgs {
    /// The session's id, as `ls` and the audit log show it
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
    /// The session's id, as `ls` and the audit log show it
    id: SessionId,
    /// Print one terminal in the form of asciicast, version 2
    #[arg(long)]
    asciicast: bool,
    /// The terminal to print, where a session had several [default: the first]
    #[arg(long, value_name = "N", requires = "asciicast")]
    channel: Option<u32>,
}

/// Shows a terminal again. What would do more to the viewer's than draw is left out.
pub(super) async fn play(args: PlayArgs, context: &Context) -> Result<(), Failure> {
    let mut pages = Pages::of(args.id, args.live);
    let (mut channel, mut drawing, mut last) = (args.channel, Drawing::default(), None);
    while let Some(page) = pages.next(context).await? {
        for event in &page.events {
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
        return Err(no_terminal(args.id));
    }
    context.ui.draw(RESTORE)?;
    context.ui.say("");
    Ok(())
}

pub(super) async fn print(args: PrintArgs, context: &Context) -> Result<(), Failure> {
    let mut pages = Pages::of(args.id, false);
    let (mut cast, mut opened) = (Cast::of(args.channel), 0);
    while let Some(page) = pages.next(context).await? {
        for event in &page.events {
            if !args.asciicast {
                context.ui.json_line(event)?;
                continue;
            }
            if let RecordingEvent::Session { opened_ms, .. } = event {
                opened = *opened_ms;
            }
            if let Some(line) = cast.line(event, opened) {
                context.ui.json_line(&line)?;
            }
        }
    }
    match args.asciicast && !cast.has_begun() {
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

impl PlayArgs {
    fn wait(&self, millis: u64) -> Duration {
        let real = Duration::from_millis(millis).as_secs_f64() / self.speed;
        Duration::from_secs_f64(real.min(self.idle))
    }
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
