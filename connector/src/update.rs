//! Updates that the relay hands on: fetched over the tunnel, checked by the publisher's key, put in
//! the place of the running program when its sessions have ended, and taken back where the new one
//! does not reach the relay.

mod check;
mod fetch;
mod gate;
mod kept;
mod owner;
mod swap;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::update::{PublicKey, Refused, Ring, Standing, Verdict, Version, Why, decide};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tunnel::Connection;

use crate::orders::{Drained, Order};
use crate::serve::Site;
use crate::status::unix;

pub use check::{trial, trial_said};
pub use fetch::FetchError;
pub use gate::Gate;
pub use kept::{Kept, Swapped};
pub use swap::{SwapError, put_back, swap};

/// What a connector's configuration says of updates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What manifests are signed with; `None`: no update is taken.
    pub key: Option<PublicKey>,
    /// Whether updates are taken without being asked for.
    pub automatic: bool,
    pub ring: Ring,
    /// How often the relay is asked.
    pub every: Duration,
    /// How long sessions may go on before an update that comes by itself cuts them.
    pub within: Duration,
    /// How long the new program has to reach the relay.
    pub reach: Duration,
}

/// Why no update was made.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    #[error("this connector knows no publisher's key, so it takes no update")]
    NoKey,
    #[error("{} was installed by the system's packages, and is updated by them", program.display())]
    Packaged { program: PathBuf, command: String },
    #[error("no relay is connected that could give an update")]
    NotConnected,
    #[error(transparent)]
    Refused(Box<Refused>),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the new program does not do what it should: {detail}")]
    Check { detail: String },
    #[error("the new program did not reach the relay: {detail}")]
    Unreached { detail: String },
    #[error(transparent)]
    Swap(#[from] SwapError),
    #[error("another update is under way")]
    Busy,
}

impl From<Refused> for UpdateError {
    fn from(refused: Refused) -> Self {
        Self::Refused(Box::new(refused))
    }
}

impl UpdateError {
    /// Stable, such as `update.signature`.
    pub fn code(&self) -> &str {
        match self {
            Self::NoKey => "update.no_key",
            Self::Packaged { .. } => "update.packaged",
            Self::NotConnected => "update.not_connected",
            Self::Refused(refused) => refused.code(),
            Self::Fetch(error) => error.code(),
            Self::Check { .. } => "update.check",
            Self::Unreached { .. } => "update.unreached",
            Self::Swap(_) => "update.swap",
            Self::Busy => "update.busy",
        }
    }

    /// What helps.
    pub fn hint(&self) -> String {
        match self {
            Self::NoKey => {
                "put the publisher's key into [update] key of connector.toml, and restart"
                    .to_owned()
            }
            Self::Packaged { command, .. } => command.clone(),
            Self::NotConnected => "adit-connector doctor says what is on the way".to_owned(),
            Self::Refused(refused) => refused.hint().into_owned(),
            Self::Fetch(error) => error.hint(),
            Self::Check { .. } => "publish a program that was built for this machine".to_owned(),
            Self::Unreached { .. } => {
                "the program that ran goes on; this version is not tried again".to_owned()
            }
            Self::Swap(_) => {
                "the connector's account has to be able to write its program's folder".to_owned()
            }
            Self::Busy => "wait for it".to_owned(),
        }
    }
}

/// How far an update has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    Fetching { version: String, bytes: u64 },
    Draining { sessions: u64, seconds_left: u64 },
    Trying,
}

/// What became of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The new program is in its place, and has to be started.
    Swapped {
        version: Version,
        cut: u64,
    },
    /// It could be.
    Available {
        version: Version,
    },
    Nothing(Why),
}

/// The connections to the relays, for whoever asks one something.
#[derive(Debug, Default)]
pub struct Links(watch::Sender<BTreeMap<usize, Connection>>);

impl Links {
    pub fn set(&self, place: usize, connection: Option<Connection>) {
        self.0.send_modify(|links| {
            match connection {
                Some(connection) => links.insert(place, connection),
                None => links.remove(&place),
            };
        });
    }

    fn any(&self) -> Option<Connection> {
        self.0.borrow().values().find(|connection| connection.is_open()).cloned()
    }

    /// Completes when a relay is connected.
    pub(crate) async fn up(&self) {
        // The sender lives as long as `self`.
        drop(self.0.subscribe().wait_for(|links| !links.is_empty()).await);
    }
}

/// The program, and all that an update of it needs.
#[derive(Debug)]
pub struct Updater {
    pub state: PathBuf,
    pub settings: Settings,
    /// The program that runs, and its version.
    pub program: PathBuf,
    pub version: Version,
    /// Which process this is, for the relay.
    pub instance: String,
    pub links: Arc<Links>,
    busy: Mutex<()>,
    /// Ends the process for the new program.
    pub(crate) replaced: CancellationToken,
}

impl Updater {
    pub fn new(state: &Path, settings: Settings, program: PathBuf, instance: String) -> Self {
        Self {
            state: state.to_owned(),
            settings,
            program,
            version: crate::version(),
            instance,
            links: Arc::default(),
            busy: Mutex::default(),
            replaced: CancellationToken::new(),
        }
    }

    /// What could be done by an update now.
    pub async fn look(&self) -> Result<Done, UpdateError> {
        let connection = self.connection()?;
        Ok(match self.verdict(&connection).await? {
            (version, Verdict::Take(_)) => Done::Available { version },
            (_, Verdict::Leave(why)) => Done::Nothing(why),
        })
    }

