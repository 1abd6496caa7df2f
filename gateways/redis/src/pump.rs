//! Carries a session's commands and replies, each looked at before it goes on.

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access::{EndReason, Explain as _, Side};
use bytes::{Buf as _, BytesMut};
use database::{Mark, Text, traffic};
use session::Session;
use splice::Counters;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split,
};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::Gateway;
use crate::client::{Client, Hello, Shown, hello};
use crate::connection::Known;
use crate::proto::{Commands, Fault, HELD, command};
use crate::record::{Events, Recorder};
use crate::reply::{Replies, Told};
use crate::server::Wire;
use crate::track::{Ask, Begun, Tracker, Turn};
use crate::words;

/// A session whose server is logged in to.
pub(crate) struct Line<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) session: Session,
    pub(crate) known: Known,
    pub(crate) client: Client,
    /// With what was read of it ahead.
    pub(crate) server: (Wire, BytesMut),
    pub(crate) recorder: Recorder,
}

type Finish = database::Finish<Fault>;

impl Line<'_> {
    /// Carries until either side or the lease ends, and tells the client why.
    pub(crate) async fn carry(self, tracker: Tracker<Mark>) {
        let Self { gateway, session, known, client, server, recorder } = self;
        let (mut lease, shared) = (session.lease(), Shared::new(&session, recorder, tracker));
        let (from_client, mut to_client) = split(client.io);
        let (from_server, mut to_server) = split(server.0);
        let door = Door { gateway, session: &session, known: &known };
        let up = up(&shared, &door, Flow::new(from_client, client.ahead), &mut to_server);
        let mut events = Events::new();
        let down = down(&shared, Flow::new(from_server, server.1), &mut to_client, &mut events);
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
        };
        let parting = async {
            if let Some(told) = told {
                shared.tell(&mut to_client, &told).await;
            }
            // It is over either way.
            drop(timeout(GOODBYE, to_server.shutdown()).await);
        };
        tokio::join!(parting, shared.record_last(events, reason));
        session.end(reason, side);
    }
}

/// What both directions know.
struct Shared {
    tracker: Mutex<Tracker<Mark>>,
    recorder: Recorder,
    counters: Arc<Counters>,
    /// Told when answers have made room for more to be asked.
    room: Notify,
    /// Whether the client has whole replies, so that another one can follow.
    client_between: AtomicBool,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Nothing is left of a session that has come to its end.
        let left = self.tracker().unanswered(EndReason::Failed.code().0);
        self.recorder.abandoned(left);
    }
}

impl Shared {
    fn new(session: &Session, recorder: Recorder, tracker: Tracker<Mark>) -> Self {
        Self {
            tracker: Mutex::new(tracker),
            recorder,
            counters: session.counters().clone(),
            room: Notify::new(),
            client_between: AtomicBool::new(true),
        }
    }

    /// Tells the client why it is over, where it can be told.
    async fn tell(&self, client: &mut WriteHalf<Wire>, told: &[u8]) {
        let telling = async {
            if self.client_between.load(Relaxed) {
                client.write_all(told).await?;
            }
            client.shutdown().await
        };
        drop(timeout(GOODBYE, telling).await);
    }

    /// Records what is left. What the server had not answered is told as cut short by the end.
    async fn record_last(&self, events: Events, reason: EndReason) {
        let left = self.tracker().unanswered(reason.code().0);
        self.recorder.last(events, left).await;
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

/// Who answers what the server is not asked.
struct Door<'a> {
    gateway: &'a Gateway,
    session: &'a Session,
    known: &'a Known,
}

impl Door<'_> {
    /// What goes to the server for who signs in again, and what waits for its answer.
    async fn asked(&self, ask: &Ask, shared: &Shared) -> Vec<u8> {
        let (shown, wanted) = match ask {
            Ask::Auth(args) => match Shown::auth(args) {
                Ok(shown) => (Some(shown), None),
                Err(answer) => return shared.tracker().answer(answer.to_vec()).to_vec(),
            },
            Ask::Hello(args) => match hello(args) {
                Ok((wanted, shown)) => (shown, Some(wanted)),
                Err(answer) => return shared.tracker().answer(answer.to_vec()).to_vec(),
            },
        };
        if let Some(shown) = &shown
            && let Err(answer) = self.gateway.again(self.session, self.known, shown).await
        {
            return shared.tracker().answer(answer).to_vec();
        }
        match wanted {
            // A server that is to say OK for it would have to be asked for something that it does.
            None => shared.tracker().answer(words::OK.to_vec()).to_vec(),
            Some(wanted) => {
                let version = wanted.as_ref().map_or(0, |wanted| wanted.version);
                shared.tracker().hello(version, Mark::now());
                greeting(wanted.as_ref())
            }
        }
    }
}

