use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::Stream;

/// Bytes carried so far, readable while a [`join`] runs.
#[derive(Debug, Default)]
pub struct Counters {
    up: AtomicU64,
    down: AtomicU64,
    awaited: AtomicBool,
}

impl Counters {
    /// Whether the first stream has asked something and waits for the second's answer, where whoever
    /// carries the bytes knows that: it is not idle then.
    pub fn is_awaited(&self) -> bool {
        self.awaited.load(Relaxed)
    }

    pub fn set_awaited(&self, awaited: bool) {
        self.awaited.store(awaited, Relaxed);
    }

    /// Bytes from the first stream to the second.
    pub fn up(&self) -> u64 {
        self.up.load(Relaxed)
    }

    /// Bytes from the second stream to the first.
    pub fn down(&self) -> u64 {
        self.down.load(Relaxed)
    }

    pub fn add_up(&self, bytes: u64) {
        self.up.fetch_add(bytes, Relaxed);
    }

    pub fn add_down(&self, bytes: u64) {
        self.down.fetch_add(bytes, Relaxed);
    }
}

/// Which of the two joined streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    First,
    Second,
}

/// How a [`join`] came to its end.
#[derive(Debug)]
pub enum Finish {
    /// Both sides ended in order; this one did so first.
    Closed(Joined),
    /// This side failed.
    Broken(Joined, io::Error),
}

/// Carries bytes between two streams until both sides have ended or one breaks.
///
/// A side that ends in order closes only its direction. Of a side that takes no more, what it had sent
/// before is handed on first: a server says why it hangs up, and does not read on. And as whoever is told
/// of the break may drop what they have not read (RFC 9000, section 3.2), what was handed on has a moment
/// to be read before this completes.
///
/// The number of bytes under way is bounded by one chunk in each direction: a reader that stops, stops its
/// writer. Cancel-safe in that dropping the future leaves both streams usable, less a chunk that was
/// received and not yet sent.
pub async fn join<A: Stream, B: Stream>(
    first: &mut A,
    second: &mut B,
    counters: &Counters,
) -> Finish {
    let mut up = Flow::default();
    let mut down = Flow::default();
    let mut ended_first = None;
    let mut deaf: Option<Deaf> = None;
    let finish = poll_fn(|cx| {
        if let Some(Deaf { side, rest, .. }) = &mut deaf {
            match side {
                Joined::First => ready!(up.poll_rest(cx, first, second, &counters.up, rest)),
                Joined::Second => ready!(down.poll_rest(cx, second, first, &counters.down, rest)),
            }
        }
        if let Some(Deaf { side, error, .. }) = deaf.take() {
            return Poll::Ready(Finish::Broken(side, error));
        }
        let forward = up.poll(cx, first, second, &counters.up);
        if let Poll::Ready(Err(failure)) = forward {
            return failed(cx, failure, (Joined::First, Joined::Second), &mut deaf);
        }
        if up.over() && ended_first.is_none() {
            ended_first = Some(Joined::First);
        }
        let backward = down.poll(cx, second, first, &counters.down);
        if let Poll::Ready(Err(failure)) = backward {
            return failed(cx, failure, (Joined::Second, Joined::First), &mut deaf);
        }
        if down.over() && ended_first.is_none() {
            ended_first = Some(Joined::Second);
        }
        match (forward, backward, ended_first) {
            (Poll::Ready(_), Poll::Ready(_), Some(side)) => Poll::Ready(Finish::Closed(side)),
            _ => gone(cx, (first, up.over()), (second, down.over())),
        }
    })
    .await;
    let last = match &finish {
        Finish::Closed(_) => None,
        Finish::Broken(Joined::First, _) => up.last,
        Finish::Broken(Joined::Second, _) => down.last,
    };
    if let Some(last) = last {
        sleep_until(last + ARRIVAL).await;
    }
    finish
}

/// A side that takes no more, and may have said something before.
struct Deaf {
    side: Joined,
    error: io::Error,
    /// How long its last words are waited for, where its end does not come before.
    rest: Pin<Box<Sleep>>,
}

/// What comes of a failure of the direction between these sides.
fn failed(
    cx: &Context<'_>,
    (at, error): (End, io::Error),
    (from, to): (Joined, Joined),
    deaf: &mut Option<Deaf>,
) -> Poll<Finish> {
    match at {
        End::From => Poll::Ready(Finish::Broken(from, error)),
        End::To => {
            *deaf = Some(Deaf { side: to, error, rest: Box::pin(sleep(ARRIVAL)) });
            again(cx)
        }
    }
}

