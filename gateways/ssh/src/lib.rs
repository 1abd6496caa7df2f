//! The SSH door: an SSH server towards the user, an SSH client towards the target.
//!
//! The user shows a token or a registered key; the relay decides, records and dials; then channels
//! are carried between two SSH connections, so that each can be seen, refused and ended.

mod announced;
mod bridge;
mod browser;
mod ca;
mod channel;
mod choose;
mod config;
mod connection;
mod dialogue;
mod forward;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod host_ca;
mod host_certificate;
mod inbox;
mod keys;
mod login;
mod menu;
mod mosh;
mod observe;
mod program;
pub mod proto;
mod reach;
mod remote;
mod rows;
mod server;
mod sftp;
mod sniff;
mod target;
mod target_ca;
mod terminal;
mod texts;
mod track;
mod transfer;
mod unopened;
mod user_ca;
mod watch;
mod within;
mod words;

pub use connection::Ending;
pub use host_ca::HostCa;
pub use target_ca::TargetCa;
pub use texts::Texts;
pub use user_ca::{CertifyError, Order, UserCa};
pub use within::{Door, Reader, Said, Visitor, Within, Writer};

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use access::{ApplicationId, Authenticated};
use announced::Announced;
use connection::Connection;
use host_ca::Shown;
use russh::keys::PrivateKey;
use session::{Authn, Broker, HostKeys, Secrets};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

/// What the door needs of the relay.
pub struct SshConfig {
    pub host_keys: Vec<PrivateKey>,
    /// Those that it will have after them, of which clients are told.
    pub next_host_keys: Vec<PrivateKey>,
    /// Vouches for the host keys.
    pub host_ca: Arc<HostCa>,
    /// What the relay is called and reached by.
    pub host_names: Vec<String>,
    pub broker: Broker,
    pub authn: Arc<dyn Authn>,
    pub secrets: Arc<dyn Secrets>,
    pub target_keys: Arc<dyn HostKeys>,
    /// Signs for applications that are logged in to with certificates.
    pub target_ca: Arc<TargetCa>,
    /// Signed the certificates that agents' keys sign in with.
    pub user_ca: Arc<UserCa>,
    /// The relay's own domain, which people may write behind an application's name.
    pub domain: String,
    pub texts: Texts,
}

/// The SSH door. Cheap to clone.
#[derive(Clone)]
pub struct SshGateway {
    gateway: Arc<Gateway>,
}

impl SshGateway {
    pub fn new(config: SshConfig) -> Self {
        let SshConfig {
            host_keys,
            next_host_keys,
            host_ca,
            host_names,
            broker,
            authn,
            secrets,
            target_keys,
            target_ca,
            user_ca,
            domain,
            texts,
        } = config;
        let announced = Announced::new(host_keys.iter().cloned().chain(next_host_keys));
        let shown = Shown::new(host_keys, host_ca, host_names);
        let held = Arc::default();
        let gateway = Gateway {
            shown,
            announced,
            broker,
            authn,
            secrets,
            target_keys,
            target_ca,
            user_ca,
            domain,
            texts: Mutex::new(Arc::new(texts)),
            held,
        };
        Self { gateway: Arc::new(gateway) }
    }

    /// Carries one connection to its end. `vouched`: the stream came from an agent, which needs no
    /// login here and reaches this application only.
    ///
    /// The caller turns Nagle's algorithm off and bounds how many run at one time. Dropping the
    /// future cuts the connection.
    pub async fn serve<S>(
        &self,
        io: S,
        peer: SocketAddr,
        vouched: Option<(Authenticated, ApplicationId)>,
        drain: CancellationToken,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let proven = CancellationToken::new();
        let connection = Connection::new(self.gateway.clone(), peer);
        connection::serve(connection, io, vouched, proven, drain).await;
    }

    /// Carries the connection of somebody nobody knows yet. `proven` is cancelled once they have
    /// shown who they are: until then the caller may give their place to others.
    pub async fn serve_stranger<S>(
        &self,
        io: S,
        peer: SocketAddr,
        proven: CancellationToken,
        drain: CancellationToken,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = Connection::new(self.gateway.clone(), peer);
        connection::serve(connection, io, None, proven, drain).await;
    }

    /// The door's public host keys, as OpenSSH lines without comments.
    pub fn host_keys(&self) -> &[String] {
        self.gateway.shown.lines()
    }

    /// What connections show that begin from now on.
    pub fn show(&self, texts: Texts) {
        *self.gateway.texts.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(texts);
    }

    /// What a token is asked for with.
    pub fn token_prompt(&self) -> String {
        self.gateway.texts().token_prompt.clone()
    }

    /// How often a connection was held because a channel's reader did not move.
    pub fn held(&self) -> u64 {
        self.gateway.held.count()
    }
}

struct Gateway {
    shown: Shown,
    announced: Announced,
    broker: Broker,
    authn: Arc<dyn Authn>,
    secrets: Arc<dyn Secrets>,
    target_keys: Arc<dyn HostKeys>,
    target_ca: Arc<TargetCa>,
    user_ca: Arc<UserCa>,
    domain: String,
    texts: Mutex<Arc<Texts>>,
    held: Arc<inbox::Held>,
}

impl Gateway {
    fn texts(&self) -> Arc<Texts> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
