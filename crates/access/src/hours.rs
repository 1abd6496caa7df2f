//! Weekdays and hours at which a rule holds, by the clock on the wall of a time zone.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

/// Windows of the week in one time zone. None at all: never.
///
/// A moment lies within them when the zone's wall clock then shows a time that does. So an hour that
/// the clock shows twice counts twice, and one that it skips is not there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub struct Hours {
    windows: Vec<Window>,
    zone: Zone,
    /// The windows as minutes of the week, merged and in order.
    spans: Vec<Range<u32>>,
}

/// Days of the week, and from when until when on each. Past midnight it belongs to the day on which
/// it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    days: [bool; 7],
    from: u32,
    until: u32,
}

/// A time zone of the IANA database, such as `Europe/Berlin`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// Why a text is no window or no zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    #[error(
        "{0:?} is not like \"mon-fri 08:00-18:00\", \"sat,sun 10:00-16:00\" or \"22:00-06:00\""
    )]
    Window(String),
    #[error("{0:?} is no time zone such as Europe/Berlin or UTC")]
    Zone(String),
}

/// Whether the hours hold, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    No,
    Until(SystemTime),
    Always,
}

impl Hours {
    pub fn new(windows: Vec<Window>, zone: Zone) -> Self {
        let spans = merged(windows.iter().flat_map(Window::spans).collect());
        Self { windows, zone, spans }
    }

    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Whether `now` lies within them, and the first moment after it that does not.
    pub(crate) fn open(&self, now: SystemTime) -> Open {
        let Some(start) = timestamp(now) else { return Open::No };
        let mut at = start;
        // Each turn takes the clock to the zone's next change of offset, where it jumps.
        loop {
            let end = match self.runs_on(self.zone.second_of_week(at)) {
                Run::No if at == start => return Open::No,
                Run::No => return Open::Until(system_time(at)),
                Run::Always => return Open::Always,
                Run::For(seconds) => at.as_second() + i64::from(seconds),
            };
            let Ok(end) = Timestamp::from_second(end) else { return Open::Always };
            match self.zone.rules.following(at).next().map(|change| change.timestamp()) {
                Some(change) if at < change && change < end => at = change,
                Some(_) | None => return Open::Until(system_time(end)),
            }
        }
    }

    /// How long a clock that does not jump stays within the windows from this second of the week on.
    fn runs_on(&self, second: u32) -> Run {
        let within = |span: &&Range<u32>| (span.start * 60..span.end * 60).contains(&second);
        let Some(span) = self.spans.iter().find(within) else { return Run::No };
        let left = span.end * 60 - second;
        match self.spans.first() {
            Some(monday) if *monday == (0..WEEK) => Run::Always,
            Some(monday) if span.end == WEEK && monday.start == 0 => {
                Run::For(left + monday.end * 60)
            }
            Some(_) | None => Run::For(left),
        }
    }
}

impl PartialEq for Hours {
    fn eq(&self, other: &Self) -> bool {
        self.windows == other.windows && self.zone == other.zone
    }
}

impl Eq for Hours {}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, window) in self.windows.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{window}")?;
        }
        write!(f, "{}{}", if self.windows.is_empty() { "never " } else { " " }, self.zone)
    }
}

impl Window {
    fn spans(&self) -> Vec<Range<u32>> {
        let length = match self.until > self.from {
            true => self.until - self.from,
            false => self.until + DAY - self.from,
        };
        let mut spans = Vec::new();
        for day in (0..7).zip(self.days).filter_map(|(day, holds)| holds.then_some(day)) {
            let start = day * DAY + self.from;
            let end = start + length;
            spans.push(start..end.min(WEEK));
            if end > WEEK {
                spans.push(0..end - WEEK);
            }
        }
        spans
    }
}

impl FromStr for Window {
    type Err = HoursError;

