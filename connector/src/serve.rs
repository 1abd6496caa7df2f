//! One connection's sessions: the relay's request, this side's own decision, the target, the bytes.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use access::{EndReason, SessionId};
use splice::{Counters, Finish, Joined, Stream as _, Tcp};
use tokio::net::TcpStream;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tunnel::{Closed, Connection, Stream};
use wire::{Dial, Header, Mode, Refusal, Reply};

use crate::allow::AllowList;
use crate::dial::{DialError, Resolver, dial};
use crate::doctor::Examiner;
use crate::orders::{Order, Orders};

/// What the sessions of every connection share.
pub struct Site {
    pub allow: AllowList,
    pub resolver: Box<dyn Resolver>,
    /// Who looks for what is wrong when the relay asks; nobody in tests.
    pub examiner: Option<Examiner>,
    pub counts: Counts,
    pub orders: Orders,
}

impl Site {
    pub fn new(allow: AllowList, resolver: Box<dyn Resolver>) -> Self {
        let (counts, orders) = (Counts::default(), Orders::default());
        Self { allow, resolver, examiner: None, counts, orders }
    }

    /// Has `examiner` look for what is wrong when the relay asks.
    #[must_use]
    pub fn examined_by(self, examiner: Examiner) -> Self {
        Self { examiner: Some(examiner), ..self }
    }
}

/// How often what happened, since the process began.
#[derive(Debug, Default)]
pub struct Counts {
    pub opened: AtomicU64,
    pub ended: AtomicU64,
    /// Those of `ended` that draining did not wait for any longer.
    pub cut: AtomicU64,
    pub refused: AtomicU64,
}

/// How a connection's service ends, other than with the connection.
#[derive(Clone, Debug)]
pub struct Ends {
    /// Now, and then all sessions have ended, or `grace` has.
    pub stop: CancellationToken,
    pub grace: Duration,
    /// When the last of its sessions does: another connection takes new ones.
    pub retire: CancellationToken,
}

/// Serves the relay's requests until the connection is over, or ends as `ends` says.
pub async fn serve(connection: Connection, site: Arc<Site>, ends: Ends) -> Closed {
    let Ends { stop, grace, retire } = ends;
    let mut orders = site.orders.subscribe();
    let mut sessions = JoinSet::new();
    let (mut settled, mut draining) = (None, None);
    let cut = CancellationToken::new();
    loop {
        if let Order::Drain { until } = *orders.borrow_and_update() {
            let since = draining.map_or_else(Instant::now, |(since, _)| since);
            draining = Some((since, until));
            connection.drain();
        }
        let limit = draining.map(|(_, until)| until);
        tokio::select! {
            biased;
            () = stop.cancelled() => return drain(connection, site, sessions, grace).await,
            // The orders live as long as the site.
            _ = orders.changed() => {}
            () = sleep_until(limit.unwrap_or_else(Instant::now)),
                if limit.is_some() && !cut.is_cancelled() => cut.cancel(),
            () = retire.cancelled(), if settled.is_none() => {
                connection.drain();
                settled = Some(Instant::now() + SETTLE);
            }
            () = sleep_until(settled.unwrap_or_else(Instant::now)),
                if settled.is_some() && sessions.is_empty() =>
            {
                connection.goodbye(EndReason::Closed, "another connection took its place").await;
                return Closed::Here;
            }
            Some(ended) = sessions.join_next() => {
                note(ended);
                // What the session left at its target, the relay takes back by a stream of its own.
                settled = settled.map(|_| Instant::now() + SETTLE);
            }
            stream = connection.accept() => match stream {
                Ok(stream) if is_over(draining) => { sessions.spawn(decline(stream)); }
                Ok(stream) => { sessions.spawn(session(stream, Arc::clone(&site), cut.clone())); }
                Err(closed) => {
                    finish(sessions).await;
                    return closed;
                }
            },
        }
    }
}

/// Whether the relay has had the time to hear that this connection takes no more sessions.
fn is_over(draining: Option<(Instant, Instant)>) -> bool {
    draining.is_some_and(|(since, until)| since.elapsed() >= SETTLE || Instant::now() >= until)
}

/// The relay asks another connector then.
async fn decline(mut stream: Stream) {
    let refusal = Refusal {
        code: "connector.draining".to_owned(),
        message: "this connector takes no more sessions".to_owned(),
        hint: Some("`adit-connector drain --resume` on its machine ends that".to_owned()),
    };
    refuse(&mut stream, refusal).await;
}

