//! How channels have fared since the relay's start, for who looks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use access::Name;
use access::text::in_full;
use api::NoticeChannel;
use store::NoticesWaiting;

use crate::api::millis;
use crate::config::Channel;
use crate::deliver::SendError;

#[derive(Debug, Default)]
pub(super) struct Standings(Mutex<BTreeMap<Name, Standing>>);

#[derive(Clone, Debug, Default)]
struct Standing {
    sent_ms: Option<u64>,
    lost: u64,
    failures: u64,
    failed_ms: Option<u64>,
    error: Option<String>,
}

impl Standings {
    /// The channel has taken something.
    pub(super) fn sent(&self, channel: &Name, now: SystemTime) {
        self.change(channel, |it| {
            *it = Standing { sent_ms: Some(millis(now)), lost: it.lost, ..Standing::default() };
        });
    }

    pub(super) fn failed(&self, channel: &Name, error: &SendError, now: SystemTime) {
        let error = in_full(error);
        self.change(channel, |it| {
            it.failures += 1;
            it.failed_ms = Some(millis(now));
            it.error = Some(error);
        });
    }

    /// What the channel did not take is given up.
    pub(super) fn lost(&self, channel: &Name) {
        self.change(channel, |it| it.lost += 1);
    }

    pub(super) fn row(&self, channel: &Channel, waiting: NoticesWaiting) -> NoticeChannel {
        let Standing { sent_ms, lost, failures, failed_ms, error } = self.of(&channel.name);
        NoticeChannel {
            name: channel.name.clone(),
            kind: channel.by.kind().to_owned(),
            to: channel.by.to_string(),
            waiting: waiting.count,
            oldest: waiting.oldest,
            sent_ms,
            lost,
            failures,
            failed_ms,
            error,
        }
    }

    fn of(&self, channel: &Name) -> Standing {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(channel).cloned().unwrap_or_default()
    }

    fn change(&self, channel: &Name, how: impl FnOnce(&mut Standing)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        how(all.entry(channel.clone()).or_default());
    }
}
