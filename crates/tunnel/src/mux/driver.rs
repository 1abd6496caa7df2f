//! What moves a multiplexed connection's bytes.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use access::EndReason;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use super::record::{self, Record};
use super::stream::Raw;
use super::{Bye, FAREWELL, LAST_WORD, LastWord, MAX_STREAMS, MAX_WINDOWS, Received, Shared, Side};
use crate::closed::Closed;

/// Owns the connection and its first stream, on which the two sides say that they close, and why.
pub(super) struct Driver<T> {
    yamux: yamux::Connection<Compat<BufWriter<Heard<T>>>>,
    side: Side,
    first: First,
    to_open: mpsc::Receiver<oneshot::Sender<yamux::Stream>>,
    opening: Option<oneshot::Sender<yamux::Stream>>,
    arrived: mpsc::Sender<yamux::Stream>,
    said: mpsc::Receiver<LastWord>,
    saying: FuturesUnordered<Saying>,
    /// What is said to the driver now is held until the goodbye is said.
    closing: bool,
}

/// The first stream that the dialling side opens.
enum First {
    Awaited,
    Open(Raw),
    Gone,
}

type Saying = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Driver<T> {
    pub(super) fn new(
        io: Heard<T>,
        side: Side,
        (to_open, said): (mpsc::Receiver<oneshot::Sender<yamux::Stream>>, mpsc::Receiver<LastWord>),
        arrived: mpsc::Sender<yamux::Stream>,
    ) -> Self {
        let mut config = yamux::Config::default();
        config.set_max_connection_receive_window(Some(MAX_WINDOWS));
        config.set_max_num_streams(MAX_STREAMS);
        let mode = match side {
            Side::Dialler => yamux::Mode::Client,
            Side::Listener => yamux::Mode::Server,
        };
        // yamux writes heads and bodies apart; together they are one record of TLS.
        let io = BufWriter::with_capacity(BUFFER, io).compat();
        let yamux = yamux::Connection::new(io, config, mode);
        let saying = FuturesUnordered::new();
        Self {
            yamux,
            side,
            first: First::Awaited,
            to_open,
            opening: None,
            arrived,
            said,
            saying,
            closing: false,
        }
    }

    /// Moves bytes until the connection is over, and says goodbye where it is this side that ends it.
    pub(super) async fn run(mut self, shared: Arc<Shared>) {
        let mut bye = shared.bye.subscribe();
        let ended = tokio::select! {
            biased;
            bye = bye.wait_for(Option::is_some) => Err(bye.ok().and_then(|bye| bye.clone())),
            closed = self.drive() => Ok(closed),
        };
        match ended {
            Ok(closed) => drop(shared.closed.set(closed)),
            Err(bye) => drop(timeout(FAREWELL, self.goodbye(bye)).await),
        }
        // Whoever waits for a stream learns why there is none.
        drop(self);
        shared.slots.close();
        shared.over.send_replace(true);
    }

    async fn drive(&mut self) -> Closed {
        if self.side == Side::Dialler
            && let Err(closed) = self.begin().await
        {
            return closed;
        }
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Opens the first stream.
    async fn begin(&mut self) -> Result<(), Closed> {
        let opened = poll_fn(|cx| self.yamux.poll_new_outbound(cx)).await;
        let mut first = Raw::new(opened.map_err(|error| broken(&error))?);
        let silent = |_| Closed::Broken { detail: "it broke before it began".to_owned() };
        first.send(record::nothing()).await.map_err(silent)?;
        self.first = First::Open(first);
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        loop {
            if let Poll::Ready(closed) = self.poll_first(cx) {
                return Poll::Ready(closed);
            }
            if !self.closing {
                self.poll_last_words(cx);
            }
            if let Poll::Ready(closed) = self.poll_opens(cx) {
                return Poll::Ready(closed);
            }
            match self.yamux.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(stream))) => self.take(stream),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(broken(&error)),
                Poll::Ready(None) => return Poll::Ready(ended()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The first stream tells only that the peer closes.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        loop {
            let First::Open(first) = &mut self.first else { return Poll::Pending };
            match first.poll_next(cx) {
                Poll::Ready(Ok(Some(Record::Close { code, why }))) => {
                    let reason = EndReason::from_number(code);
                    return Poll::Ready(Closed::Peer { reason, why });
                }
                Poll::Ready(Ok(Some(Record::Data(_)))) => {}
                Poll::Ready(Ok(Some(Record::End | Record::Abort { .. }) | None) | Err(_)) => {
                    self.first = First::Gone;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_last_words(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(word)) = self.said.poll_recv(cx) {
            self.saying.push(Box::pin(say(word)));
        }
        while let Poll::Ready(Some(())) = self.saying.poll_next_unpin(cx) {}
    }

    fn poll_opens(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        loop {
            if self.opening.is_none() {
                match self.to_open.poll_recv(cx) {
                    Poll::Ready(Some(answer)) => self.opening = Some(answer),
                    Poll::Ready(None) | Poll::Pending => return Poll::Pending,
                }
            }
            match self.yamux.poll_new_outbound(cx) {
                Poll::Ready(Ok(stream)) => {
                    // Whoever asked may have gone; the stream was not begun yet.
                    drop(self.opening.take().map(|answer| answer.send(stream)));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(broken(&error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn take(&mut self, stream: yamux::Stream) {
        if self.side == Side::Listener && stream.id().val() == FIRST {
            self.first = First::Open(Raw::new(stream));
            return;
        }
        // Dropped, and so reset, where nobody accepts.
        if self.arrived.try_send(stream).is_err() {
            tracing::debug!("Reset a stream that nobody accepted");
        }
    }

    async fn goodbye(&mut self, bye: Option<Bye>) {
        let Some(Bye { reason, why }) = bye else { return };
        self.closing = true;
        let record = record::close(reason.number(), &why);
        let First::Open(mut first) = std::mem::replace(&mut self.first, First::Gone) else {
            return;
        };
        tokio::select! {
            _ = first.send(record) => {}
            _ = poll_fn(|cx| self.poll(cx)) => return,
        }
        // A peer that has heard it ends the connection.
        poll_fn(|cx| self.poll(cx)).await;
    }
}

async fn say(LastWord { yamux, pending, record }: LastWord) {
    let mut raw = Raw::new(yamux);
    let said = async {
        raw.send(pending).await?;
        raw.send(record).await
    };
    drop(timeout(LAST_WORD, said).await);
}

fn broken(error: &yamux::ConnectionError) -> Closed {
    match error {
        yamux::ConnectionError::Closed => ended(),
        error => Closed::Broken { detail: error.to_string() },
    }
}

fn ended() -> Closed {
    Closed::Broken { detail: "the peer ended it without a word".to_owned() }
}

/// Counts what is received: a peer that sends lives, whatever stands in line before its answers.
pub(super) struct Heard<T> {
    io: T,
    received: Arc<Received>,
}

impl<T> Heard<T> {
    pub(super) fn new(io: T, received: Arc<Received>) -> Self {
        Self { io, received }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Heard<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        let count = buffer.filled().len() - before;
        if count > 0 {
            self.received.note(count);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Heard<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The number of the first stream that a dialling side opens.
const FIRST: u32 = 1;
/// For what is written at once.
const BUFFER: usize = 32 * 1024;