/// A HELLO without a login.
fn greeting(wanted: Option<&Hello>) -> Vec<u8> {
    let version = wanted.map(|wanted| wanted.version.to_string());
    let mut args: Vec<&[u8]> = vec![b"HELLO"];
    args.extend(version.as_ref().map(String::as_bytes));
    if let Some(name) = wanted.and_then(|wanted| wanted.name.as_deref()) {
        args.extend([&b"SETNAME"[..], name]);
    }
    let mut out = Vec::new();
    command(&mut out, &args);
    out
}

async fn up(
    shared: &Shared,
    door: &Door<'_>,
    mut flow: Flow<ReadHalf<Wire>>,
    server: &mut WriteHalf<Wire>,
) -> Finish {
    let mut commands = Commands::default();
    let mut there = !flow.buffer.is_empty();
    loop {
        shared.has_room().await;
        match if there { Ok(true) } else { flow.fill().await } {
            Ok(true) => {}
            Ok(false) if flow.buffer.is_empty() && commands.is_between() => {
                // A client may close without a word; the server then ends by itself.
                drop(server.shutdown().await);
                return Finish::Closed(Side::Client);
            }
            Ok(false) | Err(_) => return Finish::Broken(Side::Client),
        }
        let (mut begun, mut ask) = (Looked::default(), None);
        let scanned = {
            let mut tracker = shared.tracker();
            begun.database = tracker.database();
            commands.scan(&flow.buffer, |command| {
                tracker.client(
                    &command,
                    Mark::now,
                    |one| begun.note(one, shared.recorder.is_strict()),
                    words::refused,
                    &mut ask,
                )
            })
        };
        let scanned = match scanned {
            Ok(scanned) => scanned,
            Err(fault) => return Finish::Fault(Side::Client, fault),
        };
        shared.counters.set_awaited(!shared.tracker().is_idle());
        if begun.store(&shared.recorder).await.is_err() {
            return Finish::Unrecorded;
        }
        shared.counters.add_up(scanned.taken as u64);
        there = scanned.stopped;
        if flow.send(server, scanned.taken, &scanned.cuts).await.is_err() {
            return Finish::Broken(Side::Target);
        }
        if let Some(ask) = ask {
            let instead = door.asked(&ask, shared).await;
            if put(server, &instead).await.is_err() {
                return Finish::Broken(Side::Target);
            }
        }
    }
}

/// What has begun with some bytes.
#[derive(Default)]
struct Looked {
    strict: Vec<(Text, Mark)>,
    unfollowed: Vec<(Text, Mark)>,
    database: u32,
}

impl Looked {
    fn note(&mut self, begun: Begun<Mark>, strict: bool) {
        match begun {
            Begun::Waits(text, mark) | Begun::Unfollowed(text, mark) if strict => {
                self.strict.push((text, mark));
            }
            Begun::Waits(..) => {}
            Begun::Unfollowed(text, mark) => self.unfollowed.push((text, mark)),
        }
    }

    async fn store(self, recorder: &Recorder) -> Result<(), session::AuditError> {
        recorder.before(self.strict, self.database).await?;
        recorder.unfollowed(self.unfollowed, self.database).await;
        Ok(())
    }
}

async fn down(
    shared: &Shared,
    mut flow: Flow<ReadHalf<Wire>>,
    client: &mut WriteHalf<Wire>,
    events: &mut Events,
) -> Finish {
    let (mut replies, mut hiding) = (Replies::default(), false);
    let mut there = !flow.buffer.is_empty();
    loop {
        match if there { Ok(true) } else { flow.fill().await } {
            Ok(true) => there = false,
            Ok(false) if replies.is_between() => {
                drop(timeout(GOODBYE, client.shutdown()).await);
                let left = shared.tracker().has_left();
                return Finish::Closed(if left { Side::Client } else { Side::Target });
            }
            Ok(false) | Err(_) => return Finish::Broken(Side::Target),
        }
        let count = flow.buffer.len();
        let looked = look(shared, &mut replies, &flow.buffer, &mut hiding, events);
        let cuts = match looked {
            Ok(cuts) => cuts,
            Err(fault) => return Finish::Fault(Side::Target, fault),
        };
        shared.room.notify_one();
        let strict = shared.recorder.is_strict();
        if strict {
            shared.recorder.after(events).await;
        }
        shared.counters.add_down(count as u64);
        shared.client_between.store(false, Relaxed);
        // A client that does not read what has come waits for nobody.
        shared.counters.set_awaited(false);
        let sent = flow.send(client, count, &cuts).await;
        shared.counters.set_awaited(!shared.tracker().is_idle());
        shared.client_between.store(replies.is_between(), Relaxed);
        if !strict {
            shared.recorder.after(events).await;
        }
        if sent.is_err() {
            return Finish::Broken(Side::Client);
        }
    }
}

