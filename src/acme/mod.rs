//! Certificates from a CA that issues them by itself (RFC 8555), for the names of web applications
//! that the admin has no files for.
//!
//! One task asks for one name after another. Who asks has claimed the name in the store, and what
//! was issued stands there sealed, so several relays of one database do not ask twice. While there
//! is none, the relay's own CA vouches for the name.

mod account;
mod challenges;
mod client;
mod order;
mod pace;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use access::PolicySnapshot;
use session::{AuditEvent, AuditLog};
use store::{AcmeClaim, AcmeRow, IssuedPair, Store, StoreError};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::certificates::{Certificates, Pair, PairError};
use crate::config;
use account::Accounts;
pub(crate) use challenges::{ALPN, Challenges};
pub(crate) use pace::Pace;

/// Asks for certificates.
pub(crate) struct Acme {
    store: Store,
    certificates: Arc<Certificates>,
    challenges: Arc<Challenges>,
    audit: Arc<dyn AuditLog>,
    accounts: Accounts,
    http: bool,
    pace: Pace,
    /// This process, as who asks.
    holder: String,
    /// The CA takes no orders before.
    paused: Option<SystemTime>,
}

/// What an [`Acme`] works with.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) challenges: Arc<Challenges>,
    pub(crate) audit: Arc<dyn AuditLog>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcmeError {
    #[error("the CA refused")]
    Refused { source: instant_acme::Error, retry: Option<SystemTime> },
    /// In the CA's words.
    #[error("the CA could not see that the name leads here: {0}")]
    Unseen(String),
    #[error("the CA offers no {0}")]
    NoChallenge(&'static str),
    #[error("the order was not done within {0:?}")]
    Slow(Duration),
    #[error("a key or request could not be made")]
    Key(#[from] rcgen::Error),
    #[error("what the CA issued can not be used")]
    Issued(#[from] PairError),
    #[error("what the CA issued is for other names")]
    Other,
    #[error("the roots of the CA's web server can not be read")]
    Roots { source: std::io::Error },
    #[error("TLS towards the CA can not be set up")]
    Tls(#[from] tunnel::tls::TlsError),
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl Acme {
    pub(crate) fn new(config: &config::Acme, parts: Parts, pace: Pace) -> Self {
        let Parts { store, certificates, challenges, audit } = parts;
        let accounts = Accounts::new(config, store.clone());
        let http = matches!(config.challenge, config::Challenge::Http(_));
        let (holder, paused) = (Uuid::new_v4().to_string(), None);
        Self { store, certificates, challenges, audit, accounts, http, pace, holder, paused }
    }

    /// Asks for what is missing or due, until `stop`.
    pub(crate) async fn run(
        mut self,
        mut policy: watch::Receiver<Arc<PolicySnapshot>>,
        stop: CancellationToken,
    ) {
        let stopped = stop.cancelled();
        tokio::pin!(stopped);
        loop {
            let wanted = self.certificates.without_files();
            let wait = tokio::select! {
                biased;
                () = &mut stopped => return,
                wait = self.round(&wanted) => wait,
            };
            tokio::select! {
                biased;
                () = &mut stopped => return,
                () = others_wanted(&self.certificates, &wanted, &mut policy) => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// Asks for each name that is due, and says when to look again.
    async fn round(&mut self, wanted: &BTreeSet<String>) -> Duration {
        match self.ask_for(wanted).await {
            Ok(next) => {
                let until = next.duration_since(SystemTime::now()).unwrap_or_default();
                until.clamp(SHORTEST, LONGEST)
            }
            Err(error) => {
                tracing::warn!(%error, "Could not look after certificates; trying again");
                RETRY
            }
        }
    }

    async fn ask_for(&mut self, wanted: &BTreeSet<String>) -> Result<SystemTime, StoreError> {
        let mut next = SystemTime::now() + LONGEST;
        let known = self.learn().await?;
        for name in wanted {
            let row = known.iter().find(|row| row.name == *name);
            let due = row.map_or(SystemTime::UNIX_EPOCH, AcmeRow::due).max(self.pause());
            if due > SystemTime::now() {
                next = next.min(due);
                continue;
            }
            let claim = AcmeClaim { name, holder: &self.holder };
            if self.store.claim_acme(claim, LEASE, SystemTime::now()).await? {
                let told = row.and_then(|row| row.error.as_deref());
                let due = self.settle(name, row.map_or(0, |row| row.failures), told).await?;
                next = next.min(due);
            } else {
                // Another relay asks for it, and what it gets is to be shown here as well.
                next = next.min(SystemTime::now() + ELSEWHERE);
            }
        }
        self.forget(&known, wanted).await?;
        self.learn().await?;
        Ok(next)
    }

    /// Forgets names that nobody wants any more, once nothing is left that could be of use if they
    /// were wanted again: no certificate that is good, and no wait that a CA has earned.
    async fn forget(&self, known: &[AcmeRow], wanted: &BTreeSet<String>) -> Result<(), StoreError> {
        let now = SystemTime::now();
        let of_use =
            |row: &AcmeRow| row.due() > now || self.certificates.good(&row.name, now).is_some();
        for row in known.iter().filter(|row| !wanted.contains(&row.name) && !of_use(row)) {
            self.store.forget_acme(&row.name, now).await?;
        }
        Ok(())
    }

    /// Shows what the store has, and what became of the rest.
    async fn learn(&self) -> Result<Vec<AcmeRow>, StoreError> {
        let rows = self.store.acme_rows().await?;
        self.certificates.issued(&rows);
        Ok(rows)
    }

    /// Asks for one name and keeps what comes of it; says when it is due again.
    async fn settle(
        &mut self,
        name: &str,
        failures: u32,
        told: Option<&str>,
    ) -> Result<SystemTime, StoreError> {
        let asked = match timeout(DEADLINE, self.order(name)).await {
            Ok(asked) => asked,
            Err(_) => Err(AcmeError::Slow(DEADLINE)),
        };
        let claim = AcmeClaim { name, holder: &self.holder };
        let now = SystemTime::now();
        match asked {
            Ok((issued, pair)) => {
                let next = self.pace.renewal(&pair, rand::random());
                self.store.acme_issued(claim, &issued, next).await?;
                let expires = pair.not_after.duration_since(SystemTime::UNIX_EPOCH);
                let expires = expires.unwrap_or_default().as_secs();
                tracing::info!(name, "A certificate was issued");
                let host = name.to_owned();
                self.audit.note(AuditEvent::CertificateIssued { host, expires });
                Ok(next)
            }
            Err(error) => {
                let words = error.words();
                let mut next = now + self.pace.wait(failures + 1, rand::random());
                if let Some(retry) = error.retry() {
                    next = next.max(retry);
                    self.paused = Some(retry);
                }
                self.store.acme_failed(claim, &words, next).await?;
                tracing::warn!(name, error = words, failures = failures + 1, "No certificate");
                if told != Some(words.as_str()) {
                    let (host, detail) = (name.to_owned(), words);
                    self.audit.note(AuditEvent::CertificateFailed { host, detail });
                }
                Ok(next)
            }
        }
    }

    async fn order(&self, name: &str) -> Result<(IssuedPair, Pair), AcmeError> {
        let issued = self.accounts.order(name, (&self.challenges, self.http)).await?;
        let pair = Pair::new(&issued.chain, &issued.key.clone().into())?;
        if pair.is_for(name) { Ok((issued, pair)) } else { Err(AcmeError::Other) }
    }

    fn pause(&self) -> SystemTime {
        self.paused.unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// Completes when other names are wanted.
async fn others_wanted(
    certificates: &Certificates,
    wanted: &BTreeSet<String>,
    policy: &mut watch::Receiver<Arc<PolicySnapshot>>,
) {
    while policy.changed().await.is_ok() {
        if certificates.without_files() != *wanted {
            return;
        }
    }
    std::future::pending::<()>().await;
}

impl AcmeError {
    /// What an admin is told: all of the chain, in one line.
    fn words(&self) -> String {
        let mut words = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            words = format!("{words}: {error}");
            cause = error.source();
        }
        access::text::visible(&words).chars().take(MOST_WORDS).collect()
    }

    fn retry(&self) -> Option<SystemTime> {
        let Self::Refused { retry, .. } = self else { return None };
        *retry
    }
}

/// For one order.
const DEADLINE: Duration = Duration::from_secs(180);
/// Longer than an order takes.
const LEASE: Duration = Duration::from_secs(300);
const SHORTEST: Duration = Duration::from_millis(50);
/// Another relay may have got one meanwhile.
const LONGEST: Duration = Duration::from_secs(3600);
const RETRY: Duration = Duration::from_secs(60);
/// Between two looks at what another relay was issued.
const ELSEWHERE: Duration = Duration::from_secs(1);
const MOST_WORDS: usize = 1000;

#[cfg(test)]
mod tests;
