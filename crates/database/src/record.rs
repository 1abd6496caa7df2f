//! What is kept of a session's statements, and of how they went.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use access::{Application, ApplicationId, Mask};
use bytes::Bytes;
use session::{
    AuditError, Entry, Outcome, Screen, Session, Statement, StatementLog, StatementScope, Tape,
};
use tokio::time::timeout;
use uuid::Uuid;

/// A statement's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub text: Arc<str>,
    /// How many bytes were left out.
    pub cut: u64,
}

impl Text {
    /// A text of which `there` is the beginning and that is `whole` bytes long: as much as takes no more
    /// than `most` bytes. What is no UTF-8 stands as `\xe9`.
    pub(crate) fn of(there: &[u8], whole: usize, most: usize) -> Self {
        let (mut text, mut taken) = (String::new(), 0);
        for chunk in there.utf8_chunks() {
            let valid = chunk.valid();
            let end = valid.floor_char_boundary(most - text.len());
            text.push_str(&valid[..end]);
            taken += end;
            let is_last = taken + chunk.invalid().len() == there.len();
            let cut_through = is_last && there.len() < whole && is_begun(chunk.invalid());
            let escaped = chunk.invalid().len() * ESCAPED;
            if end < valid.len() || cut_through || escaped > most - text.len() {
                break;
            }
            for byte in chunk.invalid() {
                // Nothing fails that writes to a text.
                let _ = write!(text, "\\x{byte:02x}");
            }
            taken += chunk.invalid().len();
        }
        Self { text: text.into(), cut: whole.saturating_sub(taken) as u64 }
    }

    /// Its first `most` bytes, or a few less where a character would be split.
    #[must_use]
    pub fn cut_at(&self, most: usize) -> Self {
        let end = self.text.floor_char_boundary(most);
        let left_out = (self.text.len() - end) as u64;
        Self { text: self.text[..end].into(), cut: self.cut + left_out }
    }

    /// What is kept of it.
    #[must_use]
    pub fn masked(self, mask: &Mask) -> Self {
        match mask.apply(&self.text) {
            Cow::Borrowed(_) => self,
            Cow::Owned(masked) => Self { text: masked.into(), cut: self.cut },
        }
    }
}

/// Whether more bytes could make a character of these.
fn is_begun(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self { text: text.into(), cut: 0 }
    }
}

/// What is remembered of a statement while it is under way.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    pub id: Uuid,
    pub at: SystemTime,
    began: Instant,
}

/// What a server's messages told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<M> {
    Done(Done<M>),
    /// The client calls itself so now.
    Named(String),
    /// Another database is open now.
    Opened(String),
}

/// What happened and is not recorded yet.
pub type Events = VecDeque<Event<Mark>>;

impl Mark {
    pub fn now() -> Self {
        Self { id: Uuid::now_v7(), at: SystemTime::now(), began: Instant::now() }
    }

    /// How a statement went that ends now.
    fn outcome(&self, rows: Option<u64>, error: Option<String>) -> Outcome {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        Outcome { micros, rows, error }
    }
}

/// What became of a statement. `M` is what its owner remembers of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<M> {
    pub mark: M,
    pub text: Text,
    pub rows: Option<u64>,
    /// Why it failed: the server's code, the one by which the door refused it, or that of its
    /// session's end where nobody has told how it went.
    pub error: Option<String>,
}

/// A door's manner in the transcripts that recordings hold.
#[derive(Clone, Copy, Debug)]
pub struct Transcript {
    /// What a player shows as the program.
    pub program: &'static str,
    /// What stands between the database and what is asked of it.
    pub prompt: &'static str,
    /// What answers count.
    pub rows: &'static str,
}

impl Transcript {
    /// Begins a transcript with what the session is in.
    async fn begin(&self, tape: &Tape, detail: String) {
        let terminal = Some(Screen { term: "xterm".to_owned(), columns: 120, rows: 40 });
        tape.write(Entry::Began { channel: 0, program: self.program, detail, terminal }).await;
    }