type Cuts = Vec<(Range<usize>, Vec<u8>)>;

/// Looks at some of the server's bytes: which of them the client is not to have, and what instead.
/// `hiding`: such a reply has begun and not ended.
fn look(
    shared: &Shared,
    replies: &mut Replies,
    bytes: &[u8],
    hiding: &mut bool,
    events: &mut Events,
) -> Result<Cuts, Fault> {
    let mut tracker = shared.tracker();
    let (mut cuts, mut from) = (Cuts::new(), hiding.then_some(0));
    replies.scan(bytes, |told| {
        match told {
            Told::Begins(at, kind) => from = tracker.begins(kind).then_some(at),
            Told::Ends(at, seen) => {
                let turn = tracker.server(&seen, |event| events.push_back(event))?;
                match (turn, from.take()) {
                    (Turn::Pass, None) => {}
                    (Turn::Instead(other), Some(from)) => cuts.push((from..at, other)),
                    (Turn::Pass, Some(_)) | (Turn::Instead(_), None) => {
                        return Err(Fault::Unasked);
                    }
                }
            }
        }
        Ok(())
    })?;
    *hiding = from.is_some();
    cuts.extend(from.map(|from| (from..bytes.len(), Vec::new())));
    Ok(cuts)
}

/// One direction's bytes.
struct Flow<R> {
    reader: R,
    buffer: BytesMut,
    /// How much is read at once: more while much comes, so that an idle connection holds little.
    size: usize,
}

impl<R: AsyncRead + Unpin> Flow<R> {
    /// Begins with what was read ahead.
    fn new(reader: R, buffer: BytesMut) -> Self {
        Self { reader, buffer, size: LEAST }
    }

    /// Reads on; `false`: there is no more.
    async fn fill(&mut self) -> io::Result<bool> {
        if self.buffer.is_empty() && self.buffer.capacity() > self.size {
            self.buffer = BytesMut::new();
        }
        self.buffer.reserve(self.size);
        let room = self.buffer.capacity() - self.buffer.len();
        let read = match self.reader.read_buf(&mut self.buffer).await {
            // Most clients end without TLS' goodbye. What was cut short shows by its own lengths.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            read => read?,
        };
        self.size = match read {
            read if read == room => (self.size * 4).min(MOST),
            read if read < self.size / 4 => (self.size / 2).max(LEAST),
            _ => self.size,
        };
        Ok(read > 0)
    }

    /// Sends the first `count` bytes on, but for the cuts.
    async fn send(
        &mut self,
        writer: &mut (impl AsyncWrite + Unpin),
        count: usize,
        cuts: &[(Range<usize>, Vec<u8>)],
    ) -> io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        put(writer, &spliced(&self.buffer[..count], cuts)).await?;
        self.buffer.advance(count);
        Ok(())
    }
}

async fn put(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    writer.write_all(bytes).await?;
    writer.flush().await
}

fn spliced<'a>(bytes: &'a [u8], cuts: &[(Range<usize>, Vec<u8>)]) -> Cow<'a, [u8]> {
    if cuts.is_empty() {
        return Cow::Borrowed(bytes);
    }
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    for (range, instead) in cuts {
        out.extend_from_slice(&bytes[at..range.start]);
        out.extend_from_slice(instead);
        at = range.end;
    }
    out.extend_from_slice(&bytes[at..]);
    Cow::Owned(out)
}

const LEAST: usize = 2 * 1024;
const MOST: usize = 4 * HELD;
/// How long either side is told goodbye.
const GOODBYE: Duration = Duration::from_millis(500);
/// How long a server may go on after its client has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);
