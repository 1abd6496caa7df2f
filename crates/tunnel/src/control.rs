//! The control stream: liveness, renewal, drain.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use access::{EndReason, SessionId};
use tokio::time::{Instant, sleep_until, timeout};
use wire::{Action, Control, Liveness, Refusal, RelayAt};

use crate::accept::Renewer;
use crate::certificate::{Spki, requested_key};
use crate::closed::Closed;
use crate::connection::Link;
use crate::window::SendWindow;
use crate::{Identity, Stream};

/// Serves one connection's control stream until the connection is over.
pub(crate) struct ControlLoop {
    pub(crate) link: Link,
    pub(crate) stream: Stream,
    pub(crate) role: Role,
}

/// What only one of the two sides does.
pub(crate) enum Role {
    /// Renews its own certificate.
    Dialler { identity: Identity, due: SystemTime },
    /// Signs for the peer, whose key this is.
    Listener { renewer: Arc<dyn Renewer>, key: Spki },
}

impl ControlLoop {
    pub(crate) async fn run(mut self) {
        // The peer's answer must not stand in line behind bulk data.
        self.stream.prioritise(1);
        let now = Instant::now().into_std();
        let mut liveness = match self.role {
            Role::Dialler { .. } => Liveness::of_dialler(now),
            Role::Listener { .. } => Liveness::new(now),
        };
        match self.serve(&mut liveness).await {
            Ok(()) => self.link.close(Closed::Silent, EndReason::Broken, "you did not answer"),
            Err(error) => {
                // A peer that closes may say so right behind.
                drop(timeout(MOMENT, self.link.carrier.closed()).await);
                let ended = Closed::Broken { detail: error.to_string() };
                self.link.close(ended, EndReason::Broken, "the control stream broke");
            }
        }
    }

    /// Ends in order when the peer is silent.
    async fn serve(&mut self, liveness: &mut Liveness) -> io::Result<()> {
        let (mut pings, mut asked) = (0, Instant::now());
        let mut received = self.link.carrier.received();
        let mut window = SendWindow::new();
        let shared = Arc::clone(&self.link.shared);
        let mut telling = shared.telling.subscribe();
        // What was to be told before this began.
        telling.mark_changed();
        let mut farewells = shared.farewells.subscribe();
        farewells.mark_changed();
        loop {
            self.renew_when_due().await?;
            self.link.carrier.fit(&mut window);
            let timeout = Instant::from_std(liveness.poll_timeout());
            tokio::select! {
                message = self.stream.recv_frame() => {
                    let message = message?;
                    liveness.heard(Instant::now().into_std());
                    shared.doubted.send_if_modified(std::mem::take);
                    if matches!(message, Control::Pong { n } if n == pings) {
                        self.link.carrier.measured(asked.elapsed());
                    }
                    self.handle(message).await?;
                }
                () = shared.drain.notified() => self.send(&Control::Drain).await?,
                // The sender lives as long as the connection.
                Ok(()) = telling.changed() => {
                    let relays = telling.borrow_and_update().clone();
                    if let Some(relays) = relays {
                        self.send(&Control::Relays { relays: relays.to_vec() }).await?;
                    }
                }
                // As above.
                Ok(()) = farewells.changed() => {
                    for (session, words) in shared.farewells.take() {
                        self.send(&Control::Killed { session, words: words.to_string() }).await?;
                    }
                }
                () = sleep_until(timeout) => {
                    let before = std::mem::replace(&mut received, self.link.carrier.received());
                    let comes_in = received != before;
                    if let Some(at) = self.link.carrier.heard_at().filter(|_| comes_in) {
                        liveness.heard(at.into_std());
                        continue;
                    }
                    match liveness.handle_timeout(Instant::now().into_std()) {
                        Some(Action::GiveUp) => return Ok(()),
                        Some(Action::Doubt) => drop(shared.doubted.send_replace(!comes_in)),
                        Some(Action::Probe) => {
                            (pings, asked) = (pings + 1, Instant::now());
                            self.send(&Control::Ping { n: pings }).await?;
                        }
                        None => {}
                    }
                }
            }
        }
    }