    fn from_str(text: &str) -> Result<Self, HoursError> {
        let read = || {
            let mut words = text.split_whitespace();
            let (days, times) = match (words.next()?, words.next(), words.next()) {
                (times, None, _) => ([true; 7], times),
                (named, Some(times), None) => (days(named)?, times),
                (_, Some(_), Some(_)) => return None,
            };
            let (from, until) = times.split_once('-')?;
            let (from, until) = (minute(from)?, minute(until)?);
            (from != until && from < DAY).then_some(Self { days, from, until })
        };
        read().ok_or_else(|| HoursError::Window(text.to_owned()))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut runs = Vec::new();
        let mut day = 0;
        while day < 7 {
            let length = self.days[day..].iter().take_while(|holds| **holds).count();
            match length {
                0 => {}
                1 => runs.push(DAYS[day].to_owned()),
                _ => runs.push(format!("{}-{}", DAYS[day], DAYS[day + length - 1])),
            }
            day += length + 1;
        }
        let clock = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
        write!(f, "{} {}-{}", runs.join(","), clock(self.from), clock(self.until))
    }
}

impl Zone {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Seconds since Monday 00:00, as the wall clock shows at that moment.
    fn second_of_week(&self, at: Timestamp) -> u32 {
        let shown = self.rules.to_datetime(at);
        let part = |value: i8| u32::from(value.unsigned_abs());
        let day = part(shown.date().weekday().to_monday_zero_offset());
        let minute = day * DAY + part(shown.hour()) * 60 + part(shown.minute());
        minute * 60 + part(shown.second())
    }
}

impl FromStr for Zone {
    type Err = HoursError;

    fn from_str(text: &str) -> Result<Self, HoursError> {
        let wrong = || HoursError::Zone(text.to_owned());
        let rules = TimeZoneDatabase::bundled().get(text).map_err(|_| wrong())?;
        // The name of a machine whose zone nobody set.
        let name = rules.iana_name().filter(|name| *name != "Etc/Unknown");
        Ok(Self { name: name.ok_or_else(wrong)?.to_owned(), rules })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

/// Hours as they are kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    windows: Vec<Window>,
    zone: Zone,
}

impl From<Kept> for Hours {
    fn from(kept: Kept) -> Self {
        Self::new(kept.windows, kept.zone)
    }
}

impl From<Hours> for Kept {
    fn from(hours: Hours) -> Self {
        Self { windows: hours.windows, zone: hours.zone }
    }
}

impl TryFrom<String> for Window {
    type Error = HoursError;

    fn try_from(text: String) -> Result<Self, HoursError> {
        text.parse()
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

impl TryFrom<String> for Zone {
    type Error = HoursError;

    fn try_from(text: String) -> Result<Self, HoursError> {
        text.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name
    }
}

enum Run {
    No,
    /// In seconds.
    For(u32),
    Always,
}

/// `mon`, `mon-fri`, `fri-mon`, `sat,sun`.
fn days(text: &str) -> Option<[bool; 7]> {
    let day = |text: &str| DAYS.iter().position(|day| text.eq_ignore_ascii_case(day));
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let length = (last + 7 - first) % 7;
        for at in first..=first + length {
            days[at % 7] = true;
        }
    }
    Some(days)
}

/// `08:00` as a minute of the day; `24:00` ends one.
fn minute(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| match text.len() == 2 && text.bytes().all(|c| c.is_ascii_digit()) {
        true => text.parse::<u32>().ok(),
        false => None,
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    (minute < 60 && hour * 60 + minute <= DAY).then_some(hour * 60 + minute)
}

fn merged(mut spans: Vec<Range<u32>>) -> Vec<Range<u32>> {
    spans.sort_by_key(|span| span.start);
    let mut merged: Vec<Range<u32>> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            Some(_) | None => merged.push(span),
        }
    }
    merged
}

fn timestamp(at: SystemTime) -> Option<Timestamp> {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

fn system_time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(at.as_second()).unwrap_or_default())
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// In minutes.
const DAY: u32 = 24 * 60;
const WEEK: u32 = 7 * DAY;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_prints_as_it_is_read() {
        for text in [
            "mon-fri 08:00-18:00",
            "sat-sun 00:00-24:00",
            "mon,wed,fri-sun 22:00-06:00",
            "tue 00:00-00:01",
        ] {
            assert_eq!(window(text).to_string(), text);
        }
        assert_eq!(window("08:00-18:00"), window("mon-sun 08:00-18:00"));
        assert_eq!(window("FRI-mon 08:00-18:00").to_string(), "mon,fri-sun 08:00-18:00");
    }

