//! Answers whose client takes nothing of them, and clients that still send when they have theirs.
//!
//! A client that holds its windows at zero, or stops reading, keeps an answer, a stream to its origin
//! and a session, and each costs it nothing. Whoever reads slowly is not meant: the kernel tells how
//! much of what was sent is still on its way, and while that changes somebody takes it.

use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use gateway_web::{Leftover, WebBody};
use http_body_util::Either;
use hyper::body::{Frame, SizeHint};
use hyper::rt::Executor;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::presence::Asking;

/// Since when an answer waits for its client; `None`: it does not.
#[derive(Clone, Default)]
pub(super) struct Wait(Arc<Mutex<Option<Instant>>>);

/// An answer's body, which is seen to be taken.
pub(super) struct Taken {
    body: Either<WebBody, Body>,
    /// Of a piece that was too large.
    rest: Bytes,
    /// In one piece.
    most: usize,
    wait: Wait,
    /// The request is over when its answer is.
    _asking: Asking,
}

/// The streams of one HTTP/2 connection, each a task that ends when its client takes nothing.
pub(super) struct Streams(Arc<Mutex<JoinSet<()>>>);

/// Starts the streams of a connection, as long as there is one.
#[derive(Clone)]
pub(super) struct Start {
    streams: Weak<Mutex<JoinSet<()>>>,
    socket: Socket,
}

/// A connection's socket.
#[derive(Clone, Copy)]
pub(super) struct Socket(RawFd);

/// What the answer of a stream has left of its request's body.
type Left = Arc<Mutex<Option<Leftover>>>;

tokio::task_local! {
    /// Those of the stream whose task this is.
    static STREAM: (Wait, Left);
}

/// Has the stream that runs this outlast its answer while its client still sends.
pub(super) fn outlast(leftover: Leftover) {
    let kept = |(_, left): &(Wait, Left)| {
        *left.lock().unwrap_or_else(PoisonError::into_inner) = Some(leftover);
    };
    // Of no stream: nobody is answered.
    let _ = STREAM.try_with(kept);
}

impl Wait {
    /// That of the stream that runs this.
    pub(super) fn of_stream() -> Option<Self> {
        STREAM.try_with(|(wait, _)| wait.clone()).ok()
    }

    /// Completes when for [`LIMIT`] nothing was taken of an answer that waits, and of what is on its
    /// way (`unsent`) neither. Up to a quarter late, and never early.
    pub(super) async fn stalled(&self, unsent: impl Fn() -> usize) {
        let (mut left, mut since) = (unsent(), Instant::now());
        loop {
            sleep(LIMIT / 4).await;
            let now = unsent();
            if now != left {
                (left, since) = (now, Instant::now());
            }
            let waits = *self.lock();
            if waits.is_some_and(|waits| waits.max(since).elapsed() >= LIMIT) {
                return;
            }
        }
    }

    fn set(&self, since: Option<Instant>) {
        *self.lock() = since;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// An answer over HTTP/1.1, where `wait` is the connection's; or over HTTP/2, whose window takes
    /// no large piece at once, so that little waits there.
    pub(super) fn of(
        answer: Response<Either<WebBody, Body>>,
        asking: Asking,
        wait: Option<&Wait>,
    ) -> Response<Self> {
        let most = if wait.is_some() { usize::MAX } else { PIECE };
        let wait = wait.cloned().or_else(Wait::of_stream).unwrap_or_default();
        wait.set(Some(Instant::now()));
        answer.map(|body| Self { body, rest: Bytes::new(), most, wait, _asking: asking })
    }

    fn piece(&mut self, mut data: Bytes) -> Frame<Bytes> {
        self.rest = data.split_off(data.len().min(self.most));
        Frame::data(data)
    }
}

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        if !this.rest.is_empty() {
            this.wait.set(Some(Instant::now()));
            let rest = std::mem::take(&mut this.rest);
            return Poll::Ready(Some(Ok(this.piece(rest))));
        }
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        // Where there is nothing yet, it is the origin that is waited for.
        this.wait.set(polled.is_ready().then(Instant::now));
        let frame = ready!(polled);
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| match frame.into_data() {
                Ok(data) => this.piece(data),
                Err(other) => other,
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.wait.set(None);
    }
}

