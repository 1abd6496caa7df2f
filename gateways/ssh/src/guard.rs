use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A transport that its owner can cut: the library runs each connection in a task of its own that
/// nobody can abort, and such a task ends as soon as its transport does.
pub(crate) struct Guarded<T> {
    io: T,
    cut: CancellationToken,
    read_cut: Pin<Box<WaitForCancellationFutureOwned>>,
    write_cut: Pin<Box<WaitForCancellationFutureOwned>>,
    /// How much of [`BEGINS`] the peer has said; `None` once that is settled.
    said: Option<usize>,
}

impl<T> Guarded<T> {
    pub(crate) fn new(io: T, cut: CancellationToken) -> Self {
        let read_cut = Box::pin(cut.clone().cancelled_owned());
        let write_cut = Box::pin(cut.clone().cancelled_owned());
        Self { io, cut, read_cut, write_cut, said: Some(0) }
    }

    fn poll_write_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.write_cut.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl<T: AsyncWrite + Unpin> Guarded<T> {
    /// Tells a peer that does not speak SSH, in OpenSSH's words; the library goes without any.
    fn listen(&mut self, cx: &mut Context<'_>, bytes: &[u8]) {
        let Some(said) = self.said else { return };
        let awaited = &BEGINS[said..];
        let length = awaited.len().min(bytes.len());
        if awaited[..length] != bytes[..length] {
            self.said = None;
            // What takes no line now gets none.
            drop(Pin::new(&mut self.io).poll_write(cx, NO_SSH));
        } else {
            self.said = Some(said + length).filter(|said| *said < BEGINS.len());
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.cut.is_cancelled() && self.read_cut.as_mut().poll(cx).is_pending() {
            let before = buffer.filled().len();
            let read = Pin::new(&mut self.io).poll_read(cx, buffer);
            self.listen(cx, &buffer.filled()[before..]);
            return read;
        }
        Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_cut(cx)?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_cut(cx)?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.cut.is_cancelled() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// How whoever speaks SSH begins (RFC 4253, section 4.2).
const BEGINS: &[u8] = b"SSH-";
const NO_SSH: &[u8] = b"Invalid SSH identification string.\r\n";

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn who_does_not_speak_ssh_is_told_and_who_does_is_not() {
        let cases =
            [(&["\n"][..], true), (&["S", "SH", "-2.0-x"][..], false), (&["SS", "L"][..], true)];
        for (pieces, is_told) in cases {
            let (mut peer, io) = duplex(1024);
            let mut guarded = Guarded::new(io, CancellationToken::new());
            let mut buffer = [0; 64];
            for piece in pieces {
                peer.write_all(piece.as_bytes()).await.unwrap();
                assert_eq!(guarded.read(&mut buffer).await.unwrap(), piece.len());
            }
            drop(guarded);
            let mut heard = Vec::new();
            peer.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, if is_told { NO_SSH } else { b"" }, "{pieces:?}");
        }
    }
}