/// Takes what the relay still sends before it has heard, lets sessions end by themselves, and cuts
/// those that do not.
async fn drain(
    connection: Connection,
    site: Arc<Site>,
    mut sessions: JoinSet<()>,
    grace: Duration,
) -> Closed {
    connection.drain();
    let deadline = Instant::now() + grace;
    let settled = Instant::now() + SETTLE.min(grace);
    while !sessions.is_empty() || Instant::now() < settled {
        let until = if sessions.is_empty() { settled } else { deadline };
        let step = timeout_at(until, async {
            tokio::select! {
                Some(ended) = sessions.join_next() => { note(ended); None }
                stream = connection.accept() => Some(stream),
            }
        });
        match step.await {
            Ok(None) => {}
            Ok(Some(Ok(stream))) => {
                sessions.spawn(session(stream, Arc::clone(&site), CancellationToken::new()));
            }
            Ok(Some(Err(closed))) => {
                finish(sessions).await;
                return closed;
            }
            Err(_) => break,
        }
    }
    if !sessions.is_empty() {
        tracing::warn!(sessions = sessions.len(), "Cut sessions that did not end in time");
    }
    connection.goodbye(EndReason::Drained, "the connector is stopping").await;
    finish(sessions).await;
    Closed::Here
}

/// Waits for sessions whose connection is gone, so that each resets its target.
async fn finish(mut sessions: JoinSet<()>) {
    let all = async {
        while let Some(ended) = sessions.join_next().await {
            note(ended);
        }
    };
    if timeout(FINISH, all).await.is_err() {
        tracing::warn!("Dropped sessions that did not end with their connection");
    }
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "A session's task failed");
    }
}

async fn session(mut stream: Stream, site: Arc<Site>, cut: CancellationToken) {
    // Boxed so that a session which is open does not carry what opening one took.
    let Some((dial, socket)) = Box::pin(open(&mut stream, &site)).await else { return };
    site.counts.opened.fetch_add(1, Relaxed);
    if carry(stream, socket, &dial, cut).await == Carried::Cut {
        site.counts.cut.fetch_add(1, Relaxed);
    }
    site.counts.ended.fetch_add(1, Relaxed);
}

/// How a session ended for this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carried {
    ByItself,
    Cut,
}

async fn open(stream: &mut Stream, site: &Site) -> Option<(Dial, TcpStream)> {
    let (dial, purpose) = match timeout(REQUEST, stream.recv_frame::<Header>()).await {
        Ok(Ok(Header::Dial(dial))) => (dial, Purpose::Session),
        Ok(Ok(Header::Check(dial))) => (dial, Purpose::Check),
        Ok(Ok(Header::Examine)) => {
            examine(stream, site).await;
            return None;
        }
        Ok(Ok(
            Header::Open(_)
            | Header::Forward(_)
            | Header::Reaching
            | Header::Fetch(_)
            | Header::Unknown,
        )) => {
            refuse(stream, unknown()).await;
            return None;
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "A stream brought no request");
            return None;
        }
        Err(_) => {
            stream.abort(EndReason::Failed.number());
            return None;
        }
    };
    let connected = tokio::select! {
        biased;
        // Nobody waits for it any more.
        _ = poll_fn(|cx| stream.poll_gone(cx)) => return None,
        connected = connect(&dial, site) => connected,
    };
    match connected {
        // Reached, and that is all that was asked: nobody gets this connection.
        Ok(socket) if purpose == Purpose::Check => {
            drop(socket);
            let reached = opened(dial.session);
            answer(stream, reached).await;
            None
        }
        Ok(socket) => {
            let opened = opened(dial.session);
            stream.send_frame(&opened).await.ok()?;
            Some((dial, socket))
        }
        Err(error) => {
            note_refusal(&dial, &error, site);
            refuse(stream, Refusal::of(&error)).await;
            None
        }
    }
}