    /// Updates: fetches, checks, drains within `within`, tries the new program, and puts it in its
    /// place. Until then, whatever fails leaves everything as it was.
    pub async fn update(
        &self,
        site: &Site,
        within: Duration,
        mut tell: impl FnMut(Step) + Send,
    ) -> Result<Done, UpdateError> {
        let Ok(_turn) = self.busy.try_lock() else { return Err(UpdateError::Busy) };
        let connection = self.connection()?;
        let (version, file) = match self.verdict(&connection).await? {
            (version, Verdict::Take(file)) => (version, file),
            (_, Verdict::Leave(why)) => return Ok(Done::Nothing(why)),
        };
        tracing::info!(%version, "Updating");
        tell(Step::Fetching { version: version.to_string(), bytes: file.size });
        let next = swap::next(&self.program)?;
        fetch::file(&connection, &file, &next.0, &self.program).await?;
        check::version(&next.0, &version).await?;
        check::self_test(&next.0, &self.state).await?;
        let before = site.orders.now();
        let cut = drain(site, within, &mut tell).await;
        tell(Step::Trying);
        let tried = self.try_out(&next.0, &version, &connection).await;
        if let Err(error) = tried {
            site.orders.give(before);
            return Err(error);
        }
        swap(&self.state, &self.program, &next, (&self.version, &version))
            .inspect_err(|_| site.orders.give(before))?;
        tracing::info!(%version, "The new program is in its place");
        Ok(Done::Swapped { version, cut })
    }

    /// Has the process end for the new program.
    pub fn replace(&self) {
        self.replaced.cancel();
    }

    /// A relay to ask, where there is something to check its answer with.
    fn connection(&self) -> Result<Connection, UpdateError> {
        self.settings.key.ok_or(UpdateError::NoKey)?;
        self.links.any().ok_or(UpdateError::NotConnected)
    }

    async fn verdict(&self, connection: &Connection) -> Result<(Version, Verdict), UpdateError> {
        let key = self.settings.key.ok_or(UpdateError::NoKey)?;
        if let Some(command) = owner::command(&self.program).await {
            return Err(UpdateError::Packaged { program: self.program.clone(), command });
        }
        let signed = fetch::manifest(connection).await?;
        let mut kept = Kept::read(&self.state);
        let platform = ::update::platform();
        let standing = Standing {
            program: crate::PROGRAM,
            version: &self.version,
            platform: &platform,
            ring: self.settings.ring,
            serial: kept.serial,
            failed: &kept.failed,
            now: unix(SystemTime::now()),
        };
        let (manifest, verdict) = decide(&signed, &key, standing)?;
        if manifest.serial > kept.serial {
            kept.serial = manifest.serial;
            kept.write(&self.state).map_err(|source| SwapError::Kept { source })?;
        }
        Ok((manifest.version, verdict?))
    }

    /// The new program reaches the relay, or is not tried again: unless the relay is out of reach for
    /// the one that runs as well.
    async fn try_out(
        &self,
        next: &Path,
        version: &Version,
        connection: &Connection,
    ) -> Result<(), UpdateError> {
        let tried = check::reaches(next, self, version).await;
        let Err(detail) = tried else { return Ok(()) };
        if connection.is_open() && !connection.is_doubted() {
            let mut kept = Kept::read(&self.state);
            kept.failed(version.clone());
            kept.write(&self.state).map_err(|source| SwapError::Kept { source })?;
        }
        tracing::warn!(%version, detail, "The new program did not reach the relay");
        Err(UpdateError::Unreached { detail })
    }

    /// Asks now and then, where updates are taken by themselves.
    pub(crate) async fn follow(&self, site: &Site) {
        if !self.settings.automatic || self.settings.key.is_none() {
            return std::future::pending().await;
        }
        let mut told = None;
        let mut share = 0.1 + 0.2 * rand::random::<f64>();
        loop {
            // Not all connectors of a fleet at once.
            sleep(self.settings.every.mul_f64(share)).await;
            share = 0.75 + 0.5 * rand::random::<f64>();
            if site.orders.now().is_drain() {
                continue;
            }
            match self.update(site, self.settings.within, |_| {}).await {
                Ok(Done::Swapped { .. }) => {
                    self.replace();
                    return std::future::pending().await;
                }
                Ok(_) => told = None,
                Err(UpdateError::NotConnected | UpdateError::Busy) => {}
                Err(error) => {
                    // Each thing that is wrong is said once, not every hour.
                    let said = error.to_string();
                    if told.as_ref() != Some(&said) {
                        let (code, hint) = (error.code(), error.hint());
                        tracing::warn!(error = said, code, hint, "No update");
                        told = Some(said);
                    }
                }
            }
        }
    }
}

/// Waits for sessions, and gives how many were cut.
async fn drain(site: &Site, within: Duration, tell: &mut (impl FnMut(Step) + Send)) -> u64 {
    let until = Instant::now() + within;
    let before = Drained::of(&site.counts).cut;
    site.orders.give(Order::Drain { until });
    let mut said = None;
    // What the relay asked for before it had heard is served.
    sleep(SETTLE.min(within)).await;
    loop {
        let Drained { left, cut } = Drained::of(&site.counts);
        if left == 0 {
            return cut.saturating_sub(before);
        }
        if said != Some(left) {
            said = Some(left);
            let seconds_left = until.saturating_duration_since(Instant::now()).as_secs();
            tell(Step::Draining { sessions: left, seconds_left });
        }
        sleep(EVERY).await;
    }
}

const SETTLE: Duration = Duration::from_millis(300);
const EVERY: Duration = Duration::from_millis(100);
