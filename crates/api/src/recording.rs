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
    /// The user began to type a line, or pressed the Enter key.
    Typed {
        at_ms: u64,
        channel: u32,
        enter: bool,
    },
    /// What the user typed, where the grant asks for it: a line, or the characters before another
    /// key, with that key. Told once the terminal has shown it.
    Input {
        at_ms: u64,
        channel: u32,
        /// Of characters that the terminal did not show (a password, for one) only the key.
        text: String,
        /// Whether there were such characters.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        hidden: bool,
    },
    /// What a desktop's screen showed.
    Screen {
        at_ms: u64,
        /// Whole frames of RDP from the target, in base64: those of the fast path, and those of its own
        /// channel from its first Demand Active on.
        bytes: String,
    },
    /// The target was asked to paint all of its screen again: what follows within some seconds shows
    /// the whole of it.
    Repaint {
        at_ms: u64,
    },
    /// The user pressed a key at a desktop, or let it go, where the grant asks for it.
    Key {
        at_ms: u64,
        /// By where it is: its scan code of set 1, from 0xE000 on with its prefix.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u16>,
        /// Or what it stands for: a character, or half of one, as UTF-16 has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unit: Option<u16>,
        pressed: bool,
    },
    /// The program had a file open; told when it was closed.
    File {
        at_ms: u64,
        channel: u32,
        path: String,
        /// `read`, `write` or `read-write`.
        mode: String,
        /// Bytes that arrived at the client.
        read: u64,
        /// Bytes that the target has said it took.
        written: u64,
        /// Of what was read or written, in hex: where the grant asks for it, and that went in order
        /// from the file's beginning.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
        /// Whether that is all of the file.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        whole: bool,
        /// `ok`, the target's word why it was not opened, or what became of it instead of being
        /// closed.
        result: String,
    },
    /// The program removed, renamed, made or linked something, or set its attributes.
    Change {
        at_ms: u64,
        channel: u32,
        /// The request's name in sftp.
        request: String,
        path: String,
        /// The second path, of those that have two; or the attributes that were set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// `ok`, or the target's word why not.
        result: String,
    },
    /// What the program did with files from here on is not known.
    Lost {
        at_ms: u64,
        channel: u32,
        why: String,
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

/// `GET /sessions/{id}/commands`: command lines, as far as the terminals showed them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CommandsPage {
    /// When the session opened, in Unix milliseconds.
    pub opened_ms: u64,
    pub commands: Vec<TypedCommand>,
    /// Ask for what follows with `after` set to this; absent where that was the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A line that was typed and entered at a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TypedCommand {
    /// When Enter was pressed, in milliseconds since the session opened.
    pub at_ms: u64,
    pub channel: u32,
    /// As the screen showed it, without the prompt.
    pub text: String,
}

/// `GET /recordings/search`: a part of what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SearchPage {
    pub found: Vec<RecordingMatch>,
    /// Ask for what follows with `after` set to this, also where nothing was found; absent where
    /// that was the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// How many recordings were searched, all or a part of them.
    pub recordings: u64,
    /// Recordings that are damaged, or could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<SessionId>,
}

/// Where a terminal showed a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RecordingMatch {
    pub session: SessionId,
    pub user: Name,
    pub application: Name,
    pub site: Name,
    /// Unix milliseconds.
    pub opened_ms: u64,
    /// Milliseconds since then.
    pub at_ms: u64,
    pub channel: u32,
    /// The line that has it.
    pub line: String,
}
