//! Every text a client of the door is told.

use access::text::visible;
use access::{Code, EndReason, Explain};

use crate::proto::{LoginFault, Told};
use crate::scan::Fault;

/// An explained failure, with its code and what to do next.
pub(crate) fn explain(failure: &dyn Explain) -> Told {
    let (number, sqlstate) = kind(failure.code());
    told(number, sqlstate, &failure.public(), failure.code(), failure.hint().as_deref())
}

/// Why a session is over, with what the admin who ended it said.
pub(crate) fn over(reason: EndReason, said: Option<&str>) -> Told {
    let said = said.map(|said| format!(": {}", visible(said))).unwrap_or_default();
    let what = format!("{}{said}", reason.public());
    told(SHUTDOWN.0, SHUTDOWN.1, &what, reason.code(), reason.hint().as_deref())
}

/// Messages that are none.
pub(crate) fn fault(fault: Fault) -> Told {
    violation(&fault.to_string())
}

pub(crate) fn login(fault: LoginFault) -> Told {
    match fault {
        LoginFault::Old | LoginFault::NoPlugins => told(
            UNSUPPORTED.0,
            UNSUPPORTED.1,
            &fault.to_string(),
            Code("protocol.violation"),
            Some("use a client of MySQL 5.7 or MariaDB 10.2, or a newer one"),
        ),
        LoginFault::Length | LoginFault::Sequence | LoginFault::Layout | LoginFault::Text => {
            violation(&fault.to_string())
        }
    }
}

pub(crate) fn violation(what: &str) -> Told {
    told(VIOLATION.0, VIOLATION.1, what, Code("protocol.violation"), None)
}

pub(crate) fn tls_required() -> Told {
    let hint = "connect with --ssl, or better --ssl-verify-server-cert (MySQL: --ssl-mode=VERIFY_IDENTITY)";
    told(3159, "HY000", "this door is open over TLS only", Code("tls.required"), Some(hint))
}

pub(crate) fn no_replication() -> Told {
    told(
        UNSUPPORTED.0,
        UNSUPPORTED.1,
        "replication does not pass this door",
        Code("database.replication"),
        Some("`adit tunnel APP` carries it where a grant allows raw bytes"),
    )
}

pub(crate) fn foreign_kill() -> Told {
    told(
        1095,
        "HY000",
        "only connections of your own can be killed here",
        Code("database.kill"),
        Some("KILL [QUERY] and the number that the connection was given, alone in its statement"),
    )
}

pub(crate) fn other_database() -> Told {
    let hint = "a grant opens only the databases it names";
    told(1044, "42000", "access was refused", Code("access.denied"), Some(hint))
}

pub(crate) fn no_files() -> Told {
    let what = "your access does not let files through, and LOCAL is one of yours";
    let hint = "ask an admin; other statements work as before";
    // `ER_NOT_ALLOWED_COMMAND`
    told(1148, "42000", what, Code("access.file_transfer"), Some(hint))
}

/// What is told of the one who wants to be somebody else than the session is for.
pub(crate) fn other_user() -> Told {
    let hint = "connect anew for that";
    let what = "a connection changes its user to the same one and application only";
    told(AUTHORIZATION.0, AUTHORIZATION.1, what, Code("access.denied"), Some(hint))
}

pub(crate) fn too_slow() -> Told {
    let what = "no token was shown in time";
    told(AUTHORIZATION.0, AUTHORIZATION.1, what, Code("authn.slow"), None)
}

fn told(number: u16, sqlstate: &'static str, what: &str, code: Code, hint: Option<&str>) -> Told {
    let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    Told { number, sqlstate, message: format!("adit: {what} ({code}){hint}") }
}

/// The number and class by which drivers tell what kind of failure it is.
fn kind(code: Code) -> (u16, &'static str) {
    match code.0 {
        "session.drained" | "store.unavailable" | "audit.unavailable" => SHUTDOWN,
        "session.full" | "relay.memory" | "authn.throttled" => (1040, "08004"),
        "connector.offline" => UNREACHABLE,
        dial if dial.starts_with("dial.") => UNREACHABLE,
        target if target.starts_with("target.") => UNREACHABLE,
        session if session.starts_with("session.") && session != "session.required" => SHUTDOWN,
        _ => AUTHORIZATION,
    }
}

/// `ER_ACCESS_DENIED_ERROR`.
const AUTHORIZATION: (u16, &str) = (1045, "28000");
/// `ER_SERVER_SHUTDOWN`.
const SHUTDOWN: (u16, &str) = (1053, "08S01");
/// `ER_CONNECT_TO_FOREIGN_DATA_SOURCE`: the numbers from 2000 on are clients' own.
const UNREACHABLE: (u16, &str) = (1429, "HY000");
/// `ER_MALFORMED_PACKET`.
const VIOLATION: (u16, &str) = (1835, "HY000");
/// `ER_NOT_SUPPORTED_YET`.
const UNSUPPORTED: (u16, &str) = (1235, "42000");
