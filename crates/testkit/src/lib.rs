//! Real servers and a whole deployment, for tests and for the demo.
//!
//! Everything here is owned: dropping a value ends the processes it started, by their own ids, and
//! removes what it put on the disk. Every wait has a deadline.

mod account;
mod client_ca;
mod crossing;
mod database;
mod deployment;
mod mariadb;
mod network;
mod npm;
mod openssl;
mod path;
mod pebble;
mod picture;
mod ports;
mod postgres;
mod process;
mod pypi;
mod rdp;
mod redis;
mod run;
mod squid;
mod sshd;
mod targets;
mod wait;
mod xrdp;

pub use account::{Account, current_account, is_root};
pub use client_ca::ClientCa;
pub use crossing::{Conditions, Crossing};
pub use database::{Cluster, Database};
pub use deployment::{Builder, ConnectorProcess, Deployment, Doors, bin_dir};
pub use mariadb::MariaDb;
pub use network::OwnNetwork;
pub use npm::node_with;
pub use openssl::self_signed;
pub use path::{Faults, Path};
pub use pebble::{Pebble, PebbleOptions};
pub use picture::Picture;
pub use ports::{free_port, free_udp_port, is_listening};
pub use postgres::{Postgres, PostgresOptions, postgres_binaries};
pub use process::{Process, open_files, peak, resident};
pub use pypi::{SCHEMATHESIS, python_with};
pub use rdp::{RdpSecurity, RdpTarget, Screen, xfreerdp};
pub use redis::Redis;
pub use run::{Output, run, run_with_input};
pub use squid::Squid;
pub use sshd::{Sshd, SshdOptions};
pub use targets::{BlackHole, Echo, Refusing, Resetting, Silent};
pub use wait::{eventually, until};
pub use xrdp::XrdpTarget;
