use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A length of time as people write it: `30s`, `15m`, `12h`, `7d`, `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u64);

/// Why a text is not a length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    #[error("a length of time is a number and a unit (s, m, h, d), for example 30s, 15m, 12h, 7d")]
    Form,
    #[error("a length of time is longer than nothing")]
    Zero,
    #[error("a length of time is at most 100 years")]
    TooLong,
}

impl Span {
    /// A span of whole seconds; `None` for none at all.
    pub fn from_seconds(seconds: u64) -> Option<Self> {
        (seconds != 0).then_some(Self(seconds.min(LONGEST)))
    }

    pub fn seconds(self) -> u64 {
        self.0
    }

    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let mut total = 0u64;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(SpanError::Form)?;
            let (number, unit) = rest.split_at(digits);
            let unit = unit.chars().next().ok_or(SpanError::Form)?;
            let scale = UNITS.iter().find(|(u, _)| *u == unit).ok_or(SpanError::Form)?.1;
            if number.is_empty() {
                return Err(SpanError::Form);
            }
            let number: u64 = number.parse().map_err(|_| SpanError::TooLong)?;
            total = number
                .checked_mul(scale)
                .and_then(|part| total.checked_add(part))
                .filter(|total| *total <= LONGEST)
                .ok_or(SpanError::TooLong)?;
            rest = &rest[digits + 1..];
        }
        match total {
            0 if text.is_empty() => Err(SpanError::Form),
            0 => Err(SpanError::Zero),
            seconds => Ok(Self(seconds)),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        for (unit, scale) in UNITS {
            if rest >= scale {
                write!(f, "{}{unit}", rest / scale)?;
                rest %= scale;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;

    fn try_from(text: String) -> Result<Self, SpanError> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
const LONGEST: u64 = 100 * 365 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_reads_as_people_write_it() {
        let good = [("30s", 30), ("15m", 900), ("12h", 43_200), ("7d", 604_800), ("1h30m", 5_400)];
        for (text, seconds) in good {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.seconds(), seconds, "{text}");
            assert_eq!(span.to_string(), text);
        }
        let bad = [
            ("", SpanError::Form),
            ("12", SpanError::Form),
            ("h", SpanError::Form),
            ("-1h", SpanError::Form),
            ("1w", SpanError::Form),
            ("1hé", SpanError::Form),
            ("0s", SpanError::Zero),
            ("99999999999999999999d", SpanError::TooLong),
            ("36501d", SpanError::TooLong),
        ];
        for (text, error) in bad {
            assert_eq!(text.parse::<Span>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn seconds_print_in_the_units_people_use() {
        assert_eq!(Span::from_seconds(90_061).unwrap().to_string(), "1d1h1m1s");
        assert_eq!(Span::from_seconds(0), None);
    }
}
