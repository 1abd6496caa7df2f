//! Times and amounts as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

use api::Span;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// Unix seconds as `2026-11-24 20:15 UTC`.
pub fn utc(seconds: u64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(format).ok())
        .unwrap_or_else(|| "never".to_owned())
}

/// Unix seconds as `2026-11-24 20:15:07 UTC`.
pub fn to_the_second(seconds: u64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    let at = i64::try_from(seconds).ok();
    let at = at.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    at.and_then(|time| time.format(format).ok()).unwrap_or_else(|| "never".to_owned())
}

/// A point in time as people write it: `2h` ago, a day in UTC, or RFC 3339.
pub fn moment(text: &str) -> Result<SystemTime, String> {
    if let Ok(ago) = text.parse::<Span>() {
        return Ok(SystemTime::now().checked_sub(ago.duration()).unwrap_or(UNIX_EPOCH));
    }
    if let Ok(day) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        return Ok(day.midnight().assume_utc().into());
    }
    OffsetDateTime::parse(text, &Rfc3339).map(Into::into).map_err(|_| {
        "a time is a span ago such as 2h, a day such as 2026-12-01, or 2026-12-01T08:00:00Z"
            .to_owned()
    })
}

/// As the API takes it.
pub fn rfc3339(at: SystemTime) -> String {
    OffsetDateTime::from(at).format(&Rfc3339).unwrap_or_default()
}

/// Seconds since 1970 of `time`.
pub fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Microseconds as `3.2 ms`.
pub fn millis(micros: u64) -> String {
    format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
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
        assert_eq!(millis(3_249), "3.2 ms");
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(u64::MAX), "never");
    }

    #[test]
    fn a_time_is_a_span_ago_a_day_or_a_moment() {
        let told = |text: &str| moment(text).map(rfc3339);
        assert_eq!(told("2026-12-01").unwrap(), "2026-12-01T00:00:00Z");
        assert_eq!(told("2026-12-01T08:00:00+01:00").unwrap(), "2026-12-01T07:00:00Z");
        let ago = SystemTime::now().duration_since(moment("2h").unwrap()).unwrap().as_secs();
        assert!((7199..7260).contains(&ago), "{ago}");
        for bad in ["", "yesterday", "2026-13-01", "-2h", "2026-12-01 08:00"] {
            assert!(told(bad).is_err(), "{bad}");
        }
    }
}
