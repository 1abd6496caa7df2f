//! One HTTP/1.1 connection to an origin, driven by whoever uses it: it has no task of its own, and
//! ends with the request that holds it.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::OriginError;
use super::bell::Bell;
use super::io::OriginIo;
use crate::body::Upload;

/// A connection that carries one request at a time.
pub(crate) struct Single {
    pub(super) sender: SendRequest<Upload>,
    driver: Driver,
    bell: Bell,
    /// Since when nobody uses it.
    pub(super) idle: Instant,
}

/// What reads and writes for it.
struct Driver {
    connection: Box<Connection<TokioIo<OriginIo>, Upload>>,
    /// The connection will do no more.
    over: bool,
}

impl Single {
    /// Begins to speak HTTP/1.1.
    pub(super) async fn begin(io: OriginIo) -> Result<Self, OriginError> {
        let mut http = http1::Builder::new();
        http.max_buf_size(MAX_BUFFER);
        let handshake = http.handshake(TokioIo::new(io)).await;
        let (sender, connection) = handshake.map_err(OriginError::Broken)?;
        let driver = Driver { connection: Box::new(connection), over: false };
        Ok(Self { sender, driver, bell: Bell::new(), idle: Instant::now() })
    }

    /// Polls what comes over the connection. The connection does what it can in between: what is asked
    /// of it is answered in the same turn.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut part: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let driver = &mut self.driver;
        self.bell.poll(cx, |cx, looking| {
            if let Poll::Ready(done) = part(cx) {
                return Poll::Ready(done);
            }
            looking.on();
            driver.drive(cx);
            part(cx)
        })
    }

    /// Whether it is still there and takes a request at once.
    pub(super) async fn is_ready(&mut self) -> bool {
        let Self { sender, driver, bell, .. } = self;
        let mut look = |cx: &mut Context<'_>| {
            driver.drive(cx);
            Poll::Ready(!driver.over && matches!(sender.poll_ready(cx), Poll::Ready(Ok(()))))
        };
        poll_fn(|cx| bell.poll(cx, |cx, _| look(cx))).await
    }

    /// The stream under a connection that has changed protocols, and what was read of it already.
    pub(crate) async fn into_io(self) -> (OriginIo, Bytes) {
        let Self { mut driver, bell, .. } = self;
        let mut end = |cx: &mut Context<'_>| {
            driver.drive(cx);
            if driver.over { Poll::Ready(()) } else { Poll::Pending }
        };
        poll_fn(|cx| bell.poll(cx, |cx, _| end(cx))).await;
        let parts = driver.connection.into_parts();
        (parts.io.into_inner(), parts.read_buf)
    }
}

impl Driver {
    /// Does what it can now.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.over && self.connection.poll_without_shutdown(cx).is_ready() {
            self.over = true;
        }
    }
}

/// Of an answer's head, and of what is read ahead of its reader.
const MAX_BUFFER: usize = 256 * 1024;
