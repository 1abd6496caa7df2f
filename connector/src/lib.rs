//! The connector: a daemon in a site that dials out to its relay, and dials targets when the relay
//! asks and its own list allows.

pub mod allow;
mod backoff;
pub mod cli;
pub mod config;
pub mod dial;
pub mod doctor;
pub mod join;
mod limits;
pub mod run;
pub mod serve;
pub mod status;

/// Program and version, as peers and lists show it.
pub const SOFTWARE: &str = concat!("adit-connector ", env!("CARGO_PKG_VERSION"));
