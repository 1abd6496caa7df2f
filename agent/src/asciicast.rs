//! A recorded terminal in the form of asciicast, version 2, which players understand.

use std::time::Duration;

use api::{RecordedTerminal, RecordingEvent};
use serde_json::{Value, json};

/// One terminal as asciicast, version 2.
#[derive(Debug)]
pub struct Cast {
    channel: Option<u32>,
    begun: bool,
}

impl Cast {
    /// Of this channel, or of the first that has a terminal.
    pub fn of(channel: Option<u32>) -> Self {
        Self { channel, begun: false }
    }

    /// Whether there was such a terminal.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// The line that an event of a session becomes, which opened so many Unix milliseconds after
    /// the epoch; `None`: it is not of the terminal.
    pub fn line(&mut self, event: &RecordingEvent, opened_ms: u64) -> Option<Value> {
        let (at_ms, of) = moment(event)?;
        if self.channel.is_some_and(|channel| channel != of) {
            return None;
        }
        let at = Duration::from_millis(at_ms).as_secs_f64();
        match event {
            RecordingEvent::Began { terminal: Some(terminal), .. } if !self.begun => {
                (self.begun, self.channel) = (true, Some(of));
                let RecordedTerminal { term, columns, rows } = terminal;
                Some(json!({
                    "version": 2, "width": columns, "height": rows,
                    "timestamp": opened_ms / 1000, "env": { "TERM": term },
                }))
            }
            RecordingEvent::Output { text, .. } if self.begun => Some(json!([at, "o", text])),
            RecordingEvent::Resized { columns, rows, .. } if self.begun => {
                Some(json!([at, "r", format!("{columns}x{rows}")]))
            }
            RecordingEvent::Input { text, hidden, .. } if self.begun => {
                let mark = if *hidden { NOT_SHOWN } else { "" };
                Some(json!([at, "i", format!("{mark}{text}")]))
            }
            RecordingEvent::Session { .. }
            | RecordingEvent::Began { .. }
            | RecordingEvent::Output { .. }
            | RecordingEvent::Resized { .. }
            | RecordingEvent::Typed { .. }
            | RecordingEvent::Input { .. }
            | RecordingEvent::File { .. }
            | RecordingEvent::Change { .. }
            | RecordingEvent::Screen { .. }
            | RecordingEvent::Repaint { .. }
            | RecordingEvent::Key { .. }
            | RecordingEvent::Lost { .. }
            | RecordingEvent::Ended { .. } => None,
        }
    }
}

/// When something happened on which terminal; `None`: it had none.
pub(crate) fn moment(event: &RecordingEvent) -> Option<(u64, u32)> {
    match event {
        RecordingEvent::Began { at_ms, channel, terminal: Some(_), .. }
        | RecordingEvent::Output { at_ms, channel, .. }
        | RecordingEvent::Resized { at_ms, channel, .. }
        | RecordingEvent::Input { at_ms, channel, .. } => Some((*at_ms, *channel)),
        RecordingEvent::Session { .. }
        | RecordingEvent::Began { .. }
        | RecordingEvent::Typed { .. }
        | RecordingEvent::File { .. }
        | RecordingEvent::Change { .. }
        | RecordingEvent::Screen { .. }
        | RecordingEvent::Repaint { .. }
        | RecordingEvent::Key { .. }
        | RecordingEvent::Lost { .. }
        | RecordingEvent::Ended { .. } => None,
    }
}

/// What stands in the place of characters that were typed and not shown.
const NOT_SHOWN: &str = "[not shown]";
