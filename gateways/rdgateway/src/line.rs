//! A client's packets, whichever way they are carried; and its channel, as a stream of bytes.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use splice::{BoxStream, Stream};
use tokio_util::sync::CancellationToken;

use crate::proto::{self, Fault, Packet};

/// Packets both ways; and, once a channel is open, the bytes in it as a [`Stream`].
pub(crate) struct Line {
    transport: BoxStream,
    read: BytesMut,
    /// Packets of ours that are not sent as a whole. INVARIANT: at most [`MOST_OWED`] and one of data.
    out: VecDeque<Bytes>,
    ends: Ends,
}

/// In which way a channel has come to its end. A desktop has no use for one that is half open.
#[derive(Clone, Default)]
pub(crate) struct Ends {
    /// The client has left it.
    pub(crate) client: CancellationToken,
    /// The target has nothing more to say, and all of it is sent.
    pub(crate) target: CancellationToken,
}

/// Why a client is listened to no longer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error("the client broke off")]
    Broken(#[from] io::Error),
    #[error("the client left")]
    Left,
    #[error("the client sent what is no packet")]
    Fault(#[from] Fault),
    #[error("the client sent a packet that is not due")]
    Undue,
}

impl Line {
    pub(crate) fn new(transport: BoxStream) -> Self {
        let (read, out, ends) = (BytesMut::new(), VecDeque::new(), Ends::default());
        Self { transport, read, out, ends }
    }

    /// The client's next packet that asks for something.
    pub(crate) async fn next(&mut self) -> Result<Packet, LineError> {
        loop {
            match poll_fn(|cx| self.poll_packet(cx)).await? {
                Some(Packet::KeepAlive) => self.say(proto::keep_alive()).await?,
                Some(packet) => return Ok(packet),
                None => return Err(LineError::Left),
            }
        }
    }

    /// Sends a packet.
    pub(crate) async fn say(&mut self, packet: Bytes) -> io::Result<()> {
        self.out.push_back(packet);
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Ends our side.
    pub(crate) async fn hang_up(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            ready!(self.poll_flush(cx))?;
            self.transport.poll_finish(cx)
        })
        .await
    }

    /// Completes when the client leaves before it was answered. What it sends ahead is kept, and not
    /// read on once that is more than a packet.
    pub(crate) async fn left(&mut self) -> LineError {
        let left = poll_fn(|cx| {
            while self.read.len() < MOST_AHEAD {
                match ready!(self.transport.poll_recv(cx)) {
                    Ok(Some(bytes)) => self.read.extend_from_slice(&bytes),
                    Ok(None) => return Poll::Ready(LineError::Left),
                    Err(error) => return Poll::Ready(LineError::Broken(error)),
                }
            }
            Poll::Pending
        });
        left.await
    }

    /// For who carries its bytes.
    pub(crate) fn ends(&self) -> Ends {
        self.ends.clone()
    }

    fn poll_packet(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Packet>, LineError>> {
        loop {
            if let Some(packet) = proto::packet(&mut self.read)? {
                return Poll::Ready(Ok(Some(packet)));
            }
            match ready!(self.transport.poll_recv(cx))? {
                Some(bytes) => self.read.extend_from_slice(&bytes),
                None => return Poll::Ready(Ok(None)),
            }
        }
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(packet) = self.out.front_mut() {
            if !packet.is_empty() {
                ready!(self.transport.poll_send(cx, packet))?;
            }
            if packet.is_empty() {
                self.out.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Stream for Line {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            // One who asks for signs of life and takes none is read no further.
            if self.out.len() >= MOST_OWED {
                ready!(self.poll_sent(cx))?;
            }
            match ready!(self.poll_packet(cx)).map_err(broken)? {
                Some(Packet::Data(bytes)) if bytes.is_empty() => {}
                Some(Packet::Data(bytes)) => return Poll::Ready(Ok(Some(bytes))),
                Some(Packet::KeepAlive) => {
                    self.out.push_back(proto::keep_alive());
                    if let Poll::Ready(sent) = self.poll_flush(cx) {
                        sent?;
                    }
                }
                Some(Packet::CloseChannel) => {
                    self.out.push_back(proto::close_channel_response());
                    self.ends.client.cancel();
                    return Poll::Pending;
                }
                Some(Packet::CloseChannelResponse) | None => {
                    self.ends.client.cancel();
                    return Poll::Pending;
                }
                Some(
                    Packet::Handshake { .. }
                    | Packet::TunnelCreate { .. }
                    | Packet::TunnelAuth { .. }
                    | Packet::ChannelCreate { .. },
                ) => return Poll::Ready(Err(broken(LineError::Undue))),
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(cx))?;
        self.out.push_back(proto::data(data));
        match self.poll_sent(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(cx))?;
        self.transport.poll_flush(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        self.ends.target.cancel();
        Poll::Pending
    }

    fn abort(&mut self, code: u32) {
        self.transport.abort(code);
    }
}

fn broken(error: LineError) -> io::Error {
    match error {
        LineError::Broken(error) => error,
        LineError::Left | LineError::Fault(_) | LineError::Undue => {
            io::Error::new(io::ErrorKind::InvalidData, error)
        }
    }
}

/// Signs of life that wait to be sent.
const MOST_OWED: usize = 8;
/// What a client may send before it was answered.
const MOST_AHEAD: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use splice::FromIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::*;

    fn line(buffer: usize) -> (Line, DuplexStream) {
        let (near, far) = duplex(buffer);
        (Line::new(Box::new(FromIo::new(near))), far)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_no_signs_of_life_is_read_no_further() {
        let (mut line, mut client) = line(64);
        let mut tasks = JoinSet::new();
        let flood = tasks.spawn(async move {
            let written = client.write_all(&proto::keep_alive().repeat(10_000)).await;
            (written, client)
        });
        let waiting = poll_fn(|cx| line.poll_recv(cx));
        assert!(timeout(Duration::from_secs(60), waiting).await.is_err());
        assert!(line.out.len() <= MOST_OWED + 1, "{} wait", line.out.len());
        assert!(!flood.is_finished());
    }

    #[tokio::test]
    async fn a_channel_carries_bytes_and_its_end_is_noticed_on_either_side() {
        let (mut line, mut client) = line(64 * 1024);
        let ends = line.ends();
        client.write_all(&proto::data(&mut Bytes::from_static(b"up"))).await.unwrap();
        let up = poll_fn(|cx| line.poll_recv(cx)).await.unwrap();
        assert_eq!(up.unwrap(), "up");
        let mut down = Bytes::from_static(b"down");
        poll_fn(|cx| line.poll_send(cx, &mut down)).await.unwrap();
        poll_fn(|cx| line.poll_flush(cx)).await.unwrap();
        let mut packet = [0; 14];
        client.read_exact(&mut packet).await.unwrap();
        assert_eq!(packet[8..], *b"\x04\x00down");
        client.write_all(&proto::close_channel(proto::Status::OK)).await.unwrap();
        tokio::select! {
            () = ends.client.cancelled() => {}
            _ = poll_fn(|cx| line.poll_recv(cx)) => unreachable!("it goes on"),
        }
        tokio::select! {
            () = ends.target.cancelled() => {}
            _ = poll_fn(|cx| line.poll_finish(cx)) => unreachable!("it goes on"),
        }
    }
}
