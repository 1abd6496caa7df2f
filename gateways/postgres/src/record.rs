//! What is kept of a session's statements.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use access::{Application, ApplicationId, Mask};
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
    client: Mutex<Option<Arc<str>>>,
    tape: Option<Tape>,
    mask: Mask,
}

/// The masks of applications, each made once for all its sessions.
#[derive(Default)]
pub(crate) struct Masks(Mutex<HashMap<ApplicationId, (Vec<String>, Mask)>>);

impl Masks {
    pub(crate) fn of(&self, application: &Application) -> Result<Mask, String> {
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
        database: &str,
        client: Option<&str>,
        mask: Mask,
    ) -> Self {
        let scope = StatementScope {
            session: session.id(),
            user: session.user().clone(),
            application: session.application().label(),
            database: database.to_owned(),
            role: session.login().unwrap_or_default().to_owned(),
        };
        let tape = session.tape().cloned();
        let client = Mutex::new(client.map(Arc::from));
        let recorder = Self { log, scope: Arc::new(scope), client, tape, mask };
        recorder.film_begin().await;
        recorder
    }

    /// Whether each statement must be on the disk before it goes on.
    pub(crate) fn is_strict(&self) -> bool {
        self.tape.is_some()
    }

    /// Stores statements that are about to begin.
    pub(crate) async fn before(&self, begun: Vec<(Text, Mark)>) -> Result<(), AuditError> {
        if begun.is_empty() {
            return Ok(());
        }
        let statement = |(text, mark)| self.statement(self.masked(text), mark, None);
        let statements = begun.into_iter().map(statement);
        self.log.keep(statements.collect()).await
    }

    /// Records what the server's messages told.
    pub(crate) async fn after(&self, events: &mut Vec<Event<Mark>>) {
        for event in events.drain(..) {
            match event {
                Event::Named(name) => *self.lock() = Some(name.into()),
                Event::Done(done) => {
                    let Done { mark, text, rows, error } = done;
                    let micros = u64::try_from(mark.began.elapsed().as_micros());
                    let micros = micros.unwrap_or(u64::MAX);
                    let outcome = Outcome { micros, rows, error };
                    let text = self.masked(text);
                    self.film(&text, &outcome).await;
                    self.log.note(self.statement(text, mark, Some(outcome))).await;
                }
            }
        }
    }

    /// What is kept of a text.
    fn masked(&self, text: Text) -> Text {
        match self.mask.apply(&text.text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(masked) => Text { text: masked.into(), cut: text.cut },
        }
    }

    fn statement(&self, text: Text, mark: Mark, outcome: Option<Outcome>) -> Statement {
        let (scope, client) = (self.scope.clone(), self.lock().clone());
        let Text { text, cut } = text;
        Statement { id: mark.id, at: mark.at, scope, client, text, cut, outcome }
    }

    async fn film_begin(&self) {
        let Some(tape) = &self.tape else { return };
        let StatementScope { database, role, .. } = &*self.scope;
        let terminal = Some(Screen { term: "xterm".to_owned(), columns: 120, rows: 40 });
        let detail = format!("{database} as {role}");
        tape.write(Entry::Began { channel: 0, program: "postgres", detail, terminal }).await;
    }

    /// A transcript of what was asked and how it went, for who plays the recording.
    async fn film(&self, text: &Text, outcome: &Outcome) {
        let Some(tape) = &self.tape else { return };
        let Outcome { micros, rows, error } = outcome;
        let rows = rows.map(|rows| format!("{rows} rows, ")).unwrap_or_default();
        let error = error.as_ref().map(|error| format!("error {error}, ")).unwrap_or_default();
        let database = &self.scope.database;
        let shown = access::text::visible_lines(&text.text).replace('\n', "\r\n");
        let line = format!("{database}=> {shown}\r\n-- {rows}{error}{micros} us\r\n");
        tape.write(Entry::Output { channel: 0, bytes: Bytes::from(line) }).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<str>>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
