//! sftp for those who may only read: what would change something is answered by the relay.
//!
//! draft-ietf-secsh-filexfer-02 (version 3), which is what OpenSSH speaks, with its extensions
//! (PROTOCOL, section 4).

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::sync::Notify;

use crate::proto::plain;

/// Stands between a client and an sftp server on one channel.
#[derive(Default)]
pub(crate) struct ReadOnly {
    requests: Mutex<Requests>,
    answers: Mutex<Answers>,
    changed: Notify,
}

/// What became of bytes on their way to the server.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Passed {
    /// What the server is sent in their place.
    pub(crate) bytes: Bytes,
    /// What was refused, for the record.
    pub(crate) refused: Vec<String>,
    /// They are no sftp, and nothing after them is sent.
    pub(crate) broken: bool,
}

impl ReadOnly {
    /// Takes bytes on their way to the server.
    pub(crate) fn up(&self, data: &[u8]) -> Passed {
        let (passed, answers) = lock(&self.requests).take(data);
        lock(&self.answers).own.extend(answers);
        self.changed.notify_waiters();
        passed
    }

    /// Completes once there is room for the relay's answers to more requests. Cancel-safe.
    pub(crate) async fn room(&self) {
        loop {
            let changed = self.changed.notified();
            if lock(&self.answers).own.len() < MOST_ANSWERS {
                return;
            }
            changed.await;
        }
    }

    /// Takes bytes on their way to the client: the relay's own answers go between two packets.
    pub(crate) fn down(&self, data: Bytes) -> Bytes {
        let mut answers = lock(&self.answers);
        let boundary = answers.pass(&data);
        let Some(at) = boundary.filter(|_| !answers.own.is_empty()) else { return data };
        let mut mixed = BytesMut::with_capacity(data.len() + answers.own.len() * ANSWER);
        mixed.put(&data[..at]);
        mixed.put(answers.take());
        mixed.put(&data[at..]);
        drop(answers);
        self.changed.notify_waiters();
        mixed.freeze()
    }

    /// The relay's own answers, as soon as the server is between two packets. Cancel-safe.
    pub(crate) async fn answers(&self) -> Bytes {
        loop {
            let changed = self.changed.notified();
            {
                let mut answers = lock(&self.answers);
                if !answers.own.is_empty() && answers.frame.is_between() {
                    let own = answers.take();
                    drop(answers);
                    self.changed.notify_waiters();
                    return own;
                }
            }
            changed.await;
        }
    }
}