    /// Adds what was asked and how it went, for who plays the recording.
    async fn add(&self, tape: &Tape, statement: &Statement) {
        let Self { prompt, rows: counted, .. } = self;
        let Some(Outcome { micros, rows, error }) = &statement.outcome else { return };
        let rows = rows.map(|rows| format!("{rows} {counted}, ")).unwrap_or_default();
        let error = error.as_ref().map(|error| format!("error {error}, ")).unwrap_or_default();
        let (database, text) = (&statement.scope.database, &statement.text);
        let shown = access::text::visible_lines(text).replace('\n', "\r\n");
        let line = format!("{database}{prompt} {shown}\r\n-- {rows}{error}{micros} us\r\n");
        tape.write(Entry::Output { channel: 0, bytes: Bytes::from(line) }).await;
    }
}

/// The masks of applications, each made once for all its sessions.
#[derive(Default)]
pub struct Masks(Mutex<HashMap<ApplicationId, (Vec<String>, Mask)>>);

impl Masks {
    /// # Errors
    /// When a pattern is none, with what is wrong with it.
    pub fn of(&self, application: &Application) -> Result<Mask, String> {
        let patterns = &application.database.mask;
        if patterns.is_empty() {
            return Ok(Mask::default());
        }
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, mask)) = made.get(&application.id)
            && of == patterns
        {
            return Ok(mask.clone());
        }
        let mask = Mask::new(patterns)?;
        made.insert(application.id, (patterns.clone(), mask.clone()));
        Ok(mask)
    }
}

/// Records what a session does. One that must be recorded has each statement on the disk before
/// the server sees it, and each answer's outcome on its way there before the client does.
pub struct Recorder {
    log: Arc<dyn StatementLog>,
    now: Mutex<Now>,
    tape: Option<Tape>,
    transcript: Transcript,
    mask: Mask,
}

/// What statements have in common until a client changes it.
#[derive(Clone)]
struct Now {
    scope: Arc<StatementScope>,
    client: Option<Arc<str>>,
}

impl Recorder {
    /// `client` is what the client calls itself.
    pub async fn begin(
        log: Arc<dyn StatementLog>,
        session: &Session,
        transcript: Transcript,
        (database, client): (&str, Option<&str>),
        mask: Mask,
    ) -> Self {
        let scope = scope(session, database);
        let tape = session.tape().cloned();
        if let Some(tape) = &tape {
            transcript.begin(tape, format!("{database} as {}", scope.role)).await;
        }
        Self { tape, ..Self::new(log, scope, client, transcript, mask) }
    }

    /// One without a transcript.
    pub fn new(
        log: Arc<dyn StatementLog>,
        scope: StatementScope,
        client: Option<&str>,
        transcript: Transcript,
        mask: Mask,
    ) -> Self {
        let now = Mutex::new(Now { scope: Arc::new(scope), client: client.map(Arc::from) });
        Self { log, now, tape: None, transcript, mask }
    }

    /// Whether each statement must be on the disk before it goes on.
    pub fn is_strict(&self) -> bool {
        self.tape.is_some()
    }

    /// Stores statements that are about to begin, where the session must be recorded.
    pub async fn before(&self, begun: Vec<(Text, Mark)>) -> Result<(), AuditError> {
        if begun.is_empty() || !self.is_strict() {
            return Ok(());
        }
        let statement =
            |(text, mark): (Text, _)| self.statement(text.masked(&self.mask), mark, None);
        let statements = begun.into_iter().map(statement);
        self.log.keep(statements.collect()).await
    }

    /// Records a statement whose end will not be known.
    pub async fn unfollowed(&self, (text, mark): (Text, Mark)) {
        self.log.note(self.statement(text.masked(&self.mask), mark, None)).await;
    }

    /// Records statements that have ended. Who gives up waiting for that may say them again.
    pub async fn done(&self, done: impl IntoIterator<Item = Done<Mark>>) {
        let ended: Vec<_> = done.into_iter().map(|done| self.ended(done)).collect();
        let Some(tape) = &self.tape else { return self.log.note_all(ended).await };
        for statement in ended {
            self.log.note(statement.clone()).await;
            self.transcript.add(tape, &statement).await;
        }
    }

