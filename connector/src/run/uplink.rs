//! One relay's connection: kept, replaced by a better one, and served.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tunnel::identity::IdentityError;
use tunnel::{Closed, ConnectError, Connection, Ladder};

use crate::backoff::Backoff;
use crate::key;
use crate::serve::{Ends, Site, serve};
use crate::status::State;
use crate::update::Links;

use super::report::Report;
use super::uplinks::News;

/// What the connections to all relays share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) state: PathBuf,
    pub(super) site: Arc<Site>,
    pub(super) report: Arc<Report>,
    pub(super) links: Arc<Links>,
    pub(super) grace: Duration,
    pub(super) stop: CancellationToken,
    /// Moves when a relay is lost: the others are tried at once.
    pub(super) lost: Arc<watch::Sender<()>>,
    /// What relays tell of each other.
    pub(super) news: Arc<News>,
}

/// The connection to one relay.
pub(super) struct Uplink {
    pub(super) shared: Shared,
    /// Which of the relays.
    pub(super) place: usize,
    /// This relay is not wanted any more: it is not dialled again, and what it carries may end by
    /// itself. Cancelled by `stop` too.
    pub(super) leave: CancellationToken,
    pub(super) ladder: Arc<Ladder>,
    pub(super) backoff: Backoff,
    pub(super) others_lost: watch::Receiver<()>,
}

/// What comes after a connection.
enum Next {
    /// It is the last: this one's sessions end, and no other follows.
    Stop,
    /// Dial again; the old one may carry what it carries.
    Again,
    /// This one takes its place.
    Other(Connection),
}

impl Uplink {
    /// One connection at a time takes sessions; those that drain, or that a better one has replaced,
    /// stay until theirs have ended.
    pub(super) async fn stay_connected(&mut self) {
        let mut connections = JoinSet::new();
        let (stop, leave) = (self.shared.stop.clone(), self.leave.clone());
        while let Some(connection) = leave.run_until_cancelled(self.connect()).await {
            let since = Instant::now();
            let over = self.serve_in_turn(connection, &mut connections).await;
            self.shared.links.set(self.place, None);
            self.shared.news.left(self.place);
            if over {
                break;
            }
            if since.elapsed() >= STABLE {
                self.backoff.reset();
            }
            let wait = self.backoff.next(rand::random());
            leave.run_until_cancelled(self.pause(wait)).await;
        }
        self.note(State::Draining, None).await;
        // Once all stops, each ends by itself within its grace period; this bound is for what must not
        // happen.
        let too_late = async {
            stop.cancelled().await;
            sleep(self.shared.grace + MARGIN).await;
        };
        let all = async { while connections.join_next().await.is_some() {} };
        tokio::select! {
            () = all => {}
            () = too_late => tracing::error!("Connections did not end in time"),
        }
        if !stop.is_cancelled() {
            self.shared.report.end(self.place).await;
        }
    }

    /// Serves a connection, and the one that takes its place, and so on. Whether it was the last.
    async fn serve_in_turn(
        &mut self,
        mut connection: Connection,
        connections: &mut JoinSet<Closed>,
    ) -> bool {
        let Shared { stop, grace, site, .. } = self.shared.clone();
        loop {
            self.shared.links.set(self.place, Some(connection.clone()));
            let (retire, resumed) = (CancellationToken::new(), site.orders.resumed());
            let ends = Ends { stop: stop.clone(), grace, retire: retire.clone() };
            connections.spawn(serve(connection.clone(), Arc::clone(&site), ends));
            let next = self.leave.clone();
            let next = next.run_until_cancelled(self.attend(&connection, resumed)).await;
            while connections.try_join_next().is_some() {}
            match next.unwrap_or(Next::Stop) {
                Next::Stop => {
                    if !stop.is_cancelled() {
                        retire.cancel();
                    }
                    return true;
                }
                Next::Again => {
                    retire.cancel();
                    return false;
                }
                Next::Other(next) => {
                    let (from, to) = (connection.transport(), next.transport());
                    tracing::info!(%from, %to, "Reached the relay by another way");
                    retire.cancel();
                    connection = next;
                }
            }
        }
    }

