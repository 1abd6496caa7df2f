//! Why there is no connection, or no stream on it.

use std::io;
use std::time::Duration;

use access::EndReason;
use quinn::ConnectionError;
use wire::Refusal;

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

pub(crate) fn reason(code: quinn::VarInt) -> EndReason {
    EndReason::from_number(u32::try_from(code.into_inner()).unwrap_or(u32::MAX))
}
