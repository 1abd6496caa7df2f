//! One desktop, from somebody who is known to its end.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use access::text::in_full;
use access::{
    Application, Authenticated, Clipboard, Code, Context, EndReason, Explain as _, Grant, Keeps,
    Kind, PolicySnapshot, SessionId, Side,
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use session::{AuditEvent, Door, Entry, Session, Tape, with_cause};
use splice::Counters;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::Gateway;
use crate::cleanpath::{Request, no, yes};
use crate::clipboard::{Client, Rules};
use crate::frame::Fault;
use crate::guard::Guard;
use crate::target::{Means, Target, Wire};
use crate::watch::Watch;
use crate::words::{Refused, told};

/// Somebody in front of a page.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub who: Authenticated,
    /// `app` or `app.site`.
    pub application: String,
    /// Of the keyboard, as Windows numbers them; `None`: the target's own.
    pub layout: Option<u32>,
}

/// A session whose target is ready for a client.
pub struct Desktop {
    session: Session,
    wire: Wire,
    guard: Guard,
    /// What the client is told first.
    answer: Option<Bytes>,
}

/// How a desktop came to its end.
#[derive(Clone, Debug)]
pub struct Ending {
    pub reason: EndReason,
    pub side: Side,
    /// What its user is told, and the code of it.
    pub words: String,
    pub code: Code,
}

/// A line to a client: what it says, and where it is told something.
pub struct Line<S> {
    pub up: S,
    pub down: mpsc::Sender<Bytes>,
}

impl Gateway {
    /// What would open, if it would. Records why not.
    pub(crate) fn look(&self, visitor: &Visitor) -> Result<(Arc<Application>, Clipboard), Refused> {
        let grant = self.decide(visitor, &self.broker.policy())?;
        Ok((grant.application().clone(), grant.terms().clipboard))
    }

    fn decide(&self, visitor: &Visitor, policy: &PolicySnapshot) -> Result<Grant, Refused> {
        let decided = decide(visitor, policy, SystemTime::now());
        decided.inspect_err(|error| {
            let Visitor { who, application, .. } = visitor;
            let why = (error.code(), with_cause(error));
            self.broker.audit().note(AuditEvent::denied(Door::Desktop, who, application, why));
        })
    }

    /// Opens a session and reaches its target, unless the client leaves first. A client that gets none
    /// is told so as RDCleanPath has it.
    pub(crate) async fn open(
        &self,
        visitor: &Visitor,
        request: &Request,
        down: &mpsc::Sender<Bytes>,
    ) -> Result<Desktop, Refused> {
        let opened = Box::pin(self.try_open(visitor, request, down)).await;
        if let Err(refused) = &opened {
            // Who has left is told nothing.
            drop(timeout(LAST, down.send(no(&refused.no()))).await);
        }
        opened
    }

    async fn try_open(
        &self,
        visitor: &Visitor,
        request: &Request,
        down: &mpsc::Sender<Bytes>,
    ) -> Result<Desktop, Refused> {
        let grant = self.decide(visitor, &self.broker.policy())?;
        let session = self.broker.open(grant, Door::Desktop, SystemTime::now()).await?;
        let mut lease = session.lease();
        let means = Means {
            trust: &self.trust,
            secrets: &*self.secrets,
            certificates: &*self.certificates,
        };
        let reached = tokio::select! {
            biased;
            reason = lease.ended() => {
                session.end(reason, Side::Relay);
                return Err(Refused::Ended { reason, words: lease.last_words() });
            }
            () = down.closed() => {
                session.end(EndReason::Broken, Side::Client);
                return Err(Refused::Left);
            }
            reached = means.reach(&session, request.offered) => reached,
        };
        let answered = reached.and_then(|target| {
            let answer = yes(target.confirm.clone(), &target.chain);
            Ok((answer.map_err(|_| Fault::Settings)?, target))
        });
        match answered {
            Ok((answer, target)) => {
                let desktop = Desktop::new(session, target, Client::Page, Some(answer));
                Ok(desktop.with_layout(visitor.layout))
            }
            Err(error) => {
                session.note("target.login_failed", &in_full(&error));
                let cause = &error as &dyn std::error::Error;
                tracing::debug!(session = %session.id(), code = %error.code(), error = cause, "No desktop");
                let (reason, side) = error.outcome();
                session.end(reason, side);
                Err(error.into())
            }
        }
    }
}

