//! Carries a session's questions and answers, each looked at before it goes on.
//!
//! One thing is asked at a time, as the protocol has it. What a client asks ahead waits here for its
//! turn, and the server never sees the beginning of something that is not let on.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use access::{EndReason, Explain as _, Side};
use bytes::{Buf as _, BytesMut};
use database::{Done, Event, Events, Mark, Recorder, note_fault};
use session::Session;
use splice::Counters;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::accounts::Own;
use crate::flow::End;
use crate::judge::{Asking, Verdict};
use crate::kill::{self, Answer, Ending};
use crate::proto::{Change, QUIT, Told, done_body, error, error_body, packet};
use crate::scan::{Fault, Message};
use crate::threads::Known;
use crate::track::{Tracker, Turn};
use crate::{change, words};

/// A session whose server is logged in to.
pub(crate) struct Line<'a> {
    pub(crate) session: Session,
    pub(crate) talk: Talk,
    pub(crate) changes: change::Changes<'a>,
    /// `None`: all that its account does is ended after it.
    pub(crate) ending: Option<Ending>,
}

/// Both ends, and what is known of what they say.
pub(crate) struct Talk {
    pub(crate) client: End,
    pub(crate) server: End,
    pub(crate) tracker: Tracker<Mark>,
    pub(crate) recorder: Recorder,
    pub(crate) events: Events,
    pub(crate) counters: Arc<Counters>,
    pub(crate) known: Known,
    /// The databases that may be opened; `None`: all.
    pub(crate) databases: Option<Vec<String>>,
    /// Whether files of the client's may be loaded.
    pub(crate) files: bool,
    /// The number of what the client is told next.
    pub(crate) number: u8,
}

/// How the traffic came to its end.
#[derive(Debug)]
pub(crate) enum Finish {
    /// This side ended in order.
    Closed(Side),
    Broken(Side),
    /// This side sent what is no message.
    Fault(Side, Fault),
    /// A statement could not be stored.
    Unrecorded,
    /// The client wanted to be somebody else, and was not let.
    Unchanged(Told),
}

/// Who answers what was asked.
enum Asked {
    Server,
    /// The client wants to be somebody else, which is not the server's to say.
    Change(Box<Change>),
    /// Another connection is killed as its own account.
    Kill(Vec<u8>, Arc<Own>),
}

impl Line<'_> {
    /// Carries until either side or the lease ends, and tells the client why.
    pub(crate) async fn carry(self) {
        let Self { session, mut talk, changes, ending } = self;
        let mut lease = session.lease();
        let traffic = Box::pin(talk.carry(&session, &changes));
        let (reason, side, told) = tokio::select! {
            biased;
            reason = lease.ended() => {
                let told = words::over(reason, lease.last_words().as_deref());
                (reason, Side::Relay, Some(told))
            }
            finish = traffic => {
                if let Finish::Fault(side, wrong) = &finish {
                    note_fault(&session, *side, wrong);
                }
                finish.outcome()
            }
        };
        // What the server was asked it would go on with, one statement of a message after the other.
        let ending = ending.filter(|_| !talk.tracker.is_idle());
        let closing = async {
            talk.close(reason, side, told).await;
            session.end(reason, side);
        };
        let stopping = async {
            if let Some(ending) = ending {
                ending.carry_out().await;
            }
        };
        tokio::join!(stopping, closing);
    }
}

