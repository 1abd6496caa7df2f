//! One user connection and its owner, who bounds every phase of it and ends all that belongs to it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use access::{ApplicationId, Authenticated, EndReason, Side};
use futures_util::future::BoxFuture;
use russh::server::{self, RunningSession};
use russh::{ChannelId, Disconnect};
use session::Lease;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::browser::BROWSER_DEADLINE;
use crate::config::{
    HANDSHAKE_DEADLINE, LOGIN_DEADLINE, MAX_CHANNELS, MAX_SERVED, TARGET_LOGIN_DEADLINE,
};
use crate::guard::Guarded;
use crate::inbox::Budget;
use crate::reach::Reach;
use crate::server::DoorHandler;
use crate::{Gateway, Texts, words};

/// What the parts of one user connection share.
pub(crate) struct Connection {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) peer: SocketAddr,
    pub(crate) texts: Arc<Texts>,
    /// Queues of what the user sent.
    pub(crate) up: Arc<Budget>,
    /// Queues of what targets sent.
    pub(crate) down: Arc<Budget>,
    orders: mpsc::Sender<Order>,
    ending: watch::Sender<Option<Arc<str>>>,
    handle: OnceLock<server::Handle>,
    who: OnceLock<Authenticated>,
    login: OnceLock<String>,
    asked: OnceLock<String>,
    reach: OnceLock<Arc<Reach>>,
    channels: Arc<AtomicUsize>,
    served: AtomicUsize,
    /// Channels whose one program was asked for.
    started: Mutex<HashSet<ChannelId>>,
}

/// How far signing in has come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    Asked,
    /// To a browser, which takes a person longer than typing does.
    Led,
    Proven,
    In,
}

/// What the connection's owner is asked to do.
enum Order {
    Phase(Phase),
    Run(BoxFuture<'static, ()>),
    Watch(Lease),
    Refuse(String),
}

/// How a connection came to its end.
#[derive(Clone, Debug)]
pub struct Ending {
    pub reason: EndReason,
    pub side: Side,
    /// What its user was told, where they were told anything.
    pub words: Option<Arc<str>>,
}

/// What the connection's owner is asked, until somebody serves it.
pub(crate) struct Orders(mpsc::Receiver<Order>);

/// A channel's place among those a connection may have; free again when dropped.
pub(crate) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Connection {
    /// One that is not served yet.
    pub(crate) fn new(gateway: Arc<Gateway>, peer: SocketAddr) -> (Arc<Self>, Orders) {
        let (orders, received) = mpsc::channel(ORDERS);
        let connection = Self {
            texts: gateway.texts(),
            up: Arc::new(Budget::new(gateway.held.clone())),
            down: Arc::new(Budget::new(gateway.held.clone())),
            gateway,
            peer,
            orders,
            ending: watch::channel(None).0,
            handle: OnceLock::new(),
            who: OnceLock::new(),
            login: OnceLock::new(),
            asked: OnceLock::new(),
            reach: OnceLock::new(),
            channels: Arc::default(),
            served: AtomicUsize::new(0),
            started: Mutex::default(),
        };
        (Arc::new(connection), Orders(received))
    }

    pub(crate) async fn phase(&self, phase: Phase) {
        self.order(Order::Phase(phase)).await;
    }

    /// Runs a part of the connection until it is done or the connection ends.
    pub(crate) async fn run(&self, part: impl Future<Output = ()> + Send + 'static) {
        self.order(Order::Run(Box::pin(part))).await;
    }

    /// The same from where nothing may wait; `false`: there is no room.
    pub(crate) fn try_run(&self, part: impl Future<Output = ()> + Send + 'static) -> bool {
        self.orders.try_send(Order::Run(Box::pin(part))).is_ok()
    }

    /// Ends the connection with these words.
    pub(crate) async fn refuse(&self, text: String) {
        self.order(Order::Refuse(text)).await;
    }

    /// Completes with the last words to the user when the connection is about to end.
    pub(crate) async fn ending(&self) -> Arc<str> {
        let mut ending = self.ending.subscribe();
        match ending.wait_for(Option::is_some).await {
            Ok(text) => text.clone().unwrap_or_else(|| words::INTERNAL.into()),
            Err(_) => words::INTERNAL.into(),
        }
    }

    /// Completes when the connection ends, whether or not there is time for last words.
    pub(crate) async fn over(&self) {
        tokio::select! {
            _ = self.ending() => {}
            () = self.orders.closed() => {}
        }
    }

    /// What `work` comes to; `None`: the connection is over before.
    pub(crate) async fn unless_over<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.over() => None,
            done = work => Some(done),
        }
    }

    pub(crate) fn handle(&self) -> Option<server::Handle> {
        self.handle.get().cloned()
    }

    pub(crate) fn set_handle(&self, handle: server::Handle) {
        // Always the same one.
        drop(self.handle.set(handle));
    }

    /// Who signed in, and as which account at a target.
    pub(crate) fn signed_in(&self, who: Authenticated, login: &str) {
        drop(self.who.set(who));
        drop(self.login.set(login.to_owned()));
    }

    pub(crate) fn who(&self) -> Option<&Authenticated> {
        self.who.get()
    }

    pub(crate) fn login(&self) -> &str {
        self.login.get().map_or("", String::as_str)
    }

    /// They named an application that several sites have.
    pub(crate) fn ask_which(&self, named: &str) {
        drop(self.asked.set(named.to_owned()));
    }

    /// The name that several applications have, where one was given.
    pub(crate) fn asked(&self) -> Option<&str> {
        self.asked.get().map(String::as_str)
    }

    pub(crate) fn reach(&self) -> Option<&Arc<Reach>> {
        self.reach.get()
    }

    /// Makes `reach` the connection's application, whose lease its owner watches from now on. There
    /// is only ever one; `false`: there is another already.
    pub(crate) async fn reached(&self, reach: Arc<Reach>) -> bool {
        let lease = reach.lease();
        let first = self.reach.set(reach).is_ok();
        if first {
            self.order(Order::Watch(lease)).await;
        }
        first
    }

    /// Records something under the connection's session.
    pub(crate) async fn note(&self, what: &str, detail: &str) {
        if let Some(reach) = self.reach() {
            reach.note(what, detail).await;
        }
    }

    /// Whether this is the first program asked for on a channel: there is only one.
    pub(crate) fn starts(&self, channel: ChannelId) -> bool {
        self.started.lock().unwrap_or_else(PoisonError::into_inner).insert(channel)
    }

    /// A session channel is over.
    pub(crate) fn ended(&self, channel: ChannelId) {
        self.served.fetch_add(1, Relaxed);
        self.started.lock().unwrap_or_else(PoisonError::into_inner).remove(&channel);
    }

    /// A place for one more channel, if there is one.
    pub(crate) fn place(&self) -> Option<Place> {
        let place = Place(self.channels.clone());
        let open = self.channels.fetch_add(1, Relaxed);
        let served = self.served.load(Relaxed);
        (open < MAX_CHANNELS && served < MAX_SERVED).then_some(place)
    }

    async fn order(&self, order: Order) {
        // Fails only while the connection ends, and then nothing more is to be done.
        drop(self.orders.send(order).await);
    }
}

