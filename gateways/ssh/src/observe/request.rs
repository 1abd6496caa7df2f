//! What a request asks for, as far as it is told.

use bytes::Buf;
use session::{FileChange, FileMode};

use crate::sftp::{
    CLOSE, EXTENDED, FSETSTAT, FSTAT, HARMLESS, INIT, LSTAT, MAX_READ, MKDIR, OPEN, OPENDIR, READ,
    READDIR, READLINK, REALPATH, REMOVE, RENAME, RMDIR, SETSTAT, STAT, SYMLINK, WRITE, shown,
    string,
};

/// A request.
pub(super) enum Asked<'a> {
    /// To speak a version.
    Init,
    Open {
        path: String,
        mode: FileMode,
        /// Whether it is empty then.
        fresh: bool,
        /// Whether what is written goes to its end, wherever the client says.
        appends: bool,
    },
    Read {
        handle: &'a [u8],
        offset: u64,
    },
    Write {
        handle: &'a [u8],
        offset: u64,
        length: u64,
    },
    Close {
        handle: &'a [u8],
    },
    Change(FileChange),
    /// An open file's attributes.
    Set {
        handle: &'a [u8],
        attributes: Attributes,
    },
    /// From one open file to another, at the server.
    Copy {
        from: &'a [u8],
        to: &'a [u8],
    },
    /// What changes nothing.
    Other,
}

pub(super) struct Attributes {
    pub(super) size: Option<u64>,
    pub(super) shown: String,
}

/// How many of a request's first bytes say what it asks for.
pub(super) fn head(known: &[u8]) -> usize {
    match known[4] {
        INIT | STAT | LSTAT | FSTAT | OPENDIR | READDIR | REALPATH | READLINK => NUMBERED,
        WRITE => match known.get(NUMBERED..).and_then(<[u8]>::first_chunk) {
            None => NUMBERED + 4,
            // One that is longer is seen to be.
            Some(length) => NUMBERED + 4 + len(*length).min(MAX_HANDLE + 1) + 12,
        },
        _ => MAX_READ,
    }
}

/// What a request with this head asks for, of which so many bytes follow; `None`: its lengths lie.
pub(super) fn read(head: &[u8], rest: usize) -> Option<Asked<'_>> {
    let mut body = head.get(NUMBERED..)?;
    Some(match head[4] {
        INIT => Asked::Init,
        STAT | LSTAT | FSTAT | OPENDIR | READDIR | REALPATH | READLINK => Asked::Other,
        OPEN => open(&mut body)?,
        READ => Asked::Read { handle: handle(&mut body)?, offset: body.try_get_u64().ok()? },
        WRITE => {
            let (handle, offset) = (handle(&mut body)?, body.try_get_u64().ok()?);
            let length = body.try_get_u32().ok()?;
            let says_so = usize::try_from(length) == Ok(body.len() + rest);
            says_so.then_some(Asked::Write { handle, offset, length: u64::from(length) })?
        }
        CLOSE => Asked::Close { handle: handle(&mut body)? },
        FSETSTAT => Asked::Set { handle: handle(&mut body)?, attributes: attributes(&mut body)? },
        SETSTAT => set("setstat", &mut body)?,
        REMOVE => change("remove", string(&mut body)?, None),
        MKDIR => change("mkdir", string(&mut body)?, None),
        RMDIR => change("rmdir", string(&mut body)?, None),
        RENAME => change("rename", string(&mut body)?, Some(string(&mut body)?)),
        SYMLINK => change("symlink", string(&mut body)?, Some(string(&mut body)?)),
        EXTENDED => extended(&mut body)?,
        other => named(format!("request {other}"), String::new(), None),
    })
}

fn open<'a>(body: &mut &[u8]) -> Option<Asked<'a>> {
    let path = shown(string(body)?);
    let flags = body.try_get_u32().ok()?;
    let has = |flag: u32| flags & flag != 0;
    let mode = match (has(FOR_READING), has(FOR_WRITING | APPENDS)) {
        (_, false) => FileMode::Read,
        (false, true) => FileMode::Write,
        (true, true) => FileMode::ReadWrite,
    };
    let fresh = has(TRUNCATES) || (has(CREATES) && has(ONLY_NEW));
    Some(Asked::Open { path, mode, fresh, appends: has(APPENDS) })
}

fn extended<'a>(body: &mut &'a [u8]) -> Option<Asked<'a>> {
    let name = string(body)?;
    Some(match name {
        b"posix-rename@openssh.com" => change("rename", string(body)?, Some(string(body)?)),
        b"hardlink@openssh.com" => change("link", string(body)?, Some(string(body)?)),
        b"lsetstat@openssh.com" => set("setstat", body)?,
        b"copy-data" => {
            let from = handle(body)?;
            // From where, and how much.
            body.try_get_u64().ok()?;
            body.try_get_u64().ok()?;
            Asked::Copy { from, to: handle(body)? }
        }
        b"fsync@openssh.com" => Asked::Other,
        name if HARMLESS.contains(&name) => Asked::Other,
        name => named(format!("extended {}", shown(name)), String::new(), None),
    })
}

fn set<'a>(request: &str, body: &mut &[u8]) -> Option<Asked<'a>> {
    let path = shown(string(body)?);
    let to = attributes(body)?.shown;
    Some(named(request.to_owned(), path, Some(to)))
}

fn change<'a>(request: &str, path: &[u8], to: Option<&[u8]>) -> Asked<'a> {
    named(request.to_owned(), shown(path), to.map(shown))
}

fn named<'a>(request: String, path: String, to: Option<String>) -> Asked<'a> {
    Asked::Change(FileChange { request, path, to, result: String::new() })
}

fn attributes(body: &mut &[u8]) -> Option<Attributes> {
    let flags = body.try_get_u32().ok()?;
    let (mut said, mut size) = (Vec::new(), None);
    if flags & 1 != 0 {
        size = Some(body.try_get_u64().ok()?);
        said.extend(size.map(|size| format!("size {size}")));
    }
    if flags & 2 != 0 {
        said.push(format!("owner {}:{}", body.try_get_u32().ok()?, body.try_get_u32().ok()?));
    }
    if flags & 4 != 0 {
        said.push(format!("mode {:o}", body.try_get_u32().ok()? & 0o7777));
    }
    if flags & 8 != 0 {
        said.push("times".to_owned());
    }
    Some(Attributes { size, shown: said.join(", ") })
}

fn handle<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    string(body).filter(|handle| handle.len() <= MAX_HANDLE)
}

fn len(bytes: [u8; 4]) -> usize {
    usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX)
}

/// A length, a kind and a number.
pub(super) const NUMBERED: usize = 9;
/// Bytes of a handle (the draft's limit).
pub(super) const MAX_HANDLE: usize = 256;

const FOR_READING: u32 = 1;
const FOR_WRITING: u32 = 2;
const APPENDS: u32 = 4;
const CREATES: u32 = 8;
const TRUNCATES: u32 = 16;
const ONLY_NEW: u32 = 32;
