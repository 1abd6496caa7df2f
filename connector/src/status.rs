//! `status.json`: what a running connector says of itself.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tunnel::identity::{IdentityError, write_file};

/// A running connector, at the moment it was written. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub pid: u32,
    pub software: String,
    pub relay: String,
    pub state: State,
    /// When this state began.
    pub since: u64,
    /// The relay's software and the round trip to it, while connected.
    pub relay_software: Option<String>,
    pub rtt_micros: Option<u64>,
    /// What carries the connection, or did last: `quic`, `tls` or `websocket`.
    #[serde(default)]
    pub transport: Option<String>,
    pub sessions: u64,
    pub opened: u64,
    pub refused: u64,
    /// Why the last connection or attempt ended.
    pub last_error: Option<String>,
    pub certificate_expires: u64,
    pub written: u64,
    /// Each of its relays; what stands above is the first that is connected.
    #[serde(default)]
    pub relays: Vec<RelayStatus>,
}

/// How it stands with one relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayStatus {
    pub relay: String,
    /// Whether another relay has told of it, and the configuration does not name it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub told: bool,
    pub state: State,
    pub relay_software: Option<String>,
    pub rtt_micros: Option<u64>,
    pub transport: Option<String>,
    pub last_error: Option<String>,
}

/// Where a connector stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Connecting,
    Connected,
    Draining,
    Stopped,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

impl Status {
    /// What the running connector wrote last; `None` where none ran.
    pub fn read(directory: &Path) -> std::io::Result<Option<Self>> {
        let text = match std::fs::read(directory.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        serde_json::from_slice(&text).map(Some).map_err(std::io::Error::other)
    }

    pub fn write(&self, directory: &Path) -> Result<(), IdentityError> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        write_file(&directory.join(FILE), &text, 0o644)
    }

    /// Whether it still stands: a connector that died without a word is told by its silence.
    pub fn is_current(&self, now: SystemTime) -> bool {
        let age = unix(now).saturating_sub(self.written);
        self.state != State::Stopped && age <= (3 * EVERY).as_secs()
    }
}

pub(crate) fn unix(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// How often a running connector writes.
pub(crate) const EVERY: Duration = Duration::from_secs(5);

const FILE: &str = "status.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connector_that_fell_silent_is_not_taken_for_a_running_one() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Status::read(directory.path()).unwrap(), None);
        let now = SystemTime::now();
        let status = sample(unix(now));
        status.write(directory.path()).unwrap();
        let read = Status::read(directory.path()).unwrap().expect("it was written");
        assert_eq!(read, status);
        assert!(read.is_current(now + EVERY));
        assert!(!read.is_current(now + 4 * EVERY));
        assert!(!Status { state: State::Stopped, ..read }.is_current(now));
    }

    fn sample(written: u64) -> Status {
        Status {
            pid: 1,
            software: "adit-connector 0.1.0".into(),
            relay: "https://relay.example".into(),
            state: State::Connected,
            since: written,
            relay_software: Some("adit-relay 0.1.0".into()),
            rtt_micros: Some(900),
            transport: Some("quic".into()),
            sessions: 1,
            opened: 2,
            refused: 3,
            last_error: None,
            certificate_expires: written + 86_400,
            written,
            relays: Vec::new(),
        }
    }
}
