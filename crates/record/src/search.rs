//! Looking for a text in the recordings, in the order of their sessions.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::time::UNIX_EPOCH;

use access::{Name, SessionId};
use api::{RecordingEvent, RecordingMatch, SearchPage};

use crate::archive::Archive;
use crate::place;
use crate::reading::{ReadError, Reading};
use crate::scan::{Bounds, Part, scan};
use crate::shown::Searched;

/// What is looked for, and where.
#[derive(Clone, Debug)]
pub struct Sought {
    /// Not empty, and of one line.
    pub text: String,
    pub user: Option<Name>,
    /// `app` or `app.site`.
    pub application: Option<String>,
    /// Unix milliseconds: shown from then on…
    pub since_ms: u64,
    /// …and before then.
    pub until_ms: u64,
    pub limit: usize,
    pub after: Option<SearchPlace>,
}

/// Where among the recordings to go on: at this session, and there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchPlace {
    session: SessionId,
    part: Part,
}

impl SearchPlace {
    /// The session that it is in.
    pub fn session(&self) -> SessionId {
        self.session
    }
}

impl Archive {
    /// A part of what is found: so many finds, or what takes so long. A recording that can not be
    /// read is named, and the others are searched. Blocks.
    pub fn search(&self, sought: &Sought, bounds: &Bounds) -> io::Result<SearchPage> {
        let mut page = SearchPage::default();
        for day in place::days(self.root())? {
            if sought.skips_day(&day, self.root()) {
                continue;
            }
            for (session, path) in place::recordings(&day)? {
                let before = sought.after.is_some_and(|after| session.0 < after.session.0);
                if before || is_older(&path, sought.since_ms) {
                    continue;
                }
                let next = match page.found.len() == sought.limit || !bounds.are_kept() {
                    true => Some(sought.part(session)),
                    false => self.search_one(session, (sought, bounds), &mut page),
                };
                if let Some(part) = next {
                    page.next = Some(SearchPlace { session, part }.to_string());
                    return Ok(page);
                }
            }
        }
        Ok(page)
    }

    /// Where in it to go on, if there is more.
    fn search_one(
        &self,
        session: SessionId,
        (sought, bounds): (&Sought, &Bounds),
        page: &mut SearchPage,
    ) -> Option<Part> {
        let (most, part) = (sought.limit - page.found.len(), sought.part(session));
        let mut searching = || -> Result<Option<Part>, ReadError> {
            let Some(mut reading) = self.read(session)? else { return Ok(None) };
            let Some(whose) = whose(&mut reading)? else { return Ok(None) };
            if !sought.wants(&whose) {
                return Ok(None);
            }
            page.recordings += 1;
            let span = (sought.since_ms, sought.until_ms);
            let mut finder = Searched::new(&sought.text, span, whose);
            let scanned = scan(&mut reading, part, (most, bounds), &mut finder)?;
            page.found.extend(scanned.found);
            Ok(scanned.next)
        };
        match searching() {
            Ok(next) => next,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, %session, "Could not search a recording");
                page.unread.push(session);
                None
            }
        }
    }
}

impl Sought {
    fn wants(&self, whose: &RecordingMatch) -> bool {
        let application = |asked: &String| {
            *asked == whose.application.as_str()
                || *asked == format!("{}.{}", whose.application, whose.site)
        };
        self.user.as_ref().is_none_or(|user| *user == whose.user)
            && self.application.as_ref().is_none_or(application)
            && whose.opened_ms < self.until_ms
    }

    /// From where on a session is searched.
    fn part(&self, session: SessionId) -> Part {
        let place = self.after.filter(|after| after.session == session);
        place.map(|place| place.part).unwrap_or_default()
    }

    /// Whether all of a day's sessions come before those that are still to be searched.
    fn skips_day(&self, day: &Path, root: &Path) -> bool {
        let first = self.after.map(|after| place::folder(root, after.session));
        first.is_some_and(|first| day < first.as_path())
    }
}

/// Whose a recording is, as its first line says; `None`: it does not say so yet.
pub(crate) fn whose(reading: &mut Reading) -> Result<Option<RecordingMatch>, ReadError> {
    let begins = reading.mark();
    let Some(frame) = reading.frame()? else { return Ok(None) };
    reading.go_to(begins);
    let first = frame.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match serde_json::from_slice(first) {
        Ok(RecordingEvent::Session { session, user, application, site, opened_ms, .. }) => {
            let (at_ms, channel, line) = (0, 0, String::new());
            let whose = RecordingMatch {
                session,
                user,
                application,
                site,
                opened_ms,
                at_ms,
                channel,
                line,
            };
            Ok(Some(whose))
        }
        Ok(_) | Err(_) => Ok(None),
    }
}

/// Whether nothing was written to it since.
fn is_older(path: &Path, since_ms: u64) -> bool {
    let written = fs::metadata(path).and_then(|file| file.modified()).ok();
    let written = written.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    // The last of what is in it was shown some time before that.
    written.is_some_and(|at| at.as_millis() < u128::from(since_ms))
}

impl fmt::Display for SearchPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}", self.session, self.part)
    }
}

impl FromStr for SearchPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (session, part) = text.split_once('~')?;
            Some(Self { session: session.parse().ok()?, part: part.parse().ok()? })
        };
        read().ok_or_else(|| format!("{text:?} is no place of a search"))
    }
}
