//! Every text a client of the door is told.

use access::text::visible;
use access::{Code, EndReason, Explain};

use crate::proto::{StartupFault, Told};
use crate::scan::Fault;

/// An explained failure, with its code and what to do next.
pub(crate) fn explain(failure: &dyn Explain) -> Told {
    Told {
        sqlstate: sqlstate(failure.code()),
        message: format!("adit: {} ({})", failure.public(), failure.code()),
        hint: failure.hint().map(std::borrow::Cow::into_owned),
    }
}

/// Why a session is over, with what the admin who ended it said.
pub(crate) fn over(reason: EndReason, said: Option<&str>) -> Told {
    let said = said.map(|said| format!(": {}", visible(said))).unwrap_or_default();
    Told {
        sqlstate: ADMIN_SHUTDOWN,
        message: format!("adit: {}{said} ({})", reason.public(), reason.code()),
        hint: reason.hint().map(std::borrow::Cow::into_owned),
    }
}

/// Messages that are none.
pub(crate) fn fault(fault: Fault) -> Told {
    violation(&fault.to_string())
}

pub(crate) fn startup(fault: StartupFault) -> Told {
    let sqlstate = match fault {
        StartupFault::NoUser => AUTHORIZATION,
        StartupFault::Version { .. } => UNSUPPORTED,
        StartupFault::Length | StartupFault::Layout | StartupFault::Text => VIOLATION,
    };
    Told { sqlstate, ..violation(&fault.to_string()) }
}

pub(crate) fn violation(what: &str) -> Told {
    Told {
        sqlstate: VIOLATION,
        message: format!("adit: {what} ({})", Code("protocol.violation")),
        hint: None,
    }
}

pub(crate) fn tls_required() -> Told {
    Told {
        sqlstate: AUTHORIZATION,
        message: format!("adit: this door is open over TLS only ({})", Code("tls.required")),
        hint: Some("connect with sslmode=require, or better verify-full".to_owned()),
    }
}

pub(crate) fn no_replication() -> Told {
    Told {
        sqlstate: UNSUPPORTED,
        message: format!("adit: replication does not pass here ({})", Code("database.replication")),
        hint: Some(
            "an admin allows logical replication on the application (`--replication yes`); \
             `adit tunnel APP` carries all of it where a grant allows raw bytes"
                .to_owned(),
        ),
    }
}

pub(crate) fn no_physical_replication() -> Told {
    Told {
        sqlstate: UNSUPPORTED,
        message: format!(
            "adit: physical replication never passes here ({})",
            Code("database.replication")
        ),
        hint: Some(
            "`adit tunnel APP` carries it where a grant allows raw bytes; of one database pg_dump \
             makes a copy, or logical replication, where an admin allows it (`--replication yes`)"
                .to_owned(),
        ),
    }
}

pub(crate) fn too_slow() -> Told {
    Told {
        sqlstate: AUTHORIZATION,
        message: format!("adit: no token was shown in time ({})", Code("authn.slow")),
        hint: None,
    }
}

/// Said with the server's word that a database is not there which nobody has named.
pub(crate) const NAME_ONE: &str =
    "the client named no database, so the user's name stands for it; name one, as in psql -d NAME";

/// The class by which drivers tell what kind of failure it is.
fn sqlstate(code: Code) -> &'static str {
    match code.0 {
        "authn.failed" | "token.expired" | "token.revoked" | "token.used_up" => "28P01",
        "session.drained" | "store.unavailable" | "audit.unavailable" => "57P03",
        "session.full" | "relay.memory" | "authn.throttled" => "53300",
        "connector.offline" => "08001",
        dial if dial.starts_with("dial.") => "08001",
        target if target.starts_with("target.") => "08001",
        session if session.starts_with("session.") && session != "session.required" => {
            ADMIN_SHUTDOWN
        }
        _ => AUTHORIZATION,
    }
}

const ADMIN_SHUTDOWN: &str = "57P01";
const AUTHORIZATION: &str = "28000";
const UNSUPPORTED: &str = "0A000";
const VIOLATION: &str = "08P01";
