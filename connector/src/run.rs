//! `adit-connector run`: stay connected, serve, stop in order.

mod report;
mod uplink;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tunnel::identity::IdentityError;
use tunnel::ladder::Ways;
use tunnel::{Ladder, OverTcp, Transport};

use crate::backoff::Backoff;
use crate::config::{Config, ConfigError, ProxyChoiceError, Relay};
use crate::control::{Asked, Control};
use crate::dial::SystemResolver;
use crate::doctor::Examiner;
use crate::serve::Site;
use crate::status::Status;
use crate::update::{Gate, Updater};
use crate::{SOFTWARE, key, limits};

use report::Report;
use uplink::{Shared, Uplink};

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

/// How a connector's run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    Stopped,
    /// Another program is in the place of the one that ran, and is to be started.
    Replaced {
        program: PathBuf,
    },
}

/// Runs until `stop`, and then until its sessions have ended or `grace` is over; or until another
/// program has taken the place of this one.
pub async fn run(
    state: &Path,
    grace: Duration,
    stop: CancellationToken,
) -> Result<Ended, RunError> {
    limits::raise_open_files();
    let config = Config::load(state)?;
    let identity = key::identity(state)?;
    let gate = match Gate::at_start(state) {
        Ok(gate) => gate,
        Err(program) => return Ok(Ended::Replaced { program }),
    };
    let site = Site::new(config.allow.clone(), Box::new(SystemResolver));
    let site = Arc::new(site.examined_by(Examiner::new(state)));
    let worked = Worked::read(state);
    let relays = config.relays.iter().map(|relay| (&*relay.url, worked.by(relay)));
    let report = Arc::new(Report::new(state, relays, identity.not_after(), Arc::clone(&site)));
    let instance = Ladder::draw_instance();
    // Where it is now: once another is in its place, the kernel calls it something else.
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from(crate::PROGRAM));
    let updater = Updater::new(state, config.update.clone(), program, instance.clone());
    let updater = Arc::new(updater);
    let ending = stop.child_token();
    let shared = Shared {
        state: state.to_owned(),
        site: Arc::clone(&site),
        report: Arc::clone(&report),
        links: Arc::clone(&updater.links),
        grace,
        stop: ending.clone(),
        lost: Arc::default(),
    };
    let mut uplinks = Vec::new();
    for (place, relay) in config.relays.iter().enumerate() {
        let ladder = Ladder::new(ways(&config, relay)?, worked.by(relay)).of_process(&instance);
        let ladder = Arc::new(ladder);
        let (shared, others_lost) = (shared.clone(), shared.lost.subscribe());
        uplinks.push(Uplink { shared, place, ladder, backoff: Backoff::default(), others_lost });
    }
    telemetry::manager::ready();
    let all = join_all(uplinks.iter_mut().map(|uplink| Box::pin(uplink.stay_connected())));
    let asked = Asked { site: Arc::clone(&site), updater: Arc::clone(&updater) };
    let mut replaced = None;
    tokio::select! {
        _ = all => {}
        never = telemetry::manager::keep_alive() => match never {},
        never = listen(state, asked) => match never {},
        never = say_stopping(stop) => match never {},
        never = replace(&updater, gate, &site, ending, &mut replaced) => match never {},
    }
    report.stopped().await;
    Ok(replaced.map_or(Ended::Stopped, |program| Ended::Replaced { program }))
}

/// Ends everything for another program: one that an update has put here, or the one before where
/// this one does not reach the relay.
async fn replace(
    updater: &Updater,
    gate: Gate,
    site: &Site,
    ending: CancellationToken,
    replaced: &mut Option<PathBuf>,
) -> Infallible {
    let program = match Box::pin(gate.pass(updater)).await {
        Some(before) => before,
        None => {
            tokio::select! {
                () = Box::pin(updater.follow(site)) => {}
                () = updater.replaced.cancelled() => {}
            }
            updater.program.clone()
        }
    };
    *replaced = Some(program);
    ending.cancel();
    std::future::pending().await
}

/// Lets the command line speak to this process. Where it can not, sessions are served all the same.
async fn listen(state: &Path, asked: Asked) -> Infallible {
    match Control::listen(state) {
        Ok(control) => Box::pin(control.serve(asked)).await,
        Err(error) => {
            tracing::warn!(%error, "No command will find this connector");
            std::future::pending().await
        }
    }
}

async fn say_stopping(stop: CancellationToken) -> Infallible {
    stop.cancelled().await;
    telemetry::manager::stopping();
    std::future::pending().await
}

/// By which ways the connector that ran last reached its relays.
struct Worked(Option<Status>);

impl Worked {
    fn read(state: &Path) -> Self {
        Self(Status::read(state).ok().flatten())
    }

    fn by(&self, relay: &Relay) -> Option<Transport> {
        let status = self.0.as_ref()?;
        let own = status.relays.iter().find(|other| other.relay == relay.url);
        let before = (status.relay == relay.url).then_some(&status.transport);
        own.map(|own| &own.transport).or(before)?.as_ref()?.parse().ok()
    }
}

pub(crate) fn ways(config: &Config, relay: &Relay) -> Result<Ways, ProxyChoiceError> {
    Ok(Ways {
        quic: relay.quic.clone(),
        https: relay.https.clone(),
        domain: relay.domain.clone(),
        software: SOFTWARE,
        congestion: config.congestion,
        over_tcp: OverTcp { proxies: config.proxy.read()?, interception: config.tls_interception },
    })
}
