use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;

/// A byte stream in both directions that hands out what it has received as it stands, so that a
/// chunk which came in on one stream goes out on another without being copied.
///
/// Polling one direction never loses the waker of the other. All methods are cancel-safe.
pub trait Stream: Send + Unpin {
    /// The next bytes received; `None` once the peer has ended its side in order.
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>>;

    /// Takes at least one byte from the front of `data`, which is not empty.
    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>>;

    /// Completes when what was taken is on its way.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends our side in order; the peer's side stays open.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Completes when the peer will take no more, asked once its own side has ended, or before it is
    /// read at all: without it the end of a peer that has nothing left to say would go unnoticed until
    /// something is sent to it.
    /// A transport that cannot tell stays pending.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let _ = cx;
        Poll::Pending
    }

    /// Ends both sides at once, so that the peer sees a broken stream and not an orderly end.
    /// `code` tells it why where the transport can carry one.
    fn abort(&mut self, code: u32);
}

/// A stream that changes hands.
pub type BoxStream = Box<dyn Stream>;

macro_rules! hand_on {
    () => {
        fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
            (**self).poll_recv(cx)
        }

        fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>> {
            (**self).poll_send(cx, data)
        }

        fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            (**self).poll_flush(cx)
        }

        fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            (**self).poll_finish(cx)
        }

        fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
            (**self).poll_gone(cx)
        }

        fn abort(&mut self, code: u32) {
            (**self).abort(code);
        }
    };
}

/// For who lends one out.
impl<S: Stream + ?Sized> Stream for &mut S {
    hand_on!();
}

impl<S: Stream + ?Sized> Stream for Box<S> {
    hand_on!();
}
