//! Going through a recording for something, in parts of bounded time and size.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use api::RecordingEvent;

use crate::reading::{Mark, ReadError, Reading};

/// Where in a recording to go on: at the frame of the mark, or the first, and after so many finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    from: Option<Mark>,
    skip: u64,
}

/// How long one part may take, and whether anybody still wants it.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// From then on it ends where nothing is begun.
    soft: Instant,
    /// From then on it ends at the next frame.
    hard: Instant,
    wanted: Arc<AtomicBool>,
}

/// Whoever asked still waits, for as long as this is there.
#[derive(Debug)]
pub struct Waiting(Arc<AtomicBool>);

/// What one part held.
#[derive(Debug)]
pub(crate) struct Scanned<T> {
    pub(crate) found: Vec<T>,
    /// Where the rest is; `None`: that was all.
    pub(crate) next: Option<Part>,
}

/// What looks at events, one after another.
pub(crate) trait Finder {
    type Found;
    fn take(&mut self, event: &RecordingEvent) -> Vec<Self::Found>;
    /// What the last events have begun.
    fn end(&mut self) -> Vec<Self::Found>;
    /// Whether it would find the same if it began here.
    fn is_idle(&self) -> bool;
}

impl Bounds {
    /// Ends about then, at twice the time at most.
    pub fn of(time: Duration) -> (Self, Waiting) {
        let now = Instant::now();
        let wanted = Arc::new(AtomicBool::new(true));
        (Self { soft: now + time, hard: now + time * 2, wanted: wanted.clone() }, Waiting(wanted))
    }

    /// Whether there is time for another recording.
    pub(crate) fn are_kept(&self) -> bool {
        self.is_wanted() && Instant::now() < self.soft
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Relaxed)
    }

    fn end(&self, idle: bool) -> bool {
        let now = Instant::now();
        !self.is_wanted() || now >= self.hard || (idle && now >= self.soft)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(false, Relaxed);
    }
}

/// Has `finder` look at a recording's events from `part` on, until it has found so many.
pub(crate) fn scan<F: Finder>(
    reading: &mut Reading,
    part: Part,
    (most, bounds): (usize, &Bounds),
    finder: &mut F,
) -> Result<Scanned<F::Found>, ReadError> {
    if let Some(mark) = part.from {
        reading.go_to(mark);
    }
    let (mut found, mut skip) = (Vec::new(), part.skip);
    let mut keep = |new: Vec<F::Found>| {
        for it in new {
            match skip {
                0 => found.push(it),
                _ => skip -= 1,
            }
        }
        found.len() > most
    };
    let mut next = None;
    loop {
        let Some(frame) = reading.frame()? else {
            keep(finder.end());
            break;
        };
        let lines = frame.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let events = lines.filter_map(|line| serde_json::from_slice(line).ok());
        let full = events.fold(false, |_, event| keep(finder.take(&event)));
        if full {
            break;
        }
        if bounds.end(finder.is_idle()) {
            keep(finder.end());
            next = Some(Part { from: Some(reading.mark()), skip: 0 });
            break;
        }
    }
    if found.len() > most {
        found.truncate(most);
        next = Some(Part { from: part.from, skip: part.skip + most as u64 });
    }
    Ok(Scanned { found, next })
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.from {
            Some(mark) => write!(f, "{mark}.{}", self.skip),
            None => write!(f, "{}", self.skip),
        }
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, skip) = match text.rsplit_once('.') {
            Some((mark, skip)) => (Some(mark.parse()?), skip),
            None => (None, text),
        };
        let skip = skip.parse().map_err(|_| format!("{text:?} is no place in a recording"))?;
        Ok(Self { from, skip })
    }
}
