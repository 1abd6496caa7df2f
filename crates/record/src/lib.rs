//! Recordings of sessions: sealed files, written as it happens. docs/recordings.md has their form.
//!
//! INVARIANT: what is in a file is sealed with a key of that session alone; a frame that is not
//! whole, or not in its place, does not open.

mod archive;
mod commands;
mod frame;
mod line;
mod place;
mod reading;
mod retain;
mod scan;
mod screen;
mod search;
mod shown;
mod typed;
mod vt;
mod writing;

pub use archive::{Archive, ArchiveError};
pub use commands::commands;
#[doc(hidden)]
pub use commands::found;
pub use frame::RecordingsKey;
#[doc(hidden)]
pub use line::Lines;
pub use reading::{Mark, ReadError, Reading};
pub use retain::{RetainError, Since};
pub use scan::{Bounds, Part, Waiting};
pub use search::{SearchPlace, Sought};
pub use shown::LONGEST_TEXT;
