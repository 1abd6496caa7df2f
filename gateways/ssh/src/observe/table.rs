//! Requests that wait for their answers, and files that are open.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bytes::Buf;
use session::{FileChange, FileMode, FileUse, OK};

use super::file::File;
use super::request::{self, Asked, MAX_HANDLE, NUMBERED};
use super::{Lost, Seen};
use crate::sftp::{STATUS, VERSION, string};

pub(super) struct Table {
    pub(super) seen: Vec<Seen>,
    pending: HashMap<u32, Pending>,
    handles: HashMap<Vec<u8>, Number>,
    files: HashMap<Number, File>,
    next: Number,
    hash: bool,
    /// Whether the client, and the server, have said which version they speak.
    begun: (bool, bool),
    /// The file whose bytes go by.
    writing: Option<Number>,
    reading: Option<Number>,
    /// Bytes of texts that are kept.
    held: usize,
}

/// One of a channel's files.
type Number = u64;

/// What an answer will be to.
enum Pending {
    Open { path: String, mode: FileMode, fresh: bool, appends: bool },
    Read { file: Option<Number>, offset: u64 },
    Write { file: Option<Number>, length: u64 },
    Close { file: Option<Number> },
    Change(FileChange),
    Other,
}

impl Table {
    pub(super) fn new(hash: bool) -> Self {
        Self {
            seen: Vec::new(),
            pending: HashMap::new(),
            handles: HashMap::new(),
            files: HashMap::new(),
            next: 0,
            hash,
            begun: (false, false),
            writing: None,
            reading: None,
            held: 0,
        }
    }

    /// A request's head, of which so many bytes follow.
    pub(super) fn request(&mut self, head: &[u8], rest: usize) -> Result<(), Lost> {
        self.writing = None;
        let asked = request::read(head, rest).ok_or(LIES)?;
        let id = (&head[5..NUMBERED]).get_u32();
        if matches!(asked, Asked::Init) == std::mem::replace(&mut self.begun.0, true) {
            return Err(NOT_BEGUN);
        }
        let pending = match asked {
            Asked::Init => return Ok(()),
            Asked::Open { path, mode, fresh, appends } => {
                Pending::Open { path, mode, fresh, appends }
            }
            Asked::Read { handle, offset } => Pending::Read { file: self.number(handle), offset },
            Asked::Write { handle, offset, length } => {
                let file = self.number(handle);
                self.writing = file;
                self.with(file, |file| file.writes(offset, length));
                Pending::Write { file, length }
            }
            Asked::Close { handle } => Pending::Close { file: self.number(handle) },
            Asked::Change(change) => Pending::Change(change),
            Asked::Set { handle, attributes } => {
                let file = self.number(handle);
                if let Some(size) = attributes.size {
                    self.with(file, |file| file.sized(size));
                }
                Pending::Change(self.change("setstat", file, Some(attributes.shown)))
            }
            Asked::Copy { from, to } => {
                let (from, to) = (self.number(from), self.number(to));
                self.with(to, File::unclear);
                let to = to.and_then(|to| self.files.get(&to)).map(|to| to.told.path.clone());
                Pending::Change(self.change("copy-data", from, to))
            }
            Asked::Other => Pending::Other,
        };
        self.wait(id, pending)
    }

    /// Bytes that follow a request's head.
    pub(super) fn up(&mut self, bytes: &[u8]) {
        self.with(self.writing, |file| file.bytes(bytes));
    }

    /// An answer's head, of which so many bytes follow.
    pub(super) fn answer(&mut self, head: &[u8], rest: usize) -> Result<(), Lost> {
        self.reading = None;
        let (kind, mut body) = (head[4], head.get(NUMBERED..).unwrap_or_default());
        let id = (&head[5..NUMBERED]).get_u32();
        if (kind == VERSION_IS) == std::mem::replace(&mut self.begun.1, true) {
            return Err(NOT_BEGUN);
        }
        if kind == VERSION_IS {
            return if id == VERSION { Ok(()) } else { Err(OTHER_VERSION) };
        }
        let pending = self.pending.remove(&id).ok_or(UNASKED)?;
        self.held = self.held.saturating_sub(pending.texts());
        let status =
            if kind == STATUS { Some(body.try_get_u32().map_err(|_| LIES)?) } else { None };
        match (pending, status) {
            (Pending::Open { path, mode, fresh, appends }, None) if kind == HANDLE => {
                let handle = string(&mut body).filter(|it| it.len() <= MAX_HANDLE).ok_or(LIES)?;
                self.opened(File::new(path, mode, handle, (fresh, self.hash && !appends)))?;
            }
            (Pending::Open { path, mode, fresh, .. }, Some(status)) => {
                let file = File::new(path, mode, &[], (fresh, false));
                self.seen.push(Seen::File(file.close(&word(status))));
            }
            (Pending::Read { file, offset }, None) if kind == DATA => {
                let length = body.try_get_u32().map_err(|_| LIES)?;
                if usize::try_from(length) != Ok(body.len() + rest) {
                    return Err(LIES);
                }
                self.reading = file;
                self.with(file, |file| file.reads(offset, u64::from(length)));
            }
            (Pending::Read { file, offset }, Some(ENDS)) => {
                self.with(file, |file| file.ends(offset));
            }
            (Pending::Write { file, length }, Some(DONE)) => {
                self.with(file, |file| file.told.written += length);
            }
            (Pending::Write { file, .. }, Some(_)) => self.with(file, File::unclear),
            (Pending::Close { file }, Some(status)) => self.close(file, &word(status)),
            (Pending::Change(change), Some(status)) => {
                self.seen.push(Seen::Change(FileChange { result: word(status), ..change }));
            }
            (Pending::Change(change), None) if kind == EXTENDED_REPLY => {
                self.seen.push(Seen::Change(FileChange { result: OK.to_owned(), ..change }));
            }
            (Pending::Read { .. } | Pending::Other, Some(_)) => {}
            (Pending::Other, None) if kind != DATA => {}
            _ => return Err(OTHER_KIND),
        }
        Ok(())
    }

