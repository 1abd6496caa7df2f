//! The machine's side of a greeting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use access::EndReason;
use tokio::time::{Instant, timeout};
use wire::{Control, VERSIONS, VersionRange};

use crate::Identity;
use crate::carried::Stream;
use crate::carrier::Carrier;
use crate::closed::ConnectError;
use crate::connection::{Connection, Link, Peer};
use crate::control::{self, ControlLoop, Role};
use crate::endpoint::{self, Congestion};
use crate::local;
use crate::tls::TlsError;

/// What an agent or connector dials its relay with.
#[derive(Clone, Debug)]
pub struct DialOut<'a> {
    /// `host:port` of the relay's QUIC listener.
    pub relay: &'a str,
    /// The name in the relay's certificate.
    pub domain: &'a str,
    pub identity: Identity,
    /// Program and version of this side, for people.
    pub software: &'a str,
    pub capabilities: Vec<String>,
    pub congestion: Congestion,
}

/// What the dialling side says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hello<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) software: &'a str,
    pub(crate) capabilities: &'a [String],
    /// Of the process, where it may have several connections at a time.
    pub(crate) instance: &'a str,
    pub(crate) versions: VersionRange,
}

/// Dials the relay by QUIC and greets it, within a deadline. An expired certificate is renewed before
/// the connection is handed out.
pub async fn dial_out(how: DialOut<'_>) -> Result<Connection, ConnectError> {
    dial_out_speaking(how, VERSIONS).await
}

/// As [`dial_out`], speaking these versions of the protocol: what an older or a newer build does.
pub async fn dial_out_speaking(
    how: DialOut<'_>,
    versions: VersionRange,
) -> Result<Connection, ConnectError> {
    let DialOut { identity, software, capabilities, .. } = &how;
    let hello = Hello { identity, software, capabilities, instance: "", versions };
    let dialled = async { greet(hello, quic(&how).await?).await };
    match timeout(DEADLINE, dialled).await {
        Ok(connection) => connection,
        Err(_) => Err(ConnectError::TimedOut { after: DEADLINE }),
    }
}

/// Tries each address the name has; the last one has all the time that is left.
pub(crate) async fn quic(how: &DialOut<'_>) -> Result<Carrier, ConnectError> {
    let resolve = |source| ConnectError::Resolve { host: how.relay.to_owned(), source };
    let config = endpoint::client_config(&how.identity, how.congestion)
        .map_err(|source: TlsError| ConnectError::Tls { source })?;
    let mut failed = resolve(std::io::ErrorKind::NotFound.into());
    for address in tokio::net::lookup_host(local::address(how.relay)).await.map_err(resolve)? {
        match timeout(PER_ADDRESS, connect(how, &config, address)).await {
            Ok(Ok(carrier)) => return Ok(carrier),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = ConnectError::TimedOut { after: PER_ADDRESS },
        }
        tracing::debug!(%address, error = %failed, "Address does not answer");
    }
    Err(failed)
}

async fn connect(
    how: &DialOut<'_>,
    config: &quinn::ClientConfig,
    address: SocketAddr,
) -> Result<Carrier, ConnectError> {
    let endpoint = endpoint::dialler(address).map_err(|source| ConnectError::Socket { source })?;
    let connecting = endpoint
        .connect_with(config.clone(), address, how.domain)
        .map_err(|_| ConnectError::ServerName { name: how.domain.to_owned() })?;
    let quic = connecting.await.map_err(|source| ConnectError::Handshake { source })?;
    Ok(Carrier::quic(quic, Some(endpoint)))
}

/// Says hello on a carrier that stands.
pub(crate) async fn greet(said: Hello<'_>, carrier: Carrier) -> Result<Connection, ConnectError> {
    let began = Instant::now();
    let (mut stream, peer, renew_now) = hello(said, &carrier).await?;
    carrier.measured(began.elapsed());
    let identity = match renew_now {
        true => renew(&mut stream, said.identity.clone()).await?,
        false => said.identity.clone(),
    };
    let link = Link::new(carrier, true);
    let due = identity.half_life();
    let role = Role::Dialler { identity, due };
    let control = ControlLoop { link: link.clone(), stream, role };
    Ok(Connection::start(link, peer, control))
}

