//! The way to the relay: its HTTPS API, enrolment, and the QUIC connection that carries sessions.

mod device;
mod enrol;
mod failures;
mod https;
mod link;

pub use device::Device;
pub use enrol::{Enrolled, login, to_examine, unenrol};
pub use https::api;
pub use link::{Link, Way, open_once};

/// How this program calls itself to the relay.
const SOFTWARE: &str = concat!("adit/", env!("CARGO_PKG_VERSION"));
