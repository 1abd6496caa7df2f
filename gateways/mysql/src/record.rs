//! What the server's messages tell of a session's statements.

use std::collections::VecDeque;

use database::{Done, Mark, Recorder, Transcript};

use crate::track::Event;

pub(crate) const TRANSCRIPT: Transcript =
    Transcript { program: "mysql", prompt: ">", rows: "rows" };

/// What happened and is not recorded yet.
pub(crate) type Events = VecDeque<Event<Mark>>;

/// Records what happened. What is not recorded when this is given up is still there.
pub(crate) async fn record(recorder: &Recorder, events: &mut Events) {
    while let Some(event) = events.front() {
        match event {
            Event::Opened(database) => recorder.opened(database),
            Event::Done(done) => recorder.done(done.clone()).await,
        }
        events.pop_front();
    }
}

/// Records what is left when the session has ended; `left` was not answered.
pub(crate) async fn record_last(recorder: &Recorder, events: Events, left: Vec<Done<Mark>>) {
    let mut ended = Vec::new();
    for event in events {
        match event {
            Event::Opened(database) => recorder.opened(&database),
            Event::Done(done) => ended.push(recorder.ended(done)),
        }
    }
    ended.extend(left.into_iter().map(|done| recorder.ended(done)));
    recorder.last(ended).await;
}
