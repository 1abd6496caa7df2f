//! How the traffic between a client and its database comes to an end.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use access::{EndReason, Side};
use session::Session;
use tokio::time::timeout;

/// How the traffic came to its end; `F` is what is wrong with a message.
#[derive(Debug)]
pub enum Finish<F> {
    /// This side ended in order.
    Closed(Side),
    Broken(Side),
    /// This side sent what is no message.
    Fault(Side, F),
    /// A statement could not be stored.
    Unrecorded,
}

impl<F: fmt::Display> Finish<F> {
    /// Has the audit log say what was wrong with a message that ended the session.
    #[must_use]
    pub fn noted(self, session: &Session) -> Self {
        if let Self::Fault(side, wrong) = &self {
            note_fault(session, *side, wrong);
        }
        self
    }
}

/// Has the audit log say what was wrong with a message that ended a session, and which side sent it.
pub fn note_fault(session: &Session, side: Side, wrong: &impl fmt::Display) {
    session.note("protocol.violation", &format!("{}: {wrong}", side.as_str()));
}

impl<F> Finish<F> {
    /// How the session ends, and what its client is told: by `over` of an end of the relay's, by
    /// `fault` of a message.
    pub fn outcome<T>(
        self,
        over: impl FnOnce(EndReason) -> T,
        fault: impl FnOnce(F) -> T,
    ) -> (EndReason, Side, Option<T>) {
        match self {
            Self::Closed(side) => (EndReason::Closed, side, None),
            Self::Broken(Side::Target) => {
                (EndReason::Broken, Side::Target, Some(over(EndReason::Broken)))
            }
            Self::Broken(side) => (EndReason::Broken, side, None),
            Self::Fault(side, wrong) => (EndReason::Broken, side, Some(fault(wrong))),
            Self::Unrecorded => {
                (EndReason::Unrecorded, Side::Relay, Some(over(EndReason::Unrecorded)))
            }
        }
    }
}

/// Both directions, until one has ended and the other has had its chance to: `last_words` after `up`.
pub async fn traffic<F>(
    up: impl Future<Output = Finish<F>>,
    down: impl Future<Output = Finish<F>>,
    last_words: Duration,
) -> Finish<F> {
    let (mut up, mut down) = (pin!(up), pin!(down));
    tokio::select! {
        finish = &mut down => finish,
        finish = &mut up => match finish {
            // What the server says to it, or said before it went, is still to come.
            Finish::Closed(_) | Finish::Broken(Side::Target) => {
                let rest = timeout(last_words, down).await;
                match (&finish, rest) {
                    (_, Ok(last @ (Finish::Fault(..) | Finish::Unrecorded))) => last,
                    (Finish::Broken(_), Ok(last)) => last,
                    _ => finish,
                }
            }
            Finish::Broken(_) | Finish::Fault(..) | Finish::Unrecorded => finish,
        },
    }
}
