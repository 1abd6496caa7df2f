//! Why a desktop does not open, and in which words a person and a page are told.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use access::{Code, Deny, EndReason, Explain, Side, Unfound};
use session::{DialError, OpenError};

use crate::cleanpath::No;
use crate::credssp::LoginError;
use crate::frame::Fault;
use crate::negotiation::Failure;

/// Why somebody gets no desktop.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Unfound(#[from] Unfound),
    #[error("access was refused")]
    Denied(#[from] Deny),
    #[error("the application is of another kind")]
    Kind,
    #[error("the session did not open")]
    Open(#[from] OpenError),
    #[error("the session ended before its desktop was there")]
    Ended { reason: EndReason, words: Option<Arc<str>> },
    #[error("the page left before its desktop was there")]
    Left,
    #[error("the target could not be used")]
    Target(#[from] TargetError),
}

/// Why a target could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the application's options can not be used: {0}")]
    Options(String),
    #[error("what the relay keeps of the target could not be read: {0}")]
    Unreadable(String),
    #[error("the stored credential is no password, or there is none")]
    NoCredential,
    #[error("the target speaks no TLS")]
    NoTls { answer: Option<Vec<u8>> },
    #[error("the target does not go on ({why:?})")]
    Negotiation { why: Failure, answer: Vec<u8> },
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    #[error("the target shows another certificate: {shown}, known is {known}")]
    Changed { known: String, shown: String },
    #[error("the login failed")]
    Login(#[source] Box<LoginError>),
    #[error("the connection broke")]
    Broken(#[from] io::Error),
    #[error("the target says what is not understood")]
    Strange(#[from] Fault),
    #[error("no desktop within {after:?}")]
    TimedOut { after: Duration },
}

impl From<LoginError> for TargetError {
    fn from(error: LoginError) -> Self {
        Self::Login(Box::new(error))
    }
}

impl TargetError {
    /// How a session ends that got no further.
    pub(crate) fn outcome(&self) -> (EndReason, Side) {
        match self {
            Self::Dial(error) => error.outcome(),
            Self::Options(_)
            | Self::Unreadable(_)
            | Self::NoCredential
            | Self::NoTls { .. }
            | Self::Negotiation { .. }
            | Self::Handshake(_)
            | Self::Changed { .. }
            | Self::Login(_)
            | Self::Broken(_)
            | Self::Strange(_)
            | Self::TimedOut { .. } => (EndReason::Failed, Side::Target),
        }
    }

    fn no(&self) -> No {
        match self {
            Self::Dial(error) => match error {
                DialError::Refused => No::Socket(10061),
                DialError::Unresolved => No::Socket(11001),
                DialError::Unreachable => No::Socket(10065),
                DialError::TimedOut { .. } => No::Socket(10060),
                DialError::Tunnel { .. } | DialError::Left => No::Socket(10054),
                DialError::NotAllowed => No::Socket(10013),
                DialError::Offline { .. } | DialError::Ended { .. } => No::Http(503),
            },
            Self::Options(_) | Self::Unreadable(_) | Self::NoCredential | Self::Strange(_) => {
                No::Http(502)
            }
            Self::NoTls { answer: None } => No::Http(400),
            Self::NoTls { answer: Some(answer) } | Self::Negotiation { answer, .. } => {
                No::Negotiation(answer.clone())
            }
            Self::Handshake(_) => No::Alert(HANDSHAKE_FAILURE),
            Self::Changed { .. } => No::Alert(BAD_CERTIFICATE),
            Self::Login(_) => No::Http(502),
            Self::Broken(_) => No::Socket(10054),
            Self::TimedOut { .. } => No::Socket(10060),
        }
    }
}

impl Refused {
    /// Why the session ended, where one had begun to.
    pub fn reason(&self) -> Option<EndReason> {
        match self {
            Self::Ended { reason, .. }
            | Self::Target(TargetError::Dial(DialError::Ended { reason })) => Some(*reason),
            Self::Unfound(_)
            | Self::Denied(_)
            | Self::Kind
            | Self::Open(_)
            | Self::Left
            | Self::Target(_) => None,
        }
    }

    /// The same as RDCleanPath has it.
    pub(crate) fn no(&self) -> No {
        match self {
            Self::Unfound(_) | Self::Denied(_) | Self::Kind => No::Http(403),
            Self::Open(_) => No::Http(503),
            Self::Ended { reason, .. } => No::Http(reason.http_status()),
            Self::Left => No::Http(408),
            Self::Target(error) => error.no(),
        }
    }
}

impl Explain for Refused {
    fn code(&self) -> Code {
        match self {
            Self::Unfound(error) => error.code(),
            Self::Denied(error) => error.code(),
            Self::Kind => Deny::NoRule.code(),
            Self::Open(error) => error.code(),
            Self::Ended { reason, .. } => reason.code(),
            Self::Left => EndReason::Broken.code(),
            Self::Target(error) => error.code(),
        }
    }

    fn public(&self) -> Cow<'static, str> {
        match self {
            Self::Unfound(error) => error.public(),
            Self::Denied(error) => error.public(),
            Self::Kind => Deny::NoRule.public(),
            Self::Open(error) => error.public(),
            Self::Ended { reason, words } => told(*reason, words.as_deref()).into(),
            Self::Left => EndReason::Broken.public(),
            Self::Target(error) => error.public(),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Unfound(error) => error.hint(),
            Self::Denied(error) => error.hint(),
            Self::Kind => Deny::NoRule.hint(),
            Self::Open(error) => error.hint(),
            Self::Ended { reason, .. } => reason.hint(),
            Self::Left => EndReason::Broken.hint(),
            Self::Target(error) => error.hint(),
        }
    }
}

impl Explain for TargetError {
    fn code(&self) -> Code {
        match self {
            Self::Dial(error) => error.code(),
            Self::Options(_) => Code("desktop.options"),
            Self::Unreadable(_) => Code("store.unavailable"),
            Self::NoCredential => Code("target.bad_credential"),
            Self::NoTls { .. } | Self::Handshake(_) => Code("target.tls"),
            Self::Negotiation { .. } | Self::Strange(_) => Code("target.handshake"),
            Self::Changed { .. } => Code("target.certificate_changed"),
            Self::Login(_) => Code("target.login_refused"),
            Self::Broken(_) => Code("target.broken"),
            Self::TimedOut { .. } => Code("target.timeout"),
        }
    }

    fn public(&self) -> Cow<'static, str> {
        match self {
            Self::Dial(error) => error.public(),
            Self::Options(_) => "the application's options can not be used".into(),
            Self::Unreadable(_) => "the relay's store does not answer just now".into(),
            Self::NoCredential => "the stored credential of the application can not be used".into(),
            Self::NoTls { .. } => "the desktop's host speaks no TLS that is spoken today".into(),
            Self::Negotiation { .. } => "the desktop's host does not go on".into(),
            Self::Handshake(_) => {
                "the relay does not trust the certificate of the desktop's host, or it speaks no \
                 TLS that is spoken today"
                    .into()
            }
            Self::Changed { .. } => {
                "the desktop's host shows another certificate than it did: somebody may be in \
                 between"
                    .into()
            }
            Self::Login(_) => "the desktop's host refused the login".into(),
            Self::Broken(_) => "the connection to the desktop's host broke".into(),
            Self::Strange(_) => "the desktop's host does not speak RDP as expected".into(),
            Self::TimedOut { .. } => "the desktop's host does not answer".into(),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match self {
            Self::Dial(error) => return error.hint(),
            Self::Options(_) => "an admin checks `rdp` of the application",
            Self::Unreadable(_) | Self::Broken(_) => "try again",
            Self::NoCredential => "an admin sets its account's password again",
            Self::NoTls { .. } => "an admin turns TLS on at the host; Windows before 2016 has none",
            Self::Negotiation { .. } => "the audit log says why; an admin looks at the host",
            Self::Handshake(_) => "an admin checks `rdp` of the application: its CA or pin",
            Self::Changed { .. } => {
                "if its certificate was renewed, an admin says so: `adit admin app \
                 forget-host-key APP`"
            }
            Self::Login(_) => {
                "an admin checks the application's account; the audit log says what was wrong"
            }
            Self::Strange(_) | Self::TimedOut { .. } => {
                "check that RDP is spoken at the application's address"
            }
        }))
    }
}

/// Why a session ended, and what an admin had to say.
pub(crate) fn told(reason: EndReason, words: Option<&str>) -> String {
    match words {
        Some(words) => format!("{}: {words}", reason.public()),
        None => reason.public().into_owned(),
    }
}

const HANDSHAKE_FAILURE: u8 = 40;
const BAD_CERTIFICATE: u8 = 42;