/// Pending for this time, to be polled at once.
fn again<T>(cx: &Context<'_>) -> Poll<T> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Whether a side that has ended its own direction, and so is no longer read, has broken since.
fn gone(
    cx: &mut Context<'_>,
    (first, first_over): (&mut impl Stream, bool),
    (second, second_over): (&mut impl Stream, bool),
) -> Poll<Finish> {
    if first_over && let Poll::Ready(error) = first.poll_gone(cx) {
        return Poll::Ready(Finish::Broken(Joined::First, error));
    }
    if second_over && let Poll::Ready(error) = second.poll_gone(cx) {
        return Poll::Ready(Finish::Broken(Joined::Second, error));
    }
    Poll::Pending
}

/// One direction.
#[derive(Default)]
struct Flow {
    chunk: Bytes,
    unflushed: bool,
    /// When something was last handed on.
    last: Option<Instant>,
    state: State,
}

#[derive(Default, PartialEq)]
enum State {
    #[default]
    Carrying,
    Finishing,
    Done,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    From,
    To,
}

impl Flow {
    fn over(&self) -> bool {
        self.state != State::Carrying
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Stream,
        to: &mut impl Stream,
        count: &AtomicU64,
    ) -> Poll<Result<(), (End, io::Error)>> {
        for _ in 0..TURN {
            match self.state {
                State::Done => return Poll::Ready(Ok(())),
                State::Finishing => {
                    let finished = to.poll_finish(cx).map_err(|error| (End::To, error))?;
                    if finished.is_pending() {
                        return Poll::Pending;
                    }
                    self.state = State::Done;
                }
                State::Carrying if self.chunk.is_empty() => {
                    match from.poll_recv(cx).map_err(|error| (End::From, error))? {
                        Poll::Pending => return self.flush(cx, to),
                        Poll::Ready(Some(chunk)) => self.chunk = chunk,
                        Poll::Ready(None) => self.state = State::Finishing,
                    }
                }
                State::Carrying => {
                    let sent = self.poll_send(cx, to, count).map_err(|error| (End::To, error))?;
                    if sent.is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
        // A stream that always has more must not starve the other direction and other sessions.
        again(cx)
    }

    /// Hands on what `from` had sent, and completes at its end, or when it is not waited for any longer: a
    /// reset may be known before what came ahead of it is.
    fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Stream,
        to: &mut impl Stream,
        count: &AtomicU64,
        wait: &mut Pin<Box<Sleep>>,
    ) -> Poll<()> {
        for _ in 0..TURN {
            if self.chunk.is_empty() {
                match from.poll_recv(cx) {
                    Poll::Ready(Ok(Some(chunk))) => self.chunk = chunk,
                    Poll::Ready(Ok(None) | Err(_)) => return to.poll_flush(cx).map(drop),
                    Poll::Pending if to.poll_flush(cx).is_pending() => return Poll::Pending,
                    Poll::Pending => return wait.as_mut().poll(cx),
                }
            }
            if ready!(self.poll_send(cx, to, count)).is_err() {
                return Poll::Ready(());
            }
        }
        again(cx)
    }

    /// Hands on the front of what was received, or all of it.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut impl Stream,
        count: &AtomicU64,
    ) -> Poll<io::Result<()>> {
        let before = self.chunk.len();
        ready!(to.poll_send(cx, &mut self.chunk))?;
        self.unflushed = true;
        self.last = Some(Instant::now());
        count.fetch_add((before - self.chunk.len()) as u64, Relaxed);
        Poll::Ready(Ok(()))
    }

    fn flush(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut impl Stream,
    ) -> Poll<Result<(), (End, io::Error)>> {
        if self.unflushed {
            let flushed = to.poll_flush(cx).map_err(|error| (End::To, error))?;
            self.unflushed = flushed.is_pending();
        }
        Poll::Pending
    }
}

/// For last words to come, and to be read before the reset that follows them: more than most round trips,
/// and less than anybody waits for.
const ARRIVAL: Duration = Duration::from_millis(250);
/// Steps of one direction before the other one has its turn.
const TURN: usize = 32;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::FromIo;

    #[tokio::test]
    async fn a_half_closed_side_still_receives() {
        let (mut client, relay_client) = duplex(2048);
        let (relay_target, mut target) = duplex(2048);
        #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
        let task = tokio::spawn(async move {
            let counters = Counters::default();
            let finish =
                join(&mut FromIo::new(relay_client), &mut FromIo::new(relay_target), &counters)
                    .await;
            (finish, counters.up(), counters.down())
        });
        client.write_all(&[1; 1000]).await.unwrap_or_default();
        client.shutdown().await.unwrap_or_default();
        let mut got = Vec::new();
        target.read_to_end(&mut got).await.unwrap_or_default();
        assert_eq!(got, [1; 1000]);
        target.write_all(&[2; 500]).await.unwrap_or_default();
        drop(target);
        let mut back = Vec::new();
        client.read_to_end(&mut back).await.unwrap_or_default();
        assert_eq!(back, [2; 500]);
        let (finish, up, down) = task.await.unwrap_or_else(|error| panic!("{error}"));
        assert!(matches!(finish, Finish::Closed(Joined::First)), "{finish:?}");
        assert_eq!((up, down), (1000, 500));
    }

    #[tokio::test]
    async fn a_reader_that_stops_stops_the_writer() {
        let (mut client, relay_client) = duplex(64);
        let (relay_target, target) = duplex(64);
        let counters = Counters::default();
        let (mut first, mut second) = (FromIo::new(relay_client), FromIo::new(relay_target));
        let writer = async {
            let written = tokio::time::timeout(
                std::time::Duration::from_millis(50),
                client.write_all(&[0; 1 << 20]),
            );
            assert!(written.await.is_err(), "the writer was not held back");
        };
        tokio::select! {
            _ = join(&mut first, &mut second, &counters) => unreachable!("nothing ended"),
            () = writer => {}
        }
        assert!(counters.up() <= 128, "{} bytes were taken", counters.up());
        drop(target);
    }
}
