//! Telling people of requests for access: who may decide that one waits, and who asked what became of
//! it.
//!
//! What is to be told is stored with a row for each channel, and the row goes when the channel has taken
//! it; so a relay that starts again goes on. Nobody who asks or decides waits for any of this.

mod mail;
mod standing;
#[cfg(test)]
mod tests;
mod webhook;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use access::RuleId;
use access::text::in_full;
use api::{AccessRequest, NoticeChannel, RequestState};
use session::{AuditEvent, AuditLog};
use store::{NoticeRow, Store, StoreError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::api::request_row;
use crate::config::{Channel, NotifyBy};
use crate::deliver::SendError;
use crate::owned::owned;
use standing::Standings;

/// The channels there are.
pub struct Notices {
    store: Store,
    audit: Arc<dyn AuditLog>,
    channels: Vec<Channel>,
    /// `https://relay.example.com`
    relay: String,
    /// Counts what was added, so that who sleeps looks again.
    added: watch::Sender<u64>,
    standings: Standings,
}

/// What a channel is told.
#[derive(Debug)]
struct Notice {
    row: NoticeRow,
    request: AccessRequest,
    /// Where it is decided on, or looked at.
    link: String,
}

impl Notices {
    pub(crate) fn new(
        store: Store,
        audit: Arc<dyn AuditLog>,
        channels: Vec<Channel>,
        relay: String,
    ) -> Arc<Self> {
        let (added, standings) = (watch::Sender::new(0), Standings::default());
        Arc::new(Self { store, audit, channels, relay, added, standings })
    }

    /// Has each channel be told what a request is now. That it can not be stored is for the operator's
    /// log: the request is there all the same.
    pub(crate) async fn tell(&self, request: RuleId, event: RequestState) {
        let names: Vec<_> = self.channels.iter().map(|channel| channel.name.clone()).collect();
        if names.is_empty() {
            return;
        }
        let added = self.store.add_notices(request, event.as_str(), &names, SystemTime::now());
        match added.await {
            Ok(added) => {
                if added < names.len() {
                    tracing::warn!(%request, "Too much waits to be told; a channel misses a request");
                }
                self.added.send_modify(|added| *added += 1);
            }
            Err(error) => tracing::warn!(%error, %request, "Nobody will be told of a request"),
        }
    }

    /// Where each channel stands.
    pub(crate) async fn list(&self) -> Result<Vec<NoticeChannel>, StoreError> {
        let mut rows = Vec::new();
        for channel in &self.channels {
            let waiting = self.store.notices_waiting(&channel.name).await?;
            rows.push(self.standings.row(channel, waiting));
        }
        Ok(rows)
    }

    /// Tells until `stop`.
    pub(crate) async fn run(
        self: Arc<Self>,
        leads: impl Fn() -> bool + Clone + Send + Sync + 'static,
        stop: CancellationToken,
    ) {
        self.forget_old(SystemTime::now()).await;
        let mut tasks = JoinSet::new();
        for channel in self.channels.clone() {
            tasks.spawn(self.clone().serve(channel, leads.clone(), stop.clone()));
        }
        owned(tasks, &stop, "channel").await;
    }

    async fn serve(
        self: Arc<Self>,
        channel: Channel,
        leads: impl Fn() -> bool + Send + Sync,
        stop: CancellationToken,
    ) {
        let mut added = self.added.subscribe();
        loop {
            added.mark_unchanged();
            let turn = async {
                // One of several relays tells, so that nobody is told twice.
                if !leads() || !self.turn(&channel).await {
                    tokio::select! {
                        _ = added.changed() => {}
                        () = sleep(POLL) => {}
                    }
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = turn => {}
            }
        }
    }

    /// Forgets what nobody asks for any more: what was for channels that are not in the file.
    async fn forget_old(&self, now: SystemTime) {
        let Some(before) = now.checked_sub(GIVEN_UP + GIVEN_UP) else { return };
        if let Err(error) = self.store.forget_notices_before(before).await {
            tracing::warn!(%error, "Could not forget what was to be told");
        }
    }

    /// Tells one thing. `false`: there is nothing to tell now.
    async fn turn(&self, channel: &Channel) -> bool {
        let now = SystemTime::now();
        let row = match self.store.due_notice(&channel.name, now).await {
            Ok(Some(row)) => row,
            Ok(None) => return false,
            Err(error) => {
                tracing::warn!(%error, "Could not look for what is to be told");
                return false;
            }
        };
        let done = match self.send(channel, row.clone()).await {
            Ok(()) => self.sent(channel, &row).await,
            Err(error) => self.failed(channel, &row, &error, now).await,
        };
        if let Err(error) = &done {
            tracing::warn!(%error, "Could not note what was told");
        }
        // One that can not be noted would be told again at once, for ever.
        done.is_ok()
    }

    async fn send(&self, channel: &Channel, row: NoticeRow) -> Result<(), SendError> {
        // It goes with its request.
        let Some(request) = self.store.access_request(row.request).await? else { return Ok(()) };
        let Some(request) = request_row(request) else { return Ok(()) };
        let notice = Notice { row, request, link: format!("{}/#/requests", self.relay) };
        let sent = async {
            match &channel.by {
                NotifyBy::Webhook(to) => webhook::post(to, &notice).await,
                NotifyBy::Mail(by) => mail::send(by, &notice).await,
            }
        };
        timeout(DEADLINE, sent).await.unwrap_or(Err(SendError::TimedOut))
    }

    async fn sent(&self, channel: &Channel, row: &NoticeRow) -> Result<(), StoreError> {
        self.standings.sent(&channel.name, SystemTime::now());
        let (channel, told) = (channel.name.clone(), row.event.clone());
        self.record(AuditEvent::NoticeSent { channel, request: row.request, told }).await;
        self.store.forget_notice(row.id).await
    }

    async fn failed(
        &self,
        channel: &Channel,
        row: &NoticeRow,
        error: &SendError,
        now: SystemTime,
    ) -> Result<(), StoreError> {
        self.standings.failed(&channel.name, error, now);
        let created = SystemTime::UNIX_EPOCH + Duration::from_secs(row.created);
        let age = now.duration_since(created).unwrap_or_default();
        let over = age > GIVEN_UP;
        log(channel, row, error, over);
        if over {
            return self.lost(channel, row, error).await;
        }
        self.store.put_off_notice(row.id, now + wait(row.attempts)).await
    }

    async fn lost(
        &self,
        channel: &Channel,
        row: &NoticeRow,
        error: &SendError,
    ) -> Result<(), StoreError> {
        self.standings.lost(&channel.name);
        let lost = AuditEvent::NoticeLost {
            channel: channel.name.clone(),
            request: row.request,
            told: row.event.clone(),
            attempts: row.attempts.saturating_add(1),
            detail: in_full(error),
        };
        self.record(lost).await;
        self.store.forget_notice(row.id).await
    }

    /// Before the notice goes: what was told once too often is better than what nobody knows of.
    async fn record(&self, event: AuditEvent) {
        if let Err(error) = self.audit.append(event).await {
            tracing::error!(%error, "Could not record what became of a notice");
        }
    }
}

impl Notice {
    /// What happened, in one line of text.
    fn text(&self) -> String {
        let AccessRequest { user, application, duration, reason, .. } = &self.request;
        let by = self.request.decided_by.as_deref().unwrap_or("the relay");
        let comment = self.request.comment.as_ref().map(|text| format!(": {text}"));
        let comment = comment.unwrap_or_default();
        match self.row.event.as_str() {
            "pending" => format!("{user} asks for {application} for {duration}: {reason}"),
            event => format!("The access of {user} to {application} is {event} by {by}{comment}"),
        }
    }
}

/// Says once that a channel takes nothing, and of each notice that it is given up.
fn log(channel: &Channel, row: &NoticeRow, error: &SendError, over: bool) {
    let (channel, request) = (&channel.name, row.request);
    let error = error as &dyn std::error::Error;
    if over {
        tracing::warn!(%channel, %request, error, "Nobody was told of a request");
    } else if row.attempts == 0 {
        tracing::warn!(%channel, error, "A channel takes no notices; they are tried again");
    }
}

/// Doubles with each failure, up to a quarter of an hour.
fn wait(attempts: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << attempts.min(12)).min(LONGEST_WAIT)
}

const POLL: Duration = Duration::from_secs(5);
/// For one thing to be taken.
const DEADLINE: Duration = Duration::from_secs(20);
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(900);
/// Whoever decides has looked at the portal by then, or nobody will.
const GIVEN_UP: Duration = Duration::from_secs(24 * 3600);
