//! What messages on every virtual channel have before them (MS-RDPBCGR 2.2.6.1.1).

use crate::frame::{Fault, u32_at};

/// What becomes of a part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    Passes,
    Dropped,
    /// In its place goes a list of nothing, so that who sent it is answered.
    Emptied,
}

/// Whether a part begins and whether it ends a message.
pub(crate) fn ends(part: &[u8]) -> Result<(bool, bool), Fault> {
    let flags = u32_at(part, 4)?;
    match flags & COMPRESSED {
        0 => Ok((flags & FIRST != 0, flags & LAST != 0)),
        _ => Err(Fault::Unreadable),
    }
}

/// Length of the whole message, and flags.
pub(crate) const PART_HEAD: usize = 8;
pub(crate) const FIRST: u32 = 1;
pub(crate) const LAST: u32 = 2;
pub(crate) const SHOWN: u32 = 0x10;
const COMPRESSED: u32 = 0x00e0_0000;
