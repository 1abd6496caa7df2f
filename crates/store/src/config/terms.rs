//! Terms of grants: as people write them and as they are kept.

use access::text::is_hidden;
use access::{Hours, SshTerms, Terms, Window, Zone, network};
use api::GrantSpec;
use ipnet::IpNet;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::Problem;

/// Reads a grant's terms, and reports whatever in them can not be read.
pub(super) fn terms(spec: &GrantSpec, object: &str, problems: &mut Vec<Problem>) -> Terms {
    let mut keep = |read: Result<Option<u64>, String>, field: &str| {
        read.unwrap_or_else(|detail| {
            problems.push(Problem::new(object, "grant.term", format!("{field}: {detail}")));
            None
        })
    };
    let max_session = keep(spec.max_session.as_deref().map(duration).transpose(), "max_session");
    let idle = keep(spec.idle.as_deref().map(duration).transpose(), "idle");
    let valid_from = keep(spec.valid_from.as_deref().map(point).transpose(), "valid_from");
    let valid_until = keep(spec.valid_until.as_deref().map(point).transpose(), "valid_until");
    if valid_from.zip(valid_until).is_some_and(|(from, until)| from >= until) {
        let detail = "valid_until: it is not after valid_from";
        problems.push(Problem::new(object, "grant.term", detail));
    }
    Terms {
        logins: logins(spec, object, problems),
        forwarding: spec.forwarding,
        file_transfer: spec.file_transfer,
        ssh: ssh(spec, object, problems),
        level: spec.level,
        databases: databases(spec, object, problems),
        clipboard: spec.clipboard,
        printer: spec.printer,
        audio: spec.audio,
        recording: spec.recording,
        require_active_session: spec.require_active_session,
        sources: sources(spec, object, problems),
        max_session,
        idle,
        valid_from,
        valid_until,
        hours: hours(spec, object, problems),
    }
}

/// Writes terms into a grant as [`terms`] reads them.
pub(super) fn write(terms: &Terms, into: GrantSpec) -> GrantSpec {
    GrantSpec {
        logins: terms.logins.clone(),
        forwarding: terms.forwarding,
        file_transfer: terms.file_transfer,
        ssh: terms.ssh.clone(),
        level: terms.level,
        databases: terms.databases.clone(),
        clipboard: terms.clipboard,
        printer: terms.printer,
        audio: terms.audio,
        recording: terms.recording,
        require_active_session: terms.require_active_session,
        sources: terms.sources.as_ref().map(|nets| nets.iter().map(IpNet::to_string).collect()),
        max_session: terms.max_session.map(duration_text),
        idle: terms.idle.map(duration_text),
        valid_from: terms.valid_from.map(point_text),
        valid_until: terms.valid_until.map(point_text),
        hours: terms.hours.as_ref().map(|h| h.windows().iter().map(Window::to_string).collect()),
        zone: terms.hours.as_ref().map(|hours| hours.zone().to_string()),
        ..into
    }
}

/// `30s`, `15m`, `12h` or `7d`, as seconds.
fn duration(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a duration such as 30s, 15m, 12h or 7d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let number = text.strip_suffix(unit).unwrap_or_default();
    if number.is_empty() || !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match number.checked_mul(*seconds) {
        Some(1..=LONGEST) => Ok(number * seconds),
        Some(_) | None => Err(format!("{text:?} is not between 1s and 3650d")),
    }
}

fn duration_text(seconds: u64) -> String {
    let whole = UNITS.iter().find(|(_, unit)| seconds.is_multiple_of(*unit));
    let (name, unit) = whole.copied().unwrap_or(('s', 1));
    format!("{}{name}", seconds / unit)
}

/// A point in time in RFC 3339, as Unix seconds.
pub(super) fn point(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a time such as 2026-01-31T08:00:00Z");
    let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| wrong())?;
    u64::try_from(at.unix_timestamp()).map_err(|_| wrong())
}

pub(super) fn point_text(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    let text = at.and_then(|at| at.format(&Rfc3339).ok());
    text.unwrap_or_else(|| format!("{seconds} s after 1970"))
}

fn logins(spec: &GrantSpec, object: &str, problems: &mut Vec<Problem>) -> Option<Vec<String>> {
    let logins = spec.logins.clone()?;
    for login in logins.iter().filter(|login| !is_account(login)) {
        let detail = format!("logins: {login:?} is no account name");
        problems.push(Problem::new(object, "grant.term", detail));
    }
    Some(logins)
}

fn databases(spec: &GrantSpec, object: &str, problems: &mut Vec<Problem>) -> Option<Vec<String>> {
    let databases = spec.databases.clone()?;
    let valid = |name: &String| !name.is_empty() && name.len() <= 128 && !name.contains(is_hidden);
    for name in databases.iter().filter(|name| !valid(name)) {
        let detail = format!("databases: {name:?} is no name of a database");
        problems.push(Problem::new(object, "grant.term", detail));
    }
    Some(databases)
}

fn ssh(spec: &GrantSpec, object: &str, problems: &mut Vec<Problem>) -> SshTerms {
    let mistakes = spec.ssh.mistakes().into_iter();
    problems.extend(mistakes.map(|detail| Problem::new(object, "grant.term", detail)));
    spec.ssh.clone()
}

