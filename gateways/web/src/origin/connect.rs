//! A new connection to an origin: dialled, in TLS where it wants that, and which HTTP it speaks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use session::Session;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::io::{Counted, OriginIo};
use super::{Multiplex, OriginError, Single};
use crate::target::{HTTP_2, Http, Target};

/// What a new connection turned out to speak.
pub(super) enum Line {
    Single(Single),
    Multiplex(Multiplex),
}

/// Dials the session's application and begins to speak HTTP with it: HTTP/2 where it is told to or
/// the origin picks it.
pub(super) async fn connect(session: &Session, target: &Target) -> Result<Line, OriginError> {
    let stream = dial(session).await?;
    let (io, picked) = match &target.tls {
        None => (OriginIo::Plain(stream), None),
        Some(tls) => {
            let io = secured(stream, tls.config.clone(), tls.name.clone()).await?;
            let picked = io.picked().is_some_and(|protocol| protocol == HTTP_2);
            (io, Some(picked))
        }
    };
    match (target.http, picked) {
        (Http::Two, Some(false)) => Err(OriginError::NoHttp2),
        (Http::Two, _) | (Http::Either, Some(true)) => {
            Multiplex::begin(io).await.map(Line::Multiplex)
        }
        (Http::One, _) | (Http::Either, Some(false) | None) => {
            Single::begin(io).await.map(Line::Single)
        }
    }
}

/// As [`connect`], for a request that only HTTP/1.1 can carry.
pub(super) async fn connect_single(
    session: &Session,
    target: &Target,
) -> Result<Single, OriginError> {
    let stream = dial(session).await?;
    let io = match &target.tls {
        None => OriginIo::Plain(stream),
        Some(tls) => secured(stream, tls.single.clone(), tls.name.clone()).await?,
    };
    Single::begin(io).await
}

async fn dial(session: &Session) -> Result<Counted, OriginError> {
    Ok(Counted::new(session.dial().await?, session.counters().clone()))
}

async fn secured(
    stream: Counted,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<OriginIo, OriginError> {
    let handshake = TlsConnector::from(config).connect(name, stream);
    match timeout(HANDSHAKE, handshake).await {
        Ok(Ok(stream)) => Ok(OriginIo::Tls(Box::new(stream))),
        Ok(Err(error)) => Err(OriginError::Tls(error)),
        Err(_) => Err(OriginError::Tls(io::ErrorKind::TimedOut.into())),
    }
}

const HANDSHAKE: Duration = Duration::from_secs(10);