/// What a relay says to a machine that only asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Known,
    /// It knows the machine, and is this program, which speaks none of the machine's versions.
    NoVersion {
        relay: String,
    },
    /// It does not know the question.
    Older,
}

/// Asks whether a greeting would be taken, and leaves: no relay takes this for a connection of the
/// machine's.
pub(crate) async fn ask_only(said: Hello<'_>, carrier: Carrier) -> Result<Asked, ConnectError> {
    let answered = question(said, &carrier).await;
    carrier.close(EndReason::Closed, "examined");
    match answered? {
        Control::Welcome { version, .. } if said.versions.contains(version) => Ok(Asked::Known),
        Control::Welcome { relay, .. } => Ok(Asked::NoVersion { relay }),
        Control::Refused(refusal) if refusal.code == NO_VERSION => Ok(Asked::Older),
        other => Err(refused(other)),
    }
}

async fn question(said: Hello<'_>, carrier: &Carrier) -> Result<Control, ConnectError> {
    let mut stream = opened(carrier).await?;
    let question = Control::Hello {
        versions: VersionRange::NONE,
        software: said.software.to_owned(),
        capabilities: vec![EXAMINES.to_owned()],
        instance: said.instance.to_owned(),
        speaks: Some(said.versions),
    };
    ask(&mut stream, &question).await
}

async fn opened(carrier: &Carrier) -> Result<Stream, ConnectError> {
    carrier.open(&Arc::default()).await.map_err(|source| ConnectError::Greeting { source })
}

/// The control stream, who answered, and whether the certificate has to be renewed first.
async fn hello(said: Hello<'_>, carrier: &Carrier) -> Result<(Stream, Peer, bool), ConnectError> {
    let mut stream = opened(carrier).await?;
    let hello = Control::Hello {
        versions: said.versions,
        software: said.software.to_owned(),
        capabilities: said.capabilities.to_vec(),
        instance: said.instance.to_owned(),
        speaks: None,
    };
    match ask(&mut stream, &hello).await? {
        Control::Welcome { version, relay, renew_now } if said.versions.contains(version) => {
            let (capabilities, instance) = (Vec::new(), None);
            Ok((stream, Peer { version, software: relay, capabilities, instance }, renew_now))
        }
        other => Err(refused(other)),
    }
}

async fn renew(stream: &mut Stream, identity: Identity) -> Result<Identity, ConnectError> {
    let greeting = |source| ConnectError::Greeting { source };
    let csr_pem = identity.csr_pem().map_err(|error| greeting(std::io::Error::other(error)))?;
    match ask(stream, &Control::Renew { csr_pem }).await? {
        Control::Renewed { certificate_pem } => {
            control::renewed(identity, certificate_pem).await.map_err(greeting)
        }
        other => Err(refused(other)),
    }
}

async fn ask(stream: &mut Stream, question: &Control) -> Result<Control, ConnectError> {
    let greeting = |source| ConnectError::Greeting { source };
    stream.send_frame(question).await.map_err(greeting)?;
    loop {
        match stream.recv_frame().await.map_err(greeting)? {
            // The relay's control task may ask first whether we live. It will ask again.
            Control::Ping { .. } => {}
            answer => return Ok(answer),
        }
    }
}

fn refused(answer: Control) -> ConnectError {
    match answer {
        Control::Refused(source) => ConnectError::Refused { source },
        _ => ConnectError::Protocol,
    }
}

/// The code by which a relay refuses versions that it does not speak.
pub(crate) const NO_VERSION: &str = "wire.version";
/// What a machine says that only asks whether it would be welcome.
pub(crate) const EXAMINES: &str = "examine";
/// From the name to the welcome.
const DEADLINE: Duration = Duration::from_secs(10);
/// For one of several addresses.
const PER_ADDRESS: Duration = Duration::from_secs(4);
