//! `adit-connector run`: stay connected, serve, stop in order.

mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tunnel::identity::IdentityError;
use tunnel::ladder::Ways;
use tunnel::{Closed, ConnectError, Connection, Identity, Ladder, OverTcp, Transport};

use crate::backoff::Backoff;
use crate::config::{Config, ConfigError, ProxyChoiceError};
use crate::dial::SystemResolver;
use crate::doctor::Examiner;
use crate::serve::{Counts, Ends, Site, serve};
use crate::status::{State, Status};
use crate::{SOFTWARE, limits};

use report::Report;

/// Why a connector does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Proxy(#[from] ProxyChoiceError),
    #[error("this machine's key and certificate are not usable")]
    Identity {
        #[from]
        source: IdentityError,
    },
}

/// Runs until `stop`, and then until its sessions have ended or `grace` is over.
pub async fn run(state: &Path, grace: Duration, stop: CancellationToken) -> Result<(), RunError> {
    limits::raise_open_files();
    let config = Config::load(state)?;
    let identity = Identity::load(state)?;
    let site = Arc::new(Site {
        allow: config.allow.clone(),
        resolver: Box::new(SystemResolver),
        examiner: Some(Examiner::new(state)),
        counts: Counts::default(),
    });
    let worked = worked_before(state);
    let report = Report::new(state, &config.relay, identity.not_after(), worked, Arc::clone(&site));
    let ladder = Arc::new(Ladder::new(ways(&config)?, worked));
    let mut connector = Connector { state: state.to_owned(), ladder, site, grace, stop, report };
    telemetry::manager::ready();
    tokio::select! {
        () = connector.stay_connected() => {}
        never = telemetry::manager::keep_alive() => match never {},
    }
    Ok(())
}

/// By which way the connector that ran last reached the relay.
fn worked_before(state: &Path) -> Option<Transport> {
    Status::read(state).ok()??.transport?.parse().ok()
}

pub(crate) fn ways(config: &Config) -> Result<Ways, ProxyChoiceError> {
    Ok(Ways {
        quic: config.quic.clone(),
        https: config.https.clone(),
        domain: config.domain.clone(),
        software: SOFTWARE,
        congestion: config.congestion,
        over_tcp: OverTcp { proxies: config.proxy.read()?, interception: config.tls_interception },
    })
}

struct Connector {
    state: PathBuf,
    ladder: Arc<Ladder>,
    site: Arc<Site>,
    grace: Duration,
    stop: CancellationToken,
    report: Report,
}

impl Connector {
    /// One connection at a time takes sessions; those that drain, or that a better one has replaced,
    /// stay until theirs have ended.
    async fn stay_connected(&mut self) {
        let mut connections = JoinSet::new();
        let mut backoff = Backoff::default();
        let stop = self.stop.clone();
        while let Some(connection) = stop.run_until_cancelled(self.connect(&mut backoff)).await {
            let since = Instant::now();
            let stopped = self.serve_in_turn(connection, &mut connections).await;
            if stopped {
                break;
            }
            if since.elapsed() >= STABLE {
                backoff.reset();
            }
            let wait = backoff.next(rand::random());
            stop.run_until_cancelled(sleep(wait)).await;
        }
        telemetry::manager::stopping();
        self.report.write(State::Draining, None).await;
        // Each ends by itself within its grace period; this bound is for what must not happen.
        let all = async { while connections.join_next().await.is_some() {} };
        if timeout(self.grace + MARGIN, all).await.is_err() {
            tracing::error!("Connections did not end in time");
        }
        self.report.write(State::Stopped, None).await;
    }

    /// Serves a connection, and the one that takes its place, and so on. Whether `stop` was the end.
    async fn serve_in_turn(
        &mut self,
        mut connection: Connection,
        connections: &mut JoinSet<Closed>,
    ) -> bool {
        let stop = self.stop.clone();
        loop {
            let retire = CancellationToken::new();
            let ends = Ends { stop: stop.clone(), grace: self.grace, retire: retire.clone() };
            connections.spawn(serve(connection.clone(), Arc::clone(&self.site), ends));
            let next = stop.run_until_cancelled(self.attend(&connection)).await;
            while connections.try_join_next().is_some() {}
            match next {
                None => return true,
                Some(None) => return false,
                Some(Some(next)) => {
                    let (from, to) = (connection.transport(), next.transport());
                    tracing::info!(%from, %to, "Reached the relay by another way");
                    retire.cancel();
                    connection = next;
                }
            }
        }
    }

    /// Dials until the relay accepts.
    async fn connect(&mut self, backoff: &mut Backoff) -> Connection {
        loop {
            self.report.write(State::Connecting, None).await;
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
                    let error = told(&error);
                    let wait = backoff.next(rand::random());
                    tracing::warn!(error, again_in = ?wait, "Could not connect to the relay");
                    self.report.failed(error);
                    sleep(wait).await;
                }
            }
        }
    }

    async fn dial(&mut self) -> Result<Connection, DialOutError> {
        // Read anew each time: the certificate may have been renewed since.
        let identity = Identity::load(&self.state)?;
        self.report.certificate_expires(identity.not_after());
        Ok(self.ladder.dial(&identity).await?)
    }

    /// Keeps the report until the connection takes no more sessions; or until another one should,
    /// which is given.
    async fn attend(&mut self, connection: &Connection) -> Option<Connection> {
        let (ladder, state) = (Arc::clone(&self.ladder), self.state.clone());
        let identity = move || Identity::load(&state).ok();
        let mut replacement = Box::pin(ladder.replacement(connection, identity));
        let ended = loop {
            self.report.write(State::Connected, Some(connection)).await;
            tokio::select! {
                closed = connection.closed() => break closed,
                () = connection.draining() => {
                    tracing::info!("The relay is stopping; dialling again");
                    return None;
                }
                next = &mut replacement => return Some(next),
                () = sleep(crate::status::EVERY) => {}
            }
        };
        match &ended {
            Closed::Peer { .. } | Closed::Here => tracing::info!(why = %ended, "Disconnected"),
            Closed::Silent | Closed::Restarted | Closed::Broken { .. } => {
                tracing::warn!(why = %ended, "Lost the relay");
            }
        }
        self.report.failed(ended.to_string());
        None
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
