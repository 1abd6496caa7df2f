//! Why there is no connection, or no stream on it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use access::text::in_full;
use access::{EndReason, Explain};
use quinn::ConnectionError;
use wire::Refusal;

use crate::carrier::Transport;
use crate::proxy::ProxyError;
use crate::tls::Intercepted;

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    #[error("closed on this side")]
    Here,
    #[error("the peer did not answer")]
    Silent,
    #[error("the peer closed it: {why} ({})", reason.as_str())]
    Peer { reason: EndReason, why: String },
    #[error("the peer has restarted")]
    Restarted,
    #[error("the connection broke: {detail}")]
    Broken { detail: String },
}

impl From<ConnectionError> for Closed {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => Self::Peer {
                reason: reason(close.error_code),
                why: String::from_utf8_lossy(&close.reason).into_owned(),
            },
            ConnectionError::LocallyClosed => Self::Here,
            ConnectionError::TimedOut => Self::Silent,
            ConnectionError::Reset => Self::Restarted,
            ConnectionError::VersionMismatch
            | ConnectionError::TransportError(_)
            | ConnectionError::ConnectionClosed(_)
            | ConnectionError::CidsExhausted => Self::Broken { detail: error.to_string() },
        }
    }
}

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{host:?} does not resolve")]
    Resolve { host: String, source: io::Error },
    #[error("no UDP socket")]
    Socket { source: io::Error },
    #[error("the keys or certificates on this side are not usable")]
    Tls { source: crate::tls::TlsError },
    #[error("{name:?} is no name for a server")]
    ServerName { name: String },
    #[error("the QUIC handshake failed")]
    Handshake { source: ConnectionError },
    #[error("{address} does not answer")]
    Tcp { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Proxy {
        #[from]
        source: ProxyError,
    },
    #[error("the TLS handshake failed")]
    Shake { source: io::Error },
    #[error(transparent)]
    Intercepted {
        #[from]
        source: Intercepted,
    },
    #[error("the server gave no WebSocket")]
    WebSocket { source: Box<tokio_tungstenite::tungstenite::Error> },
    #[error("no way leads to the relay: {}", list(.tried))]
    NoWay { tried: Vec<(Transport, ConnectError)> },
    #[error("the connection was over before the greeting")]
    Closed { source: Closed },
    #[error("the peer showed no certificate")]
    NoCertificate,
    #[error("the peer's certificate is not readable")]
    Certificate { source: crate::certificate::CertificateError },
    #[error("the greeting broke off")]
    Greeting { source: io::Error },
    #[error("the peer did not greet as agreed")]
    Protocol,
    #[error("refused")]
    Refused { source: Refusal },
    #[error("no answer within {after:?}")]
    TimedOut { after: Duration },
}

/// Why a session's stream was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The other side's own answer.
    #[error("refused")]
    Refused { source: Refusal },
    #[error("the connection broke")]
    Broken { source: io::Error },
    #[error("the answer is not one this version knows")]
    Unknown,
}

impl ConnectError {
    /// Whether the relay itself has answered, so that another way would lead to the same answer.
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// What is wrong on the way and what helps, where that is known.
    pub fn explain(&self) -> Option<&dyn Explain> {
        match self.telling() {
            Self::Intercepted { source } => Some(source),
            Self::Proxy { source } => Some(source),
            _ => None,
        }
    }

    /// The one that tells most of several, where several ways failed.
    pub fn telling(&self) -> &Self {
        let Self::NoWay { tried } = self else { return self };
        let rank = |error: &Self| match error {
            Self::Refused { .. } => 0,
            Self::Intercepted { .. } => 1,
            Self::Proxy { .. } => 2,
            Self::Resolve { .. } => 3,
            _ => 4,
        };
        tried.iter().map(|(_, error)| error).min_by_key(|error| rank(error)).unwrap_or(self)
    }
}

fn list(tried: &[(Transport, ConnectError)]) -> String {
    let told = tried.iter().map(|(transport, error)| format!("{transport}: {}", in_full(error)));
    told.collect::<Vec<_>>().join("; ")
}

pub(crate) fn reason(code: quinn::VarInt) -> EndReason {
    EndReason::from_number(u32::try_from(code.into_inner()).unwrap_or(u32::MAX))
}
