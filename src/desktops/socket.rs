//! One line of a page's: a WebSocket whose binary frames are bytes of RDCleanPath, and then of RDP.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::{SinkExt as _, Stream, StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::{Desktops, Over};
use crate::listen::afterwards::Line;
use crate::terminals::{Seat, Sink, Source, frame};

impl Desktops {
    /// Speaks with a page until either has enough.
    pub(crate) async fn serve(self: Arc<Self>, line: Line, seat: Seat) {
        let Line { io, early } = line;
        let (early, config) = (early.into(), Some(config()));
        let socket = WebSocketStream::from_partially_read(io, early, Role::Server, config).await;
        let (mut sink, source) = socket.split();
        let (pieces, queue) = mpsc::channel(PIECES);
        let over = {
            let mut running = pin!(self.run(&seat, Box::pin(bytes(source)), pieces));
            let mut sending = pin!(send(&mut sink, queue));
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
        drop(timeout(FAREWELL, sink.send(close(&over))).await);
    }
}

/// What a page says, until it leaves, is silent for too long or says what is no bytes.
fn bytes(source: Source) -> impl Stream<Item = Bytes> + Send {
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

/// Sends what is said, and asks every now and then whether the browser is there.
async fn send(sink: &mut Sink, mut queue: mpsc::Receiver<Bytes>) {
    let mut signs = interval_at(Instant::now() + SIGN, SIGN);
    loop {
        let message = tokio::select! {
            biased;
            _ = signs.tick() => Message::Ping(Bytes::new()),
            piece = queue.recv() => match piece {
                Some(piece) => Message::Binary(piece),
                None => return,
            },
        };
        if !matches!(timeout(STALL, sink.send(message)).await, Ok(Ok(()))) {
            return;
        }
    }
}

fn close(over: &Over) -> Message {
    let reason = Utf8Bytes::from_static(over.code.0);
    Message::Close(Some(CloseFrame { code: CloseCode::from(over.number()), reason }))
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MOST_UNWRITTEN)
        .max_message_size(Some(MOST_FRAME))
        .max_frame_size(Some(MOST_FRAME))
}

/// A frame of RDP is at most half of that.
const MOST_FRAME: usize = 128 * 1024;
const BUFFER: usize = 16 * 1024;
const MOST_UNWRITTEN: usize = 512 * 1024;
/// Pieces on their way to a browser, each at most what a target said at once.
const PIECES: usize = 4;
const SIGN: Duration = Duration::from_secs(15);
/// For one frame to be taken.
const STALL: Duration = Duration::from_secs(30);
const FAREWELL: Duration = Duration::from_millis(500);
