//! One HTTP/1.1 connection to an origin, driven by whoever uses it: it has no task of its own, and
//! ends with the request that holds it.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::OriginError;
use super::io::OriginIo;
use crate::body::Upload;

/// A connection that carries one request at a time.
pub(crate) struct Single {
    pub(super) sender: SendRequest<Upload>,
    driver: Box<Connection<TokioIo<OriginIo>, Upload>>,
    /// The connection will do no more.
    over: bool,
    /// Since when nobody uses it.
    pub(super) idle: Instant,
}

impl Single {
    /// Begins to speak HTTP/1.1.
    pub(super) async fn begin(io: OriginIo) -> Result<Self, OriginError> {
        let mut http = http1::Builder::new();
        http.max_buf_size(MAX_BUFFER);
        let handshake = http.handshake(TokioIo::new(io)).await;
        let (sender, driver) = handshake.map_err(OriginError::Broken)?;
        Ok(Self { sender, driver: Box::new(driver), over: false, idle: Instant::now() })
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
        let parts = (*self.driver).into_parts();
        (parts.io.into_inner(), parts.read_buf)
    }
}

/// Of an answer's head, and of what is read ahead of its reader.
const MAX_BUFFER: usize = 256 * 1024;
