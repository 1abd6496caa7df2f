//! What goes on in sessions, as gateways say it and the port that keeps it takes it.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use access::{Code, Explain, Kind, Name, SessionId};
use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{FileChange, FileUse};

/// Keeps recordings.
#[async_trait]
pub trait Recordings: Send + Sync {
    /// Begins the recording of a session. When this returns, the place where it is kept is there.
    async fn begin(&self, about: About) -> Result<Tape, RecordingError>;
}

/// Whose session a recording is of.
#[derive(Clone, Debug, Serialize)]
pub struct About {
    pub session: SessionId,
    pub user: Name,
    pub application: Name,
    pub site: Name,
    pub kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    #[serde(skip)]
    pub opened: SystemTime,
}

/// A recording could not be begun, or not gone on with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session can not be recorded: {detail}")]
pub struct RecordingError {
    /// For the operator.
    pub detail: String,
}

/// Something that went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A program began on a channel: `ssh.shell`, `ssh.exec`, `ssh.sftp`…
    Began {
        channel: u32,
        program: &'static str,
        detail: String,
        terminal: Option<Screen>,
    },
    /// What the user saw.
    Output {
        channel: u32,
        bytes: Bytes,
    },
    Resized {
        channel: u32,
        columns: u32,
        rows: u32,
    },
    /// The user began to type a line, or pressed the Enter key.
    Typed {
        channel: u32,
        enter: bool,
    },
    /// What the user typed, where that is to be kept as far as the terminal shows it.
    Input {
        channel: u32,
        bytes: Bytes,
    },
    /// What a desktop's screen showed: whole frames of RDP.
    Screen {
        bytes: Bytes,
    },
    /// The target was asked to paint all of its screen again.
    Repaint,
    /// The user pressed a key at a desktop, or let it go.
    Key {
        key: Key,
        pressed: bool,
    },
    /// The program used a file.
    File {
        channel: u32,
        file: FileUse,
    },
    /// The program changed something but a file's content.
    Change {
        channel: u32,
        change: FileChange,
    },
    /// What it does with files from here on is not known, and why.
    Lost {
        channel: u32,
        why: &'static str,
    },
    /// The program ended; `outcome` is its exit status or the signal that ended it.
    Ended {
        channel: u32,
        outcome: Option<String>,
        up: u64,
        down: u64,
    },
}

/// A key of a desktop's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// By where it is: its scan code, from 0xE000 on with its prefix.
    Code(u16),
    /// A character, or half of one, as UTF-16 has it.
    Unit(u16),
}

/// A terminal as it was when a program began on it, in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screen {
    pub term: String,
    pub columns: u32,
    pub rows: u32,
}

/// Where one session's entries go. Cheap to clone; the recording ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Tape {
    entries: mpsc::Sender<(Duration, Entry)>,
    began: Instant,
    failed: CancellationToken,
    input: bool,
}

/// The other end of a [`Tape`]: entries in their order, each with its time since the session opened.
#[derive(Debug)]
pub struct TapeEnd {
    entries: mpsc::Receiver<(Duration, Entry)>,
    failed: CancellationToken,
}

impl Tape {
    /// A tape and the end that whoever keeps it reads.
    pub fn new() -> (Self, TapeEnd) {
        let (sender, receiver) = mpsc::channel(ENTRIES);
        let failed = CancellationToken::new();
        let tape =
            Self { entries: sender, began: Instant::now(), failed: failed.clone(), input: false };
        (tape, TapeEnd { entries: receiver, failed })
    }

    /// The same, of a session whose input is kept too.
    #[must_use]
    pub fn with_input(mut self) -> Self {
        self.input = true;
        self
    }

    /// Whether input is kept.
    pub fn takes_input(&self) -> bool {
        self.input
    }

    /// Waits while what keeps it is slower than the session: nothing is left out. What a failed
    /// recording is given is lost; its session ends.
    pub async fn write(&self, entry: Entry) {
        if self.entries.send((self.began.elapsed(), entry)).await.is_err() {
            self.failed.cancel();
        }
    }

    /// The same from where nothing can wait: lost where there is no room.
    pub fn write_now(&self, entry: Entry) {
        drop(self.entries.try_send((self.began.elapsed(), entry)));
    }

    /// Cancelled when the recording can not go on.
    pub fn failure(&self) -> CancellationToken {
        self.failed.clone()
    }
}

impl TapeEnd {
    /// The next entry; `None`: the session is over. Cancel-safe.
    pub async fn next(&mut self) -> Option<(Duration, Entry)> {
        self.entries.recv().await
    }

    /// Nothing more can be kept: the session ends.
    pub fn fail(&self) {
        self.failed.cancel();
    }
}

impl Explain for RecordingError {
    fn code(&self) -> Code {
        Code("recording.unavailable")
    }

    fn public(&self) -> Cow<'static, str> {
        Cow::Borrowed("this access has to be recorded, and the relay can not record just now")
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed("try again in a minute, or ask your administrator"))
    }
}

/// A packet of output, or what a screen shows at once, is at most some tens of kilobytes, so one session
/// holds half a megabyte.
const ENTRIES: usize = 16;
