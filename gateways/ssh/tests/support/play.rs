//! Targets played by a test over a pipe, for tests with a clock of their own.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Mutex;

use splice::{BoxStream, FromIo};
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinSet;

/// Targets by host name.
#[derive(Default)]
pub(crate) struct Plays {
    plays: Mutex<HashMap<String, Play>>,
    running: Mutex<JoinSet<()>>,
}

type Play = Box<dyn Fn(DuplexStream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

impl Plays {
    /// Every connection to `host` is `play`'s other end.
    pub(crate) fn set<F, P>(&self, host: &str, play: P)
    where
        F: Future<Output = ()> + Send + 'static,
        P: Fn(DuplexStream) -> F + Send + Sync + 'static,
    {
        let play: Play = Box::new(move |stream| Box::pin(play(stream)));
        self.plays.lock().unwrap().insert(host.to_owned(), play);
    }

    pub(crate) fn dial(&self, host: &str) -> Option<BoxStream> {
        let (near, far) = duplex(64 * 1024);
        let playing = self.plays.lock().unwrap().get(host).map(|play| play(far))?;
        self.running.lock().unwrap().spawn(playing);
        Some(Box::new(FromIo::new(near)))
    }
}
