//! The desktop door: RDP for a page of the portal. The relay speaks TLS with the target, signs in there
//! where it has an account, and lets channels carry what a grant allows.
//!
//! `Grant → Broker::open → Session::dial` is the only way from here to a network.

mod cleanpath;
mod clipboard;
mod credssp;
mod desktop;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod negotiation;
pub mod replay;
mod settings;
mod target;
mod watch;
mod words;

pub use cleanpath::{Request, RequestError};
pub use desktop::{Desktop, Ending, Line, Visitor};
pub use frame::Fault;
pub use words::{Refused, TargetError};

use std::sync::Arc;

use access::{Application, Clipboard};
use bytes::Bytes;
use rustls::client::danger::ServerCertVerifier;
use session::{Broker, Certificates, Secrets};
use tokio::sync::mpsc;
use trust::Trust;

/// What the door needs of the relay.
pub struct RdpConfig {
    pub broker: Broker,
    pub secrets: Arc<dyn Secrets>,
    pub certificates: Arc<dyn Certificates>,
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
}

impl RdpGateway {
    pub fn new(config: RdpConfig) -> Self {
        let RdpConfig { broker, secrets, certificates, roots } = config;
        let trust = Trust::new(roots);
        Self(Arc::new(Gateway { broker, secrets, certificates, trust }))
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

    /// What is told to a client, as RDCleanPath has it, who has no right to ask.
    pub fn forbidden() -> Bytes {
        cleanpath::no(&cleanpath::No::Http(403))
    }
}
