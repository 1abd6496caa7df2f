//! What sftp does, seen from beside it: which files, how much of them, and what it changes.
//!
//! draft-ietf-secsh-filexfer-02 (version 3) and OpenSSH's extensions to it. Both directions are
//! followed packet by packet; what files hold goes by without a copy. Nothing here touches or delays
//! the bytes: where they are not understood, or more goes on than is followed, that is what is seen,
//! and nothing after it.
//!
//! INVARIANT: nothing here performs I/O, and what is kept of one channel is bounded.

mod file;
mod packets;
mod request;
mod table;

use packets::{Packets, Step};
use session::{FileChange, FileUse};
use table::Table;

/// Follows one channel.
pub(crate) struct Observer {
    requests: Packets,
    answers: Packets,
    table: Table,
    lost: bool,
}

/// Something that sftp did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    File(FileUse),
    Change(FileChange),
    /// What comes after is not known, and why.
    Lost(&'static str),
}

/// Why a channel is not followed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost(&'static str);

impl Observer {
    /// `hash`: whether the content of files is hashed as it goes by.
    pub(crate) fn new(hash: bool) -> Self {
        Self {
            requests: Packets::new(request::head),
            answers: Packets::new(table::answer_head),
            table: Table::new(hash),
            lost: false,
        }
    }

    /// Bytes that go to the server.
    pub(crate) fn up(&mut self, data: &[u8]) {
        if self.lost {
            return;
        }
        if let Err(lost) =
            follow(&mut self.requests, data, &mut self.table, Table::request, Table::up)
        {
            self.lose(lost);
        }
    }

    /// Bytes that come from the server.
    pub(crate) fn down(&mut self, data: &[u8]) {
        if self.lost {
            return;
        }
        if let Err(lost) =
            follow(&mut self.answers, data, &mut self.table, Table::answer, Table::down)
        {
            self.lose(lost);
        }
    }

    /// What was seen since the last time.
    pub(crate) fn take(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.table.seen)
    }

    /// The channel is over: the files that nobody closed.
    pub(crate) fn end(&mut self) {
        self.table.close_all(LEFT_OPEN);
    }

    fn lose(&mut self, Lost(why): Lost) {
        self.lost = true;
        self.table.close_all(UNKNOWN);
        self.table.seen.push(Seen::Lost(why));
    }
}

fn follow(
    packets: &mut Packets,
    mut data: &[u8],
    table: &mut Table,
    head: impl Fn(&mut Table, &[u8], usize) -> Result<(), Lost>,
    body: impl Fn(&mut Table, &[u8]),
) -> Result<(), Lost> {
    while !data.is_empty() {
        match packets.step(&mut data) {
            Step::Waits => break,
            Step::Head => {
                let (bytes, rest) = packets.head();
                head(table, bytes, rest)?;
            }
            Step::Body(bytes) => body(table, bytes),
            Step::Broken => return Err(NO_SFTP),
        }
    }
    Ok(())
}

/// The result of a file that was open when its program ended.
const LEFT_OPEN: &str = "left open";
/// And when it was not followed any more.
const UNKNOWN: &str = "unknown";
const NO_SFTP: Lost = Lost("bytes that are no sftp");

#[cfg(test)]
mod tests;
