//! Carries a session's messages both ways, each looked at before it goes on.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access::text::in_full;
use access::{EndReason, Explain as _, Side};
use bytes::{Buf as _, BytesMut};
use database::{Charset, Events, Mark, Recorder, Tls, traffic};
use session::{Session, WayBack};
use splice::Counters;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split,
};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::cancel::Cancellable;
use crate::proto::{Key, Told, fatal, message};
use crate::scan::{Fault, HELD, Scanner, Writer};
use crate::server::{Wire, cancel};
use crate::track::Tracker;
use crate::words;

/// A session whose server is logged in to.
pub(crate) struct Line {
    pub(crate) session: Session,
    pub(crate) client: Wire,
    pub(crate) server: Wire,
    /// The client's, as the server has told it.
    pub(crate) charset: Charset,
    pub(crate) recorder: Recorder,
    pub(crate) cancellable: Cancellable,
    /// The server's own key, where it gave one.
    pub(crate) key: Option<Key>,
    pub(crate) tls: Option<Tls>,
}

type Finish = database::Finish<Fault>;

impl Line {
    /// Carries until either side or the lease ends, and tells the client why.
    pub(crate) async fn carry(self) {
        let Self { session, client, server, charset, recorder, mut cancellable, key, tls } = self;
        let (mut lease, shared) = (session.lease(), Shared::new(&session, charset, recorder));
        let mut events = Events::new();
        let (mut from_client, mut to_client) = split(client);
        let (mut from_server, mut to_server) = split(server);
        let cancelling = cancelling(&session, &mut cancellable, key.as_ref(), tls.as_ref());
        let up = up(&shared, &mut from_client, &mut to_server);
        let down = down(&shared, &mut from_server, &mut to_client, &mut events);
        let (reason, side, told) = tokio::select! {
            biased;
            reason = lease.ended() => {
                let told = words::over(reason, lease.last_words().as_deref());
                (reason, Side::Relay, Some(told))
            }
            finish = traffic(up, down, LAST_WORDS) => {
                let finish = finish.noted(&session);
                finish.outcome(|reason| words::over(reason, None), words::fault)
            }
            never = cancelling => match never {},
        };
        let cut_short = shared.tracker().is_cut_short();
        let parting = async {
            if let Some(told) = told {
                shared.tell(&mut to_client, &told).await;
            }
            if reason != EndReason::Closed {
                shared.leave(&mut to_server).await;
            }
        };
        tokio::join!(parting, shared.record_last(events, reason));
        let way = session.way_back();
        session.end(reason, side);
        if let Some(key) = key.filter(|_| cut_short) {
            stop(&way, tls.as_ref(), &key).await;
        }
    }
}

/// Stops what the server still does: it looks for its client only when it has something to say.
async fn stop(way: &WayBack, tls: Option<&Tls>, key: &Key) {
    let stopped = match way.dial().await {
        Ok(stream) => cancel(stream, tls, key).await.map_err(|error| in_full(&error)),
        Err(error) => Err(in_full(&error)),
    };
    if let Err(error) = stopped {
        tracing::warn!(%error, "Could not stop the statement of a session that has ended");
    }
}

/// What both directions know.
struct Shared {
    tracker: Mutex<Tracker<Mark>>,
    recorder: Recorder,
    counters: Arc<Counters>,
    /// Told when answers have made room for more to be asked.
    room: Notify,
    /// Whether the client has whole messages, so that another one can follow.
    client_between: AtomicBool,
    /// The same of the server.
    server_between: AtomicBool,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Nothing is left of a session that has come to its end.
        let left = self.tracker().unanswered(EndReason::Failed.code().0);
        let left = left.into_iter().map(|done| self.recorder.ended(done));
        self.recorder.abandoned(left.collect());
    }
}

impl Shared {
    fn new(session: &Session, charset: Charset, recorder: Recorder) -> Self {
        Self {
            tracker: Mutex::new(
                Tracker::default()
                    .with_charset(charset)
                    .with_values(session.application().database.values),
            ),
            recorder,
            counters: session.counters().clone(),
            room: Notify::new(),
            client_between: AtomicBool::new(true),
            server_between: AtomicBool::new(true),
        }
    }

    /// Records what is left. What the server had not answered is told as cut short by the end.
    async fn record_last(&self, events: Events, reason: EndReason) {
        let left = self.tracker().unanswered(reason.code().0);
        self.recorder.record_last(events, left).await;
    }

    /// Tells the client why it is over, where it can be told.
    async fn tell(&self, client: &mut WriteHalf<Wire>, told: &Told) {
        let telling = async {
            if self.client_between.load(Relaxed) {
                let mut out = BytesMut::new();
                fatal(&mut out, told);
                client.write_all(&out).await?;
            }
            client.shutdown().await
        };
        // Who does not read is told nothing.
        drop(timeout(GOODBYE, telling).await);
    }

    /// Says goodbye to the server, so that its log tells an end from a broken line.
    async fn leave(&self, server: &mut WriteHalf<Wire>) {
        let leaving = async {
            if self.server_between.load(Relaxed) {
                let mut out = BytesMut::new();
                message(&mut out, b'X', |_| {});
                server.write_all(&out).await?;
            }
            server.shutdown().await
        };
        // It is over either way.
        drop(timeout(GOODBYE, leaving).await);
    }

    fn tracker(&self) -> MutexGuard<'_, Tracker<Mark>> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn has_room(&self) {
        while self.tracker().is_full() {
            self.room.notified().await;
        }
    }
}

