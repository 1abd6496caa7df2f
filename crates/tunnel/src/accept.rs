//! The relay's side of a greeting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use access::EndReason;
use async_trait::async_trait;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use wire::{Control, Refusal, VERSIONS, VersionRange};

use crate::carried::Stream;
use crate::carrier::{Carrier, Transport};
use crate::certificate::Facts;
use crate::closed::ConnectError;
use crate::connection::{Connection, Link, Peer};
use crate::control::{ControlLoop, Role};
use crate::dial::{EXAMINES, NO_VERSION};
use crate::mux::{Mux, Side, Way};

/// Signs certificates for one connected machine.
#[async_trait]
pub trait Renewer: Send + Sync {
    /// A new certificate for a request whose key was compared with the connection's already.
    async fn renew(&self, csr_pem: &str) -> Result<String, Refusal>;
}

/// A peer that has shown a certificate of the CA and said hello. Nobody has yet said who it is:
/// look its key up, then [`welcome`](Self::welcome) or [`refuse`](Self::refuse).
pub struct Knock {
    carrier: Carrier,
    control: Stream,
    peer: Peer,
    certificate: Facts,
}

/// Takes an incoming connection through the handshake and its hello, within a deadline.
pub async fn accept(incoming: quinn::Incoming) -> Result<Knock, ConnectError> {
    accept_speaking(incoming, VERSIONS).await
}

/// As [`accept()`], speaking these versions of the protocol: what an older or a newer build does.
pub async fn accept_speaking(
    incoming: quinn::Incoming,
    versions: VersionRange,
) -> Result<Knock, ConnectError> {
    let heard = async {
        let quic = incoming.await.map_err(|source| ConnectError::Handshake { source })?;
        let chain = quic.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer>>().ok());
        let leaf = chain.as_ref().and_then(|chain| chain.first());
        let certificate = facts(leaf)?;
        hear(Carrier::quic(quic, None), certificate, versions).await
    };
    within(heard).await
}

/// As [`accept()`], for a connection by TLS whose handshake is done. Its configuration must have
/// demanded a client certificate ([`crate::tls::client_verifier`]) and `adit/1`.
pub async fn accept_tls<S>(
    stream: TlsStream<S>,
    remote: SocketAddr,
    transport: Transport,
) -> Result<Knock, ConnectError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let certificate = facts(stream.get_ref().1.peer_certificates().and_then(<[_]>::first))?;
    let way = Way { remote, transport, side: Side::Listener };
    within(hear(Mux::start(stream, way).into(), certificate, VERSIONS)).await
}

async fn within(
    heard: impl Future<Output = Result<Knock, ConnectError>>,
) -> Result<Knock, ConnectError> {
    match timeout(GREETING, heard).await {
        Ok(knock) => knock,
        Err(_) => Err(ConnectError::TimedOut { after: GREETING }),
    }
}

impl Knock {
    /// The peer's certificate; its key is the machine's identity.
    pub fn certificate(&self) -> &Facts {
        &self.certificate
    }

    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What carries it.
    pub fn transport(&self) -> Transport {
        self.carrier.transport()
    }

    pub fn remote_address(&self) -> SocketAddr {
        self.carrier.remote_address()
    }

    /// Accepts the peer. Where its certificate has expired, the connection carries sessions only
    /// after it was renewed.
    pub async fn welcome(
        mut self,
        relay: &str,
        renewer: Arc<dyn Renewer>,
    ) -> Result<Connection, ConnectError> {
        let renew_now = self.certificate.expired(SystemTime::now());
        self.say(&self.welcoming(relay, renew_now)).await?;
        let link = Link::new(self.carrier, !renew_now);
        let role = Role::Listener { renewer, key: self.certificate.spki };
        let control = ControlLoop { link: link.clone(), stream: self.control, role };
        Ok(Connection::start(link, self.peer, control))
    }