fn decide(visitor: &Visitor, policy: &PolicySnapshot, now: SystemTime) -> Result<Grant, Refused> {
    let who = &visitor.who;
    let application = policy.find(&visitor.application, who)?;
    let context = Context {
        from: who.from(),
        login: application.login.fixed().map(str::to_owned),
        database: None,
        keeps: Keeps::DESKTOP,
    };
    let grant = policy.authorize(who, application, context, now)?;
    // Told only to whom a rule opens it.
    if application.kind == Kind::Rdp { Ok(grant) } else { Err(Refused::Kind) }
}

impl Desktop {
    pub(crate) fn new(
        session: Session,
        target: Target,
        client: Client,
        answer: Option<Bytes>,
    ) -> Self {
        let terms = session.terms();
        let rules = Rules::of(terms, client, &session.application().rdp);
        let guard = Guard::new(rules, target.protocol, target.account);
        let watch = session.tape().map(|tape| Watch::new(tape.takes_input()));
        let guard = guard.watched(watch);
        Self { session, wire: target.wire, guard, answer }
    }

    /// The same, and the target is told that the client's keyboard has this layout.
    fn with_layout(self, layout: Option<u32>) -> Self {
        Self { guard: self.guard.with_layout(layout), ..self }
    }

    pub fn session(&self) -> SessionId {
        self.session.id()
    }

    /// Tells the client that its target is there, and carries until either side or the lease ends.
    pub async fn carry<S>(self, line: Line<S>) -> Ending
    where
        S: Stream<Item = Bytes> + Unpin + Send,
    {
        let Self { session, wire, guard, answer } = self;
        let mut lease = session.lease();
        let (from, to) = split(wire);
        let between = Between {
            guard: Mutex::new(guard),
            counters: session.counters().clone(),
            tape: session.tape().cloned(),
        };
        let Line { up, down } = line;
        let both = async {
            if let Some(answer) = answer
                && down.send(answer).await.is_err()
            {
                return Over::Broken(Side::Client);
            }
            tokio::select! {
                over = between.upwards(up, to) => over,
                over = between.downwards(from, &down) => over,
                () = down.closed() => Over::Broken(Side::Client),
            }
        };
        let over = tokio::select! {
            biased;
            reason = lease.ended() => Over::Lease(reason),
            over = both => over,
        };
        let words = lease.last_words();
        let ending = over.ending(words.as_deref());
        between.end();
        if let Over::Fault(side, fault) = &over {
            session.note("desktop.fault", &format!("{}: {fault}", side.as_str()));
        }
        session.end(ending.reason, ending.side);
        ending
    }
}

/// How traffic came to its end.
enum Over {
    Lease(EndReason),
    Closed(Side),
    Broken(Side),
    Fault(Side, Fault),
}

impl Over {
    fn ending(&self, words: Option<&str>) -> Ending {
        let (reason, side) = match self {
            Self::Lease(reason) => (*reason, Side::Relay),
            Self::Closed(side) => (EndReason::Closed, *side),
            Self::Broken(side) | Self::Fault(side, _) => (EndReason::Broken, *side),
        };
        match self {
            Self::Fault(_, Fault::Unreadable) => {
                let words = "what your rule wants looked at came compressed or scattered";
                Ending { reason, side, words: words.to_owned(), code: UNREADABLE }
            }
            Self::Fault(_, fault @ (Fault::Unshown | Fault::Undrawn)) => {
                let words = format!("your rule wants a recording, and {fault}");
                Ending { reason, side, words, code: UNRECORDABLE }
            }
            Self::Fault(..) => {
                let words = "bytes came that are no RDP, or none that may come then";
                Ending { reason, side, words: words.to_owned(), code: VIOLATION }
            }
            Self::Lease(_) | Self::Closed(_) | Self::Broken(_) => {
                Ending { reason, side, words: told(reason, words), code: reason.code() }
            }
        }
    }
}

