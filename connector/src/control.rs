//! The socket in the state directory by which the command line speaks to the connector that runs.
//!
//! One line of JSON asks, and lines of JSON answer, the last of which says how it ended. Who may: the
//! account that the connector runs as, and root.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::orders::{Drained, Order};
use crate::serve::Site;
use crate::update::{Done, Step, UpdateError, Updater};
use ::update::Why;

/// What a running connector is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Ask {
    /// Take no new sessions, and cut those that are left after so many seconds.
    Drain { within: u64 },
    /// Take sessions again.
    Resume,
    /// Say what an update would do.
    Look,
    /// Update: drain, for so many seconds at most, and start the new program.
    Update { within: u64 },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Said {
    /// So many sessions go on, for so many seconds at most.
    Draining { sessions: u64, seconds_left: u64 },
    /// None is left; so many were cut.
    Drained { cut: u64 },
    /// It takes sessions.
    Serving,
    /// How far an update has come.
    Updating { step: Step },
    /// The new program starts; so many sessions were cut for it.
    Updated { version: String, cut: u64 },
    /// This version could be had.
    Available { version: String },
    /// There is nothing to update, and why: `current`, `later` or `failed`.
    Unchanged { why: String },
    /// It was not understood, or not done.
    Refused { code: String, message: String, hint: String },
}

impl Said {
    /// Whether nothing follows.
    pub fn is_last(&self) -> bool {
        !matches!(self, Self::Draining { .. } | Self::Updating { .. })
    }
}

/// Why the connector that runs could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error(
        "no connector runs with the state in {state:?}; start it: adit-connector run --state {}",
        state.display()
    )]
    NotRunning { state: PathBuf },
    #[error("the connector with the state in {state:?} can not be asked")]
    Unreachable { state: PathBuf, source: io::Error },
    #[error("the connector ended before it had answered")]
    Ended,
    #[error("the connector says what this program does not understand")]
    Answer { source: serde_json::Error },
}

/// What questions are about.
#[derive(Clone)]
pub struct Asked {
    pub site: Arc<Site>,
    pub updater: Arc<Updater>,
}

/// Where a running connector listens.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Listens in the state directory, in the place of one that is gone: nobody answers there any more.
    pub fn listen(state: &Path) -> io::Result<Self> {
        let path = state.join(SOCKET);
        if std::os::unix::net::UnixStream::connect(&path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode)?;
        Ok(Self { listener, path })
    }

    /// Answers whoever asks, a few at a time.
    pub async fn serve(self, asked: Asked) -> Infallible {
        let mut asking = JoinSet::new();
        loop {
            while asking.len() >= MOST_AT_ONCE {
                asking.join_next().await;
            }
            match self.listener.accept().await {
                Ok((stream, _)) if is_trusted(&stream) => {
                    asking.spawn(answer(stream, asked.clone()));
                }
                Ok(_) => tracing::warn!("Another account asked this connector for something"),
                Err(error) => {
                    tracing::warn!(%error, "Could not take a question");
                    sleep(EVERY).await;
                }
            }
            while asking.try_join_next().is_some() {}
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

/// Asks the connector that runs, and gives what it says to `tell`; the last of it is the outcome.
pub async fn ask(
    state: &Path,
    question: &Ask,
    mut tell: impl FnMut(&Said),
) -> Result<Said, AskError> {
    let stream = connect(state).await?;
    let broken = |source| AskError::Unreachable { state: state.to_owned(), source };
    let (read, mut write) = stream.into_split();
    let mut line = serde_json::to_vec(question).map_err(|source| AskError::Answer { source })?;
    line.push(b'\n');
    write.write_all(&line).await.map_err(broken)?;
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await.map_err(broken)? {
        let said: Said =
            serde_json::from_str(&line).map_err(|source| AskError::Answer { source })?;
        tell(&said);
        if said.is_last() {
            return Ok(said);
        }
    }
    Err(AskError::Ended)
}

async fn connect(state: &Path) -> Result<UnixStream, AskError> {
    UnixStream::connect(state.join(SOCKET)).await.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AskError::NotRunning { state: state.to_owned() }
        }
        _ => AskError::Unreachable { state: state.to_owned(), source },
    })
}