    /// Whether the peer asks for no more than whether it would be welcome.
    pub fn examines(&self) -> bool {
        asks_only(&self.peer.capabilities)
    }

    /// Tells the peer that it would be welcome, and lets it go.
    pub async fn assure(mut self, relay: &str) {
        let renew_now = self.certificate.expired(SystemTime::now());
        if self.say(&self.welcoming(relay, renew_now)).await.is_ok() {
            drop(timeout(FAREWELL, self.carrier.closed()).await);
        }
        self.carrier.close(EndReason::Closed, "examined");
    }

    fn welcoming(&self, relay: &str, renew_now: bool) -> Control {
        Control::Welcome { version: self.peer.version, relay: relay.to_owned(), renew_now }
    }

    /// Turns the peer away, and waits a moment so that it hears why.
    pub async fn refuse(mut self, refusal: Refusal) {
        if self.say(&Control::Refused(refusal)).await.is_ok() {
            drop(timeout(FAREWELL, self.control.deliver()).await);
        }
        self.carrier.close(EndReason::Failed, "refused");
    }

    async fn say(&mut self, message: &Control) -> Result<(), ConnectError> {
        match timeout(GREETING, self.control.send_frame(message)).await {
            Ok(sent) => sent.map_err(|source| ConnectError::Greeting { source }),
            Err(_) => Err(ConnectError::TimedOut { after: GREETING }),
        }
    }
}

fn asks_only(capabilities: &[String]) -> bool {
    capabilities.iter().any(|capability| capability == EXAMINES)
}

fn facts(leaf: Option<&CertificateDer<'_>>) -> Result<Facts, ConnectError> {
    let leaf = leaf.ok_or(ConnectError::NoCertificate)?;
    Facts::of(leaf).map_err(|source| ConnectError::Certificate { source })
}

async fn hear(
    carrier: Carrier,
    certificate: Facts,
    ours: VersionRange,
) -> Result<Knock, ConnectError> {
    let over = |source| ConnectError::Closed { source };
    let mut control = carrier.accept(&Arc::default()).await.map_err(over)?;
    let hello = control.recv_frame().await.map_err(|source| ConnectError::Greeting { source })?;
    let Control::Hello { versions, software, capabilities, instance, speaks } = hello else {
        return Err(ConnectError::Protocol);
    };
    let asks = speaks.filter(|_| asks_only(&capabilities));
    let agreed = match asks {
        // It is told that they have no version in common, as well.
        Some(speaks) => Some(ours.agree(speaks).unwrap_or_default()),
        None => ours.agree(versions),
    };
    let version = agreed.unwrap_or_default();
    let instance = Some(instance).filter(|instance| (1..=MAX_INSTANCE).contains(&instance.len()));
    let peer = Peer { version, software, capabilities, instance };
    let knock = Knock { carrier, control, peer, certificate };
    match agreed {
        Some(_) => Ok(knock),
        None => {
            let source = no_version(ours, versions);
            knock.refuse(source.clone()).await;
            Err(ConnectError::Refused { source })
        }
    }
}

/// Says which of the two is too old, and what to install where.
fn no_version(ours: VersionRange, theirs: VersionRange) -> Refusal {
    let release = env!("CARGO_PKG_VERSION");
    let (which, hint) = match theirs.is_older_than(ours) {
        true => ("old", format!("install Adit {release}, which the relay has, on this machine")),
        false => (
            "new",
            format!(
                "update the relay first, or install Adit {release}, which it has, on this machine"
            ),
        ),
    };
    Refusal {
        code: NO_VERSION.into(),
        message: format!(
            "this program is too {which} for its relay: it speaks {theirs} of the protocol, and the relay {ours}"
        ),
        hint: Some(hint),
    }
}

/// The longest name of a process.
const MAX_INSTANCE: usize = 64;
/// From the first packet to the hello.
const GREETING: Duration = Duration::from_secs(5);
/// For the last word to a peer that is turned away.
const FAREWELL: Duration = Duration::from_secs(1);
