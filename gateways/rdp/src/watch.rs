//! What of a desktop is kept, read off its frames as they pass: what it shows, and which keys are
//! pressed (MS-RDPBCGR 2.2.1.13.1, 2.2.8.1 and 2.2.11.2).
//!
//! INVARIANT: pure, and it holds no more than the frames it was shown since it was last asked.

use bytes::Bytes;
use session::Key;

use crate::frame::{Fault, fast_body, send_request, u16_at, u32_at};

/// Of one connection.
#[derive(Default)]
pub(crate) struct Watch {
    /// Whether keys are kept.
    keys: bool,
    shown: Vec<u8>,
    pressed: Vec<(Key, bool)>,
    /// What the target has said of its screen; `None`: nothing yet, and nothing is kept.
    screen: Option<Screen>,
    /// Bytes of pictures since the screen was painted as a whole.
    since: usize,
    /// Looks since then.
    looks: u32,
    /// The target was asked to paint its screen, and does so.
    paints: bool,
}

/// A screen, as a target has told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Screen {
    share: u32,
    width: u16,
    height: u16,
    /// Whether the target paints all of it when it is asked to.
    repaints: bool,
}

impl Watch {
    pub(crate) fn new(keys: bool) -> Self {
        Self { keys, ..Self::default() }
    }

    /// The target sends a frame of the fast path.
    pub(crate) fn pictured(&mut self, frame: &[u8]) -> Result<(), Fault> {
        let is_kept = self.screen.is_some();
        if is_kept {
            is_drawn_fast(frame)?;
            self.keep(frame);
        }
        Ok(())
    }

    /// The target sends a frame on its own channel. Of those are kept which show something, or say how.
    pub(crate) fn said(&mut self, frame: &[u8], data: &[u8]) -> Result<(), Fault> {
        if let Some(screen) = Screen::demanded(data) {
            self.screen = Some(screen);
        }
        if self.screen.is_some() && shows(data)? {
            self.keep(frame);
        }
        Ok(())
    }

    /// Whether the target has told of its screen.
    pub(crate) fn has_screen(&self) -> bool {
        self.screen.is_some()
    }

    fn keep(&mut self, frame: &[u8]) {
        self.shown.extend_from_slice(frame);
        self.since += frame.len();
    }

    /// The client sends a frame of the fast path.
    pub(crate) fn typed(&mut self, frame: &[u8]) {
        if self.keys {
            // What is no input passes, and the target makes of it what it does.
            let _ = fast_keys(frame, &mut self.pressed);
        }
    }

    /// The client sends something on the target's own channel.
    pub(crate) fn asked(&mut self, data: &[u8]) {
        if self.keys {
            let _ = slow_keys(data, &mut self.pressed);
        }
    }

    /// What was shown since this was last asked.
    pub(crate) fn take_shown(&mut self) -> Option<Bytes> {
        let shown = std::mem::take(&mut self.shown);
        (!shown.is_empty()).then(|| shown.into())
    }

    /// The keys since this was last asked, and whether each went down.
    pub(crate) fn take_pressed(&mut self) -> Vec<(Key, bool)> {
        std::mem::take(&mut self.pressed)
    }

    /// The frame that has the target paint all of its screen, where it is time for that: this is asked
    /// every five seconds. A screen that stands still is not painted again and again.
    pub(crate) fn repaint(&mut self, user: u16, channel: u16) -> Option<Bytes> {
        self.looks += 1;
        if std::mem::take(&mut self.paints) {
            self.since = 0;
        }
        let screen = self.screen.filter(|screen| screen.repaints)?;
        if self.since < MUCH || self.looks < APART {
            return None;
        }
        (self.looks, self.paints) = (0, true);
        send_request(user, channel, &screen.refresh(user)).ok().map(Bytes::from)
    }
}

/// Whether a target tells of its screen.
pub(crate) fn is_demand(data: &[u8]) -> bool {
    Screen::demanded(data).is_some()
}

