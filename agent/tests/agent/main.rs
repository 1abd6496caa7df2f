//! The command as its users meet it: the real program against a small relay.

mod help;
mod program;
mod relay;
mod sessions;
mod signing_in;
