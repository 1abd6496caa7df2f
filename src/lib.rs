//! The relay: doors, authentication, policy, connectors and agents, and the order in which they
//! start and stop.

mod accounts;
mod acme;
mod admin;
pub mod agents;
pub mod api;
pub mod authn;
mod browsers;
pub mod ca;
mod certificates;
pub mod commands;
pub mod config;
pub mod connectors;
pub mod database;
mod deliver;
pub mod desktops;
mod ends;
pub mod host_keys;
pub mod init;
mod limits;
mod lines;
mod listen;
mod lobby;
mod memory;
pub mod notify;
pub mod oidc;
pub mod playbacks;
pub mod policy;
mod portal;
mod qr;
mod rdp_file;
mod retention;
mod scim;
mod seen;
pub mod serve;
pub mod state;
pub mod statements;
pub mod terminals;
pub mod tokens;
mod traces;

pub use certificates::{Certificates, PairError};
pub use deliver::Deliveries;
pub use ends::Ends;
pub use notify::Notices;
pub use seen::Sightings;
pub use state::{AgentIdentity, AppState, Peer, RelayInfo};