impl Screen {
    /// As a Demand Active tells; `None`: it is something else.
    fn demanded(data: &[u8]) -> Option<Self> {
        let is_demand = u16_at(data, 2).ok()? & 0xf == DEMAND_ACTIVE;
        let length = usize::from(u16_at(data, 0).ok()?);
        let body = data.get(..length).filter(|_| is_demand)?;
        let share = u32_at(body, 6).ok()?;
        let source = usize::from(u16_at(body, 10).ok()?);
        let mut sets = body.get(CAPABILITIES + source..)?;
        let mut screen = Self { share, width: 0, height: 0, repaints: false };
        while let Ok(length) = u16_at(sets, 2).map(usize::from) {
            let Some((set, rest)) = sets.split_at_checked(length.max(4)) else { break };
            match u16_at(set, 0).ok()? {
                GENERAL => screen.repaints = set.get(REPAINTS).is_some_and(|byte| *byte != 0),
                BITMAP => {
                    screen.width = u16_at(set, WIDTH).ok()?;
                    screen.height = u16_at(set, WIDTH + 2).ok()?;
                }
                _ => {}
            }
            sets = rest;
        }
        Some(screen)
    }

    /// A Refresh Rect of all of it.
    fn refresh(&self, user: u16) -> Vec<u8> {
        let area = [0, 0, self.width.saturating_sub(1), self.height.saturating_sub(1)];
        let mut data = Vec::with_capacity(REFRESH_LENGTH.into());
        for part in [REFRESH_LENGTH, DATA, user] {
            data.extend(part.to_le_bytes());
        }
        data.extend(self.share.to_le_bytes());
        // Padding, the stream's priority, and how much follows from here on.
        data.extend([0, LOW]);
        data.extend((REFRESH_LENGTH - 14).to_le_bytes());
        data.extend([REFRESH_RECT, 0, 0, 0]);
        data.extend([1, 0, 0, 0]);
        data.extend(area.iter().flat_map(|place| place.to_le_bytes()));
        data
    }
}

/// Whether a frame of the fast path draws what can be shown again: neither by orders nor with what came
/// before it (MS-RDPBCGR 2.2.9.1.2.1).
fn is_drawn_fast(frame: &[u8]) -> Result<(), Fault> {
    let mut rest = fast_body(frame).ok_or(Fault::Cut)?;
    if frame[0] >> 6 != 0 {
        return Err(Fault::Undrawn);
    }
    while let [head, more @ ..] = rest {
        let (flags, more) = match (head >> 6, more) {
            (0, _) => (0, more),
            (_, [flags, more @ ..]) => (*flags, more),
            // What is no update draws nothing.
            (_, []) => return Ok(()),
        };
        let Ok(length) = u16_at(more, 0) else { return Ok(()) };
        let Some((update, after)) = more[2..].split_at_checked(length.into()) else {
            return Ok(());
        };
        let begins = head >> 4 & 1 == 0;
        let draws =
            head & 0xf == FAST_ORDERS && begins && update.iter().take(2).any(|byte| *byte != 0);
        if draws || flags & COMPRESSED != 0 {
            return Err(Fault::Undrawn);
        }
        rest = after;
    }
    Ok(())
}

