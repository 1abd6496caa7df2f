//! Builds a relay from its configuration, runs it, and stops it in order.

mod build;
mod drain;
mod identity;
mod passed;
mod ready;
mod reload;

use std::io;
use std::path::{Path, PathBuf};

use access::Code;
use store::StoreError;
use telemetry::Log;
use tokio::signal::unix::{SignalKind, signal};

use crate::ca::CaError;
use crate::certificates::PairError;
use crate::cluster::ClusterError;
use crate::config::Config;
use crate::database::OpenError;
use crate::host_keys::HostKeyError;
use crate::statements::StatementError;
use reload::Reloader;

pub use build::{Relay, build};
pub use drain::{Exit, Stop};
pub use ready::Ready;

/// Why a relay did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the store could not be read")]
    Store(#[from] StoreError),
    #[error("the relay could not join the others")]
    Cluster(#[from] ClusterError),
    #[error("the relay's own certificate is not usable")]
    Ca(#[from] CaError),
    #[error("the relay's TLS settings are not usable")]
    Tls(#[from] tunnel::tls::TlsError),
    #[error("{} can not be shown", path.display())]
    Certificate { path: PathBuf, source: PairError },
    #[error("the relay's own certificate can not be shown")]
    Own(#[from] PairError),
    #[error("the SSH host keys are not usable")]
    HostKeys(#[from] HostKeyError),
    #[error("the key of the identity headers is not usable")]
    Statements(#[from] StatementError),
    #[error("the recordings can not be kept")]
    Recordings(#[from] record::ArchiveError),
    #[error("could not listen on {address} for {door}")]
    Listen { door: &'static str, address: std::net::SocketAddr, source: io::Error },
    #[error("the sockets that the service manager passed are not usable")]
    Passed { source: io::Error },
    #[error("could not wait for signals")]
    Signals { source: io::Error },
}

impl ServeError {
    /// The code of what went wrong, and what to do.
    pub fn advice(&self) -> Option<(Code, &'static str)> {
        match self {
            Self::Open(error) => error.advice(),
            Self::Store(error) => error.advice(),
            Self::Cluster(error) => error.advice(),
            Self::Write { .. }
            | Self::Read { .. }
            | Self::Ca(_)
            | Self::Tls(_)
            | Self::Certificate { .. }
            | Self::Own(_)
            | Self::HostKeys(_)
            | Self::Statements(_)
            | Self::Recordings(_)
            | Self::Listen { .. }
            | Self::Passed { .. }
            | Self::Signals { .. } => None,
        }
    }
}

/// Whether the files that the configuration names and that a start can not do without are what they
/// should be.
pub fn check(config: &Config) -> Result<(), ServeError> {
    crate::certificates::read(&config.tls.certificates).map(drop)
}

/// Serves until SIGTERM or SIGINT, and says whether every session ended in order. At SIGHUP the file
/// at `path` is read again.
pub async fn serve(config: Config, path: &Path, log: Log) -> Result<Exit, ServeError> {
    crate::limits::raise_open_files();
    let signals = drain::Signals::listen().map_err(|source| ServeError::Signals { source })?;
    let hangup = signal(SignalKind::hangup()).map_err(|source| ServeError::Signals { source })?;
    let mut relay = build(config, log).await?;
    relay.announce()?;
    let reloader = Reloader::new(path.to_owned(), relay.config.clone(), relay.knobs.clone());
    relay.tasks.spawn(reloader.follow(hangup, relay.tokens.accepting.clone()));
    let (broker, lobbies) = (relay.state.broker.clone(), relay.knobs.lobbies.clone());
    let short = move |short| {
        broker.set_short_of_memory(short);
        lobbies.squeeze(short);
    };
    tokio::select! {
        biased;
        exit = relay.run(signals) => Ok(exit),
        never = telemetry::manager::keep_alive() => match never {},
        never = crate::memory::give_back() => match never {},
        never = crate::memory::keep_room(short) => match never {},
    }
}

#[cfg(test)]
mod tests;
