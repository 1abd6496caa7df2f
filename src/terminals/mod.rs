//! Terminals in the browser: sessions of the SSH door whose client is a page of the portal.
//!
//! A terminal lives in a task of its own. Lines of browsers come and go: when one breaks, the session
//! waits a while, and the same browser comes back to it by a secret that is good once. What was shown
//! meanwhile is kept, as far as there is room.

mod files;
mod messages;
mod ring;
mod running;
mod socket;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access::{Explain as _, SignInId, sha256};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::body::Bytes;
use gateway_ssh::{Ending, SshGateway, Visitor, Within, Writer};
use secrecy::{ExposeSecret as _, SecretString};
use session::Screen;
use store::Store;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use files::Place;
use messages::{Files, Open, Refusal, Resume, Told, sized};
use running::{Attach, Begun, Over, Running};

use crate::lines::Seat;

/// Every terminal that is open in a browser.
pub struct Terminals {
    ssh: SshGateway,
    store: Store,
    drain: CancellationToken,
    open: Mutex<HashMap<Uuid, Arc<Terminal>>>,
    /// One for each terminal.
    tasks: Mutex<JoinSet<()>>,
}

/// A terminal, as lines reach it.
struct Terminal {
    id: Uuid,
    /// The only browser that may come back.
    sign_in: SignInId,
    within: Within,
    writer: Writer,
    grace: Duration,
    secrets: Mutex<Secrets>,
    attaches: mpsc::Sender<Attach>,
    transfers: Arc<Semaphore>,
}

/// Hashes of what lets a line in, once each.
struct Secrets {
    resume: [u8; 32],
    files: Vec<[u8; 32]>,
}

/// A browser in front of a terminal.
struct Attached {
    terminal: Arc<Terminal>,
    opened: Told,
    pieces: mpsc::Receiver<Bytes>,
    over: oneshot::Receiver<Over>,
    /// Told how many bytes the browser has shown.
    shown: watch::Sender<u64>,
}

impl Terminals {
    pub(crate) fn new(ssh: SshGateway, store: Store, drain: CancellationToken) -> Arc<Self> {
        let (open, tasks) = (Mutex::default(), Mutex::default());
        Arc::new(Self { ssh, store, drain, open, tasks })
    }

    /// Completes when no terminal is open. To be asked once their sessions end.
    pub(crate) async fn finished(&self) {
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        while tasks.join_next().await.is_some() {}
    }

    async fn open(self: &Arc<Self>, seat: &Seat, open: Open) -> Result<Attached, Refusal> {
        if self.of(seat.sign_in) >= MOST {
            return Err(Refusal::too_many());
        }
        let resume = digest(&open.next)?;
        let grace = self.store.settings().await.map_err(|error| {
            tracing::error!(%error, "Could not read the settings");
            let reason = "the relay's store does not answer just now".to_owned();
            Refusal { code: access::Code("store.unavailable"), reason }
        })?;
        let grace = Duration::from_secs(grace.terminal_grace_seconds.into());
        let (columns, rows) = sized(open.columns, open.rows);
        let screen = Screen { term: TERM.to_owned(), columns, rows };
        let Seat { who, sign_in, peer } = seat.clone();
        let visitor = Visitor { who, application: open.application, login: open.login, peer };
        let entered = self.ssh.enter(visitor, self.drain.clone()).await;
        let (within, mut door) = entered.map_err(|ending| refused(&ending))?;
        let (reader, writer) = match within.shell(&screen).await {
            Ok(shell) => shell,
            Err(error) => {
                tracing::debug!(%error, "A session was over before its shell");
                return Err(refused(&door.ended().await));
            }
        };
        let (attaches, asked) = mpsc::channel(ATTACHES);
        let terminal = Arc::new(Terminal {
            id: Uuid::new_v4(),
            sign_in,
            within: within.clone(),
            writer,
            grace,
            secrets: Mutex::new(Secrets { resume, files: Vec::new() }),
            attaches,
            transfers: Arc::new(Semaphore::new(MOST_TRANSFERS)),
        });
        self.run(&terminal, Running { within, door, reader, grace, attaches: asked });
        terminal.attach(0).await
    }

    /// Runs a terminal until its session is over.
    fn run(self: &Arc<Self>, terminal: &Arc<Terminal>, running: Running) {
        let (this, id) = (self.clone(), terminal.id);
        lock(&self.open).insert(id, terminal.clone());
        let mut tasks = lock(&self.tasks);
        while let Some(done) = tasks.try_join_next() {
            if let Err(error) = done {
                tracing::error!(%error, "A terminal failed");
            }
        }
        tasks.spawn(async move {
            let _listed = Listed { terminals: this, id };
            running.run().await;
        });
    }

