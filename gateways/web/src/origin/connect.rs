//! A new connection to an origin: dialled, in TLS where it wants that, and which HTTP it speaks.

use std::sync::Arc;

use rustls::ClientConfig;
use session::{DialError, Session};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::io::{Counted, OriginIo};
use super::{Multiplex, OriginError, Single};
use crate::target::{HTTP_2, Http, Target, Tls};

/// What a new connection turned out to speak.
pub(super) enum Line {
    Single(Single),
    Multiplex(Multiplex),
}

/// Dials one of the application's origins and begins to speak HTTP with it: HTTP/2 where it is told to or
/// the origin picks it.
pub(super) async fn connect(session: &Session, target: &Target) -> Result<Line, OriginError> {
    let offer = |tls: &Tls| tls.config.clone();
    let io = in_time(target, reach(session, target, offer)).await?;
    match (target.http, io.picked().map(|protocol| protocol == HTTP_2)) {
        (Http::Two, _) if target.tls.is_none() => Multiplex::begin(io).await.map(Line::Multiplex),
        (Http::Two | Http::Either, Some(true)) => Multiplex::begin(io).await.map(Line::Multiplex),
        (Http::Two, Some(false) | None) => Err(OriginError::NoHttp2),
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
    let offer = |tls: &Tls| tls.single.clone();
    let io = in_time(target, reach(session, target, offer)).await?;
    Single::begin(io).await
}

async fn in_time(
    target: &Target,
    reaching: impl Future<Output = Result<OriginIo, OriginError>>,
) -> Result<OriginIo, OriginError> {
    let after = target.connect;
    let reached = timeout(after, reaching).await;
    reached.unwrap_or_else(|_| Err(DialError::TimedOut { after }.into()))
}

async fn reach(
    session: &Session,
    target: &Target,
    offer: fn(&Tls) -> Arc<ClientConfig>,
) -> Result<OriginIo, OriginError> {
    let stream = Counted::new(session.dial_nth(target.nth).await?, session.counters().clone());
    let Some(tls) = &target.tls else { return Ok(OriginIo::Plain(stream)) };
    let handshake = TlsConnector::from(offer(tls)).connect(tls.name.clone(), stream);
    Ok(OriginIo::Tls(Box::new(handshake.await.map_err(OriginError::Tls)?)))
}
