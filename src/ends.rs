//! What ends by itself: recorded with what ended with it, like what somebody ends.
//!
//! A lease ends its session on time without anybody's help. What is done here is the record of it;
//! and, for an api token that another has replaced, the end itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use access::{Credential, PolicySnapshot, SessionId, Standing};
use session::AuditEvent;
use store::{Due, DueWhat, REMEMBERED, StoreError};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::AppState;
use crate::api::{self, SOON};

/// What is counted while ends are followed.
#[derive(Debug, Default)]
pub struct Ends {
    expiring: AtomicU64,
}

impl Ends {
    /// How many live tokens that last expire within a week.
    pub(crate) fn expiring(&self) -> u64 {
        self.expiring.load(Relaxed)
    }

    /// Follows what ends until `stop`.
    pub(crate) async fn follow(state: AppState, stop: CancellationToken) {
        let mut watch = Watch::new(state);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep(LOOK) => watch.look(SystemTime::now()).await,
            }
        }
    }
}

/// Which sessions are going to end, and what is due next.
struct Watch {
    state: AppState,
    ending: HashMap<SessionId, Ending>,
    due: Option<Due>,
    /// The store's version that `due` was read at, and when.
    read: Option<(u64, Instant)>,
    tended: Option<Instant>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Ending {
    at: SystemTime,
    /// What comes to its end: `token X`, `rule Y`.
    what: String,
}

impl Watch {
    fn new(state: AppState) -> Self {
        Self { state, ending: HashMap::new(), due: None, read: None, tended: None }
    }

    async fn look(&mut self, now: SystemTime) {
        self.record_expired(now).await;
        if !self.state.leads() {
            return;
        }
        if let Err(error) = self.end_due(now).await {
            tracing::warn!(%error, "Could not end what is over; trying again");
        }
        if self.tended.is_none_or(|at| at.elapsed() >= TEND) {
            self.tended = Some(Instant::now());
            if let Err(error) = tend(&self.state, now).await {
                tracing::warn!(%error, "Could not look after tokens; trying again in an hour");
            }
        }
    }

    /// Writes a receipt for the sessions whose time was over since the last look.
    async fn record_expired(&mut self, now: SystemTime) {
        let (standings, policy) = (self.state.broker.standings(), self.state.policy.current());
        let mut counts: HashMap<Ending, u64> = HashMap::new();
        for (session, ending) in self.ending.drain().filter(|(_, ending)| ending.at <= now) {
            // Still there: its lease is about to end it, or it has a later end by now.
            if !standings.iter().any(|(open, _)| *open == session) {
                *counts.entry(ending).or_default() += 1;
            }
        }
        let endings = standings.iter();
        let endings = endings.filter_map(|(session, own)| Some((*session, ending(&policy, own)?)));
        self.ending = endings.collect();
        for (ending, ended) in counts {
            self.receipt(ending, ended, now).await;
        }
    }

    async fn receipt(&self, ending: Ending, ended: u64, now: SystemTime) {
        let late = now.duration_since(ending.at).unwrap_or_default();
        let event = AuditEvent::AccessWithdrawn {
            actor: RELAY.to_owned(),
            change: "expire".to_owned(),
            object: ending.what,
            ended,
            millis: u64::try_from(late.as_millis()).unwrap_or(u64::MAX),
        };
        if let Err(error) = self.state.broker.audit().append(event).await {
            tracing::error!(%error, ended, "Could not record what expired");
        }
    }

    /// Ends what is due in the store, once sessions with a lease of their own are gone.
    async fn end_due(&mut self, now: SystemTime) -> Result<(), StoreError> {
        let version = *self.state.store.changed().borrow();
        let fresh = |(read, at): &(u64, Instant)| *read == version && at.elapsed() < READ_AGAIN;
        if !self.read.as_ref().is_some_and(fresh) {
            self.due = self.state.store.next_due().await?;
            self.read = Some((version, Instant::now()));
        }
        let over = self.due.take_if(|due| now >= due.at + AFTER_LEASES);
        let Some(Due { what, .. }) = over else { return Ok(()) };
        self.read = None;
        match what {
            DueWhat::Replaced(id) => api::end_replaced(&self.state, id, RELAY).await,
            DueWhat::Request(id) => api::end_request(&self.state, id, RELAY).await,
        }
        Ok(())
    }
}

/// Says which tokens and keys expire soon, and removes what nobody asks for any more.
async fn tend(state: &AppState, now: SystemTime) -> Result<(), StoreError> {
    for row in state.store.expiring_tokens(now, now + SOON).await? {
        state.broker.audit().note(AuditEvent::TokenExpiring {
            token: row.id,
            kind: row.kind,
            user: row.user,
            application: row.application,
            expires: row.expires.unwrap_or_default(),
        });
    }
    for (user, key) in state.store.expiring_ssh_keys(now, now + SOON).await? {
        let expires = key.expires.unwrap_or_default();
        let event = AuditEvent::KeyExpiring { user, key: key.fingerprint, expires };
        state.broker.audit().note(event);
    }
    state.ends.expiring.store(state.store.count_expiring(now, now + SOON).await?, Relaxed);
    state.store.purge_requests(now, state.info.requests_kept).await?;
    state.store.purge_statements(now, state.info.statements_kept).await?;
    state.store.purge_replies(now).await?;
    let purged = state.store.purge(now, REMEMBERED).await?;
    if purged.tokens + purged.agents + purged.sign_ins > 0 {
        state.broker.audit().note(AuditEvent::AdminChanged {
            actor: RELAY.to_owned(),
            from: std::net::Ipv4Addr::UNSPECIFIED.into(),
            sign_in: None,
            change: "purge".to_owned(),
            object: "tokens, agents and sign-ins".to_owned(),
            detail: format!(
                "{} tokens, {} agents, {} sign-ins",
                purged.tokens, purged.agents, purged.sign_ins
            ),
        });
    }
    Ok(())
}

/// What will end a session at its time: its credential, its rule, or else its user's sign-in.
fn ending(policy: &PolicySnapshot, standing: &Standing) -> Option<Ending> {
    let at = policy.end(standing)?;
    let who = standing.who();
    let ending = who.credentials().find(|shown| policy.end_of(shown, who.user()) == Some(at));
    let what = match ending {
        Some(Credential::Token { id, .. }) => format!("token {id}"),
        Some(Credential::SshKey { fingerprint }) => format!("ssh key {fingerprint}"),
        Some(Credential::Agent { id } | Credential::Certificate { agent: id, .. }) => {
            format!("agent {id}")
        }
        Some(Credential::SignIn { id }) => format!("sign-in {id}"),
        None if standing.expires() == Some(at) => format!("rule {}", standing.rule()),
        None => format!("sign-in of {}", who.name()),
    };
    Some(Ending { at, what })
}

/// How records name the relay itself.
const RELAY: &str = "the relay";
const LOOK: Duration = Duration::from_millis(250);
/// So long after a moment, what ends by its own clock has ended.
const AFTER_LEASES: Duration = Duration::from_millis(200);
/// Another relay may have changed what is due.
const READ_AGAIN: Duration = Duration::from_secs(30);
const TEND: Duration = Duration::from_secs(3600);