impl Finish {
    /// How the session ends, and what its client is told.
    fn outcome(self) -> (EndReason, Side, Option<Told>) {
        match self {
            Self::Closed(side) => (EndReason::Closed, side, None),
            Self::Broken(Side::Target) => {
                let told = words::over(EndReason::Broken, None);
                (EndReason::Broken, Side::Target, Some(told))
            }
            Self::Broken(side) => (EndReason::Broken, side, None),
            Self::Fault(side, fault) => (EndReason::Broken, side, Some(words::fault(fault))),
            Self::Unrecorded => {
                let told = words::over(EndReason::Unrecorded, None);
                (EndReason::Unrecorded, Side::Relay, Some(told))
            }
            Self::Unchanged(told) => (EndReason::Closed, Side::Relay, Some(told)),
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // Nothing is left of a session that has come to its end.
        let left = self.tracker.unanswered(EndReason::Failed.code().0);
        let left = left.into_iter().map(|done| self.recorder.ended(done));
        self.recorder.abandoned(left.collect());
    }
}

impl Talk {
    /// Question after answer, until there is no more.
    async fn carry(&mut self, session: &Session, changes: &change::Changes<'_>) -> Finish {
        let error = loop {
            match self.exchange(session, changes).await {
                Ok(()) => {}
                Err(finish) => break finish,
            }
        };
        match error {
            // What it said before it went is still to come.
            Finish::Broken(Side::Target) => self.last_words().await,
            finish => finish,
        }
    }

    async fn exchange(
        &mut self,
        session: &Session,
        changes: &change::Changes<'_>,
    ) -> Result<(), Finish> {
        match self.ask().await? {
            Asked::Server => {}
            Asked::Change(change) => return changes.carry_out(self, session, &change).await,
            Asked::Kill(body, own) => {
                let answer = kill::carry_out(changes.gateway, session, &own, &body).await;
                return self.answer_with(&answer).await;
            }
        }
        if self.tracker.is_idle() {
            return Ok(());
        }
        self.counters.set_awaited(true);
        self.answer().await
    }

    /// Takes one question to the server, where it is the server's to answer.
    async fn ask(&mut self) -> Result<Asked, Finish> {
        self.client.scanner.expect(0);
        self.server.io.asks();
        self.number = 1;
        let mut asking = Asking::new(self.tracker.lexer());
        loop {
            let looked = asking.look(self).map_err(|fault| Finish::Fault(Side::Client, fault))?;
            let Some((count, verdict)) = looked else {
                self.wait_for_client().await?;
                continue;
            };
            self.number = self.client.scanner.next_number();
            self.client.io.answers();
            match verdict {
                Verdict::On => self.pass(count).await?,
                Verdict::Last(begun) => {
                    if self.recorder.before(begun).await.is_err() {
                        return Err(Finish::Unrecorded);
                    }
                    self.pass(count).await?;
                    return Ok(Asked::Server);
                }
                Verdict::Instead(begun, body) => {
                    if self.recorder.before(begun).await.is_err() {
                        return Err(Finish::Unrecorded);
                    }
                    self.client.buffer.advance(count);
                    let mut out = BytesMut::new();
                    packet(&mut out, &mut 0, |out| out.extend_from_slice(&body));
                    self.counters.add_up(out.len() as u64);
                    self.server.write(&out).await.map_err(|_| Finish::Broken(Side::Target))?;
                    return Ok(Asked::Server);
                }
                Verdict::As(begun, body, own) => {
                    if self.recorder.before(begun).await.is_err() {
                        return Err(Finish::Unrecorded);
                    }
                    self.client.buffer.advance(count);
                    return Ok(Asked::Kill(body, own));
                }
                Verdict::Refuse(text, told) => {
                    self.client.buffer.advance(count);
                    let why = Some(told.number.to_string());
                    let done = Done { mark: Mark::now(), text, rows: None, error: why };
                    self.events.push_back(Event::Done(done));
                    self.recorder.record(&mut self.events).await;
                    let mut out = BytesMut::new();
                    error(&mut out, &mut self.number, &told);
                    self.client.write(&out).await.map_err(|_| Finish::Broken(Side::Client))?;
                    return Ok(Asked::Server);
                }
                Verdict::Quit => {
                    // It has taken leave, whether or not the server is still there to hear it.
                    drop(self.pass(count).await);
                    return Err(Finish::Closed(Side::Client));
                }
                Verdict::Change(change) => {
                    self.client.buffer.advance(count);
                    return Ok(Asked::Change(change));
                }
            }
        }
    }

    async fn pass(&mut self, count: usize) -> Result<(), Finish> {
        self.counters.add_up(count as u64);
        let passed = self.client.pass(&mut self.server, count).await;
        passed.map_err(|_| Finish::Broken(Side::Target))
    }

