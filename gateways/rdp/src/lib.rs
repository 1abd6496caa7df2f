//! The desktop door: RDP for a page of the portal. The relay speaks TLS with the target, signs in there
//! where it has an account, and lets channels carry what a grant allows.
//!
//! `Grant → Broker::open → Session::dial` is the only way from here to a network.

mod capabilities;
mod channel;
mod cleanpath;
mod clipboard;
mod credssp;
mod desktop;
mod devices;
mod dynamic;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod host;
mod native;
mod negotiation;
mod passes;
pub mod replay;
mod settings;
mod spnego;
mod target;
mod watch;
mod words;

pub use cleanpath::{Request, RequestError};
pub use desktop::{Desktop, Ending, Line, Visitor};
pub use frame::Fault;
pub use native::Shown;
pub use passes::{NoPass, Pass};
pub use words::{Refused, TargetError};

use std::sync::Arc;
use std::time::SystemTime;

use access::{Application, ApplicationId, Clipboard, Name};
use bytes::Bytes;
use passes::Passes;
use rustls::client::danger::ServerCertVerifier;
use session::{Broker, Certificates, Secrets, Session};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use trust::Trust;

/// What the door needs of the relay.
pub struct RdpConfig {
    pub broker: Broker,
    pub secrets: Arc<dyn Secrets>,
    pub certificates: Arc<dyn Certificates>,
    /// What native clients are shown.
    pub shown: Arc<dyn Shown>,
    /// Applications are one label below it.
    pub domain: String,
    /// Checks the certificates of targets that have no CA and no pin of their own; `None`: those are
    /// learned.
    pub roots: Option<Arc<dyn ServerCertVerifier>>,
}

/// The desktop door. Cheap to clone.
#[derive(Clone)]
pub struct RdpGateway(Arc<Gateway>);

struct Gateway {
    broker: Broker,
    secrets: Arc<dyn Secrets>,
    certificates: Arc<dyn Certificates>,
    trust: Trust,
    shown: Arc<dyn Shown>,
    domain: String,
    passes: Passes,
}

impl RdpGateway {
    pub fn new(config: RdpConfig) -> Self {
        let RdpConfig { broker, secrets, certificates, shown, domain, roots } = config;
        let (trust, passes) = (Trust::new(roots), Passes::default());
        Self(Arc::new(Gateway { broker, secrets, certificates, trust, shown, domain, passes }))
    }

    /// What would open for somebody now, and which way its clipboard would carry. Records why not.
    pub fn look(&self, visitor: &Visitor) -> Result<(Arc<Application>, Clipboard), Refused> {
        self.0.look(visitor)
    }

    /// Opens a session and reaches its target, unless the client, who is told of a failure by `down`,
    /// leaves first.
    pub async fn open(
        &self,
        visitor: &Visitor,
        request: &Request,
        down: &mpsc::Sender<Bytes>,
    ) -> Result<Desktop, Refused> {
        self.0.open(visitor, request, down).await
    }

    /// A login for one connection of a native client: of whom, and to which managed desktop.
    pub fn pass(&self, owner: &Name, application: ApplicationId) -> Result<Pass, NoPass> {
        self.0.passes.make(owner, application, SystemTime::now())
    }

    /// Serves a native client of a managed desktop, which signs in with such a login, to the session's
    /// end. `left` says that the client is gone, where its bytes do not.
    pub async fn serve<S>(&self, session: Session, io: S, left: CancellationToken) -> Ending
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        self.0.serve(session, io, left).await
    }

    /// What is told to a client, as RDCleanPath has it, who has no right to ask.
    pub fn forbidden() -> Bytes {
        cleanpath::no(&cleanpath::No::Http(403))
    }
}