    #[test]
    fn what_is_no_window_and_no_zone_is_refused() {
        for bad in [
            "",
            "mon",
            "mon-fri",
            "8:00-18:00",
            "mon 08:00",
            "mon 08:00-08:00",
            "mon 24:00-25:00",
            "mon 24:00-06:00",
            "mon 08:60-09:00",
            "mon, tue 08:00-09:00",
            "day 08:00-09:00",
            "mon- 08:00-09:00",
            "mon 08:00-18:00 UTC",
            "mon +8:00-18:00",
            "mon 00:00-24:01",
        ] {
            assert!(bad.parse::<Window>().is_err(), "{bad}");
        }
        for bad in ["", "Berlin", "Europe/Berlin ", "Etc/Unknown", "../UTC", "+02:00"] {
            assert!(bad.parse::<Zone>().is_err(), "{bad}");
        }
        assert_eq!("europe/berlin".parse::<Zone>().unwrap().name(), "Europe/Berlin");
    }

    #[test]
    fn they_hold_by_the_clock_on_the_wall() {
        let office = hours(&["mon-fri 08:00-18:00", "sat 09:00-12:00"], "Europe/Berlin");
        // Friday, 15 January 2027: Berlin is an hour ahead of UTC.
        assert_eq!(office.at("2027-01-15T06:59:59Z"), None);
        assert_eq!(office.at("2027-01-15T07:00:00Z"), until("2027-01-15T17:00:00Z"));
        assert_eq!(office.at("2027-01-15T16:59:59.9Z"), until("2027-01-15T17:00:00Z"));
        assert_eq!(office.at("2027-01-15T17:00:00Z"), None);
        assert_eq!(office.at("2027-01-16T08:30:00Z"), until("2027-01-16T11:00:00Z"));
        assert_eq!(office.at("2027-01-17T10:00:00Z"), None);
        // In July it is two hours ahead.
        assert_eq!(office.at("2027-07-16T06:00:00Z"), until("2027-07-16T16:00:00Z"));
    }

    #[test]
    fn windows_that_touch_are_one_and_midnight_ends_none() {
        let night = hours(&["fri 22:00-06:00"], "UTC");
        assert_eq!(night.at("2027-01-16T05:59:00Z"), until("2027-01-16T06:00:00Z"));
        assert_eq!(night.at("2027-01-15T05:59:00Z"), None);
        let weekend = hours(&["sun 00:00-24:00", "mon 00:00-06:00", "sat 12:00-24:00"], "UTC");
        assert_eq!(weekend.at("2027-01-16T13:00:00Z"), until("2027-01-18T06:00:00Z"));
        let sunday = hours(&["sun 20:00-04:00"], "UTC");
        assert_eq!(sunday.at("2027-01-18T03:00:00Z"), until("2027-01-18T04:00:00Z"));
    }

    #[test]
    fn all_week_never_ends_and_no_window_never_begins() {
        let all = Hours::new(vec![window("00:00-24:00")], "Europe/Berlin".parse().unwrap());
        assert_eq!(all.open(moment("2027-03-28T00:30:00Z")), Open::Always);
        let never = Hours::new(vec![], "UTC".parse().unwrap());
        assert_eq!(never.open(moment("2027-03-28T00:30:00Z")), Open::No);
        assert_eq!(never.to_string(), "never UTC");
    }

    /// Berlin's clock goes from 02:00 to 03:00 on 28 March 2027, at 01:00 UTC.
    #[test]
    fn an_hour_that_the_clock_skips_is_not_there() {
        let night = hours(&["22:00-06:00"], "Europe/Berlin");
        assert_eq!(night.at("2027-03-27T22:00:00Z"), until("2027-03-28T04:00:00Z"));
        let into = hours(&["sun 01:00-02:30"], "Europe/Berlin");
        assert_eq!(into.at("2027-03-28T00:30:00Z"), until("2027-03-28T01:00:00Z"));
        let within = hours(&["sun 02:00-03:00"], "Europe/Berlin");
        assert_eq!(within.at("2027-03-28T00:59:59Z"), None);
        assert_eq!(within.at("2027-03-28T01:00:00Z"), None);
        let out_of = hours(&["sun 02:30-04:00"], "Europe/Berlin");
        assert_eq!(out_of.at("2027-03-28T01:00:00Z"), until("2027-03-28T02:00:00Z"));
    }