    /// Bytes that follow an answer's head.
    pub(super) fn down(&mut self, bytes: &[u8]) {
        self.with(self.reading, |file| {
            file.told.read += bytes.len() as u64;
            file.bytes(bytes);
        });
    }

    /// Tells of every file that is open, and forgets all that waits.
    pub(super) fn close_all(&mut self, result: &str) {
        let mut open: Vec<_> = self.files.drain().collect();
        open.sort_unstable_by_key(|(number, _)| *number);
        self.seen.extend(open.into_iter().map(|(_, file)| Seen::File(file.close(result))));
        self.handles.clear();
        self.pending.clear();
        self.held = 0;
    }

    fn number(&self, handle: &[u8]) -> Option<Number> {
        self.handles.get(handle).copied()
    }

    fn with(&mut self, file: Option<Number>, act: impl FnOnce(&mut File)) {
        if let Some(file) = file.and_then(|number| self.files.get_mut(&number)) {
            act(file);
        }
    }

    fn change(&self, request: &str, file: Option<Number>, to: Option<String>) -> FileChange {
        let path = file.and_then(|file| self.files.get(&file)).map(|file| file.told.path.clone());
        let (request, path) = (request.to_owned(), path.unwrap_or_default());
        FileChange { request, path, to, result: String::new() }
    }

    fn wait(&mut self, id: u32, pending: Pending) -> Result<(), Lost> {
        self.held += pending.texts();
        if self.pending.len() >= MOST_PENDING || self.held > MOST_HELD {
            return Err(TOO_MUCH);
        }
        match self.pending.entry(id) {
            Entry::Vacant(free) => {
                free.insert(pending);
                Ok(())
            }
            Entry::Occupied(_) => Err(TWICE),
        }
    }

    fn opened(&mut self, file: File) -> Result<(), Lost> {
        self.held += texts(&file.told) + file.handle.len();
        if self.files.len() >= MOST_OPEN || self.held > MOST_HELD {
            return Err(TOO_MUCH);
        }
        let number = self.next;
        self.next += 1;
        let before = self.handles.insert(file.handle.clone(), number);
        self.files.insert(number, file);
        if before.is_none() { Ok(()) } else { Err(OPEN_TWICE) }
    }

    fn close(&mut self, file: Option<Number>, result: &str) {
        let Some(file) = file.and_then(|number| self.files.remove(&number)) else { return };
        self.handles.remove(&file.handle);
        self.held = self.held.saturating_sub(texts(&file.told) + file.handle.len());
        self.seen.push(Seen::File(file.close(result)));
    }
}

impl Pending {
    /// Bytes of its texts.
    fn texts(&self) -> usize {
        match self {
            Self::Open { path, .. } => path.len(),
            Self::Change(FileChange { request, path, to, .. }) => {
                request.len() + path.len() + to.as_ref().map_or(0, String::len)
            }
            Self::Read { .. } | Self::Write { .. } | Self::Close { .. } | Self::Other => 0,
        }
    }
}

fn texts(told: &FileUse) -> usize {
    told.path.len()
}

/// How many of an answer's first bytes say what it is.
pub(super) fn answer_head(known: &[u8]) -> usize {
    match known[4] {
        STATUS | DATA => NUMBERED + 4,
        HANDLE => NUMBERED + 4 + MAX_HANDLE,
        _ => NUMBERED,
    }
}

fn word(status: u32) -> String {
    let word = match status {
        DONE => OK,
        ENDS => "end of file",
        2 => "no such file",
        3 => "permission denied",
        4 => "failure",
        5 => "bad message",
        6 => "no connection",
        7 => "connection lost",
        8 => "not supported",
        other => return format!("status {other}"),
    };
    word.to_owned()
}

const VERSION_IS: u8 = 2;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const EXTENDED_REPLY: u8 = 201;

const DONE: u32 = 0;
const ENDS: u32 = 1;

/// Requests without an answer, of one channel: clients have 64 to 256.
pub(super) const MOST_PENDING: usize = 1024;
pub(super) const MOST_OPEN: usize = 512;
/// Bytes of paths and handles.
const MOST_HELD: usize = 64 << 10;

const LIES: Lost = Lost("lengths that are not true");
const NOT_BEGUN: Lost = Lost("a beginning that is none");
const OTHER_VERSION: Lost = Lost("another version of sftp than 3");
const UNASKED: Lost = Lost("an answer to nothing that was asked");
const OTHER_KIND: Lost = Lost("an answer to something else");
const TWICE: Lost = Lost("a request with the number of one that waits");
const OPEN_TWICE: Lost = Lost("a handle of a file that is open already");
const TOO_MUCH: Lost = Lost("more requests or open files than are followed");
