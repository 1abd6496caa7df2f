//! What the door looks at in the bytes it carries, and records.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;

use crate::reach::Reach;
use crate::sftp::ReadOnly;
use crate::sniff::Sniff;

/// A channel on which sftp may only read.
pub(crate) struct Reader {
    pub(crate) rules: ReadOnly,
    reach: Arc<Reach>,
    refused: AtomicUsize,
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

/// Refusals of one channel that are recorded one by one.
const MOST_NOTED: usize = 64;