impl Streams {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    pub(super) fn start(&self, socket: Socket) -> Start {
        Start { streams: Arc::downgrade(&self.0), socket }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Start {
    fn execute(&self, stream: F) {
        let Some(streams) = self.streams.upgrade() else { return };
        let (wait, left, socket) = (Wait::default(), Left::default(), self.socket);
        let (watched, sent) = (wait.clone(), left.clone());
        let run = async move {
            tokio::select! {
                biased;
                _ = stream => {}
                // What is dropped before its end is reset.
                () = watched.stalled(|| socket.unsent()) => return,
            }
            let leftover = sent.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(leftover) = leftover {
                leftover.outlast().await;
            }
        };
        let mut streams = streams.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = streams.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "A stream of an HTTP/2 connection failed");
            }
        }
        streams.spawn(STREAM.scope((wait, left), run));
    }
}

impl Socket {
    pub(super) fn of(socket: &impl AsRawFd) -> Self {
        Self(socket.as_raw_fd())
    }

    /// What was sent and not acknowledged, in bytes.
    #[cfg(target_os = "linux")]
    #[expect(unsafe_code, reason = "the standard library does not tell")]
    pub(super) fn unsent(self) -> usize {
        let mut count: libc::c_int = 0;
        // SAFETY: the call writes one number of this type and keeps nothing. If the socket is closed
        // by now, the number is that of none or of another one; then nobody waits for it either.
        let told = unsafe { libc::ioctl(self.0, libc::TIOCOUTQ, &raw mut count) };
        if told == 0 { usize::try_from(count).unwrap_or_default() } else { 0 }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn unsent(self) -> usize {
        0
    }
}

/// For a client to take something of an answer.
pub(super) const LIMIT: Duration = Duration::from_secs(60);
/// Of HTTP/2's frames, as large as they are unless somebody asks for more.
const PIECE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::poll_fn;

    use futures_util::stream::unfold;
    use gateway_web::watch;
    use h2::client::SendRequest;
    use hyper::Request;
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::duplex;
    use tokio::time::timeout;