    /// Until more has come of the client. A server has nothing to say meanwhile but that it ends.
    async fn wait_for_client(&mut self) -> Result<(), Finish> {
        let Self { client, server, .. } = self;
        tokio::select! {
            filled = client.fill() => match filled {
                Ok(true) => Ok(()),
                Ok(false) if client.buffer.is_empty() && client.scanner.is_between() => {
                    Err(Finish::Closed(Side::Client))
                }
                Ok(false) | Err(_) => Err(Finish::Broken(Side::Client)),
            },
            filled = server.fill() => match filled {
                Ok(true) => Err(self.farewell().await),
                Ok(false) => Err(Finish::Closed(Side::Target)),
                Err(_) => Err(Finish::Broken(Side::Target)),
            },
        }
    }

    /// What a server says that was asked nothing: why it ends, and nothing else.
    async fn farewell(&mut self) -> Finish {
        let Some((head, body)) = self.server.buffer.split_first_chunk::<4>() else {
            return Finish::Broken(Side::Target);
        };
        let (length, _) = crate::proto::head(*head);
        let is_error = length == body.len() && body.first() == Some(&0xff);
        if !is_error {
            return Finish::Fault(Side::Target, Fault::Turn);
        }
        // Its client reads it as the answer to what it asks next.
        let mut out = BytesMut::new();
        packet(&mut out, &mut self.number, |out| out.extend_from_slice(body));
        if self.client.is_between {
            // Who has left is told nothing.
            drop(timeout(GOODBYE, self.client.write(&out)).await);
        }
        Finish::Closed(Side::Target)
    }

    /// A server that was written to in vain may have said why.
    async fn last_words(&mut self) -> Finish {
        match timeout(LAST_WORDS, self.server.fill()).await {
            Ok(Ok(true)) => match self.farewell().await {
                Finish::Closed(_) => Finish::Closed(Side::Target),
                _ => Finish::Broken(Side::Target),
            },
            _ => Finish::Broken(Side::Target),
        }
    }

    /// Takes an answer to the client, to its end.
    async fn answer(&mut self) -> Result<(), Finish> {
        self.server.scanner.expect(self.client.scanner.next_number());
        loop {
            let (count, turn) =
                self.look_at_answer().map_err(|fault| Finish::Fault(Side::Target, fault))?;
            let strict = self.recorder.is_strict();
            if strict {
                self.recorder.record(&mut self.events).await;
            }
            self.number = self.server.scanner.next_number();
            self.counters.add_down(count as u64);
            // A client that does not read what has come waits for nobody.
            self.counters.set_awaited(false);
            let sent = self.server.pass(&mut self.client, count).await;
            self.counters.set_awaited(turn == Turn::Server);
            self.recorder.record(&mut self.events).await;
            sent.map_err(|_| Finish::Broken(Side::Client))?;
            match turn {
                Turn::Client if self.server.buffer.is_empty() => return Ok(()),
                Turn::Client => return Err(Finish::Fault(Side::Target, Fault::Turn)),
                Turn::File => self.file().await?,
                Turn::Server => self.wait_for_server().await?,
            }
        }
    }

    /// Answers in the server's place, by one packet.
    async fn answer_with(&mut self, answer: &Answer) -> Result<(), Finish> {
        let mut body = BytesMut::new();
        match answer {
            Answer::Done => done_body(&mut body, self.tracker.status()),
            Answer::Theirs(failure) => body.extend_from_slice(failure),
            Answer::Ours(told) => error_body(&mut body, told),
        }
        let message = Message { body: &body, length: body.len() };
        let Self { tracker, events, .. } = self;
        let taken = tracker.server(message, |event| events.push_back(event));
        taken.map_err(|fault| Finish::Fault(Side::Relay, fault))?;
        self.recorder.record(&mut self.events).await;
        let mut out = BytesMut::new();
        packet(&mut out, &mut self.number, |out| out.extend_from_slice(&body));
        self.client.write(&out).await.map_err(|_| Finish::Broken(Side::Client))
    }