/// Carries one connection from accept to its end.
pub(crate) async fn serve<S>(
    (connection, Orders(received)): (Arc<Connection>, Orders),
    io: S,
    vouched: Option<(Authenticated, ApplicationId)>,
    proven: CancellationToken,
    drain: CancellationToken,
) -> Ending
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let accepted = Instant::now();
    let cut = CancellationToken::new();
    let _cut = cut.clone().drop_guard();
    let config = connection.gateway.shown.at(SystemTime::now());
    let handler = DoorHandler::new(connection.clone(), vouched);
    // The library reads a packet's length by itself: three calls of the kernel for a key press.
    let io = BufReader::with_capacity(READ_AT_ONCE, io);
    let starting = server::run_stream(config, Guarded::new(io, cut.clone()), handler);
    let deadline = accepted + HANDSHAKE_DEADLINE;
    match timeout_at(deadline, starting).await {
        Ok(Ok(running)) => {
            connection.set_handle(running.handle());
            let owner = Owner {
                connection,
                received,
                running: Some(Box::pin(running)),
                parts: JoinSet::new(),
                lease: None,
                accepted,
                deadline: Some(deadline),
                signed_in: false,
                proven,
                drain,
                cut,
            };
            return owner.drive().await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "The handshake failed"),
        Err(_) => tracing::debug!("No identification in time"),
    }
    Ending { reason: EndReason::Failed, side: Side::Client, words: None }
}

struct Owner {
    connection: Arc<Connection>,
    received: mpsc::Receiver<Order>,
    /// `None` once it has ended.
    running: Option<Pin<Box<RunningSession<DoorHandler>>>>,
    parts: JoinSet<()>,
    lease: Option<Lease>,
    accepted: Instant,
    deadline: Option<Instant>,
    signed_in: bool,
    /// Cancelled once somebody has proven who they are.
    proven: CancellationToken,
    drain: CancellationToken,
    cut: CancellationToken,
}

impl Owner {
    async fn drive(mut self) -> Ending {
        let (mut reason, mut side) = self.carry().await;
        self.received.close();
        self.parts.shutdown().await;
        self.cut.cancel();
        // The library's task ends with its transport.
        drop(timeout(SOON, finished(&mut self.running)).await);
        if let Some(reach) = self.connection.reach() {
            (reason, side) = reach.close(reason, side).await;
        }
        let words = self.connection.ending.borrow().clone();
        Ending { reason, side, words }
    }