    async fn handle(&mut self, message: Control) -> io::Result<()> {
        match message {
            Control::Ping { n } => self.send(&Control::Pong { n }).await,
            Control::Drain | Control::Goodbye => {
                self.link.shared.draining.send_replace(true);
                Ok(())
            }
            Control::Renew { csr_pem } => self.handle_renew(&csr_pem).await,
            Control::Renewed { certificate_pem } => {
                self.handle_renewed(certificate_pem).await;
                Ok(())
            }
            Control::Refused(refusal) => {
                tracing::warn!(%refusal, "The relay did not renew the certificate");
                Ok(())
            }
            Control::Relays { relays } => {
                self.handle_relays(relays);
                Ok(())
            }
            Control::Killed { session, words } => {
                self.handle_killed(session, &words);
                Ok(())
            }
            Control::Pong { .. } => Ok(()),
            // A newer peer may say more; nothing here depends on it.
            Control::Hello { .. } | Control::Welcome { .. } | Control::Unknown => Ok(()),
        }
    }

    fn handle_killed(&self, session: SessionId, words: &str) {
        match self.role {
            Role::Dialler { .. } => {
                let words: String = words.chars().take(Control::LONGEST_WORDS).collect();
                self.link.shared.heard.add((session, words.into()));
            }
            Role::Listener { .. } => {}
        }
    }

    /// What it says is the peer's; whoever dials there judges it.
    fn handle_relays(&self, relays: Vec<RelayAt>) {
        match self.role {
            Role::Dialler { .. } if relays.len() <= Control::MOST_RELAYS => {
                self.link.shared.told.send_replace(Some(relays.into()));
            }
            Role::Dialler { .. } => {
                tracing::warn!(relays = relays.len(), "The relay tells of too many relays");
            }
            Role::Listener { .. } => {}
        }
    }

    async fn renew_when_due(&mut self) -> io::Result<()> {
        // Wall time, read anew: a laptop that slept must renew when it wakes.
        let now = SystemTime::now();
        let Role::Dialler { identity, due } = &mut self.role else { return Ok(()) };
        if now < *due {
            return Ok(());
        }
        *due = now + RETRY;
        let csr_pem = identity.csr_pem().map_err(io::Error::other)?;
        self.send(&Control::Renew { csr_pem }).await
    }

    async fn handle_renewed(&mut self, certificate_pem: String) {
        let Role::Dialler { identity, due } = &mut self.role else { return };
        match renewed(identity.clone(), certificate_pem).await {
            Ok(new) => {
                tracing::info!(name = new.name(), "Renewed the certificate");
                (*due, *identity) = (new.half_life(), new);
            }
            Err(error) => tracing::warn!(%error, "Could not take the renewed certificate"),
        }
    }

    async fn handle_renew(&mut self, csr_pem: &str) -> io::Result<()> {
        let Role::Listener { renewer, key } = &self.role else { return Ok(()) };
        let signed = match requested_key(csr_pem) {
            Ok(requested) if requested == *key => {
                timeout(SIGN, renewer.renew(csr_pem)).await.unwrap_or_else(|_| Err(slow()))
            }
            Ok(_) | Err(_) => Err(other_key()),
        };
        match signed {
            Ok(certificate_pem) => {
                self.send(&Control::Renewed { certificate_pem }).await?;
                self.link.shared.ready.send_replace(true);
                Ok(())
            }
            Err(refusal) => self.send(&Control::Refused(refusal)).await,
        }
    }

    /// A peer that does not read is as good as silent.
    async fn send(&mut self, message: &Control) -> io::Result<()> {
        match timeout(Liveness::ANSWER_WITHIN, self.stream.send_frame(message)).await {
            Ok(sent) => sent,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Takes the new certificate and writes it to disk, off the reactor.
pub(crate) async fn renewed(mut identity: Identity, pem: String) -> io::Result<Identity> {
    tokio::task::spawn_blocking(move || identity.renew(pem).map(|()| identity))
        .await?
        .map_err(io::Error::other)
}

/// For the word that the connection is closed.
const MOMENT: Duration = Duration::from_millis(300);
/// Between two attempts to renew.
const RETRY: Duration = Duration::from_secs(60);
/// How long signing may take.
const SIGN: Duration = Duration::from_secs(5);

fn other_key() -> Refusal {
    Refusal {
        code: "certificate.other_key".into(),
        message: "a certificate is renewed for the key it was issued for".into(),
        hint: Some("enrol this machine again".into()),
    }
}

fn slow() -> Refusal {
    Refusal {
        code: "certificate.unavailable".into(),
        message: "the relay can not sign just now".into(),
        hint: None,
    }
}
