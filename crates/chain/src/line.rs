//! Records outside of the table: one line of JSON each.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canonical::{EventError, canonical};
use crate::{Hash, Record};

/// A record as exports and deliveries write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub seq: u64,
    /// Unix milliseconds.
    pub at_ms: u64,
    pub action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    pub event: Value,
    pub hash: Hash,
}

/// Why a line is not a record.
#[derive(Debug, thiserror::Error)]
#[error("not a record of the audit log")]
pub struct LineError(#[from] serde_json::Error);

impl Line {
    pub fn parse(line: &str) -> Result<Self, LineError> {
        Ok(serde_json::from_str(line)?)
    }

    /// The line, without its break, in printable ASCII.
    pub fn write(&self) -> Result<String, EventError> {
        canonical(self)
    }

    /// What `read` makes of the record its hash is made of.
    pub fn with_record<T>(&self, read: impl FnOnce(&Record<'_>) -> T) -> Result<T, EventError> {
        let event = canonical(&self.event)?;
        Ok(read(&Record {
            seq: self.seq,
            at_ms: self.at_ms,
            action: &self.action,
            session: self.session.as_deref(),
            user: self.user.as_deref(),
            event: &event,
        }))
    }
}
