//! Packets of a login, one by one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use zeroize::Zeroizing;

use crate::compress::Compressed;
use crate::proto::{LONGEST_LOGIN, LoginFault, head};

/// Bytes to and from one end.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// One end of a connection.
pub(crate) enum Wire {
    Plain(Box<dyn Duplex>),
    Compressed(Box<Compressed>),
}

impl Wire {
    pub(crate) fn new(io: impl Duplex + 'static) -> Self {
        Self::Plain(Box::new(io))
    }

    /// All that follows is compressed.
    #[must_use]
    pub(crate) fn compressed(self) -> Self {
        match self {
            Self::Plain(io) => Self::Compressed(Box::new(Compressed::new(io))),
            Self::Compressed(_) => self,
        }
    }

    /// Whether packets' own numbers tell nothing: where they go in frames, whose numbers those of
    /// packets are set to now and then, nobody looks at them.
    pub(crate) fn is_compressed(&self) -> bool {
        matches!(self, Self::Compressed(_))
    }

    /// What goes now is asked.
    pub(crate) fn asks(&mut self) {
        if let Self::Compressed(io) = self {
            io.asks();
        }
    }

    /// What goes now answers what came.
    pub(crate) fn answers(&mut self) {
        if let Self::Compressed(io) = self {
            io.answers();
        }
    }

    /// Reads a packet of a login, which is counted.
    pub(crate) async fn packet(&mut self, number: &mut u8) -> Result<Packet, PacketError> {
        let (found, body) = read_any(self).await?;
        self.answers();
        check(found, number, self.is_compressed())?;
        Ok(body)
    }

    fn io(&mut self) -> Pin<&mut dyn Duplex> {
        match self {
            Self::Plain(io) => Pin::new(&mut **io),
            Self::Compressed(io) => Pin::new(&mut **io),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.io().poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_shutdown(cx)
    }
}

pub(crate) type Packet = Zeroizing<Vec<u8>>;

/// Why no packet of a login came.
#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    #[error("the connection broke")]
    Broken(#[from] io::Error),
    #[error(transparent)]
    Fault(#[from] LoginFault),
}

/// Reads the packet of this number, which is counted.
pub(crate) async fn read<S>(io: &mut S, number: &mut u8) -> Result<Packet, PacketError>
where
    S: AsyncRead + Unpin,
{
    let (found, body) = read_any(io).await?;
    check(found, number, false)?;
    Ok(body)
}

async fn read_any<S: AsyncRead + Unpin>(io: &mut S) -> Result<(u8, Packet), PacketError> {
    let mut bytes = [0; 4];
    io.read_exact(&mut bytes).await?;
    let (length, found) = head(bytes);
    if length > LONGEST_LOGIN {
        return Err(LoginFault::Length.into());
    }
    let mut body = Zeroizing::new(vec![0; length]);
    io.read_exact(&mut body).await?;
    Ok((found, body))
}

fn check(found: u8, number: &mut u8, any: bool) -> Result<(), LoginFault> {
    if found != *number && !any {
        return Err(LoginFault::Sequence);
    }
    *number = number.wrapping_add(1);
    Ok(())
}

/// Sends what was written.
pub(crate) async fn send<S: AsyncWrite + Unpin>(io: &mut S, bytes: &BytesMut) -> io::Result<()> {
    io.write_all(bytes).await?;
    io.flush().await
}
