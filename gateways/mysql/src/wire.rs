//! Packets of a login, one by one.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

use crate::proto::{LONGEST_LOGIN, LoginFault, head};

/// Bytes to and from one end.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}
pub(crate) type Wire = Box<dyn Duplex>;

/// Why no packet of a login came.
#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    #[error("the connection broke")]
    Broken(#[from] io::Error),
    #[error(transparent)]
    Fault(#[from] LoginFault),
}

/// Reads the packet of this number, which is counted.
pub(crate) async fn read<S>(io: &mut S, number: &mut u8) -> Result<Zeroizing<Vec<u8>>, PacketError>
where
    S: AsyncRead + Unpin,
{
    let mut bytes = [0; 4];
    io.read_exact(&mut bytes).await?;
    let (length, found) = head(bytes);
    if found != *number {
        return Err(LoginFault::Sequence.into());
    }
    if length > LONGEST_LOGIN {
        return Err(LoginFault::Length.into());
    }
    *number = found.wrapping_add(1);
    let mut body = Zeroizing::new(vec![0; length]);
    io.read_exact(&mut body).await?;
    Ok(body)
}

/// Sends what was written.
pub(crate) async fn send<S: AsyncWrite + Unpin>(io: &mut S, bytes: &BytesMut) -> io::Result<()> {
    io.write_all(bytes).await?;
    io.flush().await
}
