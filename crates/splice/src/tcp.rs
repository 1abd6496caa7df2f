use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use crate::Stream;
use crate::io::poll_read;

/// A TCP connection as a [`Stream`]. Holds no buffer while nothing arrives; reads into one that
/// starts at 4 KiB and grows to 256 KiB while reads come full.
#[derive(Debug)]
pub struct Tcp {
    socket: TcpStream,
    spare: BytesMut,
    size: ReadSize,
}

impl Tcp {
    /// Wraps a connected socket and turns Nagle's algorithm off: a header and the answer to it must
    /// not wait for a delayed acknowledgement (40 ms).
    pub fn new(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        Ok(Self { socket, spare: BytesMut::new(), size: ReadSize::default() })
    }

    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

impl Stream for Tcp {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        // Asked first, so that no buffer is made for nothing.
        if self.socket.poll_read_ready(cx)?.is_pending() {
            self.spare = BytesMut::new();
            return Poll::Pending;
        }
        self.size.make_room(&mut self.spare);
        let room = self.spare.capacity();
        // By `poll_read`: a read that does not fill the buffer has emptied the socket, and no second one
        // has to be tried to learn that.
        match poll_read(&mut self.socket, cx, &mut self.spare) {
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(None)),
            Poll::Ready(Ok(read)) => {
                self.size.note(read, room);
                Poll::Ready(Ok(Some(self.spare.split().freeze())))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.spare = BytesMut::new();
                Poll::Pending
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>> {
        loop {
            ready!(self.socket.poll_write_ready(cx))?;
            match self.socket.try_write(data) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(sent) => {
                    data.advance(sent);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn abort(&mut self, _code: u32) {
        // Linger 0 makes the close a reset. Where it fails the peer sees an orderly end: no worse
        // than what TCP itself can promise.
        drop(SockRef::from(&self.socket).set_linger(Some(Duration::ZERO)));
    }
}

/// How much to read at once: doubles while reads come full, halves while they come nearly empty.
#[derive(Debug)]
pub(crate) struct ReadSize(usize);

impl ReadSize {
    const MIN: usize = 4 * 1024;
    const MAX: usize = 256 * 1024;

    pub(crate) fn make_room(&self, buffer: &mut BytesMut) {
        if buffer.capacity() < self.0 / 2 {
            buffer.reserve(self.0);
        }
    }

    pub(crate) fn note(&mut self, read: usize, room: usize) {
        if read == room {
            self.0 = (self.0 * 2).min(Self::MAX);
        } else if read < self.0 / 8 {
            self.0 = (self.0 / 2).max(Self::MIN);
        }
    }
}

impl Default for ReadSize {
    fn default() -> Self {
        Self(Self::MIN)
    }
}
