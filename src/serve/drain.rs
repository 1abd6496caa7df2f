//! Running, and stopping in the order that loses nothing.

use std::future::Future;
use std::io;
use std::time::Duration;

use access::EndReason;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use super::Relay;

/// How a relay came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Every session ended in order and has its record.
    Clean,
    /// This many sessions had to be aborted.
    Cut { sessions: usize },
}

/// Asks a relay to stop.
pub trait Stop {
    /// Completes when the relay should stop; asked again while it stops, when it should hurry.
    fn asked(&mut self) -> impl Future<Output = ()> + Send;
}

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }
}

impl Stop for Signals {
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Relay {
    /// Serves until `stop` asks for the end; then drains.
    pub async fn run(mut self, mut stop: impl Stop) -> Exit {
        tokio::select! {
            () = stop.asked() => {}
            // The other relay has written in the audit log that these sessions ended.
            () = self.state.store.taken_over() => self.tokens.drain.cancel(),
            Some(done) = self.tasks.join_next() => {
                // Listeners and the publisher run until they are told to stop.
                tracing::error!(panicked = done.is_err(), "A part of the relay ended; stopping");
            }
        }
        self.drain(stop).await
    }

    async fn drain(mut self, mut stop: impl Stop) -> Exit {
        let broker = self.state.broker.clone();
        tracing::info!(sessions = broker.live().len(), "Stopping");
        self.unannounce();
        self.tokens.accepting.cancel();
        self.state.connectors.drain();
        self.state.agents.drain();
        tokio::select! {
            _ = timeout(GRACE, broker.emptied()) => {}
            () = stop.asked() => {}
        }
        // Leases end as drained, and each protocol says so in its own words.
        self.tokens.drain.cancel();
        drop(timeout(FAREWELL, broker.emptied()).await);
        let left = broker.live().len();
        // What they left at their targets goes over the connectors' connections too.
        if timeout(TAKING_BACK, broker.settled()).await.is_err() {
            tracing::warn!("What sessions left at their targets was not taken back in time");
        }
        self.endpoint.close(EndReason::Drained.number().into(), b"the relay is stopping");
        self.tokens.stop.cancel();
        drop(timeout(LAST_TASKS, self.state.calls.finished()).await);
        drop(timeout(LAST_TASKS, self.state.terminals.finished()).await);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        drop(timeout(LAST_TASKS, ended).await);
        self.tasks.shutdown().await;
        drop(timeout(LAST_TASKS, self.endpoint.wait_idle()).await);
        if timeout(LAST_RECORDS, self.state.recordings.finished()).await.is_err() {
            tracing::error!("The recordings were not closed in time; the next start does it");
        }
        // The records of what was aborted are written too: the writer stops last, by itself, when
        // the last session has given its record.
        if timeout(LAST_RECORDS, self.state.store.clone().close()).await.is_err() {
            tracing::error!("The audit writer did not end in time");
        }
        match left {
            0 => Exit::Clean,
            sessions => {
                tracing::warn!(sessions, "Aborted sessions that did not end in time");
                Exit::Cut { sessions }
            }
        }
    }
}

/// For sessions to end by themselves once no new ones come.
const GRACE: Duration = Duration::from_secs(5);
/// For sessions to end once they are told to.
const FAREWELL: Duration = Duration::from_secs(5);
/// For statements to be stopped and accounts to be taken away at databases, after that.
const TAKING_BACK: Duration = Duration::from_secs(5);
const LAST_TASKS: Duration = Duration::from_secs(2);
const LAST_RECORDS: Duration = Duration::from_secs(3);
