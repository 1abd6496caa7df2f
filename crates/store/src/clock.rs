//! Times as the tables hold them.

use std::time::{Duration, SystemTime};

use uuid::Uuid;

use crate::StoreError;

/// Unix seconds.
pub(crate) fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Unix milliseconds.
pub(crate) fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The least id of version 7 (RFC 9562, section 5.7) that something of that moment or later has.
pub(crate) fn first_id(at: SystemTime) -> String {
    Uuid::from_u128(first_number(at)).to_string()
}

/// As [`first_id`], as a number.
pub(crate) fn first_number(at: SystemTime) -> u128 {
    u128::from(millis(at).min(MOST_MILLIS)) << 80
}

/// The point in time `seconds` after the epoch.
pub(crate) fn at(seconds: u64) -> SystemTime {
    // Later than any clock shows means never, and always fits.
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(u64::from(u32::MAX) * 64))
}

/// A number as a BIGINT column holds it.
pub(crate) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A BIGINT column that holds no negative number.
pub(crate) fn number(column: i64, what: &'static str) -> Result<u64, StoreError> {
    u64::try_from(column)
        .map_err(|_| StoreError::Corrupt { what, detail: format!("{column} is negative") })
}

/// The times that an id has room for.
const MOST_MILLIS: u64 = (1 << 48) - 1;
