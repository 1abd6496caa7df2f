//! What the server's messages tell of a session's statements.

use database::{Mark, Recorder, Transcript};

use crate::track::{Done, Event};

pub(crate) const TRANSCRIPT: Transcript =
    Transcript { program: "postgres", prompt: "=>", rows: "rows" };

/// Records what happened.
pub(crate) async fn record(recorder: &Recorder, events: &mut Vec<Event<Mark>>) {
    for event in events.drain(..) {
        match event {
            Event::Named(name) => recorder.named(name),
            Event::Done(Done { mark, text, rows, error }) => {
                recorder.done(text, mark, rows, error).await;
            }
        }
    }
}
