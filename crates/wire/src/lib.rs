//! What agent, relay and connector say to each other: frames, messages, versions, liveness.
//!
//! INVARIANT: nothing in this crate performs I/O, reads a clock or spawns a task. Bytes and the
//! current time are arguments.

mod frame;
mod liveness;
mod message;
mod version;

pub use frame::{FrameError, Inbox, MAX_FRAME, encode};
pub use liveness::{Action, Liveness};
pub use message::{
    Control, Dial, Examined, Fetch, Finding, Forward, Header, Mode, Open, Refusal, RelayAt, Reply,
};
pub use version::{ALPN, ALPN_API, VERSIONS, VersionRange, WITH_UPDATES};
