//! From a token and a name to a grant.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use access::{
    Application, Authenticated, Clipboard, Code, Context, Deny, Explain, Grant, Kind,
    PolicySnapshot,
};
use session::{AuditEvent, Broker, Door, OpenError, Session, with_cause};

use crate::proto::Withheld;

/// Why no session opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the token is not for the machine that is asked for")]
    Other,
    #[error("access was refused")]
    Denied(#[from] Deny),
    #[error("the application is no desktop")]
    Kind,
    #[error("the session did not open")]
    Open(#[from] OpenError),
}

/// Opens a session with the application that the token is for, or records why not. Its names are the
/// only ones that `names` may be: what else a client asks for is refused, not led elsewhere.
pub(crate) async fn open(
    broker: &Broker,
    who: &Authenticated,
    names: &[String],
    domain: &str,
) -> Result<Session, Refused> {
    let now = SystemTime::now();
    match decide(&broker.policy(), who, (names, domain), now) {
        Ok(grant) => Ok(broker.open(grant, Door::Rdp, now).await?),
        Err(error) => {
            let asked = names.first().map(String::as_str).unwrap_or_default();
            let why = (error.code(), with_cause(&error));
            broker.audit().note(AuditEvent::denied(Door::Rdp, who, asked, why));
            Err(error)
        }
    }
}

/// What the grant that would open withholds, before a client has said what it wants; nothing where none
/// would.
pub(crate) fn withheld(policy: &PolicySnapshot, who: &Authenticated) -> Withheld {
    let grant = own(policy, who).map_err(Refused::from);
    let grant = grant.and_then(|application| granted(policy, who, &application, SystemTime::now()));
    let Ok(grant) = grant else { return Withheld::default() };
    let terms = grant.terms();
    let clipboard = terms.clipboard == Clipboard::Off;
    Withheld { drives: !terms.file_transfer, printers: !terms.printer, clipboard }
}

fn decide(
    policy: &PolicySnapshot,
    who: &Authenticated,
    (names, domain): (&[String], &str),
    now: SystemTime,
) -> Result<Grant, Refused> {
    let application = own(policy, who)?;
    if !names.iter().any(|name| is_called(&application, name, domain)) {
        return Err(Refused::Other);
    }
    granted(policy, who, &application, now)
}

fn granted(
    policy: &PolicySnapshot,
    who: &Authenticated,
    application: &Arc<Application>,
    now: SystemTime,
) -> Result<Grant, Refused> {
    let context = Context::native(who.from(), application);
    let grant = policy.authorize(who, application, context, now)?;
    // Told only to whom a rule opens it.
    if application.kind == Kind::Rdp { Ok(grant) } else { Err(Refused::Kind) }
}

/// The application of the token.
fn own(policy: &PolicySnapshot, who: &Authenticated) -> Result<Arc<Application>, Deny> {
    let id = who.bound().ok_or(Deny::Kind)?;
    policy.application(id).cloned().ok_or(Deny::Gone)
}

/// Whether a client means this application by a name of a machine.
fn is_called(application: &Application, name: &str, domain: &str) -> bool {
    let name = name.trim_end_matches('.');
    let (label, own) = (application.label(), application.name.as_str());
    let dotted = format!("{own}.{}", application.site.name);
    let full = format!("{label}.{domain}");
    [own, &label, &dotted, &full].iter().any(|known| known.eq_ignore_ascii_case(name))
}

impl Explain for Refused {
    fn code(&self) -> Code {
        match self {
            Self::Other | Self::Kind => Deny::NoRule.code(),
            Self::Denied(error) => error.code(),
            Self::Open(error) => error.code(),
        }
    }

    fn public(&self) -> Cow<'static, str> {
        match self {
            Self::Other | Self::Kind => Deny::NoRule.public(),
            Self::Denied(error) => error.public(),
            Self::Open(error) => error.public(),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Other | Self::Kind => Deny::NoRule.hint(),
            Self::Denied(error) => error.hint(),
            Self::Open(error) => error.hint(),
        }
    }
}
