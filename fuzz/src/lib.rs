//! What is promised of each parser that meets strangers' bytes, for whatever bytes there are.
//!
//! A target takes bytes and panics where a promise is broken. `cargo xtask fuzz` looks for such
//! bytes with libFuzzer; what it learnt lies in `corpus/`, and the tests replay that.

// Panicking is how a target says that a promise is broken.
#![expect(clippy::panic, reason = "a fuzz target panics on a finding")]

mod databases;
mod menu;
mod mysql;
mod names;
mod passkeys;
mod rdgateway;
mod rdp;
mod recorded;
mod redis;
mod requests;
mod sftp;
mod tunnel;

/// A parser and what is promised of it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its folder below `corpus/`.
    pub name: &'static str,
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "token", run: names::token },
    Target { name: "ssh_user_name", run: names::ssh_user_name },
    Target { name: "ssh_shown_text", run: names::ssh_shown_text },
    Target { name: "ssh_menu", run: menu::keys },
    Target { name: "sftp", run: sftp::seen },
    Target { name: "names", run: names::names },
    Target { name: "hours", run: names::hours },
    Target { name: "tunnel_header", run: tunnel::header },
    Target { name: "tunnel_control", run: tunnel::control },
    Target { name: "http_request", run: requests::http },
    Target { name: "postgres_first", run: databases::first_packet },
    Target { name: "postgres_conversation", run: databases::conversation },
    Target { name: "redis_conversation", run: redis::conversation },
    Target { name: "redis_replies", run: redis::replies },
    Target { name: "mysql_login", run: mysql::login },
    Target { name: "mysql_conversation", run: mysql::conversation },
    Target { name: "mysql_text", run: mysql::text },
    Target { name: "passkey", run: passkeys::brought },
    Target { name: "rdgateway_packets", run: rdgateway::packets },
    Target { name: "rdp_first", run: rdp::first },
    Target { name: "rdp_conversation", run: rdp::conversation },
    Target { name: "rdp_recorded", run: rdp::recorded },
    Target { name: "recorded_output", run: recorded::output },
    Target { name: "typed_commands", run: recorded::commands },
    Target { name: "typed_input", run: recorded::typed },
    Target { name: "asciicast", run: recorded::asciicast },
    Target { name: "replayed_terminal", run: recorded::replayed },
    Target { name: "admin_document", run: requests::document },
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}

/// The bytes as text, where they are any.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