fn sources(spec: &GrantSpec, object: &str, problems: &mut Vec<Problem>) -> Option<Vec<IpNet>> {
    let mut nets = Vec::new();
    for text in spec.sources.as_ref()? {
        match network(text) {
            Some(net) => nets.push(net.trunc()),
            None => {
                let detail = format!("sources: {text:?} is not a network such as 10.0.0.0/8");
                problems.push(Problem::new(object, "grant.term", detail));
            }
        }
    }
    Some(nets)
}

fn hours(spec: &GrantSpec, object: &str, problems: &mut Vec<Problem>) -> Option<Hours> {
    let mut wrong = |detail: String| problems.push(Problem::new(object, "grant.term", detail));
    let zone = spec.zone.as_deref().and_then(|text| {
        text.parse::<Zone>().map_err(|error| wrong(format!("zone: {error}"))).ok()
    });
    let Some(texts) = &spec.hours else {
        if spec.zone.is_some() {
            wrong("zone: it is the time zone of hours, and there are none".to_owned());
        }
        return None;
    };
    if spec.zone.is_none() {
        wrong("hours: they need their time zone, for example zone = \"Europe/Berlin\"".to_owned());
    }
    if texts.len() > MOST_WINDOWS {
        wrong(format!("hours: {} windows; {MOST_WINDOWS} is the most", texts.len()));
        return None;
    }
    let read = |text: &String| {
        text.parse::<Window>().map_err(|error| wrong(format!("hours: {error}"))).ok()
    };
    let windows: Vec<_> = texts.iter().filter_map(read).collect();
    // What could not be read is a problem, and then nothing of this is stored.
    Some(Hours::new(windows, zone?))
}

/// Whether a text can be an account at a target.
pub(super) fn is_account(text: &str) -> bool {
    let allowed = |c: char| !c.is_control() && !c.is_whitespace();
    !text.is_empty() && text.len() <= 128 && text.chars().all(allowed)
}

/// Each decision walks through all.
const MOST_WINDOWS: usize = 64;
const LONGEST: u64 = 3650 * 24 * 60 * 60;
/// Largest first.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

#[cfg(test)]
mod tests {
    use access::{Allowed, Clipboard, Level, Recording, Sftp};

    use super::*;

    #[test]
    fn a_duration_prints_in_the_largest_unit_it_fills() {
        for text in ["30s", "90s", "15m", "12h", "36h", "7d"] {
            assert_eq!(duration_text(duration(text).unwrap()), text);
        }
        assert_eq!(duration("60m"), Ok(3600));
        for bad in
            ["", "h", "0s", "12", "-1h", "1.5h", "1hh", "1h30m", "+5m", "99999999999d", "4000d"]
        {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn terms_read_as_they_were_written() {
        let spec = GrantSpec {
            logins: Some(vec!["ubuntu".into()]),
            forwarding: true,
            file_transfer: false,
            ssh: SshTerms { sftp: Some(Sftp::Read), ..SshTerms::default() },
            level: Some(Level::Viewer),
            databases: Some(vec!["orders".into(), "Orders 2026".into()]),
            clipboard: Clipboard::ToTarget,
            printer: false,
            audio: false,
            recording: Recording::Required,
            require_active_session: true,
            sources: Some(vec!["10.0.0.0/8".into(), "fd00::/8".into()]),
            max_session: Some("8h".into()),
            idle: Some("30m".into()),
            valid_from: Some("2026-01-01T00:00:00Z".into()),
            valid_until: Some("2027-01-01T00:00:00Z".into()),
            hours: Some(vec!["mon-fri 08:00-18:00".into(), "sat 22:00-02:00".into()]),
            zone: Some("Europe/Berlin".into()),
            ..GrantSpec::default()
        };
        let mut problems = Vec::new();
        let read = terms(&spec, "grant", &mut problems);
        assert_eq!(problems, []);
        assert_eq!(write(&read, GrantSpec::default()), spec);
    }

    #[test]
    fn every_term_that_can_not_be_read_is_reported() {
        let spec = GrantSpec {
            logins: Some(vec!["a b".into()]),
            ssh: SshTerms { exec: Allowed::from(vec!["*".to_owned()]), ..SshTerms::default() },
            databases: Some(vec!["".into(), "a\nb".into(), "orders".into()]),
            sources: Some(vec!["10.0.0.0/33".into(), "10.0.0.7".into(), "home".into()]),
            max_session: Some("8 hours".into()),
            idle: Some("0m".into()),
            valid_from: Some("tomorrow".into()),
            valid_until: Some("2026-02-30T00:00:00Z".into()),
            hours: Some(vec!["mon 8-18".into(), "office".into(), "08:00-18:00".into()]),
            zone: Some("Berlin".into()),
            ..GrantSpec::default()
        };
        assert_eq!(problems(&spec), 13);
    }

    #[test]
    fn hours_and_their_zone_come_together() {
        let windows = |count| Some(vec!["08:00-18:00".to_owned(); count]);
        let zone = Some("UTC".to_owned());
        let cases = [
            (windows(1), None, 1),
            (None, zone.clone(), 1),
            (windows(65), zone.clone(), 1),
            (windows(64), zone.clone(), 0),
            (windows(0), zone, 0),
            (windows(0), None, 1),
        ];
        for (hours, zone, expected) in cases {
            let spec = GrantSpec { hours, zone, ..GrantSpec::default() };
            assert_eq!(problems(&spec), expected, "{spec:?}");
        }
    }

    fn problems(spec: &GrantSpec) -> usize {
        let mut problems = Vec::new();
        terms(spec, "grant", &mut problems);
        problems.len()
    }
}
