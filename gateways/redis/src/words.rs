//! Every text a client of the door is told: errors, one line each.

use access::text::visible;
use access::{Code, EndReason, Explain};

use crate::commands::Refusal;
use crate::proto::Fault;

/// An explained failure, with its code and what to do next.
pub(crate) fn explain(failure: &dyn Explain) -> Vec<u8> {
    let hint = failure.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    let code = failure.code();
    error(kind(code), &format!("{} ({code}){hint}", failure.public()))
}

/// Why a session is over, with what the admin who ended it said.
pub(crate) fn over(reason: EndReason, said: Option<&str>) -> Vec<u8> {
    let said = said.map(|said| format!(": {}", visible(said))).unwrap_or_default();
    let hint = reason.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    error("ERR", &format!("{}{said} ({}){hint}", reason.public(), reason.code()))
}

/// What is no command, or no reply.
pub(crate) fn fault(fault: Fault) -> Vec<u8> {
    // As a server begins it, so that clients know what kind it is.
    line(&format!("-ERR Protocol error: adit: {fault} ({})", Code("protocol.violation")))
}

/// A command that does not go on.
pub(crate) fn refused(refusal: Refusal) -> Vec<u8> {
    match refusal {
        Refusal::Replication => {
            let code = Code("database.replication");
            error("NOPERM", &format!("replication does not pass this door ({code})"))
        }
        Refusal::Silence => command("CLIENT REPLY does not pass this door"),
        Refusal::InTransaction => command("that can not be part of a transaction at this door"),
        Refusal::Database => {
            command("the rule names databases, and that leads or may lead to another one")
        }
    }
}

fn command(what: &str) -> Vec<u8> {
    error("NOPERM", &format!("{what} ({})", Code("database.command")))
}

pub(crate) fn tls_required() -> Vec<u8> {
    let code = Code("tls.required");
    error("ERR", &format!("this door is open over TLS only ({code}); use rediss:// or --tls"))
}

pub(crate) fn too_slow() -> Vec<u8> {
    error("NOAUTH", &format!("no token was shown in time ({})", Code("authn.slow")))
}

/// Somebody else than the one whose session it is.
pub(crate) fn another() -> Vec<u8> {
    let code = Code("database.another");
    let what = "that is not whose connection this is, or another application";
    error("WRONGPASS", &format!("{what} ({code}); open a connection of its own"))
}

fn error(kind: &str, what: &str) -> Vec<u8> {
    line(&format!("-{kind} adit: {what}"))
}

fn line(text: &str) -> Vec<u8> {
    format!("{}\r\n", text.replace(['\r', '\n'], " ")).into_bytes()
}

/// The word by which drivers tell what kind of failure it is.
fn kind(code: Code) -> &'static str {
    match code.0 {
        "authn.failed" | "token.expired" | "token.revoked" | "token.used_up" => "WRONGPASS",
        access if access.starts_with("access.") => "NOPERM",
        "database.no_account" => "NOPERM",
        _ => "ERR",
    }
}

/// As real servers answer who has not signed in.
pub(crate) const NO_AUTH: &[u8] = b"-NOAUTH Authentication required.\r\n";
pub(crate) const NO_AUTH_HELLO: &[u8] = b"-NOAUTH HELLO must be called with the client already \
authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate \
the client and select the RESP protocol version at the same time\r\n";
pub(crate) const ARGUMENTS: &[u8] = b"-ERR wrong number of arguments for 'auth' command\r\n";
pub(crate) const VERSION: &[u8] = b"-NOPROTO unsupported protocol version\r\n";
pub(crate) const SYNTAX: &[u8] = b"-ERR syntax error in HELLO\r\n";
pub(crate) const OK: &[u8] = b"+OK\r\n";
pub(crate) const RESET: &[u8] = b"+RESET\r\n";
