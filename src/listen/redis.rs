//! Where Redis clients come in: a port of their own, and the HTTPS port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use gateway_redis::{Arrival, FIRST, RedisGateway, refuse_plain};
use gateway_web::{Place, WebGateway};
use rustls::server::{Acceptor, ClientHello};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::HANDSHAKE;
use super::https::Tls;
use super::linger::linger;
use crate::lobby::Guest;

/// What a Redis client is served with.
#[derive(Clone)]
pub(crate) struct Redis {
    pub(crate) gateway: RedisGateway,
    /// Tells which names are applications'.
    pub(crate) web: WebGateway,
    pub(crate) tls: watch::Receiver<Tls>,
    pub(crate) drain: CancellationToken,
}

/// How a client of the door's own port begins.
enum Begun {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Over,
}

impl Redis {
    /// Serves one connection of the door's own port. `plain`: TLS is the client's choice.
    pub(crate) async fn serve(
        self: Arc<Self>,
        plain: bool,
        socket: TcpStream,
        peer: SocketAddr,
        guest: Guest,
    ) {
        let beginning = async {
            let mut first = [0];
            match timeout(HANDSHAKE, socket.peek(&mut first)).await {
                Ok(Ok(1..)) if first == [TLS_HANDSHAKE] => self.encrypted(socket, peer).await,
                Ok(Ok(1..)) if plain => Begun::Plain(socket),
                Ok(Ok(1..)) => {
                    refuse(socket).await;
                    Begun::Over
                }
                Ok(Ok(_) | Err(_)) | Err(_) => Begun::Over,
            }
        };
        let begun = tokio::select! {
            biased;
            begun = beginning => begun,
            () = guest.ousted() => return,
        };
        match begun {
            Begun::Plain(stream) => self.carry(stream, Arrival { peer, sni: None }, guest).await,
            Begun::Tls(stream) => self.door(*stream, peer, guest).await,
            Begun::Over => {}
        }
    }

    async fn encrypted(&self, socket: TcpStream, peer: SocketAddr) -> Begun {
        let shaking = async {
            let start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
            let config = self.tls.borrow().redis(&self.web, &start.client_hello());
            start.into_stream(config).await
        };
        match timeout(HANDSHAKE, shaking).await {
            Ok(Ok(stream)) => Begun::Tls(Box::new(stream)),
            Ok(Err(error)) => {
                let error: io::Error = error;
                tracing::debug!(%peer, %error, "No TLS handshake");
                Begun::Over
            }
            Err(_) => Begun::Over,
        }
    }

    /// Serves a client whose handshake is done.
    pub(crate) async fn door(&self, stream: TlsStream<TcpStream>, peer: SocketAddr, guest: Guest) {
        let sni = stream.get_ref().1.server_name().map(str::to_owned);
        self.carry(stream, Arrival { peer, sni }, guest).await;
    }

    /// Serves a session. Until somebody has signed in it may have to make room.
    async fn carry<S>(&self, stream: S, arrival: Arrival, guest: Guest)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let proven = CancellationToken::new();
        let serving = self.gateway.serve(stream, arrival, proven.clone(), self.drain.clone());
        super::while_welcome(Box::pin(serving), proven, guest).await;
    }
}

/// Tells a client in the clear that it needs TLS.
pub(crate) async fn refuse(mut socket: TcpStream) {
    // Who does not read it is not waited for.
    if timeout(HANDSHAKE, refuse_plain(&mut socket)).await.is_ok() {
        linger(socket).await;
    }
}

/// Whether a client that named no protocol begins as those of Redis do. No request of HTTP does so.
/// Nothing is taken from what it says.
pub(crate) async fn begins(stream: &mut TlsStream<TcpStream>) -> bool {
    // Who says nothing in time is a web client that may still do so.
    let first = timeout(HANDSHAKE, stream.fill_buf()).await;
    matches!(first, Ok(Ok([FIRST, ..])))
}

impl Tls {
    /// What a Redis client is shown: the certificate of the name that it asks for.
    fn redis(&self, web: &WebGateway, hello: &ClientHello<'_>) -> Arc<rustls::ServerConfig> {
        let named = hello.server_name().is_some_and(|name| {
            matches!(web.place(name), Place::Application(_)) && !self.is_own(name)
        });
        let (own, applications) = &self.redis;
        if named { applications.clone() } else { own.clone() }
    }
}

const TLS_HANDSHAKE: u8 = 0x16;
