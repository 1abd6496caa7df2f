//! The chain that the records of the audit log form, so that none can be changed, left out or put
//! in without it showing. What the relay computes when it stores a record, an auditor can compute
//! again from an export: `docs/audit.md` has the same in thirty lines of Python.
//!
//! INVARIANT: nothing in this crate performs I/O, reads a clock, draws randomness or spawns a task.

mod canonical;
mod hash;
mod head;
mod line;
mod verify;

pub use canonical::{EventError, canonical};
pub use hash::{Hash, HashError, Record};
pub use head::{Head, HeadError, HeadKey};
pub use line::{Line, LineError};
pub use verify::{Damage, Kind, Verifier};
