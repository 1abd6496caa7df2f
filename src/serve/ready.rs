//! Telling others that the relay listens, and where.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

use super::{Relay, ServeError};

/// Where a relay listens; written to `ready.json` in its data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ready {
    pub https: SocketAddr,
    pub quic: SocketAddr,
    pub ssh: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgres: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<SocketAddr>,
    pub mysql: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<SocketAddr>,
    pub pid: u32,
}

impl Relay {
    /// Says that the relay listens: in `ready.json`, in the log and to the service manager.
    pub fn announce(&self) -> Result<(), ServeError> {
        let path = self.ready_file();
        let written = serde_json::to_vec(&self.ready).map_err(std::io::Error::from);
        // Renamed into place: whoever sees the file sees all of it.
        let partial = path.with_extension("json.new");
        let written = written.and_then(|text| std::fs::write(&partial, text));
        let written = written.and_then(|()| std::fs::rename(&partial, &path));
        written.map_err(|source| ServeError::Write { path, source })?;
        let Ready { https, quic, ssh, admin, .. } = self.ready;
        if let Some(admin) = admin {
            tracing::info!(%admin, "Health and metrics");
        }
        if let Some(postgres) = self.ready.postgres {
            tracing::info!(%postgres, "PostgreSQL");
        }
        if let Some(redis) = self.ready.redis {
            tracing::info!(%redis, "Redis");
        }
        if let Some(mysql) = self.ready.mysql {
            tracing::info!(%mysql, "MySQL");
        }
        tracing::info!(%https, %quic, %ssh, "Ready");
        telemetry::manager::ready();
        Ok(())
    }

    pub(super) fn unannounce(&self) {
        telemetry::manager::stopping();
        // Gone already, or the folder is: nobody can take it for a running relay.
        drop(std::fs::remove_file(self.ready_file()));
    }

    /// Where the relay listens.
    pub fn ready(&self) -> Ready {
        self.ready
    }

    fn ready_file(&self) -> PathBuf {
        self.config.data.join("ready.json")
    }
}
