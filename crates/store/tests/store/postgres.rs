//! The store's promises, kept on a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod acme;
mod audit;
mod bench;
mod chain;
mod configuration;
mod deliveries;
mod documents;
mod dumps;
mod ended;
mod keys;
mod machines;
mod opening;
mod passwords;
mod relays;
mod requests;
mod second_factors;
mod secrets;
mod settings;
mod statements;
mod support;
mod tokens;
mod transfer;

const ENGINE: store::Engine = store::Engine::Postgres;
