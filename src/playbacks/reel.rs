//! A recorded desktop's events, one after another, from any place in it.

use std::collections::VecDeque;

use access::SessionId;
use api::{PlayedKey, RecordingEvent};
use axum::body::Bytes;
use data_encoding::BASE64;
use gateway_rdp::replay::{forget, from_demand, from_whole};
use record::{Archive, Mark, ReadError, Reading};
use tokio::task::spawn_blocking;

/// A recording that is played.
pub(super) struct Reel {
    here: Reading,
    /// What is left of the frame that was read last.
    events: VecDeque<Happened>,
    index: Index,
    /// What is left out of what comes next.
    skips: Skips,
    /// Where it goes on once the page has what each picture needs, and how many bytes that still takes.
    jump: Option<(Place, usize)>,
    /// Bytes that the page has since the target told of its screen.
    since: usize,
    at_ms: u64,
}

/// What a recording has of a desktop, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    Shown {
        at_ms: u64,
        bytes: Bytes,
    },
    /// The target was asked to paint all of its screen.
    Repaint {
        at_ms: u64,
    },
    Pressed(PlayedKey),
    Other {
        at_ms: u64,
    },
}

/// What of frames is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skips {
    Nothing,
    /// What comes before the target's settings. The page may have others.
    BeforeSettings {
        again: bool,
    },
    /// The rest of a picture whose beginning was not sent.
    Rest,
}

/// Where something is in a recording.
#[derive(Clone, Copy, Debug)]
struct Place {
    mark: Mark,
    /// Which event of its frame.
    nth: usize,
    at_ms: u64,
}

/// Where a recording can be entered, as far as it was read.
struct Index {
    ahead: Reading,
    /// Where the target tells of its screen.
    starts: Vec<Place>,
    /// Where it was asked to paint all of it.
    repaints: Vec<Place>,
    length_ms: u64,
}

/// How a recording of a desktop could not be shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReelError {
    #[error("there is no recording")]
    None,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("reading it panicked")]
    Panicked,
}

impl Reel {
    /// The recording of a session.
    pub(super) async fn open(archive: Archive, session: SessionId) -> Result<Self, ReelError> {
        blocking(move || {
            let read = || archive.read(session)?.ok_or(ReelError::None);
            let (here, ahead) = (read()?, read()?);
            let (starts, repaints) = (Vec::new(), Vec::new());
            let index = Index { ahead, starts, repaints, length_ms: 0 };
            let (events, skips) = (VecDeque::new(), Skips::Nothing);
            Ok(Self { here, events, index, skips, jump: None, since: 0, at_ms: 0 })
        })
        .await
    }

    /// Takes in some of what there is by now; whether there may be more.
    pub(super) async fn look_ahead(mut self) -> Result<(Self, bool), ReelError> {
        blocking(move || {
            let more = self.index.grow()?;
            Ok((self, more))
        })
        .await
    }

    pub(super) fn length_ms(&self) -> u64 {
        self.index.length_ms
    }

    /// What the page is shown first, without taking it.
    pub(super) async fn first(self) -> Result<(Self, Option<Bytes>), ReelError> {
        let Some(start) = self.index.starts.first().copied() else { return Ok((self, None)) };
        let mut reel = self;
        reel.go_to(start, Skips::BeforeSettings { again: false });
        let mut reel = reel.read().await?;
        let shown = reel.events.iter().find_map(|event| match event {
            Happened::Shown { bytes, .. } => from_demand(bytes),
            Happened::Repaint { .. } | Happened::Pressed(_) | Happened::Other { .. } => None,
        });
        reel.go_to(start, Skips::BeforeSettings { again: false });
        Ok((reel, shown))
    }

    /// Goes to where what was seen at that time is shown soonest.
    pub(super) fn seek(&mut self, at_ms: u64) {
        let Some(start) = last(&self.index.starts, at_ms).or(self.index.starts.first()) else {
            return;
        };
        let (start, painted) = (*start, at_ms.saturating_sub(PAINTS));
        let repaint = last(&self.index.repaints, painted);
        let repaint = repaint.filter(|repaint| repaint.at_ms > start.at_ms).copied();
        if (start.at_ms..=at_ms).contains(&self.at_ms) {
            // It is on its way there.
            let nearer = repaint.filter(|repaint| repaint.at_ms > self.at_ms);
            let left = PREFACE.saturating_sub(self.since);
            self.jump = nearer.map(|repaint| (repaint, left)).or(self.jump);
            return;
        }
        self.go_to(start, Skips::BeforeSettings { again: true });
        self.jump = repaint.map(|repaint| (repaint, PREFACE));
    }

    fn go_to(&mut self, place: Place, skips: Skips) {
        self.here.go_to(place.mark);
        (self.skips, self.at_ms) = (skips, place.at_ms);
        self.events.clear();
        self.jump = None;
    }

    /// What happened next, with what the page is sent of it; `None`: that is all there is by now.
    pub(super) async fn next(mut self) -> Result<(Self, Option<Happened>), ReelError> {
        loop {
            if let Some((place, left)) = self.jump
                && left == 0
                && self.skips == Skips::Nothing
            {
                match place.at_ms > self.at_ms {
                    true => {
                        self.go_to(place, Skips::Rest);
                        self = self.read().await?;
                        self.events.drain(..place.nth.min(self.events.len()));
                    }
                    false => self.jump = None,
                }
            }
            if self.events.is_empty() {
                self = self.read().await?;
            }
            let Some(event) = self.events.pop_front() else { return Ok((self, None)) };
            if let Some(event) = self.left(event) {
                return Ok((self, Some(event)));
            }
        }
    }

