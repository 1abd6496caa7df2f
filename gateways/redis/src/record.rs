//! What is kept of a session's commands.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use session::{
    AuditError, Entry, Outcome, Screen, Session, Statement, StatementLog, StatementScope, Tape,
};
use uuid::Uuid;

use crate::commands::Text;
use crate::track::{Done, Event};

/// Records what a session does. One that must be recorded has each command on the disk before the
/// server has all of it, and each reply's outcome on its way there before the client does.
pub(crate) struct Recorder {
    log: Arc<dyn StatementLog>,
    now: Mutex<Now>,
    tape: Option<Tape>,
}

/// What commands have in common until a client changes it.
struct Now {
    scope: Arc<StatementScope>,
    database: u32,
    client: Option<Arc<str>>,
}

/// What is remembered of a command while it is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    id: Uuid,
    at: SystemTime,
    began: Instant,
}

impl Mark {
    pub(crate) fn now() -> Self {
        Self { id: Uuid::now_v7(), at: SystemTime::now(), began: Instant::now() }
    }
}

impl Recorder {
    pub(crate) async fn begin(
        log: Arc<dyn StatementLog>,
        session: &Session,
        client: Option<&str>,
    ) -> Self {
        let scope = StatementScope {
            session: session.id(),
            user: session.user().clone(),
            application: session.application().label(),
            database: "0".to_owned(),
            role: session.login().unwrap_or_default().to_owned(),
        };
        let now = Now { scope: Arc::new(scope), database: 0, client: client.map(Arc::from) };
        let recorder = Self { log, now: Mutex::new(now), tape: session.tape().cloned() };
        recorder.film_begin().await;
        recorder
    }

    /// Whether each command must be on the disk before it goes on.
    pub(crate) fn is_strict(&self) -> bool {
        self.tape.is_some()
    }

    /// Stores commands that are about to begin.
    pub(crate) async fn before(
        &self,
        begun: Vec<(Text, Mark)>,
        database: u32,
    ) -> Result<(), AuditError> {
        if begun.is_empty() {
            return Ok(());
        }
        let statement = |(text, mark)| self.statement(text, mark, database, None);
        self.log.keep(begun.into_iter().map(statement).collect()).await
    }

    /// Records commands whose end will not be known.
    pub(crate) async fn unfollowed(&self, begun: Vec<(Text, Mark)>, database: u32) {
        for (text, mark) in begun {
            self.log.note(self.statement(text, mark, database, None)).await;
        }
    }

    /// Records what the server's replies told.
    pub(crate) async fn after(&self, events: &mut Vec<Event<Mark>>) {
        for event in events.drain(..) {
            match event {
                Event::Named(name) => {
                    self.lock().client =
                        Some(name.into()).filter(|name: &Arc<str>| !name.is_empty());
                }
                Event::Done(Done { mark, text, elements, error, database }) => {
                    let micros = u64::try_from(mark.began.elapsed().as_micros());
                    let micros = micros.unwrap_or(u64::MAX);
                    let outcome = Outcome { micros, rows: elements, error };
                    self.film(&text, database, &outcome).await;
                    let statement = self.statement(text, mark, database, Some(outcome));
                    self.log.note(statement).await;
                }
            }
        }
    }

    fn statement(
        &self,
        text: Text,
        mark: Mark,
        database: u32,
        outcome: Option<Outcome>,
    ) -> Statement {
        let mut now = self.lock();
        if now.database != database {
            let scope = StatementScope { database: database.to_string(), ..(*now.scope).clone() };
            (now.scope, now.database) = (Arc::new(scope), database);
        }
        let (scope, client) = (now.scope.clone(), now.client.clone());
        let Text { text, cut } = text;
        Statement { id: mark.id, at: mark.at, scope, client, text, cut, outcome }
    }

    async fn film_begin(&self) {
        let Some(tape) = &self.tape else { return };
        let detail = self.lock().scope.role.clone();
        let terminal = Some(Screen { term: "xterm".to_owned(), columns: 120, rows: 40 });
        tape.write(Entry::Began { channel: 0, program: "redis", detail, terminal }).await;
    }

    /// A transcript of what was asked and how it went, for who plays the recording.
    async fn film(&self, text: &Text, database: u32, outcome: &Outcome) {
        let Some(tape) = &self.tape else { return };
        let Outcome { micros, rows, error } = outcome;
        let rows = rows.map(|rows| format!("{rows} elements, ")).unwrap_or_default();
        let error = error.as_ref().map(|error| format!("error {error}, ")).unwrap_or_default();
        let shown = access::text::visible_lines(&text.text).replace('\n', "\r\n");
        let line = format!("{database}> {shown}\r\n-- {rows}{error}{micros} us\r\n");
        tape.write(Entry::Output { channel: 0, bytes: Bytes::from(line) }).await;
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
