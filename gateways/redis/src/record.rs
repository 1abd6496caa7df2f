//! What is kept of a session's commands.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use access::Mask;
use database::{Mark, Text, Transcript, scope};
use session::{AuditError, Outcome, Session, Statement, StatementLog, StatementScope, Tape};

use crate::track::{Done, Event};

/// Records what a session does. One that must be recorded has each command on the disk before the
/// server has all of it, and each reply's outcome on its way there before the client does.
pub(crate) struct Recorder {
    log: Arc<dyn StatementLog>,
    now: Mutex<Now>,
    tape: Option<Tape>,
    mask: Mask,
}

/// What commands have in common until a client changes it.
struct Now {
    scope: Arc<StatementScope>,
    database: u32,
    client: Option<Arc<str>>,
}

const TRANSCRIPT: Transcript = Transcript { program: "redis", prompt: ">", rows: "elements" };

impl Recorder {
    pub(crate) async fn begin(
        log: Arc<dyn StatementLog>,
        session: &Session,
        client: Option<&str>,
        mask: Mask,
    ) -> Self {
        let (scope, tape) = (scope(session, "0"), session.tape().cloned());
        if let Some(tape) = &tape {
            TRANSCRIPT.begin(tape, scope.role.clone()).await;
        }
        let now = Now { scope: Arc::new(scope), database: 0, client: client.map(Arc::from) };
        Self { log, now: Mutex::new(now), tape, mask }
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
        let statement =
            |(text, mark): (Text, _)| self.statement(text.masked(&self.mask), mark, database, None);
        self.log.keep(begun.into_iter().map(statement).collect()).await
    }

    /// Records commands whose end will not be known.
    pub(crate) async fn unfollowed(&self, begun: Vec<(Text, Mark)>, database: u32) {
        for (text, mark) in begun {
            let text = text.masked(&self.mask);
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
                    let (text, outcome) = (text.masked(&self.mask), mark.outcome(elements, error));
                    if let Some(tape) = &self.tape {
                        TRANSCRIPT.add(tape, &database.to_string(), &text, &outcome).await;
                    }
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

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