/// Tells the relay what is wrong between this machine, the relay and the targets.
async fn examine(stream: &mut Stream, site: &Site) {
    let Some(examiner) = &site.examiner else { return refuse(stream, unknown()).await };
    let reply = Reply::Opened { session: None, mode: Mode::Raw, host_keys: Vec::new() };
    if !matches!(timeout(REQUEST, stream.send_frame(&reply)).await, Ok(Ok(()))) {
        return;
    }
    let examined = tokio::select! {
        biased;
        // Nobody waits for it any more.
        _ = poll_fn(|cx| stream.poll_gone(cx)) => return,
        examined = examiner.look() => examined,
    };
    match examined {
        Ok(examined) => {
            drop(timeout(REQUEST, stream.send_frame(&examined)).await);
            drop(timeout(REQUEST, stream.deliver()).await);
        }
        Err(error) => {
            tracing::warn!(%error, "Could not look for what is wrong");
            stream.abort(EndReason::Failed.number());
        }
    }
}

/// What a target is dialled for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Session,
    /// To know whether it can be reached.
    Check,
}

async fn connect(request: &Dial, site: &Site) -> Result<TcpStream, DialError> {
    dial(request, &site.allow, site.resolver.as_ref()).await
}

fn note_refusal(dial: &Dial, error: &DialError, site: &Site) {
    site.counts.refused.fetch_add(1, Relaxed);
    let Dial { session, application, host, port } = dial;
    match error {
        DialError::NotAllowed { address, reason } => {
            let address = address.map(tracing::field::display);
            tracing::warn!(
                %session, %application, host, port, address, %reason,
                "The relay asked for an address this connector may not dial"
            );
        }
        DialError::Unresolved { .. }
        | DialError::Refused { .. }
        | DialError::Unreachable { .. }
        | DialError::TimedOut => {
            let source = std::error::Error::source(error).map(tracing::field::display);
            tracing::info!(%session, %application, host, port, %error, source, "Dial failed");
        }
    }
}

async fn refuse(stream: &mut Stream, refusal: Refusal) {
    answer(stream, Reply::Refused(refusal)).await;
}

/// Gives the last word on a stream.
async fn answer(stream: &mut Stream, reply: Reply) {
    let sent = timeout(REQUEST, stream.send_frame(&reply)).await;
    if matches!(sent, Ok(Ok(()))) {
        drop(timeout(REQUEST, stream.deliver()).await);
    }
}

async fn carry(
    mut stream: Stream,
    socket: TcpStream,
    dial: &Dial,
    cut: CancellationToken,
) -> Carried {
    let mut target = match Tcp::new(socket) {
        Ok(target) => target,
        Err(error) => {
            tracing::debug!(session = %dial.session, %error, "The target is gone");
            return Carried::ByItself;
        }
    };
    let counters = Counters::default();
    let joined = tokio::select! {
        biased;
        () = cut.cancelled() => None,
        finish = splice::join(&mut stream, &mut target, &counters) => Some(finish),
    };
    let Some(finish) = joined else {
        stream.abort(EndReason::Drained.number());
        target.abort(EndReason::Drained.number());
        tracing::info!(session = %dial.session, "Cut a session that did not end in time");
        return Carried::Cut;
    };
    match finish {
        Finish::Closed(_) => {}
        // Each side learns that the other broke, and does not take it for the end of the data.
        Finish::Broken(Joined::First, error) => {
            target.abort(EndReason::Broken.number());
            tracing::debug!(session = %dial.session, %error, "The relay's side ended");
        }
        Finish::Broken(Joined::Second, error) => {
            stream.abort(EndReason::Broken.number());
            tracing::debug!(session = %dial.session, %error, "The target broke");
        }
    }
    tracing::debug!(
        session = %dial.session, up = counters.up(), down = counters.down(), "Session ended"
    );
    Carried::ByItself
}

fn unknown() -> Refusal {
    Refusal {
        code: "wire.unknown".to_owned(),
        message: "this connector does not know that kind of request".to_owned(),
        hint: Some("install the version of Adit that the relay has".to_owned()),
    }
}

/// The answer to who dials: what follows is the target's.
fn opened(session: SessionId) -> Reply {
    Reply::Opened { session: Some(session), mode: Mode::Raw, host_keys: Vec::new() }
}

/// For a stream's request to arrive, and for an answer to leave.
const REQUEST: Duration = Duration::from_secs(10);
/// For sessions to end once their connection has.
const FINISH: Duration = Duration::from_secs(5);
/// How long requests may still come after the relay was told to send no more.
const SETTLE: Duration = Duration::from_millis(250);
