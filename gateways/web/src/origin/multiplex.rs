//! One HTTP/2 connection to an origin, which carries many requests of one session.
//!
//! Unlike a [`Single`](super::Single) no one request can drive it, for each of them may be slow: it
//! has tasks, and they end with it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use hyper::client::conn::http2::{self, Connection, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::OriginError;
use super::io::OriginIo;
use crate::body::Upload;

/// A connection that carries as many requests at a time as the origin lets it.
pub(crate) struct Multiplex {
    sender: SendRequest<Upload>,
    /// Polled by its task; here to be asked what the origin's settings say. `None`: it is over.
    dispatch: Arc<Mutex<Option<Dispatch>>>,
    tasks: Arc<Mutex<JoinSet<()>>>,
    /// Lanes taken.
    open: AtomicUsize,
}

type Dispatch = Connection<TokioIo<OriginIo>, Upload, Tasks>;

/// A request's lane on a connection, until its answer is over.
pub(crate) struct Lane(Arc<Multiplex>);

/// Spawns what a connection needs, for as long as the connection is wanted.
#[derive(Clone)]
struct Tasks(Weak<Mutex<JoinSet<()>>>);

impl Multiplex {
    /// Begins to speak HTTP/2.
    pub(super) async fn begin(io: OriginIo) -> Result<Self, OriginError> {
        let tasks = Arc::<Mutex<JoinSet<()>>>::default();
        let mut http = http2::Builder::new(Tasks(Arc::downgrade(&tasks)));
        http.initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(MAX_HEAD);
        let handshake = http.handshake(TokioIo::new(io)).await;
        let (sender, dispatch) = handshake.map_err(OriginError::Broken)?;
        let dispatch = Arc::new(Mutex::new(Some(dispatch)));
        lock(&tasks).spawn(run(dispatch.clone()));
        Ok(Self { sender, dispatch, tasks, open: AtomicUsize::new(0) })
    }

    /// A lane for one more request, unless the origin takes no more just now or the connection is
    /// over.
    pub(super) fn lane(self: &Arc<Self>) -> Option<Lane> {
        if self.is_over() {
            return None;
        }
        let most = lock(&self.dispatch).as_ref()?.current_max_send_streams().clamp(1, MOST);
        let taken = |open| (open < most).then_some(open + 1);
        self.open.fetch_update(Relaxed, Relaxed, taken).ok()?;
        Some(Lane(self.clone()))
    }

    /// Whether it takes no request any more: it broke, or the origin said that it goes away.
    pub(super) fn is_over(&self) -> bool {
        self.sender.is_closed()
    }

    fn offers_connect(&self) -> bool {
        let dispatch = lock(&self.dispatch);
        dispatch.as_ref().is_some_and(Connection::is_extended_connect_protocol_enabled)
    }

    /// Ends it with all that it carries.
    pub(super) fn close(&self) {
        lock(&self.tasks).abort_all();
    }
}

impl Drop for Multiplex {
    fn drop(&mut self) {
        self.close();
    }
}

impl Lane {
    pub(super) fn sender(&self) -> SendRequest<Upload> {
        self.0.sender.clone()
    }
}

impl Lane {
    /// Whether the origin takes extended CONNECT, which its settings say; waits for them a moment.
    pub(super) async fn takes_connect(&self) -> bool {
        let told = async {
            // Nobody says when they are there.
            while !self.0.offers_connect() {
                sleep(LOOK).await;
            }
        };
        timeout(SETTINGS, told).await.is_ok()
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        // Where the connection is wanted no more, what it needs is dropped.
        let Some(tasks) = self.0.upgrade() else { return };
        let mut tasks = lock(&tasks);
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "A task of an origin's connection failed");
            }
        }
        tasks.spawn(future);
    }
}

/// Hands requests to the connection until it is over; then those that it has not taken go back.
async fn run(dispatch: Arc<Mutex<Option<Dispatch>>>) {
    let ended = poll_fn(|cx| match lock(&dispatch).as_mut() {
        Some(dispatch) => Pin::new(dispatch).poll(cx),
        None => Poll::Ready(Ok(())),
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "An origin's HTTP/2 connection broke");
    }
    drop(lock(&dispatch).take());
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Requests on one connection, whatever the origin lets.
const MOST: usize = 64;
/// What is received ahead of the reader of one answer.
const STREAM_WINDOW: u32 = 512 * 1024;
/// The same of all answers: as many readers as there may be can sleep and hold up nobody.
const WINDOW: u32 = 32 * 1024 * 1024;
/// What is taken of one request's body ahead of the origin.
const SEND_BUFFER: usize = 256 * 1024;
/// Of an answer's head.
const MAX_HEAD: u32 = 64 * 1024;
/// Between two looks at the settings, and until they are taken for final.
const LOOK: Duration = Duration::from_millis(5);
const SETTINGS: Duration = Duration::from_secs(2);
