//! One HTTP/1.1 connection to an origin, driven by whoever uses it: it has no task of its own, and
//! ends with the request that holds it.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use session::Session;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::OriginError;
use super::io::{Counted, OriginIo};
use crate::body::Upload;
use crate::target::Target;

/// A connection that carries one request at a time.
pub(crate) struct Origin {
    pub(super) sender: SendRequest<Upload>,
    driver: Connection<TokioIo<OriginIo>, Upload>,
    /// The connection will do no more.
    over: bool,
    /// Since when nobody uses it.
    pub(super) idle: Instant,
}

impl Origin {
    /// Dials the session's application and begins to speak HTTP, in TLS where it wants that.
    pub(crate) async fn connect(session: &Session, target: &Target) -> Result<Self, OriginError> {
        let stream = Counted::new(session.dial().await?, session.counters().clone());
        let io = match &target.tls {
            None => OriginIo::Plain(stream),
            Some(tls) => secured(stream, tls.config.clone(), tls.name.clone()).await?,
        };
        let mut http = http1::Builder::new();
        http.max_buf_size(MAX_BUFFER);
        let handshake = http.handshake(TokioIo::new(io)).await;
        let (sender, driver) = handshake.map_err(OriginError::Broken)?;
        Ok(Self { sender, driver, over: false, idle: Instant::now() })
    }

    /// Lets the connection do what it can now.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.over && self.driver.poll_without_shutdown(cx).is_ready() {
            self.over = true;
        }
    }

    /// Whether it is still there and takes a request at once.
    pub(super) async fn is_ready(&mut self) -> bool {
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(!self.over && matches!(self.sender.poll_ready(cx), Poll::Ready(Ok(()))))
        })
        .await
    }

    /// The stream under a connection that has changed protocols, and what was read of it already.
    pub(crate) async fn into_io(mut self) -> (OriginIo, Bytes) {
        poll_fn(|cx| {
            self.drive(cx);
            if self.over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let parts = self.driver.into_parts();
        (parts.io.into_inner(), parts.read_buf)
    }
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
/// Of an answer's head, and of what is read ahead of its reader.
const MAX_BUFFER: usize = 256 * 1024;
