//! A line for files beside a terminal: the SSH file transfer protocol, which the page speaks itself.
//! The SSH door looks at it as at any client's, allows and records it.

use access::{EndReason, Explain as _};
use axum::body::Bytes;
use futures_util::StreamExt as _;
use gateway_ssh::{Reader, Said, Writer};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_tungstenite::tungstenite::Message;

use super::messages::Told;
use super::socket::part;
use crate::lines::{Socket, Source, feed, frame};

/// A channel for files, and its place among those of its terminal.
pub(super) struct Place {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) permit: OwnedSemaphorePermit,
}

/// Carries a line for files to its end.
pub(super) async fn carry(socket: Socket, place: Place) {
    let Place { reader, writer, permit: _permit } = place;
    let (mut sink, mut source) = socket.split();
    let (pieces, queue) = mpsc::channel(AHEAD);
    let told = tokio::select! {
        biased;
        why = read(reader, &pieces) => Some(why),
        () = up(&mut source, &writer) => None,
        () = feed(&mut sink, queue) => None,
    };
    writer.close().await;
    if let Some(told) = told {
        part(&mut sink, &mut source, &told, CLOSE_FILES).await;
    }
}

/// Reads ahead of the browser, so that the terminal beside it need not wait; says how it ended.
async fn read(mut reader: Reader, pieces: &mpsc::Sender<Bytes>) -> Told {
    let mut why = Vec::new();
    loop {
        match reader.next().await {
            Some(Said::Output(bytes)) => drop(pieces.send(bytes).await),
            Some(Said::Error(bytes)) => {
                why.extend_from_slice(&bytes[..bytes.len().min(MOST_WORDS - why.len())]);
            }
            Some(Said::Status(_)) => {}
            None => break,
        }
    }
    let said = String::from_utf8_lossy(&why);
    let said = said.trim().trim_start_matches("adit: ");
    let (code, over) = (EndReason::Closed.code().0, EndReason::Closed.public());
    let reason = if said.is_empty() { over.into_owned() } else { said.to_owned() };
    Told::End { code, reason, status: None }
}

async fn up(source: &mut Source, writer: &Writer) {
    while let Some(message) = frame(source).await {
        match message {
            Message::Binary(bytes) => {
                if writer.write(bytes).await.is_err() {
                    // It is over, and that is told by what was read of it.
                    std::future::pending::<()>().await;
                }
            }
            Message::Text(_) | Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

/// Pieces read ahead of the browser. It asks for less than that at one time.
const AHEAD: usize = 32;
/// Of why a transfer could not begin.
const MOST_WORDS: usize = 1024;
const CLOSE_FILES: u16 = 4000;
