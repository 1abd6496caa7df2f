//! The connector: a daemon in a site that dials out to its relay, and dials targets when the relay
//! asks and its own list allows.

pub mod allow;
mod backoff;
pub mod claim;
pub mod cli;
pub mod config;
pub mod control;
pub mod dial;
pub mod doctor;
pub mod join;
mod key;
mod limits;
pub mod orders;
pub mod relays;
pub mod run;
pub mod serve;
pub mod status;
pub mod update;

/// Program and version, as peers and lists show it.
pub const SOFTWARE: &str = concat!("adit-connector ", env!("CARGO_PKG_VERSION"));

/// Which program it is.
pub const PROGRAM: &str = "adit-connector";

/// The version alone, as [`SOFTWARE`] says it: there is one text that says it.
pub fn version_text() -> &'static str {
    SOFTWARE.rsplit(' ').next().unwrap_or_default()
}

/// The version that this build is.
pub fn version() -> ::update::Version {
    version_text().parse().unwrap_or(::update::Version::new(0, 0, 0))
}
