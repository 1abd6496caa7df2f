//! What a session's programs did, as the audit log and recordings are told of it.

use std::fmt;

use access::Code;
use serde::Serialize;

/// What is known of an action besides its words. `channel` relates what belongs to one program: it
/// names one of a session, and never another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Facts {
    /// It was refused, with what its user was told.
    Refused { code: Code },
    /// Of a program.
    Of { channel: u32 },
    /// It ended.
    Ended {
        channel: u32,
        /// Its exit status, or the signal that ended it; absent where nobody said.
        #[serde(skip_serializing_if = "Option::is_none")]
        outcome: Option<String>,
        /// Bytes from the client to the program.
        up: u64,
        /// Bytes from the program to the client.
        down: u64,
        /// How long it ran, in milliseconds.
        millis: u64,
    },
    /// It used a file.
    File {
        channel: u32,
        #[serde(flatten)]
        file: FileUse,
    },
    /// It changed something but a file's content.
    Change {
        channel: u32,
        #[serde(flatten)]
        change: FileChange,
    },
    /// What it did beyond what is told one by one.
    More {
        channel: u32,
        #[serde(flatten)]
        more: FileSum,
    },
}

/// A file that was open, from then until it was closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileUse {
    pub path: String,
    pub mode: FileMode,
    /// Bytes that arrived at the client.
    pub read: u64,
    /// Bytes that the target has said it took.
    pub written: u64,
    /// Of what was read or written, in hex: where that went in order from the file's beginning,
    /// without a gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether that is all of the file: it ended there when it was read, or was empty before it was
    /// written.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// `ok`, the target's word why it was not opened, or what became of it instead of being closed.
    pub result: String,
}

/// What a file was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileMode {
    Read,
    Write,
    ReadWrite,
}

/// Something that was removed, renamed, made, linked, or had its attributes set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// The request's name in its protocol.
    pub request: String,
    pub path: String,
    /// The second path, of those that have two; or the attributes that were set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `ok`, or the target's word why not.
    pub result: String,
}

/// Several of these together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileSum {
    pub files: u64,
    pub changes: u64,
    /// How many of both failed.
    pub failed: u64,
    pub read: u64,
    pub written: u64,
}

impl FileMode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadWrite => "read-write",
        }
    }
}

impl FileSum {
    pub fn file(&mut self, file: &FileUse) {
        self.files += 1;
        self.failed += u64::from(file.result != OK);
        self.read = self.read.saturating_add(file.read);
        self.written = self.written.saturating_add(file.written);
    }

    pub fn change(&mut self, change: &FileChange) {
        self.changes += 1;
        self.failed += u64::from(change.result != OK);
    }

    pub fn is_empty(&self) -> bool {
        self.files + self.changes == 0
    }
}

impl fmt::Display for FileUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.mode.as_str(), self.path, Unless(&self.result))
    }
}

impl fmt::Display for FileChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.request, self.path)?;
        if let Some(to) = &self.to {
            write!(f, " {to}")?;
        }
        write!(f, "{}", Unless(&self.result))
    }
}

impl fmt::Display for FileSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files and {} changes more", self.files, self.changes)
    }
}

/// A result, unless all went well.
struct Unless<'a>(&'a str);

impl fmt::Display for Unless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == OK { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

/// The result of what went well.
pub const OK: &str = "ok";
