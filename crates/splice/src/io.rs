//! Adapters between [`Stream`] and tokio's `AsyncRead` + `AsyncWrite`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Stream;
use crate::tcp::ReadSize;

/// A [`Stream`] as `AsyncRead` + `AsyncWrite`, for libraries that want those.
#[derive(Debug)]
pub struct Io<S> {
    stream: S,
    received: Bytes,
}

impl<S: Stream> Io<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, received: Bytes::new() }
    }

    /// Hands `received` out before what the stream brings.
    pub fn with_received(stream: S, received: Bytes) -> Self {
        Self { stream, received }
    }

    /// The stream, for who sends without a copy.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }
}

impl<S: Stream> AsyncRead for Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.received.is_empty() {
            match ready!(self.stream.poll_recv(cx))? {
                Some(bytes) => self.received = bytes,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.received.len().min(buffer.remaining());
        buffer.put_slice(&self.received.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream> AsyncWrite for Io<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut data = Bytes::copy_from_slice(&bytes[..bytes.len().min(COPY)]);
        let offered = data.len();
        ready!(self.stream.poll_send(cx, &mut data))?;
        Poll::Ready(Ok(offered - data.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_finish(cx)
    }
}

/// `AsyncRead` + `AsyncWrite` as a [`Stream`].
#[derive(Debug)]
pub struct FromIo<T> {
    io: T,
    spare: BytesMut,
    size: ReadSize,
    aborted: bool,
}

impl<T> FromIo<T> {
    pub fn new(io: T) -> Self {
        Self { io, spare: BytesMut::new(), size: ReadSize::default(), aborted: false }
    }
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for FromIo<T> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        if self.aborted {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        self.size.make_room(&mut self.spare);
        let room = self.spare.capacity();
        let polled = poll_read(&mut self.io, cx, &mut self.spare);
        match polled {
            Poll::Pending => {
                self.spare = BytesMut::new();
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(None)),
            Poll::Ready(Ok(read)) => {
                self.size.note(read, room);
                Poll::Ready(Ok(Some(self.spare.split().freeze())))
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>> {
        let sent = ready!(Pin::new(&mut self.io).poll_write(cx, data))?;
        if sent == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        data.advance(sent);
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn abort(&mut self, _code: u32) {
        self.aborted = true;
    }
}

const COPY: usize = 64 * 1024;

/// Reads into what room `buffer` has.
pub(crate) fn poll_read<T: AsyncRead + Unpin>(
    io: &mut T,
    cx: &mut Context<'_>,
    buffer: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    // The spare capacity is exposed through a limited `BufMut`, so no byte is zeroed first.
    let before = buffer.len();
    let future = std::pin::pin!(tokio::io::AsyncReadExt::read_buf(io, buffer));
    let read = ready!(future.poll(cx))?;
    debug_assert_eq!(before + read, buffer.len());
    Poll::Ready(Ok(read))
}