    /// How many bytes of the server's may go on, and who speaks then.
    fn look_at_answer(&mut self) -> Result<(usize, Turn), Fault> {
        let Self { server, tracker, events, .. } = self;
        let (mut count, mut turn) = (0, Turn::Server);
        while turn == Turn::Server {
            let Some(step) = server.step(count)? else { break };
            if let Some(message) = step.message {
                turn = tracker.server(message, |event| events.push_back(event))?;
            }
            count += step.count;
        }
        Ok((count, turn))
    }

    /// Until more has come of the server. What the client says ahead waits, and it may leave.
    async fn wait_for_server(&mut self) -> Result<(), Finish> {
        let Self { client, server, .. } = self;
        loop {
            let ahead = client.has_room();
            tokio::select! {
                filled = server.fill() => return match filled {
                    Ok(true) => Ok(()),
                    Ok(false) | Err(_) => Err(Finish::Broken(Side::Target)),
                },
                filled = client.fill(), if ahead => match filled {
                    Ok(true) => {}
                    Ok(false) | Err(_) => return Err(Finish::Broken(Side::Client)),
                },
            }
        }
    }

    /// Takes a file of the client's to the server: packets, and an empty one at the end.
    async fn file(&mut self) -> Result<(), Finish> {
        self.client.scanner.expect(self.server.scanner.next_number());
        self.server.io.answers();
        loop {
            let step = self.client.step(0);
            let step = step.map_err(|fault| Finish::Fault(Side::Client, fault))?;
            let Some(step) = step else {
                match self.client.fill().await {
                    Ok(true) => continue,
                    Ok(false) | Err(_) => return Err(Finish::Broken(Side::Client)),
                }
            };
            let (count, end) = (step.count, step.message.is_some_and(|m| m.length == 0));
            self.pass(count).await?;
            self.number = self.client.scanner.next_number();
            if end {
                self.client.io.answers();
                self.server.scanner.expect(self.number);
                self.tracker.file_sent();
                self.counters.set_awaited(true);
                return self.wait_for_server().await;
            }
        }
    }

    /// Records what is left, and tells both ends that it is over.
    async fn close(&mut self, reason: EndReason, side: Side, told: Option<Told>) {
        self.record_last(reason).await;
        match told {
            Some(told) => self.tell(&told).await,
            // In order, also for TLS: clients take a broken end for a failure.
            None => drop(timeout(GOODBYE, self.client.io.shutdown()).await),
        }
        match (reason, side) {
            (EndReason::Closed, Side::Client | Side::Target) => {
                drop(timeout(GOODBYE, self.server.io.shutdown()).await);
            }
            _ => self.leave().await,
        }
    }

    /// Records what is left. What the server had not answered is told as cut short by the end.
    async fn record_last(&mut self, reason: EndReason) {
        let (events, left) =
            (std::mem::take(&mut self.events), self.tracker.unanswered(reason.code().0));
        self.recorder.record_last(events, left).await;
    }

    /// Tells the client why it is over, where it can be told.
    async fn tell(&mut self, told: &Told) {
        let Self { client, number, .. } = self;
        let telling = async {
            if client.is_between {
                let mut out = BytesMut::new();
                error(&mut out, number, told);
                client.write(&out).await?;
            }
            client.io.shutdown().await?;
            // What it still sends would have the system take back what it was told.
            while client.fill().await? {
                client.buffer.clear();
            }
            io::Result::Ok(())
        };
        // Who does not read is told nothing.
        drop(timeout(GOODBYE, telling).await);
    }

    /// Says goodbye to the server, so that its log tells an end from a broken line.
    async fn leave(&mut self) {
        let Self { server, .. } = self;
        let leaving = async {
            if server.is_between {
                let mut out = BytesMut::new();
                server.io.asks();
                packet(&mut out, &mut 0, |out| out.extend_from_slice(&[QUIT]));
                server.write(&out).await?;
            }
            server.io.shutdown().await
        };
        // It is over either way.
        drop(timeout(GOODBYE, leaving).await);
    }
}

/// How long either side is told goodbye.
const GOODBYE: Duration = Duration::from_millis(500);
/// How long a server that takes nothing may say why.
const LAST_WORDS: Duration = Duration::from_secs(1);
