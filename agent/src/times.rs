//! Times and amounts as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::macros::format_description;

/// Unix seconds as `2026-11-24 20:15 UTC`.
pub fn utc(seconds: u64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(format).ok())
        .unwrap_or_else(|| "never".to_owned())
}

/// Seconds since 1970 of `time`.
pub fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// An amount of bytes: `512 B`, `12.4 MiB`.
pub fn bytes(count: u64) -> String {
    let mut unit = 0;
    let mut scale = 1u64;
    while unit < UNITS.len() - 1 && count / scale >= 1024 {
        scale *= 1024;
        unit += 1;
    }
    match unit {
        0 => format!("{count} B"),
        _ => format!("{}.{} {}", count / scale, count % scale * 10 / scale, UNITS[unit]),
    }
}

const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_times_are_short() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(1 << 50), "1024.0 TiB");
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(u64::MAX), "never");
    }
}
