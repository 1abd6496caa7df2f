//! One line of a page's: a WebSocket whose binary frames are bytes of RDCleanPath, and then of RDP.

use std::pin::pin;
use std::sync::Arc;

use axum::body::Bytes;
use futures_util::{SinkExt as _, Stream, StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::Desktops;
use crate::lines::{Bounds, FAREWELL, Seat, Source, begin, close, feed, frame};
use crate::listen::afterwards::Line;

impl Desktops {
    /// Speaks with a page until either has enough.
    pub(crate) async fn serve(self: Arc<Self>, line: Line, seat: Seat) {
        let (mut sink, source) = begin(line, BOUNDS).await.split();
        let (pieces, queue) = mpsc::channel(PIECES);
        let over = {
            let mut running = pin!(self.run(&seat, Box::pin(bytes(source)), pieces));
            let mut sending = pin!(feed(&mut sink, queue));
            tokio::select! {
                biased;
                over = &mut running => {
                    // What was said last is on its way.
                    drop(timeout(FAREWELL, sending).await);
                    over
                }
                // The browser is gone, which is noticed where something is sent to it.
                () = &mut sending => running.await,
            }
        };
        drop(timeout(FAREWELL, sink.send(close(over.number(), over.code.0))).await);
    }
}

/// What a page says, until it leaves, is silent for too long or says what is no bytes.
pub(crate) fn bytes(source: Source) -> impl Stream<Item = Bytes> + Send {
    stream::unfold(source, async |mut source| {
        loop {
            match frame(&mut source).await? {
                Message::Binary(bytes) => return Some((bytes, source)),
                Message::Text(_) | Message::Close(_) => return None,
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    })
}

/// A frame of RDP is at most half of that.
pub(crate) const BOUNDS: Bounds = Bounds { frame: 128 * 1024, unwritten: 512 * 1024 };
/// Pieces on their way to a browser, each at most what a target said at once.
pub(crate) const PIECES: usize = 4;