/// The answers of this guard, if there is one and it has any.
pub(crate) async fn answers(guard: Option<&ReadOnly>) -> Bytes {
    match guard {
        Some(guard) => guard.answers().await,
        None => pending().await,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The client's side, packet by packet.
#[derive(Default)]
struct Requests {
    /// What has arrived of the packet that is looked at, with its length.
    packet: BytesMut,
    /// How much of a packet that was refused already is still to come.
    skip: usize,
    begun: bool,
    broken: bool,
}

impl Requests {
    fn take(&mut self, mut data: &[u8]) -> (Passed, Vec<u32>) {
        let (mut passed, mut answers) = (BytesMut::new(), Vec::new());
        let mut refused = Vec::new();
        while !self.broken && !data.is_empty() {
            if self.skip > 0 {
                let length = self.skip.min(data.len());
                (self.skip, data) = (self.skip - length, &data[length..]);
                continue;
            }
            let wanted = self.wanted().saturating_sub(self.packet.len());
            let length = wanted.min(data.len());
            self.packet.put(&data[..length]);
            data = &data[length..];
            if length == wanted {
                self.step(&mut passed, &mut answers, &mut refused);
            }
        }
        (Passed { bytes: passed.freeze(), refused, broken: self.broken }, answers)
    }

    /// How many bytes it takes to say more of the packet: its head, then what decides on it.
    fn wanted(&self) -> usize {
        if self.packet.len() < HEAD {
            return HEAD;
        }
        if is_short(self.packet[4]) { HEAD.max(4 + self.length()) } else { REQUEST }
    }

    fn length(&self) -> usize {
        let length = self.packet.first_chunk().map_or(0, |length| u32::from_be_bytes(*length));
        usize::try_from(length).unwrap_or(usize::MAX)
    }

    fn step(&mut self, passed: &mut BytesMut, answers: &mut Vec<u32>, refused: &mut Vec<String>) {
        let length = self.length();
        let kind = self.packet[4];
        let most = if is_short(kind) { MAX_READ } else { MAX_PACKET };
        if !(LEAST..=most).contains(&length) || (kind == INIT) == self.begun {
            self.broken = true;
            return;
        }
        if self.packet.len() < self.wanted() {
            return;
        }
        if kind == INIT {
            self.begun = true;
            // A later version has other packets under the same numbers.
            let version = (&self.packet[5..9]).get_u32().min(VERSION);
            self.packet[5..9].copy_from_slice(&version.to_be_bytes());
            passed.put(self.packet.split());
            return;
        }
        let id = (&self.packet[5..9]).get_u32();
        match judge(kind, &self.packet[REQUEST..]) {
            Some(Verdict::Pass) => passed.put(self.packet.split()),
            Some(Verdict::Refuse(what)) => {
                self.skip = (4 + length).saturating_sub(self.packet.len());
                self.packet.clear();
                answers.push(id);
                refused.push(what);
            }
            None => self.broken = true,
        }
    }
}

enum Verdict {
    Pass,
    Refuse(String),
}

/// Whether a packet of this kind is read whole: it may pass, or its path is worth a record.
fn is_short(kind: u8) -> bool {
    kind != WRITE
}

/// `None`: it is none of the protocol's.
fn judge(kind: u8, mut body: &[u8]) -> Option<Verdict> {
    let refuse = |what: &str, text: &[u8]| {
        Some(Verdict::Refuse(format!("{what} {}", shown(text)).trim_end().to_owned()))
    };
    match kind {
        CLOSE | READ | LSTAT | FSTAT | OPENDIR | READDIR | REALPATH | STAT | READLINK => {
            Some(Verdict::Pass)
        }
        OPEN => {
            let path = string(&mut body)?;
            let flags = body.try_get_u32().ok()?;
            if flags == OPEN_READ { Some(Verdict::Pass) } else { refuse("open", path) }
        }
        EXTENDED => {
            let name = string(&mut body)?;
            if HARMLESS.contains(&name) { Some(Verdict::Pass) } else { refuse("extended", name) }
        }
        // They may say more than one path; the first is the one that is changed, but for links.
        WRITE => refuse("write", b""),
        FSETSTAT => refuse("fsetstat", b""),
        SETSTAT => refuse("setstat", string(&mut body)?),
        REMOVE => refuse("remove", string(&mut body)?),
        MKDIR => refuse("mkdir", string(&mut body)?),
        RMDIR => refuse("rmdir", string(&mut body)?),
        RENAME => refuse("rename", string(&mut body)?),
        SYMLINK => refuse("symlink", string(&mut body)?),
        other => refuse(&format!("request {other}"), b""),
    }
}

/// A path as the record shows it: one line, of bounded length.
pub(crate) fn shown(path: &[u8]) -> String {
    plain(&String::from_utf8_lossy(path), MAX_SHOWN).replace(['\n', '\t'], " ")
}

pub(crate) fn string<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(body.try_get_u32().ok()?).ok()?;
    let (text, rest) = body.split_at_checked(length)?;
    *body = rest;
    Some(text)
}

/// The server's side: where its packets end, and the relay's answers that wait for that.
#[derive(Default)]
struct Answers {
    frame: Frame,
    /// The ids of requests that were refused.
    own: VecDeque<u32>,
}

impl Answers {
    /// Follows the server's bytes; the first place among them where something may be put between.
    fn pass(&mut self, data: &[u8]) -> Option<usize> {
        let mut boundary = self.frame.is_between().then_some(0);
        let mut at = 0;
        while at < data.len() {
            at += self.frame.pass(&data[at..]);
            if self.frame.is_between() {
                boundary.get_or_insert(at);
            }
        }
        boundary
    }

    fn take(&mut self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.own.len() * ANSWER);
        for id in self.own.drain(..) {
            bytes.put_u32(17 + len(REFUSAL));
            bytes.put_u8(STATUS);
            bytes.put_u32(id);
            bytes.put_u32(PERMISSION_DENIED);
            bytes.put_u32(len(REFUSAL));
            bytes.put(REFUSAL);
            // No language.
            bytes.put_u32(0);
        }
        bytes.freeze()
    }
}

/// Where in a packet a stream is.
#[derive(Default)]
struct Frame {
    length: [u8; 4],
    have: usize,
    left: usize,
}