fn is_trusted(stream: &UnixStream) -> bool {
    #[expect(unsafe_code, reason = "geteuid takes nothing and can not fail")]
    // SAFETY: it reads one number of the process.
    let own = unsafe { libc::geteuid() };
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

async fn answer(stream: UnixStream, of: Asked) {
    let (read, mut write) = stream.into_split();
    let asked = match timeout(QUESTION, question(read)).await {
        Ok(Some(asked)) => asked,
        Ok(None) | Err(_) => {
            let message = "this connector does not know that question";
            let hint = "restart the connector: another version of it runs".to_owned();
            let message = message.to_owned();
            let refused = Said::Refused { code: "control.unknown".to_owned(), message, hint };
            return say(&mut write, &refused).await.unwrap_or_default();
        }
    };
    // Whoever asked may have left: what was begun goes on.
    let said = match asked {
        Ask::Drain { within } => drain(&of.site, within, &mut write).await,
        Ask::Resume => {
            tracing::info!("Taking sessions again");
            of.site.orders.give(Order::Serve);
            say(&mut write, &Said::Serving).await
        }
        Ask::Look => say(&mut write, &outcome(of.updater.look().await)).await,
        Ask::Update { within } => update(&of, within, &mut write).await,
    };
    if let Err(error) = said {
        tracing::debug!(%error, "Whoever asked has left");
    }
}

/// Goes on when nobody listens any more.
async fn update(of: &Asked, within: u64, to: &mut (impl AsyncWriteExt + Unpin)) -> io::Result<()> {
    let within = Duration::from_secs(within).min(LONGEST_DRAIN);
    let (steps, mut told) = mpsc::channel(STEPS);
    // What is not read in time is not news any more.
    let tell = move |step| drop(steps.try_send(step));
    let mut updating = Box::pin(of.updater.update(&of.site, within, tell));
    let mut listens = true;
    let done = loop {
        tokio::select! {
            biased;
            Some(step) = told.recv(), if listens => {
                listens = say(to, &Said::Updating { step }).await.is_ok();
            }
            done = &mut updating => break done,
        }
    };
    let swapped = matches!(done, Ok(Done::Swapped { .. }));
    let said = say(to, &outcome(done)).await;
    if swapped {
        of.updater.replace();
    }
    said
}

fn outcome(done: Result<Done, UpdateError>) -> Said {
    match done {
        Ok(Done::Swapped { version, cut }) => Said::Updated { version: version.to_string(), cut },
        Ok(Done::Available { version }) => Said::Available { version: version.to_string() },
        Ok(Done::Nothing(why)) => {
            let why = match why {
                Why::Current => "current",
                Why::Later => "later",
                Why::Failed => "failed",
            };
            Said::Unchanged { why: why.to_owned() }
        }
        Err(error) => {
            let (code, hint) = (error.code().to_owned(), error.hint());
            let mut message = error.to_string();
            if let Some(source) = std::error::Error::source(&error) {
                message = format!("{message}: {source}");
            }
            Said::Refused { code, message, hint }
        }
    }
}

async fn question(read: OwnedReadHalf) -> Option<Ask> {
    let mut line = String::new();
    BufReader::new(read.take(LONGEST)).read_line(&mut line).await.ok()?;
    serde_json::from_str(&line).ok()
}

async fn drain(site: &Site, within: u64, to: &mut (impl AsyncWriteExt + Unpin)) -> io::Result<()> {
    let within = Duration::from_secs(within).min(LONGEST_DRAIN);
    let until = Instant::now() + within;
    let before = Drained::of(&site.counts);
    tracing::info!(sessions = before.left, ?within, "Draining; taking no new sessions");
    site.orders.give(Order::Drain { until });
    let mut told = None;
    loop {
        let now = Drained::of(&site.counts);
        if site.orders.now() == Order::Serve {
            return say(to, &Said::Serving).await;
        }
        // Not before the relay has heard: what it still asks for is served.
        if now.left == 0 && Instant::now() >= until - within + SETTLED.min(within) {
            let cut = now.cut.saturating_sub(before.cut);
            tracing::info!(cut, "Drained");
            return say(to, &Said::Drained { cut }).await;
        }
        let due = told.is_none_or(|(left, at): (u64, Instant)| {
            left != now.left || at.elapsed() >= TELL_EVERY
        });
        if due {
            told = Some((now.left, Instant::now()));
            let seconds_left = until.saturating_duration_since(Instant::now()).as_secs();
            say(to, &Said::Draining { sessions: now.left, seconds_left }).await?;
        }
        sleep(EVERY).await;
    }
}

async fn say(to: &mut (impl AsyncWriteExt + Unpin), said: &Said) -> io::Result<()> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    to.write_all(&line).await
}

/// In the state directory.
const SOCKET: &str = "control.sock";
/// The longest question, in bytes.
const LONGEST: u64 = 1024;
const MOST_AT_ONCE: usize = 8;
/// Steps of an update that may wait to be told.
const STEPS: usize = 64;
/// For a question to arrive.
const QUESTION: Duration = Duration::from_secs(5);
/// Between two looks at what is left.
const EVERY: Duration = Duration::from_millis(100);
const TELL_EVERY: Duration = Duration::from_secs(5);
/// After which the relay sends nothing more.
const SETTLED: Duration = Duration::from_millis(500);
const LONGEST_DRAIN: Duration = Duration::from_secs(7 * 24 * 3600);
