use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};

/// Whether Ctrl-C was pressed, or the demo was asked to stop in another way.
pub(crate) struct Stop(Receiver<()>);

impl Stop {
    pub(crate) fn on_signals() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut interrupt, mut terminate) = runtime.block_on(async {
            let interrupt = signal(SignalKind::interrupt())?;
            Ok::<_, std::io::Error>((interrupt, signal(SignalKind::terminate())?))
        })?;
        let (sender, receiver) = channel();
        thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
            });
            // Nobody listens any more: then we are ending already.
            sender.send(()).unwrap_or_default();
        });
        Ok(Self(receiver))
    }

    /// Fails if asked to stop, so that starting up ends where it stands.
    pub(crate) fn check(&self) -> Result<()> {
        match self.0.try_recv() {
            Ok(()) | Err(TryRecvError::Disconnected) => bail!("stopped"),
            Err(TryRecvError::Empty) => Ok(()),
        }
    }

    /// Waits this long at most; says whether we were asked to stop.
    pub(crate) fn wait(&self, at_most: Duration) -> bool {
        !matches!(self.0.recv_timeout(at_most), Err(RecvTimeoutError::Timeout))
    }
}