/// What stands between a client and a target.
struct Between {
    guard: Mutex<Guard>,
    counters: Arc<Counters>,
    /// Of a session that must be recorded.
    tape: Option<Tape>,
}

impl Between {
    async fn upwards<S: Stream<Item = Bytes> + Unpin>(
        &self,
        mut line: S,
        mut to: WriteHalf<Wire>,
    ) -> Over {
        let (mut buffer, mut out) = (BytesMut::new(), Vec::new());
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                bytes = line.next() => match bytes {
                    Some(bytes) => {
                        buffer.extend_from_slice(&bytes);
                        if let Err(fault) = self.guard().up(&mut buffer, &mut out) {
                            return Over::Fault(Side::Client, fault);
                        }
                        self.keep_pressed().await;
                        let length: usize = out.iter().map(Bytes::len).sum();
                        self.counters.add_up(length as u64);
                    }
                    // A browser that is done closes its line.
                    None => return Over::Closed(Side::Client),
                },
                _ = looks.tick(), if self.tape.is_some() => {
                    let frame = self.guard().repaint();
                    if frame.is_some() {
                        self.write(Entry::Repaint).await;
                    }
                    out.extend(frame);
                }
            }
            for bytes in out.drain(..) {
                if to.write_all(&bytes).await.is_err() {
                    return Over::Broken(Side::Target);
                }
            }
            if to.flush().await.is_err() {
                return Over::Broken(Side::Target);
            }
        }
    }

    async fn downwards(&self, mut from: ReadHalf<Wire>, down: &mpsc::Sender<Bytes>) -> Over {
        let (mut buffer, mut out) = (BytesMut::new(), Vec::new());
        loop {
            buffer.reserve(READ);
            match from.read_buf(&mut buffer).await {
                Ok(0) => return Over::Closed(Side::Target),
                Ok(_) => {}
                // Windows hangs up without a word of TLS.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Over::Closed(Side::Target);
                }
                Err(_) => return Over::Broken(Side::Target),
            }
            if let Err(fault) = self.guard().down(&mut buffer, &mut out) {
                return Over::Fault(Side::Target, fault);
            }
            // Before anybody sees it.
            self.keep_shown().await;
            for bytes in out.drain(..) {
                self.counters.add_down(bytes.len() as u64);
                if down.send(bytes).await.is_err() {
                    return Over::Broken(Side::Client);
                }
            }
        }
    }

    async fn keep_shown(&self) {
        let shown = self.guard().watch().and_then(Watch::take_shown);
        if let Some(bytes) = shown {
            self.write(Entry::Screen { bytes }).await;
        }
    }

    async fn keep_pressed(&self) {
        let pressed = self.guard().watch().map(Watch::take_pressed);
        for (key, pressed) in pressed.unwrap_or_default() {
            self.write(Entry::Key { key, pressed }).await;
        }
    }

    /// The recording has its end.
    fn end(&self) {
        let (up, down) = (self.counters.up(), self.counters.down());
        if let Some(tape) = &self.tape {
            // Whoever ends it does not wait for the disk.
            tape.write_now(Entry::Ended { channel: 0, outcome: None, up, down });
        }
    }

    async fn write(&self, entry: Entry) {
        if let Some(tape) = &self.tape {
            tape.write(entry).await;
        }
    }

    fn guard(&self) -> MutexGuard<'_, Guard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const UNREADABLE: Code = Code("desktop.unreadable");
const UNRECORDABLE: Code = Code("desktop.unrecordable");
const VIOLATION: Code = Code("protocol.violation");
/// For a refusal to be on its way.
const LAST: Duration = Duration::from_millis(500);
/// How often it is asked whether a recorded screen should be painted again.
const LOOK: Duration = Duration::from_secs(5);
/// Room for what a target says at once: a record of TLS.
const READ: usize = 16 * 1024;
