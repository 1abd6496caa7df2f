//! `update.json`: what a connector remembers of updates.

use std::path::{Path, PathBuf};

use ::update::Version;
use serde::{Deserialize, Serialize};
use tunnel::identity::{IdentityError, write_file};

/// What outlives the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// The highest serial of a manifest that was seen.
    pub serial: u64,
    /// Versions that did not reach the relay, the last ones.
    pub failed: Vec<Version>,
    /// A new program that has yet to reach the relay.
    pub swapped: Option<Swapped>,
}

/// A program that took another's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swapped {
    pub from: Version,
    pub to: Version,
    /// Where both are.
    pub program: PathBuf,
    pub previous: PathBuf,
    /// How often it was started.
    pub starts: u32,
}

impl Kept {
    /// What is there; one that can not be read counts as none, and is said.
    pub fn read(state: &Path) -> Self {
        let text = match std::fs::read(state.join(FILE)) {
            Ok(text) => text,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    tracing::warn!(%error, "Could not read what is known of updates");
                }
                return Self::default();
            }
        };
        serde_json::from_slice(&text)
            .inspect_err(|error| tracing::warn!(%error, "What is known of updates is no JSON"))
            .unwrap_or_default()
    }

    pub fn write(&self, state: &Path) -> Result<(), IdentityError> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        write_file(&state.join(FILE), &text, 0o600)
    }

    pub(super) fn failed(&mut self, version: Version) {
        self.failed.retain(|other| *other != version);
        self.failed.push(version);
        let surplus = self.failed.len().saturating_sub(MOST_FAILED);
        self.failed.drain(..surplus);
    }
}

const FILE: &str = "update.json";
const MOST_FAILED: usize = 32;
