//! Packets in two requests of plain HTTP: the answer to one brings ours, the body of the other the
//! client's. An id that the client makes up joins them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;
use tokio::time::{Duration, Sleep, sleep};
use tokio_util::sync::{CancellationToken, PollSender, WaitForCancellationFutureOwned};

/// Answers whose other request has not come. Each is an open answer of a connection, so there are no
/// more of them than there are strangers.
#[derive(Clone, Default)]
pub(crate) struct Waiting(Arc<Mutex<HashMap<Key, Half>>>);

/// Both requests come from one address, so that a stranger can not join somebody else's.
type Key = (IpAddr, String);

/// The half that waits.
pub(crate) struct Half {
    packets: mpsc::Sender<Bytes>,
    /// Of the connection that its answer goes over.
    pub(crate) proven: CancellationToken,
    /// Cancelled when that answer is over.
    gone: CancellationToken,
}

/// An answer's body: packets, after ten bytes that say nothing and that clients skip.
pub(crate) struct Out {
    seed: Option<Bytes>,
    packets: mpsc::Receiver<Bytes>,
    /// Until the first packet.
    deadline: Option<Pin<Box<Sleep>>>,
    waiting: Waiting,
    key: Key,
    gone: CancellationToken,
}

/// Both requests of a client.
pub(crate) struct Pair<B> {
    body: B,
    packets: PollSender<Bytes>,
    gone: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Waiting {
    /// Begins the answer that is joined by this id; `None`: one waits for it already.
    pub(crate) fn begin(&self, from: IpAddr, id: &str, proven: CancellationToken) -> Option<Out> {
        let (sender, packets) = mpsc::channel(QUEUE);
        let (key, gone) = ((from, id.to_owned()), CancellationToken::new());
        match self.lock().entry(key.clone()) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(place) => {
                place.insert(Half { packets: sender, proven, gone: gone.clone() })
            }
        };
        let seed = Some(Bytes::from_static(&SEED));
        let deadline = Some(Box::pin(sleep(JOINING)));
        Some(Out { seed, packets, deadline, waiting: self.clone(), key, gone })
    }

    /// The answer that waits for this id.
    pub(crate) fn join(&self, from: IpAddr, id: &str) -> Option<Half> {
        self.lock().remove(&(from, id.to_owned()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Half>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Half {
    pub(crate) fn with<B>(self, body: B) -> Pair<B> {
        let gone = Box::pin(self.gone.cancelled_owned());
        Pair { body, packets: PollSender::new(self.packets), gone }
    }
}

impl Body for Out {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(seed) = self.seed.take() {
            return Poll::Ready(Some(Ok(Frame::data(seed))));
        }
        if let Poll::Ready(packet) = self.packets.poll_recv(cx) {
            self.deadline = None;
            return Poll::Ready(packet.map(|packet| Ok(Frame::data(packet))));
        }
        match &mut self.deadline {
            Some(deadline) => {
                ready!(deadline.as_mut().poll(cx));
                Poll::Ready(None)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.packets.close();
        self.gone.cancel();
        let mut waiting = self.waiting.lock();
        // Only this one: another may have come since with the same id.
        if waiting.get(&self.key).is_some_and(|half| half.packets.is_closed()) {
            waiting.remove(&self.key);
        }
    }
}

impl<B> splice::Stream for Pair<B>
where
    B: Body<Data = Bytes> + Send + Unpin,
{
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        if self.gone.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(None));
        }
        loop {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        return Poll::Ready(Ok(Some(data)));
                    }
                }
                // Clients close their connections without an end of the body.
                Some(Err(_)) | None => return Poll::Ready(Ok(None)),
            }
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        ready!(self.packets.poll_reserve(cx)).map_err(gone)?;
        Poll::Ready(self.packets.send_item(std::mem::take(data)).map_err(gone))
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.packets.close();
        Poll::Ready(Ok(()))
    }

    fn abort(&mut self, _code: u32) {
        self.packets.close();
    }
}

/// As servers of this protocol begin.
const SEED: [u8; 10] = [0xab, 0xcd, 0xab, 0xcd, 0xab, 0xcd, 0xab, 0xcd, 0xab, 0xcd];
/// Packets on their way to a client that does not read; its session waits for the next place.
const QUEUE: usize = 2;
/// From one request to the other's first packet.
const JOINING: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http_body_util::{BodyExt as _, Empty};
    use splice::Stream as _;
    use tokio::time::Instant;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

    #[tokio::test(start_paused = true)]
    async fn a_half_is_joined_once_and_only_from_where_it_came() {
        let waiting = Waiting::default();
        let begin = || waiting.begin(HERE, "a", CancellationToken::new());
        let mut out = begin().unwrap();
        assert!(begin().is_none(), "two wait under one id");
        assert!(waiting.join(ELSEWHERE, "a").is_none());
        let mut pair = waiting.join(HERE, "a").unwrap().with(Empty::<Bytes>::new());
        assert!(waiting.join(HERE, "a").is_none());
        poll_fn(|cx| pair.poll_send(cx, &mut Bytes::from_static(b"packet"))).await.unwrap();
        for expected in [&SEED[..], b"packet"] {
            let frame = out.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), expected);
        }
        drop(out);
        assert!(poll_fn(|cx| pair.poll_recv(cx)).await.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_that_nobody_joins_ends_and_is_forgotten() {
        let (waiting, began) = (Waiting::default(), Instant::now());
        let out = waiting.begin(HERE, "a", CancellationToken::new()).unwrap();
        let all = out.collect().await.unwrap().to_bytes();
        assert_eq!((&all[..], began.elapsed()), (&SEED[..], JOINING));
        assert!(waiting.lock().is_empty());
    }
}
