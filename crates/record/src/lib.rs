//! Recordings of sessions: sealed files, written as it happens. docs/recordings.md has their form.
//!
//! INVARIANT: what is in a file is sealed with a key of that session alone; a frame that is not
//! whole, or not in its place, does not open.

mod archive;
mod frame;
mod line;
mod place;
mod reading;
mod writing;

pub use archive::{Archive, ArchiveError};
pub use frame::RecordingsKey;
#[doc(hidden)]
pub use line::Lines;
pub use reading::{Mark, ReadError, Reading};
