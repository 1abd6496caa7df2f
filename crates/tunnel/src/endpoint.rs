//! UDP sockets and QUIC settings.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
#[cfg(not(unix))]
use quinn::TokioRuntime as Runtime;
use quinn::congestion::{BbrConfig, CubicConfig};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    AckFrequencyConfig, ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout,
    TransportConfig, VarInt,
};
use rustls::server::danger::ClientCertVerifier;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::Identity;
use crate::congestion::AdaptiveConfig;
#[cfg(unix)]
use crate::socket::Quiet as Runtime;
use crate::tls::{self, Oldest, TlsError, Trust};
use crate::window::SendWindow;

/// The congestion control of a connection's sending side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Congestion {
    /// Our own: fast where packets are lost, and keeps queues short.
    #[default]
    Adaptive,
    /// What most systems use for TCP. Stands nearly still where packets are lost.
    Cubic,
    /// quinn's, experimental: slower on clean long paths.
    Bbr,
}

/// The socket buffers the kernel granted, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Granted {
    pub recv: usize,
    pub send: usize,
}

/// What both ends of a tunnel use.
pub fn transport_config(congestion: Congestion) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    let mut ack = AckFrequencyConfig::default();
    ack.ack_eliciting_threshold(VarInt::from_u32(10));
    config
        // One stream fills 100 ms at 1.3 Gbit/s; all streams of a connection together hold no more
        // than 64 MiB here.
        .stream_receive_window(VarInt::from_u32(16 << 20))
        .receive_window(VarInt::from_u32(64 << 20))
        .send_window(SendWindow::FIRST)
        .max_concurrent_bidi_streams(VarInt::from_u32(FIRST_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MILLIS))))
        .ack_frequency_config(Some(ack));
    match congestion {
        Congestion::Adaptive => config.congestion_controller_factory(Arc::new(AdaptiveConfig)),
        Congestion::Cubic => config.congestion_controller_factory(Arc::new(CubicConfig::default())),
        Congestion::Bbr => config.congestion_controller_factory(Arc::new(BbrConfig::default())),
    };
    Arc::new(config)
}

/// What a machine dials its relay with.
pub fn client_config(
    identity: &Identity,
    congestion: Congestion,
) -> Result<quinn::ClientConfig, TlsError> {
    let trust = Trust::Ca(identity.ca_pem().to_owned());
    let mut tls = tls::client_config(&trust, Some(identity))?;
    tls.alpn_protocols = vec![wire::ALPN.to_vec()];
    let quic = QuicClientConfig::try_from(tls).map_err(|source| TlsError::Quic { source })?;
    let mut config = quinn::ClientConfig::new(Arc::new(quic));
    config.transport_config(transport_config(congestion));
    Ok(config)
}

/// What a relay listens with. `verifier` comes from [`tls::client_verifier`].
pub fn server_config(
    chain_pem: &str,
    key_pem: &SecretString,
    verifier: Arc<dyn ClientCertVerifier>,
    congestion: Congestion,
) -> Result<quinn::ServerConfig, TlsError> {
    let mut tls = tls::server_config(chain_pem, key_pem, Some(verifier), Oldest::Tls13)?;
    tls.alpn_protocols = vec![wire::ALPN.to_vec()];
    let quic = QuicServerConfig::try_from(tls).map_err(|source| TlsError::Quic { source })?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(quic));
    config.transport_config(transport_config(congestion));
    config.max_incoming(MAX_INCOMING).incoming_buffer_size_total(INCOMING_BYTES);
    Ok(config)
}

/// Listens at a socket of [`bind_udp`]. With the same `reset_key` as before a restart, peers learn at
/// their next packet that their connection is gone instead of waiting for an answer.
pub fn listen(
    (socket, granted): (UdpSocket, Granted),
    config: quinn::ServerConfig,
    reset_key: &[u8; 32],
) -> io::Result<quinn::Endpoint> {
    tracing::info!(
        address = %socket.local_addr()?, recv = granted.recv, send = granted.send,
        "Listening for QUIC"
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, reset_key);
    let mut endpoint = EndpointConfig::new(Arc::new(key));
    endpoint.cid_generator(|| Box::new(RandomIds));
    quinn::Endpoint::new(endpoint, Some(config), socket, Arc::new(Runtime))
}

/// A socket to dial `remote` from.
pub fn dialler(remote: SocketAddr) -> io::Result<quinn::Endpoint> {
    let any = match remote {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let (socket, granted) = bind_udp(any)?;
    tracing::info!(%remote, recv = granted.recv, send = granted.send, "Dialling over QUIC");
    quinn::Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(Runtime))
}

/// A UDP socket with buffers as large as the kernel allows, up to 8 MiB.
pub fn bind_udp(address: SocketAddr) -> io::Result<(UdpSocket, Granted)> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    let (socket, granted) = fit(socket.into())?;
    SockRef::from(&socket).bind(&address.into())?;
    Ok((socket, granted))
}

/// Gives a UDP socket buffers as large as the kernel allows, up to 8 MiB.
pub fn fit(socket: UdpSocket) -> io::Result<(UdpSocket, Granted)> {
    let socket = Socket::from(socket);
    socket.set_nonblocking(true)?;
    // The kernel grants less without an error, so what it granted is read back.
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_send_buffer_size(BUFFER)?;
    let granted = Granted {
        recv: usable(socket.recv_buffer_size()?),
        send: usable(socket.send_buffer_size()?),
    };
    Ok((socket.into(), granted))
}

/// Connection ids without a mark of the process that gave them out: quinn's own kind would take the
/// packets of connections from before a restart for noise, and not answer them with a reset.
#[derive(Debug)]
struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&rand::random::<[u8; ID_LENGTH]>())
    }

    fn cid_len(&self) -> usize {
        ID_LENGTH
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Linux reports twice what it granted: the other half is for its own bookkeeping.
fn usable(reported: usize) -> usize {
    if cfg!(target_os = "linux") { reported / 2 } else { reported }
}

/// Streams the peer may open at first. Each costs memory whether it is used or not, so a connection
/// is allowed more as it uses them: see `Connection::accept`.
pub(crate) const FIRST_STREAMS: u32 = 256;
pub(crate) const MAX_STREAMS: u32 = 16_384;

const ID_LENGTH: usize = 8;
const BUFFER: usize = 8 << 20;
/// NATs drop UDP mappings after 30 s.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const IDLE_MILLIS: u32 = 30_000;
/// Handshakes not yet accepted, and what they may hold.
const MAX_INCOMING: usize = 1024;
const INCOMING_BYTES: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_says_what_it_was_granted() {
        let (socket, granted) = bind_udp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        assert_ne!(socket.local_addr().unwrap().port(), 0);
        assert!(granted.recv > 0 && granted.recv <= BUFFER, "{granted:?}");
        assert!(granted.send > 0 && granted.send <= BUFFER, "{granted:?}");
    }
}
