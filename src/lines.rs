//! Lines of browsers: the WebSockets of the portal's pages, and who speaks on them.

use std::net::SocketAddr;
use std::time::Duration;

use access::{Authenticated, SignInId};
use axum::body::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::listen::afterwards::{Line, Stream};

/// Who speaks on a line.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) who: Authenticated,
    pub(crate) sign_in: SignInId,
    pub(crate) peer: SocketAddr,
}

pub(crate) type Socket = WebSocketStream<Box<dyn Stream>>;
pub(crate) type Sink = SplitSink<Socket, Message>;
pub(crate) type Source = SplitStream<Socket>;

/// What a line takes at most, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// Of one frame of the browser's.
    pub(crate) frame: usize,
    /// Of frames that the browser has not taken yet.
    pub(crate) unwritten: usize,
}

/// The relay's side of a line.
pub(crate) async fn begin(line: Line, bounds: Bounds) -> Socket {
    let Line { io, early } = line;
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(bounds.unwritten)
        .max_message_size(Some(bounds.frame))
        .max_frame_size(Some(bounds.frame));
    WebSocketStream::from_partially_read(io, early.into(), Role::Server, Some(config)).await
}

/// The next frame of a browser that is there.
pub(crate) async fn frame(source: &mut Source) -> Option<Message> {
    timeout(SILENCE, source.next()).await.ok()??.ok()
}

/// Sends pieces until there are no more or the browser takes none, and asks every now and then whether
/// it is there.
pub(crate) async fn feed(sink: &mut Sink, mut pieces: mpsc::Receiver<Bytes>) {
    let mut signs = interval_at(Instant::now() + SIGN, SIGN);
    loop {
        let message = tokio::select! {
            biased;
            _ = signs.tick() => Message::Ping(Bytes::new()),
            piece = pieces.recv() => match piece {
                Some(piece) => Message::Binary(piece),
                None => return,
            },
        };
        if !matches!(timeout(STALL, sink.send(message)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// The frame that ends a line.
pub(crate) fn close(number: u16, reason: &'static str) -> Message {
    let reason = Utf8Bytes::from_static(reason);
    Message::Close(Some(CloseFrame { code: CloseCode::from(number), reason }))
}

const BUFFER: usize = 16 * 1024;
/// Between two questions whether the browser is there, which every browser answers by itself.
pub(crate) const SIGN: Duration = Duration::from_secs(15);
/// Without any answer: it is not there any more.
const SILENCE: Duration = Duration::from_secs(45);
/// For one frame to be taken.
pub(crate) const STALL: Duration = Duration::from_secs(30);
/// For the last words to be heard.
pub(crate) const FAREWELL: Duration = Duration::from_millis(500);
/// What a line is closed with of which nothing became.
pub(crate) const CLOSE_REFUSED: u16 = 4101;
