//! The ways over TCP: TLS with the machine's certificate, and the same inside a WebSocket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Identity;
use crate::carrier::{Carrier, Transport};
use crate::closed::ConnectError;
use crate::local;
use crate::mux::{Mux, Side, Way};
use crate::proxy::Proxies;
use crate::tls::{self, Trust, Witness};
use crate::websocket::WebSocket;

/// How a relay is reached over TCP.
#[derive(Clone, Debug, Default)]
pub struct OverTcp {
    pub proxies: Proxies,
    pub interception: Interception,
}

/// What is done about somebody who ends the TLS on the way to the relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interception {
    /// It is refused and named.
    #[default]
    Refuse,
    /// A WebSocket crosses it: what it carries is TLS between this machine and the relay, which
    /// shows its pinned identity in there. The outer certificate may then be anybody's, for it
    /// protects nothing.
    Cross,
}

/// One relay, as it is reached over TCP.
pub(crate) struct Relay<'a> {
    /// `host:port`.
    pub(crate) address: &'a str,
    pub(crate) domain: &'a str,
    pub(crate) identity: &'a Identity,
    pub(crate) how: &'a OverTcp,
}

impl Relay<'_> {
    /// A carrier by TLS, whose peer has shown the relay's certificate and been shown this machine's.
    pub(crate) async fn tls(&self) -> Result<Carrier, ConnectError> {
        let (socket, remote) = self.connect().await?;
        let inner = self.shake(self.config(true)?, socket).await?;
        Ok(carry(inner, remote, Transport::Tls))
    }

    /// The same inside a WebSocket, inside TLS of its own.
    pub(crate) async fn websocket(&self) -> Result<Carrier, ConnectError> {
        let (socket, remote) = self.connect().await?;
        let outer = self.shake(self.outer()?, socket).await?;
        let websocket = WebSocket::ask(outer, self.domain).await;
        let websocket = websocket.map_err(|source| ConnectError::WebSocket { source })?;
        let inner = self.shake(self.config(true)?, websocket).await?;
        Ok(carry(inner, remote, Transport::WebSocket))
    }

    async fn connect(&self) -> Result<(TcpStream, SocketAddr), ConnectError> {
        let no_socket = |source| ConnectError::Socket { source };
        let host = self.address.rsplit_once(':').map_or(self.address, |(host, _)| host);
        let socket = match self.how.proxies.to(host) {
            Some(proxy) => proxy.connect(self.address).await?,
            None => self.direct().await?,
        };
        let remote = socket.peer_addr().map_err(no_socket)?;
        prepare(&socket).map_err(no_socket)?;
        Ok((socket, remote))
    }

    /// Tries each address the name has; the last one has all the time that is left.
    async fn direct(&self) -> Result<TcpStream, ConnectError> {
        let resolve = |source| ConnectError::Resolve { host: self.address.to_owned(), source };
        let mut failed = resolve(io::ErrorKind::NotFound.into());
        let addresses = tokio::net::lookup_host(local::address(self.address)).await;
        for address in addresses.map_err(resolve)? {
            let started = Instant::now();
            match timeout(PER_ADDRESS, TcpStream::connect(address)).await {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(source)) => failed = ConnectError::Tcp { address, source },
                Err(_) => failed = ConnectError::TimedOut { after: started.elapsed() },
            }
        }
        Err(failed)
    }

    /// TLS that knows the relay by its CA. With this machine's certificate it says `adit/1`.
    fn config(&self, identify: bool) -> Result<(ClientConfig, Arc<Witness>), ConnectError> {
        let identity = identify.then_some(self.identity);
        let trust = Trust::Ca(self.identity.ca_pem().to_owned());
        let configured = tls::watched_client_config(&trust, identity);
        let (mut config, witness) = configured.map_err(|source| ConnectError::Tls { source })?;
        let protocol = if identify { wire::ALPN } else { HTTP };
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok((config, witness))
    }

    fn outer(&self) -> Result<(ClientConfig, Arc<Witness>), ConnectError> {
        let (config, witness) = self.config(false)?;
        match self.how.interception {
            Interception::Refuse => {}
            Interception::Cross => witness.accept_anybody(),
        }
        Ok((config, witness))
    }

    async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        (config, witness): (ClientConfig, Arc<Witness>),
        io: S,
    ) -> Result<TlsStream<S>, ConnectError> {
        let name = ServerName::try_from(self.domain.to_owned())
            .map_err(|_| ConnectError::ServerName { name: self.domain.to_owned() })?;
        match TlsConnector::from(Arc::new(config)).connect(name, io).await {
            Ok(stream) => Ok(stream),
            Err(source) => Err(match witness.stranger() {
                Some(stranger) => stranger.into(),
                None => ConnectError::Shake { source },
            }),
        }
    }
}

fn carry<S>(stream: TlsStream<S>, remote: SocketAddr, transport: Transport) -> Carrier
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    Mux::start(stream, Way { remote, transport, side: Side::Dialler }).into()
}

/// What each end of a tunnel over TCP does with its socket.
pub fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    // What waits in the kernel can not be overtaken: a ping would stand in line behind it.
    #[cfg(target_os = "linux")]
    SockRef::from(socket).set_tcp_notsent_lowat(UNSENT)?;
    #[cfg(not(target_os = "linux"))]
    let _ = SockRef::from(socket);
    Ok(())
}

const HTTP: &[u8] = b"http/1.1";
const UNSENT: u32 = 128 * 1024;
const PER_ADDRESS: Duration = Duration::from_secs(4);
