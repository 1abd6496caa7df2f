//! One line of a browser's: a WebSocket, from its first frame to its last.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::messages::{Asked, Order, Refusal, Told, sized};
use super::running::Over;
use super::{Attached, Terminal, Terminals, files};
use crate::lines::{
    Bounds, CLOSE_REFUSED, FAREWELL, SIGN, STALL, Seat, Sink, Socket, Source, begin, close, frame,
};
use crate::listen::afterwards::Line;

impl Terminals {
    /// Speaks with a browser until either has enough.
    pub(crate) async fn serve(self: Arc<Self>, line: Line, seat: Seat) {
        let mut socket = begin(line, BOUNDS).await;
        let refused = match first(&mut socket).await {
            Ok(Asked::Files(asked)) => match self.files(&seat, &asked).await {
                Ok(place) => return files::carry(socket, place).await,
                Err(refusal) => refusal,
            },
            Ok(Asked::Open(open)) => match Box::pin(self.open(&seat, open)).await {
                Ok(attached) => return show(socket, attached).await,
                Err(refusal) => refusal,
            },
            Ok(Asked::Resume(resume)) => match self.resume(&seat, &resume).await {
                Ok(attached) => return show(socket, attached).await,
                Err(refusal) => refusal,
            },
            Err(refusal) => refusal,
        };
        let (mut sink, mut source) = socket.split();
        let Refusal { code, reason } = refused;
        let end = Told::End { code: code.0, reason, status: None };
        part(&mut sink, &mut source, &end, CLOSE_REFUSED).await;
    }
}

async fn first(socket: &mut Socket) -> Result<Asked, Refusal> {
    let late = || Refusal::invalid("nothing was asked for in time");
    match timeout(FIRST, socket.next()).await {
        Ok(Some(Ok(Message::Text(text)))) => read(&text),
        Ok(Some(Ok(_))) => Err(Refusal::invalid("the first frame says what is wanted")),
        Ok(Some(Err(_)) | None) | Err(_) => Err(late()),
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, Refusal> {
    if text.len() > MOST_TEXT {
        return Err(Refusal::invalid("a text frame is too long"));
    }
    serde_json::from_str(text).map_err(|error| Refusal::invalid(error.to_string()))
}

/// Shows a terminal, and types what is typed.
async fn show(socket: Socket, attached: Attached) {
    let Attached { terminal, opened, pieces, over, shown } = attached;
    let (sink, source) = socket.split();
    let (replies, asked) = mpsc::channel(REPLIES);
    let down = Down { sink, pieces, asked, over };
    tokio::select! {
        biased;
        () = down.run(&opened) => {}
        () = up(source, &terminal, &replies, &shown) => {}
    }
}

/// Reads frames until the browser leaves, is silent for too long, or says what nobody understands.
async fn up(
    mut source: Source,
    terminal: &Terminal,
    replies: &mpsc::Sender<Told>,
    shown: &watch::Sender<u64>,
) {
    while let Some(message) = frame(&mut source).await {
        let order = match message {
            Message::Binary(bytes) => {
                // A program that is over takes nothing; its end is told.
                drop(terminal.writer.write(bytes).await);
                continue;
            }
            Message::Text(text) => match read(&text) {
                Ok(order) => order,
                Err(Refusal { reason, .. }) => {
                    tracing::debug!(reason, "A browser said what nobody understands");
                    break;
                }
            },
            Message::Close(_) => break,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        match order {
            Order::Resize { columns, rows } => {
                let (columns, rows) = sized(columns, rows);
                drop(terminal.writer.resize(columns, rows).await);
            }
            Order::Seen(count) => {
                shown.send_replace(count);
            }
            // One that asks faster than it reads has no use for the answers.
            Order::Ping(at) => drop(replies.try_send(Told::Pong(at))),
            Order::Files { secret } => {
                if terminal.announce(&secret).is_ok() {
                    drop(replies.try_send(Told::Files {}));
                }
            }
            Order::Close {} => {
                terminal.within.leave().await;
                // Its end is told by the other direction.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// What goes to the browser.
struct Down {
    sink: Sink,
    pieces: mpsc::Receiver<Bytes>,
    asked: mpsc::Receiver<Told>,
    over: oneshot::Receiver<Over>,
}

impl Down {
    async fn run(mut self, opened: &Told) {
        let mut signs = interval_at(Instant::now() + SIGN, SIGN);
        let mut next = Some(text(opened));
        loop {
            let message = match next.take() {
                Some(message) => message,
                None => tokio::select! {
                    biased;
                    over = &mut self.over => return self.finish(over.ok()).await,
                    Some(told) = self.asked.recv() => text(&told),
                    _ = signs.tick() => Message::Ping(Bytes::new()),
                    Some(piece) = self.pieces.recv() => Message::Binary(piece),
                },
            };
            let stalled = tokio::select! {
                biased;
                sent = timeout(STALL, self.sink.send(message)) => !matches!(sent, Ok(Ok(()))),
                over = &mut self.over => return self.finish(over.ok()).await,
            };
            if stalled {
                return;
            }
        }
    }

    async fn finish(mut self, over: Option<Over>) {
        let Some(over) = over else { return };
        let told = async {
            while let Ok(piece) = self.pieces.try_recv() {
                if self.sink.send(Message::Binary(piece)).await.is_err() {
                    return;
                }
            }
            let (told, number) = over.told();
            let reason = code(&told);
            if self.sink.send(text(&told)).await.is_ok() {
                drop(self.sink.send(close(number, reason)).await);
            }
        };
        drop(timeout(FAREWELL, told).await);
    }
}

/// Says why it is over, and waits a moment for the browser to have heard it.
pub(super) async fn part(sink: &mut Sink, source: &mut Source, told: &Told, number: u16) {
    let reason = code(told);
    let parting = async {
        if sink.send(text(told)).await.is_ok() && sink.send(close(number, reason)).await.is_ok() {
            while let Some(Ok(_)) = source.next().await {}
        }
    };
    drop(timeout(FAREWELL, parting).await);
}

fn code(told: &Told) -> &'static str {
    match told {
        Told::End { code, .. } => code,
        Told::Opened { .. } | Told::Pong(_) | Told::Files {} => "",
    }
}

pub(super) fn text(told: &Told) -> Message {
    // Texts and numbers: there is always a form.
    Message::Text(serde_json::to_string(told).unwrap_or_default().into())
}

/// What is typed or pasted comes in smaller ones, and files are written in pieces of 32 KiB.
const BOUNDS: Bounds = Bounds { frame: 64 * 1024, unwritten: 256 * 1024 };
const MOST_TEXT: usize = 4 * 1024;
/// Answers to a browser's own questions that wait.
const REPLIES: usize = 8;
/// From the handshake to the first frame.
const FIRST: Duration = Duration::from_secs(10);
