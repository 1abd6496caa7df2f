//! End to end: the three programs as they are shipped, real clients, real servers.
//!
//! Each test has a deployment of its own. Tests in `alone` and `ladder` measure time or count descriptors, and
//! the test runner gives them the machine for themselves (`.config/nextest.toml`).

mod alone;
mod api;
mod audit;
mod clients;
mod connectors;
mod databases;
mod demo;
mod desktop;
mod drivers;
mod hardening;
mod host_keys;
mod hostile;
mod interop;
mod ladder;
mod ldap;
mod mysql;
mod notices;
mod operation;
mod portal;
mod postgres;
mod rdp_gateway;
mod recorded_terminals;
mod recording;
mod redis;
mod relays;
mod secrets;
mod ssh;
mod ssh_certificates;
mod ssh_matrix;
mod support;
mod takeover;
mod targets;
mod tokens;
mod transfer;
mod tunnel;
mod updates;
mod web;
