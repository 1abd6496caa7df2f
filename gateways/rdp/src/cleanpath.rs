//! RDCleanPath: how a page asks for a target, and what it is answered. The relay speaks TLS with the
//! target and hands the rest on.

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use ironrdp_rdcleanpath::{DetectionResult, RDCleanPath, RDCleanPathPdu, der};
use rustls::pki_types::CertificateDer;
use secrecy::SecretString;

use crate::frame::{Fault, SEQUENCE};
use crate::negotiation::{Protocols, offered};

/// What a page asks for. The destination that it names is not looked at.
pub struct Request {
    /// What it was given for this one connection.
    pub ticket: SecretString,
    pub(crate) offered: Protocols,
}

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("the line ended before its request")]
    Left,
    #[error("no request is that long")]
    Long,
    #[error("bytes that are no request")]
    Strange,
    #[error("its first frame is not understood")]
    Frame(#[from] Fault),
}

impl Request {
    /// Reads the first message of a line, to its end: nothing may follow it yet.
    pub async fn read(
        line: &mut (impl Stream<Item = Bytes> + Unpin),
    ) -> Result<Self, RequestError> {
        let mut bytes = BytesMut::new();
        loop {
            if bytes.first().is_some_and(|first| *first != SEQUENCE) {
                return Err(RequestError::Strange);
            }
            match RDCleanPathPdu::detect(&bytes) {
                DetectionResult::Detected { total_length, .. } if total_length > MOST => {
                    return Err(RequestError::Long);
                }
                DetectionResult::Detected { total_length, .. } if bytes.len() >= total_length => {
                    return Self::parse(&bytes);
                }
                DetectionResult::Failed => return Err(RequestError::Strange),
                DetectionResult::Detected { .. } | DetectionResult::NotEnoughBytes => {}
            }
            if bytes.len() > MOST {
                return Err(RequestError::Long);
            }
            bytes.extend_from_slice(&line.next().await.ok_or(RequestError::Left)?);
        }
    }

    /// Reads a whole request.
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        let read = RDCleanPathPdu::from_der(bytes).map_err(|_| RequestError::Strange)?;
        match read.into_enum().map_err(|_| RequestError::Strange)? {
            RDCleanPath::Request { proxy_auth, x224_connection_request, .. } => Ok(Self {
                ticket: proxy_auth.into(),
                offered: offered(x224_connection_request.as_bytes())?,
            }),
            RDCleanPath::Response { .. }
            | RDCleanPath::GeneralErr(_)
            | RDCleanPath::NegotiationErr { .. } => Err(RequestError::Strange),
        }
    }
}

/// Why a page is given no target, as RDCleanPath has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum No {
    Http(u16),
    /// A number of Windows' sockets.
    Socket(u16),
    /// An alert of TLS.
    Alert(u8),
    /// The target's own answer.
    Negotiation(Vec<u8>),
}

pub(crate) fn yes(confirm: Vec<u8>, chain: &[CertificateDer<'_>]) -> Result<Bytes, der::Error> {
    let chain = chain.iter().map(|certificate| certificate.to_vec());
    // Where the target is, is nobody's business.
    let answer = RDCleanPathPdu::new_response(NOWHERE.to_owned(), confirm, chain)?;
    Ok(answer.to_der()?.into())
}

pub(crate) fn no(why: &No) -> Bytes {
    let answer = match why {
        No::Http(status) => RDCleanPathPdu::new_http_error(*status),
        No::Socket(number) => RDCleanPathPdu::new_wsa_error(*number),
        No::Alert(number) => RDCleanPathPdu::new_tls_error(*number),
        No::Negotiation(answer) => RDCleanPathPdu::new_negotiation_error(answer.clone())
            .unwrap_or_else(|_| RDCleanPathPdu::new_general_error()),
    };
    // Numbers: there is always a form.
    answer.to_der().unwrap_or_default().into()
}

const NOWHERE: &str = "0.0.0.0:3389";
const MOST: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use futures_util::stream::iter;
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::negotiation::request;

    fn asked() -> Vec<u8> {
        let frame = request(Protocols::ALL);
        let (to, ticket) = ("10.0.0.1:3389".to_owned(), "a ticket".to_owned());
        RDCleanPathPdu::new_request(frame, to, ticket, None).unwrap().to_der().unwrap()
    }

    #[tokio::test]
    async fn a_request_is_read_however_it_comes() {
        for size in [1, 7, 1000] {
            let asked = asked();
            let parts: Vec<_> = asked.chunks(size).map(Bytes::copy_from_slice).collect();
            let read = Request::read(&mut iter(parts)).await.unwrap();
            assert_eq!(read.ticket.expose_secret(), "a ticket");
            assert_eq!(read.offered, Protocols::ALL);
        }
    }

    #[tokio::test]
    async fn what_is_no_request_is_told_apart() {
        let read = async |bytes: &[u8]| {
            Request::read(&mut iter([Bytes::copy_from_slice(bytes)])).await.map(drop)
        };
        let asked = asked();
        assert!(matches!(read(&asked[..30]).await, Err(RequestError::Left)));
        assert!(matches!(read(b"GET / HTTP/1.1").await, Err(RequestError::Strange)));
        let long = [&[0x30, 0x83, 1, 0, 0, 0xa0, 4, 2, 2, 0x0d, 0x3e][..], &[0; 32]].concat();
        assert!(matches!(read(&long).await, Err(RequestError::Long)));
        assert!(matches!(read(&no(&No::Http(403))).await, Err(RequestError::Strange)));
    }
}