    /// Dials until the relay accepts.
    async fn connect(&mut self) -> Connection {
        loop {
            self.note(State::Connecting, None).await;
            match self.dial().await {
                Ok(connection) => {
                    tracing::info!(
                        relay = %connection.remote_address(),
                        transport = %connection.transport(),
                        software = connection.peer().software,
                        "Connected"
                    );
                    return connection;
                }
                Err(error) => {
                    let wait = match &error {
                        DialOutError::Connect(error) => self.backoff.after(error, rand::random()),
                        DialOutError::Identity { .. } => self.backoff.next(rand::random()),
                    };
                    let error = told(&error);
                    tracing::warn!(error, again_in = ?wait, "Could not connect to the relay");
                    self.shared.report.failed(self.place, error);
                    self.pause(wait).await;
                }
            }
        }
    }

    /// Waits, but no longer than until another relay is lost: then this one is needed.
    async fn pause(&mut self, wait: Duration) {
        tokio::select! {
            () = sleep(wait) => {}
            Ok(()) = self.others_lost.changed() => self.backoff.reset(),
        }
    }

    async fn dial(&mut self) -> Result<Connection, DialOutError> {
        // Read anew each time: the certificate may have been renewed since.
        let identity = key::identity(&self.shared.state)?;
        self.shared.report.certificate_expires(identity.not_after());
        Ok(self.ladder.dial(&identity).await?)
    }

    /// Keeps the report until the connection takes no more sessions, or another one should take
    /// them. `resumed` is how often draining had ended when it was made.
    async fn attend(&mut self, connection: &Connection, resumed: u64) -> Next {
        let (ladder, state) = (Arc::clone(&self.ladder), self.shared.state.clone());
        let identity = move || key::identity(&state).ok();
        let mut replacement = Box::pin(ladder.replacement(connection, identity));
        let mut orders = self.shared.site.orders.subscribe();
        let mut relays = connection.relays();
        // What was told before this began.
        relays.mark_changed();
        let ended = loop {
            self.note(State::Connected, Some(connection)).await;
            let drained = orders.borrow_and_update().is_drain();
            if !drained && self.shared.site.orders.resumed() != resumed {
                self.backoff.reset();
                return Next::Again;
            }
            tokio::select! {
                closed = connection.closed() => break closed,
                () = connection.draining() => {
                    tracing::info!("The relay is stopping; dialling again");
                    self.lost();
                    return Next::Again;
                }
                // What drains needs no better way.
                next = &mut replacement, if !drained => return Next::Other(next),
                _ = orders.changed() => {}
                // The sender lives as long as the connection.
                Ok(()) = relays.changed() => {
                    if let Some(relays) = relays.borrow_and_update().as_deref() {
                        self.shared.news.heard(self.place, relays);
                    }
                }
                () = sleep(crate::status::EVERY) => {}
            }
        };
        match &ended {
            Closed::Peer { .. } | Closed::Here => tracing::info!(why = %ended, "Disconnected"),
            Closed::Silent | Closed::Restarted | Closed::Broken { .. } => {
                tracing::warn!(why = %ended, "Lost the relay");
            }
        }
        self.shared.report.failed(self.place, ended.to_string());
        self.lost();
        Next::Again
    }

    fn lost(&mut self) {
        self.shared.lost.send_replace(());
        self.others_lost.mark_unchanged();
    }

    async fn note(&self, state: State, connection: Option<&Connection>) {
        self.shared.report.note(self.place, state, connection).await;
    }
}

#[derive(Debug, thiserror::Error)]
enum DialOutError {
    #[error("this machine's key and certificate are not usable")]
    Identity {
        #[from]
        source: IdentityError,
    },
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

/// Why the relay was not reached, and what helps where that is known.
fn told(error: &DialOutError) -> String {
    let DialOutError::Connect(failed) = error else { return chain(error) };
    match failed.explain() {
        Some(why) => {
            let hint = why.hint().unwrap_or_default();
            format!("{}: {hint} [{}]", chain(error), why.code())
        }
        None => chain(error),
    }
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// A connection that lived this long was a good one: the next attempt comes soon.
const STABLE: Duration = Duration::from_secs(10);
/// Beyond the grace period, for cutting and saying goodbye.
const MARGIN: Duration = Duration::from_secs(10);