impl Frame {
    fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// Follows some of `data`, to the end of a length or a packet at most; how much it was.
    fn pass(&mut self, data: &[u8]) -> usize {
        if self.left > 0 {
            let length = self.left.min(data.len());
            self.left -= length;
            return length;
        }
        let length = (4 - self.have).min(data.len());
        self.length[self.have..self.have + length].copy_from_slice(&data[..length]);
        self.have += length;
        if self.have == 4 {
            self.left = usize::try_from(u32::from_be_bytes(self.length)).unwrap_or(usize::MAX);
            self.have = 0;
        }
        length
    }
}

fn len(text: &[u8]) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

pub(crate) const VERSION: u32 = 3;

/// A length and a kind.
const HEAD: usize = 5;
/// And the request's number, or the version.
const REQUEST: usize = 9;

/// A kind and a number.
pub(crate) const LEAST: usize = 5;
/// OpenSSH's own limit.
const MAX_PACKET: usize = 256 * 1024;
/// Of what is read whole: paths have 4096 bytes at most, and some requests two of them.
pub(crate) const MAX_READ: usize = 16 * 1024;
/// Characters of a path in the record.
const MAX_SHOWN: usize = 512;

/// A client that goes on without reading its answers waits.
const MOST_ANSWERS: usize = 1024;
/// Bytes of an answer.
const ANSWER: usize = 21 + REFUSAL.len();
const REFUSAL: &[u8] = b"adit: your access allows reading only (access.file_transfer)";

pub(crate) const INIT: u8 = 1;
pub(crate) const OPEN: u8 = 3;
pub(crate) const CLOSE: u8 = 4;
pub(crate) const READ: u8 = 5;
pub(crate) const WRITE: u8 = 6;
pub(crate) const LSTAT: u8 = 7;
pub(crate) const FSTAT: u8 = 8;
pub(crate) const SETSTAT: u8 = 9;
pub(crate) const FSETSTAT: u8 = 10;
pub(crate) const OPENDIR: u8 = 11;
pub(crate) const READDIR: u8 = 12;
pub(crate) const REMOVE: u8 = 13;
pub(crate) const MKDIR: u8 = 14;
pub(crate) const RMDIR: u8 = 15;
pub(crate) const REALPATH: u8 = 16;
pub(crate) const STAT: u8 = 17;
pub(crate) const RENAME: u8 = 18;
pub(crate) const READLINK: u8 = 19;
pub(crate) const SYMLINK: u8 = 20;
pub(crate) const STATUS: u8 = 101;
pub(crate) const EXTENDED: u8 = 200;

pub(crate) const OPEN_READ: u32 = 1;
const PERMISSION_DENIED: u32 = 3;

