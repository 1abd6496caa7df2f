//! `adit-connector run`: stay connected, serve, stop in order.

mod report;
mod uplink;
mod uplinks;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tunnel::identity::IdentityError;
use tunnel::ladder::Ways;
use tunnel::{Ladder, OverTcp, Transport};

use crate::config::{Config, ConfigError, ProxyChoiceError, Relay};
use crate::control::{Asked, Control};
use crate::dial::SystemResolver;
use crate::doctor::Examiner;
use crate::relays::Told;
use crate::serve::Site;
use crate::status::Status;
use crate::update::{Gate, Updater};
use crate::{SOFTWARE, claim, key, limits};

use report::Report;
use uplink::Shared;
use uplinks::{News, Uplinks};

/// Why a connector does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Proxy(#[from] ProxyChoiceError),
    #[error(transparent)]
    Running(#[from] claim::Running),
    #[error("this machine's key and certificate are not usable")]
    Identity {
        #[from]
        source: IdentityError,
    },
}

impl RunError {
    /// Its code and what helps, where it has one.
    pub fn explain(&self) -> Option<&dyn access::Explain> {
        match self {
            Self::Running(running) => Some(running),
            Self::Config(_) | Self::Proxy(_) | Self::Identity { .. } => None,
        }
    }
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
    // Until this one has ended: from here on things are written.
    let _claim = claim::Claim::take(state)?;
    let identity = key::identity(state)?;
    key::warn_if_open(state);
    let gate = match Gate::at_start(state) {
        Ok(gate) => gate,
        Err(program) => return Ok(Ended::Replaced { program }),
    };
    let site = Site::new(config.allow.clone(), Box::new(SystemResolver));
    let site = Arc::new(site.examined_by(Examiner::new(state)));
    let worked = Worked::read(state);
    let expires = identity.not_after();
    let report = match config.relays.first() {
        Some(first) => Report::new(state, &first.url, worked.by(first), expires, Arc::clone(&site)),
        None => Report::new(state, "", None, expires, Arc::clone(&site)),
    };
    let report = Arc::new(report);
    let told = match config.learn_relays {
        true => Told::read(state, config.domain()),
        false => Told::default(),
    };
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
        news: Arc::new(News::new(config.domain(), told)),
    };
    let mut uplinks = Uplinks::new(config, shared, instance, worked);
    uplinks.begin()?;
    telemetry::manager::ready();
    let asked = Asked { site: Arc::clone(&site), updater: Arc::clone(&updater) };
    let mut replaced = None;
    tokio::select! {
        () = Box::pin(uplinks.run()) => {}
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
