//! Recordings of sessions, as they are kept and as they are given.

use access::{Kind, Name, SessionId};
use serde::{Deserialize, Serialize};

/// One line of a recording. The first is [`Session`](Self::Session); times are since it opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum RecordingEvent {
    /// Whose session it is.
    Session {
        session: SessionId,
        user: Name,
        application: Name,
        site: Name,
        kind: Kind,
        /// The account at the target.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        login: Option<String>,
        /// Unix milliseconds.
        opened_ms: u64,
    },
    /// A program began on a channel: `ssh.shell`, `ssh.exec`, `ssh.sftp`…
    Began {
        at_ms: u64,
        channel: u32,
        program: String,
        detail: String,
        /// Where it has a terminal, what that is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        terminal: Option<RecordedTerminal>,
    },
    /// What the terminal showed. Bytes that are no UTF-8 are replaced.
    Output {
        at_ms: u64,
        channel: u32,
        text: String,
    },
    Resized {
        at_ms: u64,
        channel: u32,
        columns: u32,
        rows: u32,
    },
    /// The program ended, with an exit status or by a signal.
    Ended {
        at_ms: u64,
        channel: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<String>,
        /// Bytes from the client to the program.
        up: u64,
        /// Bytes from the program to the client.
        down: u64,
    },
}

/// `GET /sessions/{id}/recording`: a part of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecordingPage {
    pub events: Vec<RecordingEvent>,
    /// Ask for what follows with `after` set to this; absent where that was the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether the session goes on, so that more will follow.
    pub live: bool,
}

/// A terminal when a program began on it, in characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecordedTerminal {
    pub term: String,
    pub columns: u32,
    pub rows: u32,
}
