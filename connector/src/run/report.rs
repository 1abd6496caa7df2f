//! Keeps `status.json`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use tunnel::{Connection, Transport};

use crate::SOFTWARE;
use crate::serve::Site;
use crate::status::{State, Status, unix};

pub(super) struct Report {
    directory: PathBuf,
    site: Arc<Site>,
    status: Status,
}

impl Report {
    pub(super) fn new(
        directory: &Path,
        relay: &str,
        certificate_expires: SystemTime,
        worked: Option<Transport>,
        site: Arc<Site>,
    ) -> Self {
        let now = unix(SystemTime::now());
        let status = Status {
            pid: std::process::id(),
            software: SOFTWARE.to_owned(),
            relay: relay.to_owned(),
            state: State::Connecting,
            since: now,
            relay_software: None,
            rtt_micros: None,
            transport: worked.map(|transport| transport.to_string()),
            sessions: 0,
            opened: 0,
            refused: 0,
            last_error: None,
            certificate_expires: unix(certificate_expires),
            written: now,
        };
        Self { directory: directory.to_owned(), site, status }
    }

    pub(super) fn failed(&mut self, error: String) {
        self.status.last_error = Some(error);
    }

    pub(super) fn certificate_expires(&mut self, at: SystemTime) {
        self.status.certificate_expires = unix(at);
    }

    /// Writes what is so now, off the reactor. A file that can not be written stops no session.
    pub(super) async fn write(&mut self, state: State, connection: Option<&Connection>) {
        self.update(state, connection);
        let (status, directory) = (self.status.clone(), self.directory.clone());
        let written = tokio::task::spawn_blocking(move || status.write(&directory)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "Could not write the status"),
            Err(error) => tracing::warn!(%error, "Could not write the status"),
        }
    }

    fn update(&mut self, state: State, connection: Option<&Connection>) {
        let (status, counts) = (&mut self.status, &self.site.counts);
        let now = unix(SystemTime::now());
        if status.state != state {
            (status.state, status.since) = (state, now);
        }
        status.relay_software = connection.map(|connection| connection.peer().software.clone());
        status.rtt_micros = connection
            .map(|connection| u64::try_from(connection.rtt().as_micros()).unwrap_or(u64::MAX));
        if let Some(connection) = connection {
            status.transport = Some(connection.transport().to_string());
        }
        status.opened = counts.opened.load(Relaxed);
        status.refused = counts.refused.load(Relaxed);
        status.sessions = status.opened.saturating_sub(counts.ended.load(Relaxed));
        status.written = now;
    }
}
