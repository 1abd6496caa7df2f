//! A client's connection whose bytes were checked.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use uuid::Uuid;

use super::Malformed;
use super::machine::{Machine, Next};
use crate::answer::WebBody;
use crate::door::malformed;
use crate::headers::asked_upgrade;

/// Hands out only bytes that are sound requests.
///
/// For a head that is not, it hands out a request of its own, the connection's last, so that the
/// refusal is answered in its turn: after the answers to what came before it. [`Ledger::admit`]
/// tells that request from those of the client.
pub struct Guarded<T> {
    io: T,
    ledger: Ledger,
    /// Received and not looked at.
    input: BytesMut,
    /// Sound, to be handed out.
    sound: Bytes,
    ended: bool,
}

/// What the service of a connection and its bytes know of each other.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    machine: Machine,
    /// Heads handed out.
    handed: u64,
    /// Requests the service has seen.
    arrived: u64,
    /// Which head was refused, counted from 1, or was the body of.
    refused: Option<(u64, Malformed)>,
    /// Who waits for an upgrade to be decided.
    waiting: Option<Waker>,
}

/// A request of a connection that has no answer yet.
pub struct Asking {
    ledger: Ledger,
    upgrade: bool,
}

impl Ledger {
    /// Takes note of the connection's next request. To be called for each, in order.
    ///
    /// # Errors
    ///
    /// Gives the answer to a request whose bytes were not sound.
    pub fn admit(&self, request: &Request<Incoming>) -> Result<Asking, Box<Response<WebBody>>> {
        if let Err(error) = self.arrived() {
            return Err(Box::new(malformed(error).into_response(Uuid::new_v4())));
        }
        let new = request.version() == Version::HTTP_11;
        let upgrade = new && asked_upgrade(request.headers()).is_some();
        Ok(Asking { ledger: self.clone(), upgrade })
    }

    /// Counts a request of the connection; an error says that it is none.
    fn arrived(&self) -> Result<(), Malformed> {
        let mut book = self.lock();
        book.arrived += 1;
        match book.refused {
            Some((number, error)) if number == book.arrived => Err(error),
            Some(_) | None => Ok(()),
        }
    }

    /// Why the body of the request under way broke off, where it was not sound.
    pub(crate) fn broken(&self) -> Option<Malformed> {
        let book = self.lock();
        book.refused.filter(|(number, _)| *number == book.arrived).map(|(_, error)| error)
    }

    /// Whether the client sends, or has sent, what no request takes up: the rest of a body, or what
    /// follows a refused request.
    pub fn is_behind(&self) -> bool {
        let book = self.lock();
        book.refused.is_some() || book.machine.in_body()
    }

    /// Says how the upgrade that the last request asked for came out.
    fn decide(&self, switched: bool) {
        let mut book = self.lock();
        book.machine.decide(switched);
        if let Some(waker) = book.waiting.take() {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking {
    /// Says what the request was answered with: whether what follows is another protocol.
    pub fn answered(self, status: StatusCode) {
        if self.upgrade {
            self.ledger.decide(status == StatusCode::SWITCHING_PROTOCOLS);
        }
    }
}

impl Book {
    fn next(&mut self, input: &mut BytesMut) -> io::Result<Next> {
        let head = self.machine.in_head();
        match self.machine.next(input) {
            Ok(Next::Pass(bytes)) => {
                self.handed += u64::from(head);
                Ok(Next::Pass(bytes))
            }
            Ok(next) => Ok(next),
            Err(error) => {
                self.machine.close();
                self.handed += u64::from(head);
                self.refused = Some((self.handed, error));
                match head {
                    true => Ok(Next::Pass(Bytes::from_static(REFUSED))),
                    false => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
                }
            }
        }
    }
}

impl<T> Guarded<T> {
    pub fn new(io: T) -> (Self, Ledger) {
        let ledger = Ledger::default();
        let guarded = Self {
            io,
            ledger: ledger.clone(),
            input: BytesMut::new(),
            sound: Bytes::new(),
            ended: false,
        };
        (guarded, ledger)
    }

    pub fn into_inner(self) -> T {
        self.io
    }
}

impl<T: AsyncRead + Unpin> Guarded<T> {
    /// Receives into the buffer of what is not looked at.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input.reserve(PIECE);
        let reading = std::pin::pin!(self.io.read_buf(&mut self.input));
        self.ended = ready!(reading.poll(cx))? == 0;
        Poll::Ready(Ok(()))
    }

    /// Receives into `buffer` what need not be looked at.
    fn poll_through(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        most: usize,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if most >= buffer.remaining() {
            ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        } else {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut part))?;
            let read = part.filled().len();
            buffer.advance(read);
        }
        self.ledger.lock().machine.passed(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }

    /// Waits for an upgrade to be decided, and notices a client that leaves meanwhile.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ledger.lock().waiting = Some(cx.waker().clone());
        if self.input.len() >= MAX_HELD {
            return Poll::Pending;
        }
        self.poll_fill(cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.sound.is_empty() && !this.ended {
            let (next, unseen) = {
                let mut book = this.ledger.lock();
                (book.next(&mut this.input)?, book.machine.unseen())
            };
            match next {
                Next::Pass(bytes) => this.sound = bytes,
                Next::More if unseen > 0 => return this.poll_through(cx, buffer, unseen),
                Next::More => ready!(this.poll_fill(cx))?,
                Next::Hold => ready!(this.poll_held(cx))?,
                Next::Discard => {
                    this.input.clear();
                    ready!(this.poll_fill(cx))?;
                }
            }
        }
        let count = this.sound.len().min(buffer.remaining());
        buffer.put_slice(&this.sound[..count]);
        this.sound.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Stands for a head that was refused.
const REFUSED: &[u8] = b"GET / HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n";
const PIECE: usize = 8 * 1024;
/// What a client may send ahead of the answer to an upgrade.
const MAX_HELD: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_refused_head_is_answered_in_its_turn() {
        let (mut client, server) = duplex(4096);
        let (mut guarded, ledger) = Guarded::new(server);
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\nHost: x\n\n")
            .await
            .unwrap();
        client.shutdown().await.unwrap();
        let mut handed = Vec::new();
        guarded.read_to_end(&mut handed).await.unwrap();
        assert_eq!(handed, [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], REFUSED].concat());
        assert_eq!(ledger.arrived(), Ok(()));
        assert_eq!(ledger.arrived(), Err(Malformed::LineEnd));
    }

    #[tokio::test]
    async fn a_broken_body_breaks_its_own_request() {
        let (mut client, server) = duplex(4096);
        let (mut guarded, ledger) = Guarded::new(server);
        let head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.write_all(&[&head[..], b"-1\r\nGET /smuggled"].concat()).await.unwrap();
        let mut handed = vec![0; head.len()];
        guarded.read_exact(&mut handed).await.unwrap();
        assert_eq!(ledger.arrived(), Ok(()));
        assert!(guarded.read(&mut [0; 64]).await.is_err());
        assert_eq!(ledger.broken(), Some(Malformed::Chunk));
    }

    #[tokio::test]
    async fn long_bodies_pass_byte_for_byte() {
        let (mut client, server) = duplex(1000);
        let (mut guarded, _) = Guarded::new(server);
        let body: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        let chunk = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
        let length = format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        let chunked = b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let sent = [length.as_bytes(), &body, chunked, &chunk].concat();
        let mut handed = Vec::new();
        let write = async {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let (_, read) = tokio::join!(write, guarded.read_to_end(&mut handed));
        read.unwrap();
        assert!(handed == sent, "{} of {} bytes", handed.len(), sent.len());
    }
}