    /// Berlin's clock goes from 03:00 back to 02:00 on 31 October 2027, at 01:00 UTC.
    #[test]
    fn an_hour_that_the_clock_shows_twice_counts_twice() {
        let night = hours(&["22:00-06:00"], "Europe/Berlin");
        assert_eq!(night.at("2027-10-30T21:00:00Z"), until("2027-10-31T05:00:00Z"));
        let half = hours(&["sun 02:15-02:45"], "Europe/Berlin");
        assert_eq!(half.at("2027-10-31T00:20:00Z"), until("2027-10-31T00:45:00Z"));
        assert_eq!(half.at("2027-10-31T00:50:00Z"), None);
        assert_eq!(half.at("2027-10-31T01:20:00Z"), until("2027-10-31T01:45:00Z"));
        let to_three = hours(&["sun 02:30-03:00"], "Europe/Berlin");
        assert_eq!(to_three.at("2027-10-31T00:40:00Z"), until("2027-10-31T01:00:00Z"));
        let past_three = hours(&["sun 02:30-04:00"], "Europe/Berlin");
        assert_eq!(past_three.at("2027-10-31T00:40:00Z"), until("2027-10-31T01:00:00Z"));
        assert_eq!(past_three.at("2027-10-31T01:30:00Z"), until("2027-10-31T03:00:00Z"));
    }

    proptest::proptest! {
        /// Whatever the windows and the zone: a walk in steps of a minute ends where they say, also
        /// over the days on which clocks change.
        #[test]
        fn they_end_where_the_clock_leaves_them(
            windows in proptest::collection::vec((0..7_usize, 0..DAY, 1..=DAY), 0..6),
            zone in 0..4_usize,
            autumn: bool,
            minute in 0..6 * DAY,
        ) {
            let one = |(day, from, until): (usize, u32, u32)| {
                let mut days = [false; 7];
                days[day] = true;
                Window { days, from, until: if until == from { until % DAY + 1 } else { until } }
            };
            let zone = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"][zone];
            let windows = windows.into_iter().map(one).collect();
            let hours = Hours::new(windows, zone.parse().unwrap());
            // Thursdays: Berlin's clock changes three days later, Lord Howe's three or ten.
            let start = moment(if autumn { "2027-10-28T00:00:00Z" } else { "2027-03-25T00:00:00Z" });
            let start = start + Duration::from_secs(u64::from(minute) * 60);
            let shows = |at| {
                let second = hours.zone.second_of_week(timestamp(at).unwrap());
                !matches!(hours.runs_on(second), Run::No)
            };
            let minutes = (0..14 * u64::from(DAY)).map(|m| start + Duration::from_secs(m * 60));
            let first_outside = minutes.into_iter().find(|at| !shows(*at));
            let expected = match first_outside {
                Some(at) if at == start => Open::No,
                Some(at) => Open::Until(at),
                None => Open::Always,
            };
            proptest::prop_assert_eq!(hours.open(start), expected);
        }
    }

    #[test]
    fn they_are_kept_as_they_are_written() {
        let kept = r#"{"windows":["mon-fri 08:00-18:00"],"zone":"Europe/Berlin"}"#;
        let hours: Hours = serde_json::from_str(kept).unwrap();
        assert_eq!(serde_json::to_string(&hours).unwrap(), kept);
        assert_eq!(hours.to_string(), "mon-fri 08:00-18:00 Europe/Berlin");
        let wrong = kept.replace("Berlin", "Bonn");
        assert!(serde_json::from_str::<Hours>(&wrong).is_err());
    }

    impl Hours {
        fn at(&self, at: &str) -> Option<SystemTime> {
            match self.open(moment(at)) {
                Open::No => None,
                Open::Until(end) => Some(end),
                Open::Always => panic!("always"),
            }
        }
    }

    fn hours(windows: &[&str], zone: &str) -> Hours {
        Hours::new(windows.iter().map(|text| window(text)).collect(), zone.parse().unwrap())
    }

    fn window(text: &str) -> Window {
        text.parse().unwrap()
    }

    fn moment(text: &str) -> SystemTime {
        let at: Timestamp = text.parse().unwrap();
        let nanos = u32::try_from(at.subsec_nanosecond()).unwrap();
        system_time(at) + Duration::from_nanos(nanos.into())
    }

    fn until(text: &str) -> Option<SystemTime> {
        Some(moment(text))
    }
}
