//! Being told to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Failure;
use crate::os::hangup_is_ignored;

/// Ctrl-C, a polite kill, or the end of the terminal. From when it is made these signals no longer
/// end the process.
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
    /// `None` under `nohup`, whose point is to go on.
    hangup: Option<Signal>,
}

impl Stop {
    pub fn new() -> Result<Self, Failure> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: match hangup_is_ignored() {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
        })
    }

    /// Completes when one of them has come.
    pub async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = received(self.hangup.as_mut()) => {}
        }
    }
}

async fn received(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
