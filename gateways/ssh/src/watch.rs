//! What the door looks at in the bytes it carries, and records.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use session::{Entry, Facts, FileSum};
use tokio::time::Instant;

use crate::observe::{Observer, Seen};
use crate::reach::Reach;
use crate::sftp::ReadOnly;
use crate::sniff::Sniff;

/// A channel on which sftp may only read.
pub(crate) struct Reader {
    pub(crate) rules: ReadOnly,
    reach: Arc<Reach>,
    refused: AtomicUsize,
}

/// What sftp does on a channel, for the audit log and the recording.
pub(crate) struct Files {
    observer: Mutex<Observer>,
    reach: Arc<Reach>,
    channel: u32,
    rest: Mutex<Rest>,
}

/// What has no row of its own.
struct Rest {
    sum: FileSum,
    /// When the last sum was told.
    told: Instant,
}

/// A forwarded port, socket or agent.
pub(crate) struct Forward {
    sniff: Sniff,
    reach: Arc<Reach>,
    /// Where it leads, or came from.
    what: String,
}

impl Reader {
    pub(crate) fn new(reach: Arc<Reach>) -> Self {
        Self { rules: ReadOnly::default(), reach, refused: AtomicUsize::new(0) }
    }

    /// What the target is sent in the place of these bytes; `None`: nothing any more.
    pub(crate) async fn up(&self, data: &Bytes) -> Option<Bytes> {
        self.rules.room().await;
        let passed = self.rules.up(data);
        for what in passed.refused {
            match self.refused.fetch_add(1, Relaxed) {
                0..MOST_NOTED => self.reach.note("ssh.sftp_refused", &what).await,
                MOST_NOTED => self.reach.note("ssh.sftp_refused", "more is not recorded").await,
                _ => {}
            }
        }
        if passed.broken {
            self.reach.note("ssh.sftp_refused", "bytes that are no sftp").await;
        }
        (!passed.broken).then_some(passed.bytes)
    }
}

impl Files {
    pub(crate) fn new(reach: Arc<Reach>, channel: u32) -> Self {
        let observer = Mutex::new(Observer::new(reach.channels().file_hashes));
        let rest = Mutex::new(Rest { sum: FileSum::default(), told: Instant::now() });
        Self { observer, reach, channel, rest }
    }

    /// Bytes that go to the server.
    pub(crate) fn up(&self, data: &[u8]) {
        lock(&self.observer).up(data);
    }

    /// Bytes that come from it.
    pub(crate) fn down(&self, data: &[u8]) {
        lock(&self.observer).down(data);
    }

    /// Tells what was seen. Only a recording, which has to have it all, is ever waited for.
    pub(crate) async fn tell(&self) {
        let seen = lock(&self.observer).take();
        for seen in seen {
            self.note(&seen);
            if let Some(tape) = self.reach.tape() {
                tape.write(self.entry(seen)).await;
            }
        }
    }

    /// The channel is over.
    pub(crate) async fn end(&self) {
        lock(&self.observer).end();
        self.tell().await;
        self.note_rest();
    }

    fn note(&self, seen: &Seen) {
        let channel = self.channel;
        // It is the last of its channel.
        let has_a_row = matches!(seen, Seen::Lost(_)) || self.reach.rows().take();
        match seen {
            Seen::File(file) if has_a_row => {
                let facts = Facts::File { channel, file: file.clone() };
                self.reach.note_now("ssh.sftp_file", &file.to_string(), facts);
            }
            Seen::Change(change) if has_a_row => {
                let facts = Facts::Change { channel, change: change.clone() };
                self.reach.note_now("ssh.sftp_change", &change.to_string(), facts);
            }
            Seen::File(file) => lock(&self.rest).sum.file(file),
            Seen::Change(change) => lock(&self.rest).sum.change(change),
            Seen::Lost(why) => self.reach.note_now("ssh.sftp_lost", why, Facts::Of { channel }),
        }
        if !has_a_row && lock(&self.rest).told.elapsed() >= TELL_REST {
            self.note_rest();
        }
    }

    fn note_rest(&self) {
        let mut rest = lock(&self.rest);
        rest.told = Instant::now();
        let more = std::mem::take(&mut rest.sum);
        drop(rest);
        if !more.is_empty() {
            let (detail, channel) = (more.to_string(), self.channel);
            self.reach.note_now("ssh.sftp_more", &detail, Facts::More { channel, more });
        }
    }

    fn entry(&self, seen: Seen) -> Entry {
        let channel = self.channel;
        match seen {
            Seen::File(file) => Entry::File { channel, file },
            Seen::Change(change) => Entry::Change { channel, change },
            Seen::Lost(why) => Entry::Lost { channel, why },
        }
    }
}

/// A channel that was cut: what was seen until then.
impl Drop for Files {
    fn drop(&mut self) {
        let mut observer = lock(&self.observer);
        observer.end();
        let seen = observer.take();
        drop(observer);
        for seen in seen {
            self.note(&seen);
            if let Some(tape) = self.reach.tape() {
                tape.write_now(self.entry(seen));
            }
        }
        self.note_rest();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Forward {
    pub(crate) fn new(reach: Arc<Reach>, what: String) -> Self {
        Self { sniff: Sniff::default(), reach, what }
    }

    pub(crate) async fn up(&self, data: &[u8]) {
        self.record(self.sniff.up(data)).await;
    }

    pub(crate) async fn down(&self, data: &[u8]) {
        self.record(self.sniff.down(data)).await;
    }

    async fn record(&self, is_ssh: bool) {
        if is_ssh {
            self.reach.note(CARRIES_SSH, &self.what).await;
        }
    }
}

/// The action under which a forward that carries SSH is recorded.
pub(crate) const CARRIES_SSH: &str = "ssh.forward_carries_ssh";

/// Between two sums of what has no row of its own.
const TELL_REST: Duration = Duration::from_secs(60);

/// Refusals of one channel that are recorded one by one.
const MOST_NOTED: usize = 64;