    use super::super::presence::Presence;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_ended_when_its_client_holds_the_window_at_zero() {
        for window in [0, 10] {
            let mut server = Server::start(window, Duration::ZERO).await;
            let began = Instant::now();
            let mut answers = Vec::new();
            for _ in 0..3 {
                answers.push(server.ask().await);
            }
            assert_eq!(server.answering(), 3);
            until(LIMIT * 2, || server.answering() == 0).await;
            let took = began.elapsed();
            assert!(took >= LIMIT && took <= LIMIT * 3 / 2, "{took:?}");
            // What was taken of them before keeps its place.
            for mut answer in answers.into_iter().filter(|_| window == 0) {
                let error = answer.data().await.unwrap().unwrap_err();
                assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
            }
            // The connection goes on.
            drop(server.ask().await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_stays_that_is_taken_slowly_or_comes_slowly() {
        let piece = u32::try_from(PIECE).unwrap();
        let mut server = Server::start(piece, Duration::ZERO).await;
        let mut answer = server.ask().await;
        for _ in 0..20 {
            let data = answer.data().await.unwrap().unwrap();
            sleep(LIMIT / 3).await;
            answer.flow_control().release_capacity(data.len()).unwrap();
        }
        assert_eq!(server.answering(), 1);
        let mut server = Server::start(1 << 20, LIMIT * 10).await;
        let mut answer = server.ask().await;
        assert_eq!(answer.data().await.unwrap().unwrap().len(), PIECE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_on_its_way_counts_as_taken_while_it_becomes_less() {
        let wait = Wait::default();
        wait.set(Some(Instant::now()));
        let left = std::cell::Cell::new(100_usize);
        let unsent = || {
            left.set(left.get().saturating_sub(1));
            left.get()
        };
        let began = Instant::now();
        wait.stalled(unsent).await;
        let took = began.elapsed();
        assert!(took >= LIMIT / 4 * 98 + LIMIT && took <= LIMIT / 4 * 100 + LIMIT * 2, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_still_sends_has_its_answer_for_a_while_before_its_stream_is_reset() {
        let (mut client, _tasks) = refusing().await;
        // What soon ends is read off: no reset at all.
        let mut body = refused(&mut client).await;
        send(&mut body, 3 << 20).await.unwrap();
        body.send_data(Bytes::new(), true).unwrap();
        sleep(LIMIT).await;
        // What does not end is read to a bound, and the stream kept for about a second.
        let mut body = refused(&mut client).await;
        let began = Instant::now();
        let sent = send(&mut body, usize::MAX).await.unwrap_err();
        assert!((8 << 20..10 << 20).contains(&sent), "{sent}");
        let kept = began.elapsed();
        assert!(kept >= Duration::from_millis(900) && kept < Duration::from_secs(2), "{kept:?}");
        let reason = poll_fn(|cx| body.poll_reset(cx)).await.unwrap();
        assert_eq!(reason, h2::Reason::NO_ERROR);
        drop(refused(&mut client).await);
    }

    /// A server that refuses every request and reads nothing of any body.
    async fn refusing() -> (SendRequest<Bytes>, JoinSet<()>) {
        let (near, far) = duplex(1 << 20);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let streams = Streams::new();
            let service = service_fn(|request| async {
                let (request, leftover) = watch(request);
                outlast(leftover.unwrap());
                drop(request);
                let answer = Response::new(Either::Right(Body::from("no")));
                Ok::<_, Infallible>(Taken::of(answer, Presence::new().ask(), None))
            });
            let start = streams.start(Socket(-1));
            let server = http2::Builder::new(start).serve_connection(TokioIo::new(far), service);
            drop(server.await);
        });
        let (client, connection) = h2::client::handshake(near).await.unwrap();
        tasks.spawn(async move { drop(connection.await) });
        (client, tasks)
    }

    /// The body of a request whose answer has been read to its end.
    async fn refused(client: &mut SendRequest<Bytes>) -> h2::SendStream<Bytes> {
        let asked = Request::put("http://x/").body(()).unwrap();
        let (answer, body) = client.send_request(asked, false).unwrap();
        let mut answer = timeout(LIMIT, answer).await.unwrap().unwrap().into_body();
        assert_eq!(answer.data().await.unwrap().unwrap(), "no");
        assert!(answer.data().await.is_none() && answer.is_end_stream());
        body
    }

    /// Sends so much; an error says after how much the stream was reset.
    async fn send(body: &mut h2::SendStream<Bytes>, most: usize) -> Result<(), usize> {
        let mut sent = 0;
        while sent < most {
            body.reserve_capacity(PIECE);
            let room = timeout(LIMIT, poll_fn(|cx| body.poll_capacity(cx))).await.unwrap();
            let Some(Ok(room)) = room else { return Err(sent) };
            body.send_data(Bytes::from(vec![0; room]), false).map_err(|_| sent)?;
            sent += room;
        }
        Ok(())
    }

    /// Whose answers have no end; pieces of them come so far apart.
    struct Server {
        client: SendRequest<Bytes>,
        answers: Arc<()>,
        _tasks: JoinSet<()>,
    }

    impl Server {
        async fn start(window: u32, apart: Duration) -> Self {
            let (near, far) = duplex(1 << 20);
            let (answers, mut tasks) = (Arc::new(()), JoinSet::new());
            let held = answers.clone();
            tasks.spawn(async move {
                let streams = Streams::new();
                let service = service_fn(move |_| {
                    let held = held.clone();
                    let body = unfold(held, move |held| async move {
                        sleep(apart).await;
                        Some((Ok::<_, Infallible>(Bytes::from(vec![0; 100_000])), held))
                    });
                    async move {
                        let answer = Response::new(Either::Right(Body::from_stream(body)));
                        Ok::<_, Infallible>(Taken::of(answer, Presence::new().ask(), None))
                    }
                });
                let start = streams.start(Socket(-1));
                let server =
                    http2::Builder::new(start).serve_connection(TokioIo::new(far), service);
                drop(server.await);
            });
            let builder = h2::client::Builder::new().initial_window_size(window).clone();
            let (client, connection) = builder.handshake(near).await.unwrap();
            tasks.spawn(async move { drop(connection.await) });
            Self { client, answers, _tasks: tasks }
        }

        async fn ask(&mut self) -> h2::RecvStream {
            let asked = Request::get("http://x/").body(()).unwrap();
            let (answer, _) = self.client.send_request(asked, true).unwrap();
            answer.await.unwrap().into_body()
        }

        /// Answers under way; the service holds one more.
        fn answering(&self) -> usize {
            Arc::strong_count(&self.answers) - 2
        }
    }

    async fn until(most: Duration, holds: impl Fn() -> bool) {
        let held = async {
            while !holds() {
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(most, held).await.expect("in time");
    }
}
