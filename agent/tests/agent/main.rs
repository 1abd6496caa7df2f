//! The command as its users meet it: the real program against a small relay.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod help;
mod program;
mod relay;
mod sessions;
mod signing_in;