    /// Records what happened. What is not recorded when this is given up is still there.
    pub async fn record(&self, events: &mut Events) {
        while let Some(event) = events.front() {
            match event {
                Event::Done(_) => {
                    let done = self.together(events.iter().map_while(|event| match event {
                        Event::Done(done) => Some(done.clone()),
                        Event::Named(_) | Event::Opened(_) => None,
                    }));
                    let count = done.len();
                    self.done(done).await;
                    events.drain(..count);
                }
                Event::Named(name) => {
                    self.named(name.clone());
                    events.pop_front();
                }
                Event::Opened(database) => {
                    self.opened(database);
                    events.pop_front();
                }
            }
        }
    }

    /// Of statements that have ended one after another, those that are recorded at once: all, but one
    /// where each has its place in a transcript.
    pub fn together<T>(&self, done: impl Iterator<Item = T>) -> Vec<T> {
        done.take(if self.is_strict() { 1 } else { TOGETHER }).collect()
    }

    /// Records what is left when the session has ended; `left` was not answered.
    pub async fn record_last(&self, events: Events, left: Vec<Done<Mark>>) {
        let mut ended = Vec::new();
        for event in events {
            match event {
                Event::Done(done) => ended.push(self.ended(done)),
                Event::Named(name) => self.named(name),
                Event::Opened(database) => self.opened(&database),
            }
        }
        ended.extend(left.into_iter().map(|done| self.ended(done)));
        self.last(ended).await;
    }

    /// A statement that has ended, as it is recorded.
    pub fn ended(&self, done: Done<Mark>) -> Statement {
        let Done { mark, text, rows, error } = done;
        let outcome = mark.outcome(rows, error);
        self.statement(text.masked(&self.mask), mark, Some(outcome))
    }

    /// Records what is under way where the session's own task ends before it has ended: it was given
    /// up, or it panicked. A transcript can not be waited for then.
    pub fn abandoned(&self, left: Vec<Statement>) {
        if !left.is_empty() {
            self.log.note_now(left);
        }
    }

    /// Records what was still to be recorded when the session ended: all at once, for nobody waits
    /// for its end as long as a store may take for each.
    pub async fn last(&self, ended: Vec<Statement>) {
        if ended.is_empty() {
            return;
        }
        self.log.note_all(ended.clone()).await;
        let Some(tape) = &self.tape else { return };
        let adding = async {
            for statement in &ended {
                self.transcript.add(tape, statement).await;
            }
        };
        // What keeps it is slower than this only where it fails.
        drop(timeout(LAST, adding).await);
    }

    /// The client calls itself so now.
    pub fn named(&self, client: String) {
        self.lock().client = Some(client.into()).filter(|client: &Arc<str>| !client.is_empty());
    }

    /// What follows is done in another database.
    pub fn opened(&self, database: &str) {
        let mut now = self.lock();
        if now.scope.database != database {
            let scope = StatementScope { database: database.to_owned(), ..(*now.scope).clone() };
            now.scope = Arc::new(scope);
        }
    }

    fn statement(&self, text: Text, mark: Mark, outcome: Option<Outcome>) -> Statement {
        let Now { scope, client } = self.lock().clone();
        let Text { text, cut } = text;
        Statement { id: mark.id, at: mark.at, scope, client, text, cut, outcome }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a session's statements in one database have in common.
fn scope(session: &Session, database: &str) -> StatementScope {
    StatementScope {
        session: session.id(),
        user: session.user().clone(),
        application: session.application().label(),
        database: database.to_owned(),
        role: session.login().unwrap_or_default().to_owned(),
    }
}

/// What a byte that is no character takes in a text.
pub(crate) const ESCAPED: usize = 4;
/// Statements that are recorded at once, at most: a queue has room for them.
const TOGETHER: usize = 64;
/// How long a transcript is waited for when its session has ended.
const LAST: Duration = Duration::from_secs(2);

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
