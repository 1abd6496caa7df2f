//! A file that is open.

use aws_lc_rs::digest::{Context, SHA256};
use session::{FileMode, FileUse};

pub(super) struct File {
    pub(super) told: FileUse,
    pub(super) handle: Vec<u8>,
    /// Whether it was empty when it was opened.
    fresh: bool,
    /// `None`: not asked for, or what goes by is not in order.
    hash: Option<Hash>,
}

/// The hash of what went by so far, which is the file's beginning.
struct Hash {
    context: Box<Context>,
    length: u64,
    way: Option<Way>,
    /// Whether the file is known to end here.
    ended: bool,
    /// Whether the packet that goes by is part of it.
    takes: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Read,
    Written,
}

impl File {
    pub(super) fn new(
        path: String,
        mode: FileMode,
        handle: &[u8],
        (fresh, hash): (bool, bool),
    ) -> Self {
        let result = String::new();
        let told = FileUse { path, mode, read: 0, written: 0, sha256: None, whole: false, result };
        let hash = hash.then(Hash::new);
        Self { told, handle: handle.to_vec(), fresh, hash }
    }

    /// Bytes that were read from `offset` are about to go by.
    pub(super) fn reads(&mut self, offset: u64, length: u64) {
        self.goes_by(Way::Read, offset, length);
    }

    /// The same of bytes that are to be written there.
    pub(super) fn writes(&mut self, offset: u64, length: u64) {
        self.goes_by(Way::Written, offset, length);
    }

    fn goes_by(&mut self, way: Way, offset: u64, length: u64) {
        let Some(hash) = &mut self.hash else { return };
        if hash.length != offset || hash.way.is_some_and(|before| before != way) {
            return self.hash = None;
        }
        (hash.way, hash.ended, hash.takes) = (Some(way), false, true);
        hash.length = hash.length.saturating_add(length);
    }

    /// Some of them.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        if let Some(hash) = self.hash.as_mut().filter(|hash| hash.takes) {
            hash.context.update(bytes);
        }
    }

    /// There is nothing at `offset`, nor after it.
    pub(super) fn ends(&mut self, offset: u64) {
        if let Some(hash) = self.hash.as_mut().filter(|hash| hash.length == offset) {
            (hash.ended, hash.way) = (true, Some(Way::Read));
        }
    }

    /// Something about its content is not known.
    pub(super) fn unclear(&mut self) {
        self.hash = None;
    }

    /// It has this length now.
    pub(super) fn sized(&mut self, size: u64) {
        if self.hash.as_ref().is_some_and(|hash| hash.length != size) {
            self.hash = None;
        }
    }

    /// What is told of it.
    pub(super) fn close(mut self, result: &str) -> FileUse {
        result.clone_into(&mut self.told.result);
        let Some(hash) = self.hash else { return self.told };
        let (whole, went) = match (hash.way, self.told.mode) {
            (Some(Way::Read), _) => (hash.ended, self.told.read),
            (Some(Way::Written), _) => (self.fresh, self.told.written),
            // Nothing was written, and it is empty.
            (None, FileMode::Write | FileMode::ReadWrite) => (self.fresh, 0),
            (None, FileMode::Read) => (false, 0),
        };
        if went == hash.length && (went > 0 || whole) {
            self.told.sha256 = Some(data_encoding::HEXLOWER.encode(hash.context.finish().as_ref()));
            self.told.whole = whole;
        }
        self.told
    }
}

impl Hash {
    fn new() -> Self {
        let context = Box::new(Context::new(&SHA256));
        Self { context, length: 0, way: None, ended: false, takes: false }
    }
}