    /// Puts back what was just taken.
    pub(super) fn put_back(&mut self, event: Happened) {
        self.events.push_front(event);
    }

    /// The page has what was taken.
    pub(super) fn passed(&mut self, at_ms: u64) {
        self.at_ms = at_ms;
    }

    /// What of an event is left when that is left out which has to be.
    fn left(&mut self, event: Happened) -> Option<Happened> {
        let Happened::Shown { at_ms, bytes } = event else { return Some(event) };
        let bytes = match self.skips {
            Skips::Nothing => bytes,
            Skips::Rest => from_whole(&bytes)?,
            Skips::BeforeSettings { again } => {
                let from = from_demand(&bytes)?;
                match forget(&from).filter(|_| again) {
                    Some(forget) => [forget, from].concat().into(),
                    None => from,
                }
            }
        };
        let told =
            matches!(self.skips, Skips::BeforeSettings { .. }) || from_demand(&bytes).is_some();
        self.since = if told { 0 } else { self.since } + bytes.len();
        self.skips = Skips::Nothing;
        if let Some((_, left)) = &mut self.jump {
            *left = left.saturating_sub(bytes.len());
        }
        Some(Happened::Shown { at_ms, bytes })
    }

    /// Reads the next frame, if it is there.
    async fn read(mut self) -> Result<Self, ReelError> {
        blocking(move || {
            if let Some(lines) = self.here.frame()? {
                self.events.extend(happened(&lines));
            }
            Ok(self)
        })
        .await
    }
}

impl Happened {
    pub(super) fn at_ms(&self) -> u64 {
        match self {
            Self::Shown { at_ms, .. } | Self::Repaint { at_ms } | Self::Other { at_ms } => *at_ms,
            Self::Pressed(key) => key.at_ms,
        }
    }
}

impl Index {
    fn grow(&mut self) -> Result<bool, ReadError> {
        for _ in 0..FRAMES {
            let mark = self.ahead.mark();
            let Some(lines) = self.ahead.frame()? else { return Ok(false) };
            for (nth, event) in happened(&lines).enumerate() {
                let at_ms = event.at_ms();
                self.length_ms = self.length_ms.max(at_ms);
                let place = Place { mark, nth, at_ms };
                match event {
                    Happened::Shown { bytes, .. } if from_demand(&bytes).is_some() => {
                        enter(&mut self.starts, place);
                    }
                    Happened::Repaint { .. } => enter(&mut self.repaints, place),
                    Happened::Shown { .. } | Happened::Pressed(_) | Happened::Other { .. } => {}
                }
            }
        }
        Ok(true)
    }
}

/// What the lines of one frame say.
fn happened(lines: &[u8]) -> impl Iterator<Item = Happened> {
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.filter_map(|line| Some(of(serde_json::from_slice(line).ok()?)))
}

fn of(event: RecordingEvent) -> Happened {
    match event {
        RecordingEvent::Screen { at_ms, bytes } => {
            let bytes = BASE64.decode(bytes.as_bytes()).unwrap_or_default().into();
            Happened::Shown { at_ms, bytes }
        }
        RecordingEvent::Repaint { at_ms } => Happened::Repaint { at_ms },
        RecordingEvent::Key { at_ms, code, unit, pressed } => {
            Happened::Pressed(PlayedKey { at_ms, code, unit, pressed })
        }
        RecordingEvent::Session { .. } => Happened::Other { at_ms: 0 },
        RecordingEvent::Began { at_ms, .. }
        | RecordingEvent::Output { at_ms, .. }
        | RecordingEvent::Resized { at_ms, .. }
        | RecordingEvent::Typed { at_ms, .. }
        | RecordingEvent::Input { at_ms, .. }
        | RecordingEvent::File { at_ms, .. }
        | RecordingEvent::Change { at_ms, .. }
        | RecordingEvent::Lost { at_ms, .. }
        | RecordingEvent::Ended { at_ms, .. } => Happened::Other { at_ms },
    }
}

/// The last of them at that time.
fn last(places: &[Place], at_ms: u64) -> Option<&Place> {
    places[..places.partition_point(|place| place.at_ms <= at_ms)].last()
}

/// What a hostile target has too many of is entered no more: seeking takes longer then.
fn enter(places: &mut Vec<Place>, place: Place) {
    if places.len() < MOST_PLACES {
        places.push(place);
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReelError> + Send + 'static,
) -> Result<T, ReelError> {
    spawn_blocking(work).await.unwrap_or(Err(ReelError::Panicked))
}

/// Within that time a target paints its screen, in milliseconds.
const PAINTS: u64 = 5000;
/// Bytes from a screen's settings on that a page is always sent: what pictures refer to (the headers of
/// RemoteFX) comes with the first of them.
const PREFACE: usize = 256 << 10;
/// Frames that are read at once.
const FRAMES: usize = 32;
const MOST_PLACES: usize = 100_000;

#[cfg(test)]
#[path = "reel_tests.rs"]
mod tests;
