//! Connections to an application's web server, over streams of one session.

mod bell;
mod connect;
mod exchange;
mod io;
mod multiplex;
mod pool;
mod single;

pub(crate) use exchange::{Answer, Carrier, Exchange};
pub(crate) use multiplex::Lane;
pub(crate) use pool::Pool;
pub(crate) use single::Single;

use std::borrow::Cow;
use std::time::Duration;

use access::{Code, Explain};
use session::DialError;
use trust::{Fault, TrustError};

use multiplex::Multiplex;

/// Why an origin gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OriginError {
    #[error("the origin could not be reached")]
    Dial(#[from] DialError),
    #[error("the origin's TLS handshake failed")]
    Tls(#[source] std::io::Error),
    #[error("the application's TLS options can not be used: {0}")]
    Options(String),
    #[error("the origin speaks no HTTP/2")]
    NoHttp2,
    #[error("the origin takes no extended CONNECT")]
    NoWebSocket,
    #[error("no answer within {after:?}")]
    TimedOut { after: Duration },
    #[error("the origin's answer is no sound HTTP, or broke off")]
    Broken(#[source] hyper::Error),
    #[error("the origin closed a new connection at once")]
    Closed,
    #[error("the origin changed protocols unasked")]
    Switched,
}

impl From<TrustError> for OriginError {
    fn from(error: TrustError) -> Self {
        Self::Options(error.detail)
    }
}

impl OriginError {
    /// Its code for those who administer the application, to whom a certificate's fault is named.
    /// Whoever asks is told [`code`](Explain::code).
    pub(crate) fn recorded(&self) -> Code {
        let Self::Tls(error) = self else { return self.code() };
        match Fault::of(error) {
            Some(Fault::SelfSigned) => Code("origin.self_signed"),
            Some(Fault::Issuer) => Code("origin.untrusted"),
            Some(Fault::Name) => Code("origin.wrong_name"),
            Some(Fault::Time) => Code("origin.expired"),
            Some(Fault::Pin) => Code("origin.wrong_pin"),
            None => self.code(),
        }
    }

    /// What whoever administers the application can do about a handshake that failed.
    pub(crate) fn remedy(&self) -> &'static str {
        let Self::Tls(error) = self else { return "" };
        match Fault::of(error) {
            Some(Fault::SelfSigned) => {
                "it is a self-signed certificate of a CA, which may sign others and not be shown: \
                 set it as `ca`, or its SHA-256 as `pin`"
            }
            Some(Fault::Issuer) => {
                "set the CA that signed it as `ca`; or its SHA-256 as `pin`, where nobody did"
            }
            Some(Fault::Name) => "set a name that stands in it as `sni`, or its SHA-256 as `pin`",
            Some(Fault::Time) => "have it renewed, and look at the relay's clock",
            Some(Fault::Pin) => "it was changed: set its SHA-256 as `pin`, once you know why",
            None => "look whether the application speaks TLS at this port",
        }
    }
}

impl Explain for OriginError {
    fn code(&self) -> Code {
        Code(match self {
            Self::Dial(error) => return error.code(),
            Self::Tls(_) => "origin.tls",
            Self::Options(_) => "origin.options",
            Self::NoHttp2 => "origin.http2",
            Self::NoWebSocket => "origin.websocket",
            Self::TimedOut { .. } => "origin.timeout",
            Self::Broken(_) | Self::Closed | Self::Switched => "origin.broken",
        })
    }

    fn public(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Dial(error) => return error.public(),
            Self::Tls(_) => {
                "the relay does not trust the application's certificate, or it speaks no TLS"
            }
            Self::Options(_) => "the application's TLS options can not be used",
            Self::NoHttp2 => "the application is set to HTTP/2 and does not speak it",
            Self::NoWebSocket => "the application takes no WebSocket over HTTP/2",
            Self::TimedOut { .. } => "the application took the request and does not answer",
            Self::Broken(_) | Self::Closed | Self::Switched => {
                "the application's answer broke off or is no HTTP"
            }
        })
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(match self {
            Self::Dial(error) => return error.hint(),
            Self::Tls(_) => {
                "an admin reads in the request log what is wrong, and sets the application's `ca` or \
                 `pin`, or its port"
            }
            Self::Options(_) => {
                "an admin sets the application's `ca` or `pin`, and looks at its port"
            }
            Self::NoHttp2 | Self::NoWebSocket => {
                "an admin leaves out the application's `http`, and looks at its port"
            }
            Self::TimedOut { .. } | Self::Broken(_) | Self::Closed | Self::Switched => {
                "try again; the application's own log says more"
            }
        }))
    }
}
