//! What is kept of a session's commands.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use access::Mask;
use database::{Mark, Text, Transcript};
use session::{AuditError, Session, Statement, StatementLog};

use crate::track::{Done, Event};

/// What happened and is not recorded yet.
pub(crate) type Events = VecDeque<Event<Mark>>;

/// Records what a session does, by the number of the database that each command is carried out in.
pub(crate) struct Recorder {
    recorder: database::Recorder,
    /// The database of what was recorded last.
    database: AtomicU32,
}

const TRANSCRIPT: Transcript = Transcript { program: "redis", prompt: ">", rows: "elements" };

impl Recorder {
    pub(crate) async fn begin(
        log: Arc<dyn StatementLog>,
        session: &Session,
        client: Option<&str>,
        mask: Mask,
    ) -> Self {
        let begun = ("0", client);
        let recorder = database::Recorder::begin(log, session, TRANSCRIPT, begun, mask).await;
        Self { recorder, database: AtomicU32::new(0) }
    }

    /// Whether each command must be on the disk before it goes on.
    pub(crate) fn is_strict(&self) -> bool {
        self.recorder.is_strict()
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
        self.of(database).before(begun).await
    }

    /// Records commands whose end will not be known.
    pub(crate) async fn unfollowed(&self, begun: Vec<(Text, Mark)>, database: u32) {
        for one in begun {
            self.of(database).unfollowed(one).await;
        }
    }

    /// Records what the server's replies told. What is not recorded when this is given up is still
    /// there.
    pub(crate) async fn after(&self, events: &mut Events) {
        while let Some(event) = events.front() {
            match event {
                Event::Named(name) => {
                    self.recorder.named(name.clone());
                    events.pop_front();
                }
                Event::Done(Done { database, .. }) => {
                    let database = *database;
                    let recorder = self.of(database);
                    let done = recorder.together(events.iter().map_while(|event| match event {
                        Event::Done(done) if done.database == database => Some(plain(done.clone())),
                        Event::Done(_) | Event::Named(_) => None,
                    }));
                    let count = done.len();
                    recorder.done(done).await;
                    events.drain(..count);
                }
            }
        }
    }

    /// Records what is left when the session has ended; `left` was not answered.
    pub(crate) async fn last(&self, events: Events, left: Vec<Done<Mark>>) {
        let mut ended = Vec::new();
        for event in events {
            match event {
                Event::Named(name) => self.recorder.named(name),
                Event::Done(done) => ended.push(self.ended(done)),
            }
        }
        ended.extend(left.into_iter().map(|done| self.ended(done)));
        self.recorder.last(ended).await;
    }

    /// Records what is under way where the session's own task ends before it has ended.
    pub(crate) fn abandoned(&self, left: Vec<Done<Mark>>) {
        self.recorder.abandoned(left.into_iter().map(|done| self.ended(done)).collect());
    }

    fn ended(&self, done: Done<Mark>) -> Statement {
        self.of(done.database).ended(plain(done))
    }

    /// The recorder of what is carried out in this database. Both directions record as parts of one
    /// task, so nothing comes between this and what is made with it.
    fn of(&self, database: u32) -> &database::Recorder {
        if self.database.swap(database, Relaxed) != database {
            self.recorder.opened(&database.to_string());
        }
        &self.recorder
    }
}

fn plain(done: Done<Mark>) -> database::Done<Mark> {
    let Done { mark, text, elements: rows, error, database: _ } = done;
    database::Done { mark, text, rows, error }
}
