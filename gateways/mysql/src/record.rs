//! What is kept of a session's statements.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use session::{
    AuditError, Entry, Outcome, Screen, Session, Statement, StatementLog, StatementScope, Tape,
};
use uuid::Uuid;

use crate::track::{Done, Event, Text};

/// Records what a session does. One that must be recorded has each statement on the disk before
/// the server sees it, and each answer's outcome on its way there before the client does.
pub(crate) struct Recorder {
    log: Arc<dyn StatementLog>,
    scope: Arc<StatementScope>,
    client: Option<Arc<str>>,
    tape: Option<Tape>,
}

/// What is remembered of a statement while it is under way.
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
        database: Option<&str>,
        client: Option<String>,
    ) -> Self {
        let scope = StatementScope {
            session: session.id(),
            user: session.user().clone(),
            application: session.application().label(),
            database: database.unwrap_or_default().to_owned(),
            role: session.login().unwrap_or_default().to_owned(),
        };
        let (client, tape) = (client.map(Arc::from), session.tape().cloned());
        let recorder = Self { log, scope: Arc::new(scope), client, tape };
        recorder.film_begin().await;
        recorder
    }

    /// Whether each statement must be on the disk before it goes on.
    pub(crate) fn is_strict(&self) -> bool {
        self.tape.is_some()
    }

    /// Stores statements that are about to begin.
    pub(crate) async fn before(&self, begun: Vec<(Text, Mark)>) -> Result<(), AuditError> {
        if begun.is_empty() || !self.is_strict() {
            return Ok(());
        }
        let statements = begun.into_iter().map(|(text, mark)| self.statement(text, mark, None));
        self.log.keep(statements.collect()).await
    }

    /// Records what the server's messages told.
    pub(crate) async fn after(&mut self, events: &mut Vec<Event<Mark>>) {
        for event in events.drain(..) {
            match event {
                Event::Opened(database) => self.opened(&database),
                Event::Done(done) => {
                    let Done { mark, text, rows, error } = done;
                    let micros = u64::try_from(mark.began.elapsed().as_micros());
                    let micros = micros.unwrap_or(u64::MAX);
                    let outcome = Outcome { micros, rows, error };
                    self.film(&text, &outcome).await;
                    self.log.note(self.statement(text, mark, Some(outcome))).await;
                }
            }
        }
    }

    /// What follows is done in another database.
    pub(crate) fn opened(&mut self, database: &str) {
        if self.scope.database != database {
            let StatementScope { session, user, application, role, .. } = (*self.scope).clone();
            let database = database.to_owned();
            self.scope = Arc::new(StatementScope { session, user, application, database, role });
        }
    }

    fn statement(&self, text: Text, mark: Mark, outcome: Option<Outcome>) -> Statement {
        let (scope, client) = (self.scope.clone(), self.client.clone());
        let Text { text, cut } = text;
        Statement { id: mark.id, at: mark.at, scope, client, text, cut, outcome }
    }

    async fn film_begin(&self) {
        let Some(tape) = &self.tape else { return };
        let StatementScope { database, role, .. } = &*self.scope;
        let terminal = Some(Screen { term: "xterm".to_owned(), columns: 120, rows: 40 });
        let detail = format!("{database} as {role}");
        tape.write(Entry::Began { channel: 0, program: "mysql", detail, terminal }).await;
    }

    /// A transcript of what was asked and how it went, for who plays the recording.
    async fn film(&self, text: &Text, outcome: &Outcome) {
        let Some(tape) = &self.tape else { return };
        let Outcome { micros, rows, error } = outcome;
        let rows = rows.map(|rows| format!("{rows} rows, ")).unwrap_or_default();
        let error = error.as_ref().map(|error| format!("error {error}, ")).unwrap_or_default();
        let database = &self.scope.database;
        let shown = access::text::visible_lines(&text.text).replace('\n', "\r\n");
        let line = format!("{database}> {shown}\r\n-- {rows}{error}{micros} us\r\n");
        tape.write(Entry::Output { channel: 0, bytes: Bytes::from(line) }).await;
    }
}