/// Whether what is said on the target's own channel shows something or says how.
fn shows(data: &[u8]) -> Result<bool, Fault> {
    let mut rest = data;
    let mut shows = false;
    while let (Ok(length), Ok(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let Some((said, more)) = rest.split_at_checked(usize::from(length).max(4)) else { break };
        let (update, flags) = (said.get(14), said.get(15));
        match (kind & 0xf, update) {
            (DEMAND_ACTIVE | DEACTIVATE, _) => shows = true,
            (DATA_KIND, Some(&(UPDATE | CONTROL | POINTER | SYNCHRONIZE | FONT_MAP))) => {
                let is_compressed = flags.is_some_and(|flags| flags & COMPRESSED != 0);
                let orders = said.get(SHARE_DATA..).is_some_and(|orders| {
                    orders.starts_with(&[0, 0])
                        && orders.get(4..6).is_some_and(|count| count != [0, 0])
                });
                if is_compressed || (update == Some(&UPDATE) && orders) {
                    return Err(Fault::Undrawn);
                }
                shows = true;
            }
            _ => {}
        }
        rest = more;
    }
    Ok(shows)
}

/// The keys in a frame of the fast path.
fn fast_keys(frame: &[u8], to: &mut Vec<(Key, bool)>) -> Result<(), Fault> {
    let head = frame.first().ok_or(Fault::Cut)?;
    let mut rest = fast_body(frame).ok_or(Fault::Cut)?;
    let mut count = head >> 2 & 0xf;
    if count == 0 {
        let (first, more) = rest.split_first().ok_or(Fault::Cut)?;
        (count, rest) = (*first, more);
    }
    for _ in 0..count {
        let (event, more) = rest.split_first().ok_or(Fault::Cut)?;
        let (flags, kind) = (event & 0x1f, event >> 5);
        let length = match kind {
            0 => 1,
            3 => 0,
            4 => 2,
            6 => 4,
            1 | 2 | 5 => 6,
            _ => return Err(Fault::Cut),
        };
        let (data, more) = more.split_at_checked(length).ok_or(Fault::Cut)?;
        let prefix = if flags & 2 != 0 { 0xe000 } else { 0 };
        let key = match (kind, data) {
            (0, [code]) => Some(Key::Code(prefix | u16::from(*code))),
            (4, [low, high]) => Some(Key::Unit(u16::from_le_bytes([*low, *high]))),
            _ => None,
        };
        to.extend(key.map(|key| (key, flags & 1 == 0)));
        rest = more;
    }
    Ok(())
}

/// The same of what is said on the target's own channel.
fn slow_keys(data: &[u8], to: &mut Vec<(Key, bool)>) -> Result<(), Fault> {
    let is_input = u16_at(data, 2)? & 0xf == DATA & 0xf && data.get(14) == Some(&INPUT);
    if !is_input {
        return Ok(());
    }
    let count = usize::from(u16_at(data, SHARE_DATA)?);
    let events = data.get(SHARE_DATA + 4..).ok_or(Fault::Cut)?;
    for event in events.chunks_exact(SLOW_EVENT).take(count) {
        let (flags, code) = (u16_at(event, 6)?, u16_at(event, 8)?);
        let prefix = if flags & 0x100 != 0 { 0xe000 } else { 0 };
        let key = match u16_at(event, 4)? {
            4 => Some(Key::Code(prefix | (code & 0xff))),
            5 => Some(Key::Unit(code)),
            _ => None,
        };
        to.extend(key.map(|key| (key, flags & 0x8000 == 0)));
    }
    Ok(())
}

/// Looks between two repaints.
const APART: u32 = 4;
/// Bytes of pictures after which it is worth it.
const MUCH: usize = 512 << 10;

const DEMAND_ACTIVE: u16 = 1;
const DEACTIVATE: u16 = 6;
const DATA_KIND: u16 = 7;
const DATA: u16 = 0x17;
// Kinds of Data PDUs (2.2.8.1.1.1.2).
const UPDATE: u8 = 2;
const CONTROL: u8 = 20;
const POINTER: u8 = 27;
const SYNCHRONIZE: u8 = 31;
const FONT_MAP: u8 = 40;
/// Of an update: that it is read with what came before it.
const COMPRESSED: u8 = 0x20;
/// Of an update of the fast path: that it is orders.
const FAST_ORDERS: u8 = 0;
const INPUT: u8 = 28;
const REFRESH_RECT: u8 = 33;
const LOW: u8 = 1;
/// How long a Refresh Rect of one area is, from its own length on.
const REFRESH_LENGTH: u16 = 18 + 4 + 8;
/// The headers before the content of a Data PDU.
const SHARE_DATA: usize = 18;
const SLOW_EVENT: usize = 12;

/// Where the sets of a Demand Active begin, but for the length of the source's name.
const CAPABILITIES: usize = 18;
const GENERAL: u16 = 1;
const REPAINTS: usize = 22;
const BITMAP: u16 = 2;
const WIDTH: usize = 12;