    async fn resume(&self, seat: &Seat, resume: &Resume) -> Result<Attached, Refusal> {
        let terminal = self.find(resume.terminal, seat)?;
        terminal.spend(&resume.secret, &resume.next)?;
        terminal.within.still(&seat.who).map_err(|ending| refused(&ending))?;
        let attached = terminal.attach(resume.seen).await?;
        let (columns, rows) = sized(resume.columns, resume.rows);
        if let Told::Opened { reset: true, .. } = attached.opened {
            // What the browser is sent may begin in the middle of a picture: a program that hears of
            // another size draws it anew.
            drop(terminal.writer.resize(columns, rows.saturating_sub(1).max(1)).await);
        }
        drop(terminal.writer.resize(columns, rows).await);
        Ok(attached)
    }

    async fn files(&self, seat: &Seat, asked: &Files) -> Result<Place, Refusal> {
        let terminal = self.find(asked.terminal, seat)?;
        terminal.spend_for_files(&asked.secret)?;
        terminal.within.still(&seat.who).map_err(|ending| refused(&ending))?;
        let permit = terminal.transfers.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Refusal::too_many())?;
        match terminal.within.sftp().await {
            Ok((reader, writer)) => Ok(Place { reader, writer, permit }),
            Err(_) => Err(Refusal::gone()),
        }
    }

    /// A terminal of this browser's.
    fn find(&self, id: Uuid, seat: &Seat) -> Result<Arc<Terminal>, Refusal> {
        let found = lock(&self.open).get(&id).cloned();
        found.filter(|found| found.sign_in == seat.sign_in).ok_or_else(Refusal::gone)
    }

    /// How many a browser has.
    fn of(&self, sign_in: SignInId) -> usize {
        lock(&self.open).values().filter(|one| one.sign_in == sign_in).count()
    }
}

/// A terminal's entry, as long as it runs.
struct Listed {
    terminals: Arc<Terminals>,
    id: Uuid,
}

impl Drop for Listed {
    fn drop(&mut self) {
        lock(&self.terminals.open).remove(&self.id);
    }
}

impl Terminal {
    /// Puts a browser in front of it that has shown this many bytes.
    async fn attach(self: &Arc<Self>, seen: u64) -> Result<Attached, Refusal> {
        let (pieces, to_show) = mpsc::channel(PIECES);
        let (shown, showing) = watch::channel(seen);
        let (over, ended) = oneshot::channel();
        let (begun, beginning) = oneshot::channel();
        let attach = Attach { seen, shown: showing, pieces, over, begun };
        self.attaches.send(attach).await.map_err(|_| Refusal::gone())?;
        let Begun { from, until, reset } = beginning.await.map_err(|_| Refusal::gone())?;
        let (terminal, session) = (self.id, self.within.session());
        let grace = self.grace.as_secs();
        let opened = Told::Opened { terminal, session, grace, from, until, reset };
        Ok(Attached { terminal: self.clone(), opened, pieces: to_show, over: ended, shown })
    }

    /// Takes the secret by which a browser comes back, once, and the one for the next time.
    fn spend(&self, shown: &SecretString, next: &SecretString) -> Result<(), Refusal> {
        let (shown, next) = (digest(shown)?, digest(next)?);
        let mut secrets = lock(&self.secrets);
        verify_slices_are_equal(&secrets.resume, &shown).map_err(|_| Refusal::gone())?;
        secrets.resume = next;
        Ok(())
    }

    /// Lets one line for files in by this secret.
    fn announce(&self, secret: &SecretString) -> Result<(), Refusal> {
        let secret = digest(secret)?;
        let files = &mut lock(&self.secrets).files;
        if files.len() >= MOST_TRANSFERS {
            files.remove(0);
        }
        files.push(secret);
        Ok(())
    }

    fn spend_for_files(&self, shown: &SecretString) -> Result<(), Refusal> {
        let shown = digest(shown)?;
        let files = &mut lock(&self.secrets).files;
        let known = files.iter().position(|one| verify_slices_are_equal(one, &shown).is_ok());
        let known = known.ok_or_else(Refusal::gone)?;
        files.swap_remove(known);
        Ok(())
    }
}

/// The hash of a secret that a browser has made.
fn digest(secret: &SecretString) -> Result<[u8; 32], Refusal> {
    let secret = secret.expose_secret().as_bytes();
    match SECRET.contains(&secret.len()) {
        true => Ok(sha256(secret)),
        false => Err(Refusal::invalid("a secret has 32 to 128 characters")),
    }
}

fn refused(ending: &Ending) -> Refusal {
    Refusal { code: ending.reason.code(), reason: ending.told() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What xterm.js is to programs.
const TERM: &str = "xterm-256color";
/// Terminals of one browser.
const MOST: usize = 32;
/// Lines for files of one terminal.
const MOST_TRANSFERS: usize = 4;
/// Browsers that come to one terminal at the same time; more wait.
const ATTACHES: usize = 4;
/// Pieces on their way to a browser's line.
const PIECES: usize = 2;
const SECRET: std::ops::RangeInclusive<usize> = 32..=128;