/// Extensions that change nothing.
pub(crate) const HARMLESS: &[&[u8]] = &[
    b"statvfs@openssh.com",
    b"fstatvfs@openssh.com",
    b"limits@openssh.com",
    b"expand-path@openssh.com",
    b"home-directory",
    b"users-groups-by-id@openssh.com",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reading_passes_and_changing_is_refused_however_it_is_cut() {
        let mut input = init(3);
        let read = [open("/etc/hosts", 1), request(READ, 7, b"\0\0\0\x01h"), path(STAT, "/a")];
        let write = [
            open("/a", 2),
            open("/b", 1 | 8),
            open("/c", 0),
            request(WRITE, 7, &[0; 3000]),
            path(SETSTAT, "/d"),
            request(FSETSTAT, 7, b"\0\0\0\x01h"),
            path(REMOVE, "/e"),
            path(MKDIR, "/f"),
            path(RMDIR, "/g"),
            path(RENAME, "/h"),
            path(SYMLINK, "/i"),
            path(EXTENDED, "posix-rename@openssh.com"),
            path(EXTENDED, "hardlink@openssh.com"),
            path(EXTENDED, "copy-data"),
            path(EXTENDED, "fsync@openssh.com"),
            request(99, 7, b""),
        ];
        let mut expected = init(3);
        for (index, packet) in write.iter().enumerate() {
            input.extend_from_slice(packet);
            input.extend_from_slice(&read[index % 3]);
            expected.extend_from_slice(&read[index % 3]);
        }
        for size in [1, 2, 3, 5, 9, 10, 100, 4096, input.len()] {
            let guard = ReadOnly::default();
            let (mut out, mut refused) = (Vec::new(), Vec::new());
            for chunk in input.chunks(size) {
                let passed = guard.up(chunk);
                assert!(!passed.broken);
                out.extend_from_slice(&passed.bytes);
                refused.extend(passed.refused);
            }
            assert_eq!(out, expected, "cut at {size}");
            assert_eq!(refused.len(), write.len());
            assert_eq!((&refused[0][..], &refused[3][..]), ("open /a", "write"));
            let answers = guard.down(Bytes::new());
            assert_eq!(answers.len(), write.len() * ANSWER);
            assert_eq!(&answers[4..13], [101, 0, 0, 0, 7, 0, 0, 0, 3]);
        }
    }

    #[test]
    fn a_later_version_of_the_protocol_is_not_spoken() {
        assert_eq!(ReadOnly::default().up(&init(6)).bytes, init(3));
        assert_eq!(ReadOnly::default().up(&init(2)).bytes, init(2));
    }

    #[test]
    fn what_is_no_sftp_ends_it() {
        let begun = |packet: Vec<u8>| [init(3), packet].concat();
        let huge = |kind: u8, length: u32| [&length.to_be_bytes()[..], &[kind; 9]].concat();
        for input in [
            path(STAT, "/before"),
            begun(init(3)),
            begun(huge(STAT, 0)),
            begun(huge(STAT, 4)),
            begun(huge(STAT, u32::MAX)),
            begun(huge(OPEN, 16 * 1024 + 1)),
            begun(huge(WRITE, 256 * 1024 + 1)),
            begun(request(OPEN, 1, b"\0\0\0\xffx")),
            begun(request(OPEN, 1, b"\0\0\0\x01x")),
            begun(request(REMOVE, 1, b"\xff\xff\xff\xff")),
        ] {
            let guard = ReadOnly::default();
            let passed = guard.up(&input);
            assert!(passed.broken, "{input:?}");
            assert!(passed.bytes.is_empty() || passed.bytes == init(3));
            assert_eq!(guard.up(&path(STAT, "/a")).bytes, Bytes::new());
        }
    }

    #[test]
    fn an_answer_of_the_relay_never_cuts_one_of_the_server() {
        let guard = ReadOnly::default();
        let version = request(2, 3, b"");
        assert_eq!(guard.down(Bytes::from(version[..6].to_vec())), &version[..6]);
        assert_eq!(guard.up(&[init(3), path(REMOVE, "/a")].concat()).refused.len(), 1);
        let rest = [&version[6..], &path(STATUS, "x")[..3]].concat();
        let mixed = guard.down(Bytes::from(rest.clone()));
        let cut = version.len() - 6;
        assert_eq!(mixed[..cut], rest[..cut]);
        assert_eq!(mixed[cut + ANSWER..], rest[cut..]);
    }

    #[tokio::test]
    async fn refusals_wait_in_bounded_memory() {
        let guard = ReadOnly::default();
        let mut input = init(3);
        (0..MOST_ANSWERS).for_each(|_| input.extend(path(REMOVE, "/a")));
        guard.up(&input);
        let waits = tokio::time::timeout(std::time::Duration::from_millis(20), guard.room());
        assert!(waits.await.is_err());
        let answers = guard.answers().await;
        assert_eq!(answers.len(), MOST_ANSWERS * ANSWER);
        guard.room().await;
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_pass_what_changes(
            input in proptest::collection::vec(any::<u8>(), 0..600), size in 1usize..64,
        ) {
            let guard = ReadOnly::default();
            let whole = [init(3), input].concat();
            let mut out = Vec::new();
            for chunk in whole.chunks(size) {
                out.extend_from_slice(&guard.up(chunk).bytes);
            }
            let mut rest = &out[9.min(out.len())..];
            while rest.len() > 9 {
                let length = (&rest[..4]).get_u32() as usize;
                prop_assert!([3, 4, 5, 7, 8, 11, 12, 16, 17, 19, 200].contains(&rest[4]));
                rest = &rest[4 + length..];
            }
            prop_assert!(rest.is_empty() || rest.len() == 9);
        }
    }

    fn init(version: u32) -> Vec<u8> {
        [&5u32.to_be_bytes()[..], &[INIT], &version.to_be_bytes()].concat()
    }

    fn request(kind: u8, id: u32, body: &[u8]) -> Vec<u8> {
        let length = len(body) + 5;
        [&length.to_be_bytes()[..], &[kind], &id.to_be_bytes(), body].concat()
    }

    fn path(kind: u8, path: &str) -> Vec<u8> {
        request(kind, 7, &[&len(path.as_bytes()).to_be_bytes()[..], path.as_bytes()].concat())
    }

    fn open(path: &str, flags: u32) -> Vec<u8> {
        let path = path.as_bytes();
        let body = [&len(path).to_be_bytes()[..], path, &flags.to_be_bytes(), &[0; 4]].concat();
        request(OPEN, 7, &body)
    }
}
