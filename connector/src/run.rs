//! `adit-connector run`: stay connected, serve, stop in order.

mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tunnel::identity::IdentityError;
use tunnel::{Closed, ConnectError, Connection, DialOut, Identity};

use crate::backoff::Backoff;
use crate::config::{Config, ConfigError};
use crate::dial::SystemResolver;
use crate::serve::{Counts, Site, serve};
use crate::status::State;
use crate::{SOFTWARE, limits};

use report::Report;

/// Why a connector does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Config(#[from] ConfigError),
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
        counts: Counts::default(),
    });
    let report = Report::new(state, &config.relay, identity.not_after(), Arc::clone(&site));
    let mut connector = Connector { state: state.to_owned(), config, site, grace, stop, report };
    notify(&[NotifyState::Ready]);
    connector.stay_connected().await;
    Ok(())
}

struct Connector {
    state: PathBuf,
    config: Config,
    site: Arc<Site>,
    grace: Duration,
    stop: CancellationToken,
    report: Report,
}

impl Connector {
    /// One connection at a time takes sessions; those that drain stay until theirs have ended.
    async fn stay_connected(&mut self) {
        let mut connections = JoinSet::new();
        let mut backoff = Backoff::default();
        let stop = self.stop.clone();
        while let Some(connection) = stop.run_until_cancelled(self.connect(&mut backoff)).await {
            let since = Instant::now();
            let serving =
                serve(connection.clone(), Arc::clone(&self.site), stop.clone(), self.grace);
            connections.spawn(serving);
            let stopped = stop.run_until_cancelled(self.attend(&connection)).await.is_none();
            while connections.try_join_next().is_some() {}
            if stopped {
                break;
            }
            if since.elapsed() >= STABLE {
                backoff.reset();
            }
            let wait = backoff.next(rand::random());
            stop.run_until_cancelled(sleep(wait)).await;
        }
        notify(&[NotifyState::Stopping]);
        self.report.write(State::Draining, None).await;
        // Each ends by itself within its grace period; this bound is for what must not happen.
        let all = async { while connections.join_next().await.is_some() {} };
        if timeout(self.grace + MARGIN, all).await.is_err() {
            tracing::error!("Connections did not end in time");
        }
        self.report.write(State::Stopped, None).await;
    }

    /// Dials until the relay accepts.
    async fn connect(&mut self, backoff: &mut Backoff) -> Connection {
        loop {
            self.report.write(State::Connecting, None).await;
            match self.dial().await {
                Ok(connection) => {
                    tracing::info!(
                        relay = %connection.remote_address(),
                        software = connection.peer().software,
                        "Connected"
                    );
                    return connection;
                }
                Err(error) => {
                    let error = chain(&error);
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
        let how = DialOut {
            relay: &self.config.quic,
            domain: &self.config.domain,
            identity,
            software: SOFTWARE,
            capabilities: Vec::new(),
            congestion: self.config.congestion,
        };
        Ok(tunnel::dial_out(how).await?)
    }

    /// Keeps the report until the connection takes no more sessions.
    async fn attend(&mut self, connection: &Connection) {
        let ended = loop {
            self.report.write(State::Connected, Some(connection)).await;
            tokio::select! {
                closed = connection.closed() => break closed,
                () = connection.draining() => {
                    tracing::info!("The relay is stopping; dialling again");
                    return;
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
        self.report.failed(ended.to_string());
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

/// Tells the service manager, where there is one.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "No service manager");
    }
}

/// A connection that lived this long was a good one: the next attempt comes soon.
const STABLE: Duration = Duration::from_secs(10);
/// Beyond the grace period, for cutting and saying goodbye.
const MARGIN: Duration = Duration::from_secs(10);