    async fn carry(&mut self) -> (EndReason, Side) {
        loop {
            tokio::select! {
                biased;
                reason = ended(&mut self.lease) => {
                    let said = self.lease.as_ref().and_then(Lease::last_words);
                    self.farewell(&words::over(reason, said.as_deref())).await;
                    return (reason, Side::Relay);
                }
                () = self.drain.cancelled(), if self.lease.is_none() => {
                    self.farewell(words::DRAINING).await;
                    return (EndReason::Drained, Side::Relay);
                }
                () = at(self.deadline) => {
                    if self.is_in_use() {
                        self.deadline = Some(Instant::now() + LONELY);
                        continue;
                    }
                    self.farewell(words::TOO_SLOW).await;
                    return (EndReason::Failed, Side::Client);
                }
                order = self.received.recv() => {
                    if let Some(text) = order.and_then(|order| self.obey(order)) {
                        self.farewell(&text).await;
                        return (EndReason::Failed, Side::Relay);
                    }
                }
                Some(part) = self.parts.join_next() => note(part),
                done = finished(&mut self.running) => return finish(done),
            }
        }
    }

    /// Follows an order; the last words, if it is to end the connection.
    fn obey(&mut self, order: Order) -> Option<String> {
        match order {
            Order::Phase(phase) => {
                if !matches!(phase, Phase::Asked | Phase::Led) {
                    self.proven.cancel();
                }
                self.deadline = match phase {
                    Phase::Asked => Some(self.accepted + LOGIN_DEADLINE),
                    Phase::Led => Some(Instant::now() + BROWSER_DEADLINE),
                    Phase::Proven => Some(Instant::now() + TARGET_LOGIN_DEADLINE),
                    Phase::In if self.lease.is_some() => None,
                    Phase::In => Some(Instant::now() + LONELY),
                };
                self.signed_in = matches!(phase, Phase::In);
            }
            Order::Run(part) => {
                self.parts.spawn(part);
            }
            Order::Watch(lease) => {
                self.lease = Some(lease);
                if self.signed_in {
                    // From here on the lease says how long it may go on.
                    self.deadline = None;
                }
            }
            Order::Refuse(text) => return Some(text),
        }
        None
    }

    /// Whether somebody who named no application is at the menu or jumps to applications.
    fn is_in_use(&self) -> bool {
        self.signed_in && self.connection.channels.load(Relaxed) > 0
    }

    /// Tells the user on every open channel and in the protocol's own goodbye, within a second,
    /// whatever is stalled: parts that end let go of their queues first.
    async fn farewell(&mut self, text: &str) {
        self.connection.ending.send_replace(Some(text.into()));
        let told = async { while self.parts.join_next().await.is_some() {} };
        drop(timeout(TELL, told).await);
        self.parts.abort_all();
        if let Some(handle) = self.connection.handle() {
            let text = text.trim_start_matches("adit: ").to_owned();
            let goodbye = async {
                // Either it is told or the line is dead.
                drop(handle.disconnect(Disconnect::ByApplication, text, String::new()).await);
                drop(finished(&mut self.running).await);
            };
            drop(timeout(TELL, goodbye).await);
        }
    }
}

async fn finished(
    running: &mut Option<Pin<Box<RunningSession<DoorHandler>>>>,
) -> Result<(), russh::Error> {
    let Some(session) = running else { return Ok(()) };
    let done = session.await;
    *running = None;
    done
}

async fn ended(lease: &mut Option<Lease>) -> EndReason {
    match lease {
        Some(lease) => lease.ended().await,
        None => std::future::pending().await,
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn note(part: Result<(), tokio::task::JoinError>) {
    if let Err(error) = part
        && error.is_panic()
    {
        tracing::error!(%error, "A part of a connection failed");
    }
}

fn finish(done: Result<(), russh::Error>) -> (EndReason, Side) {
    match done {
        Ok(()) => (EndReason::Closed, Side::Client),
        Err(russh::Error::IO(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            (EndReason::Closed, Side::Client)
        }
        Err(russh::Error::Join(error)) => {
            tracing::error!(%error, "A connection failed");
            (EndReason::Broken, Side::Relay)
        }
        Err(error) => {
            tracing::debug!(%error, "A connection broke");
            (EndReason::Broken, Side::Client)
        }
    }
}

const ORDERS: usize = 64;
/// What is read before its packets are known: some key presses. Uploads are read past it.
const READ_AT_ONCE: usize = 4096;

/// How long a connection without a session may have no channel.
const LONELY: Duration = Duration::from_secs(60);

/// For the last words on channels, and again for the goodbye: together within a second.
const TELL: Duration = Duration::from_millis(400);

const SOON: Duration = Duration::from_secs(1);