async fn up(shared: &Shared, client: &mut ReadHalf<Wire>, server: &mut WriteHalf<Wire>) -> Finish {
    let mut flow = Flow::new(Writer::Client);
    loop {
        shared.has_room().await;
        match flow.fill(client).await {
            Ok(true) => {}
            Ok(false) if flow.is_between() => {
                // A client may close without a word; the server then ends by itself.
                drop(server.shutdown().await);
                return Finish::Closed(Side::Client);
            }
            Ok(false) | Err(_) => return Finish::Broken(Side::Client),
        }
        let mut begun = Vec::new();
        let scanned = flow.scan(|message| {
            let statement = shared.tracker().client(message, Mark::now)?;
            begun.extend(statement.filter(|_| shared.recorder.is_strict()));
            Ok(())
        });
        let count = match scanned {
            Ok(count) => count,
            Err(fault) => return Finish::Fault(Side::Client, fault),
        };
        shared.counters.set_awaited(shared.tracker().is_awaited());
        if shared.recorder.before(begun).await.is_err() {
            return Finish::Unrecorded;
        }
        shared.counters.add_up(count as u64);
        if flow.send(server, count, &shared.server_between).await.is_err() {
            return Finish::Broken(Side::Target);
        }
    }
}

async fn down(
    shared: &Shared,
    server: &mut ReadHalf<Wire>,
    client: &mut WriteHalf<Wire>,
    events: &mut Events,
) -> Finish {
    let mut flow = Flow::new(Writer::Server);
    loop {
        match flow.fill(server).await {
            Ok(true) => {}
            Ok(false) if flow.is_between() => {
                drop(timeout(GOODBYE, client.shutdown()).await);
                let parted = shared.tracker().has_parted();
                return Finish::Closed(if parted { Side::Client } else { Side::Target });
            }
            Ok(false) | Err(_) => return Finish::Broken(Side::Target),
        }
        let scanned =
            flow.scan(|message| shared.tracker().server(message, |event| events.push_back(event)));
        let count = match scanned {
            Ok(count) => count,
            Err(fault) => return Finish::Fault(Side::Target, fault),
        };
        shared.room.notify_one();
        let strict = shared.recorder.is_strict();
        if strict {
            shared.recorder.record(events).await;
        }
        shared.counters.add_down(count as u64);
        // A client that does not read what has come waits for nobody.
        shared.counters.set_awaited(false);
        let sent = flow.send(client, count, &shared.client_between).await;
        shared.counters.set_awaited(shared.tracker().is_awaited());
        if !strict {
            shared.recorder.record(events).await;
        }
        if sent.is_err() {
            return Finish::Broken(Side::Client);
        }
    }
}

/// Cancels what runs whenever the client's key is shown. Part of the session, so nothing of it
/// outlives that.
async fn cancelling(
    session: &Session,
    cancellable: &mut Cancellable,
    key: Option<&Key>,
    tls: Option<&Tls>,
) -> Infallible {
    loop {
        cancellable.shown().await;
        let Some(key) = key else { continue };
        let cancelled = match session.dial().await {
            Ok(stream) => cancel(stream, tls, key).await.map_err(|error| in_full(&error)),
            Err(error) => Err(in_full(&error)),
        };
        if let Err(error) = cancelled {
            tracing::warn!(session = %session.id(), %error, "Could not cancel a statement");
        }
    }
}

/// One direction's bytes.
struct Flow {
    buffer: BytesMut,
    scanner: Scanner,
    /// How much is read at once: more while much comes, so that an idle connection holds little.
    size: usize,
}

impl Flow {
    fn new(writer: Writer) -> Self {
        Self { buffer: BytesMut::new(), scanner: Scanner::new(writer), size: LEAST }
    }

    /// Reads on; `false`: there is no more.
    async fn fill(&mut self, reader: &mut (impl AsyncRead + Unpin)) -> io::Result<bool> {
        if self.buffer.is_empty() && self.buffer.capacity() > self.size {
            self.buffer = BytesMut::new();
        }
        self.buffer.reserve(self.size);
        let room = self.buffer.capacity() - self.buffer.len();
        let read = reader.read_buf(&mut self.buffer).await?;
        self.size = match read {
            read if read == room => (self.size * 4).min(MOST),
            read if read < self.size / 4 => (self.size / 2).max(LEAST),
            _ => self.size,
        };
        Ok(read > 0)
    }

    fn scan(
        &mut self,
        each: impl FnMut(crate::scan::Message<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        self.scanner.scan(&self.buffer, each)
    }

    /// Sends the first `count` bytes on.
    async fn send(
        &mut self,
        writer: &mut (impl AsyncWrite + Unpin),
        count: usize,
        between: &AtomicBool,
    ) -> io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        between.store(false, Relaxed);
        writer.write_all(&self.buffer[..count]).await?;
        writer.flush().await?;
        self.buffer.advance(count);
        between.store(self.scanner.is_between(), Relaxed);
        Ok(())
    }

    fn is_between(&self) -> bool {
        self.buffer.is_empty() && self.scanner.is_between()
    }
}

const LEAST: usize = 2 * 1024;
const MOST: usize = 2 * HELD;
/// How long either side is told goodbye.
const GOODBYE: Duration = Duration::from_millis(500);
/// How long a server may go on after its client has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

#[cfg(test)]
#[path = "pump_tests.rs"]
mod tests;
