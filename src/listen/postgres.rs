//! Where PostgreSQL clients come in: a port of their own, and the HTTPS port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use gateway_postgres::proto::First;
use gateway_postgres::{ALPN, Arrival, Greeting, PostgresGateway, greet};
use gateway_web::{Place, WebGateway};
use rustls::ServerConfig;
use rustls::server::{Acceptor, ClientHello};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::HANDSHAKE;
use super::https::Tls;
use crate::lobby::Guest;

/// What a PostgreSQL client is served with.
#[derive(Clone)]
pub(crate) struct Postgres {
    pub(crate) gateway: PostgresGateway,
    /// Tells which names are applications'.
    pub(crate) web: WebGateway,
    pub(crate) tls: watch::Receiver<Tls>,
    pub(crate) drain: CancellationToken,
}

/// A client that begins a session, by a stream of either kind.
pub(crate) enum Begun {
    Plain(TcpStream, Arrival),
    Tls(Box<TlsStream<TcpStream>>, Arrival),
    Over,
}

impl Postgres {
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
                Ok(Ok(1..)) if first == [TLS_HANDSHAKE] => self.direct(socket, peer).await,
                Ok(Ok(1..)) => self.begin(socket, peer, plain).await,
                Ok(Ok(_) | Err(_)) | Err(_) => Begun::Over,
            }
        };
        let begun = tokio::select! {
            biased;
            begun = beginning => begun,
            () = guest.ousted() => return,
        };
        self.carry(begun, guest).await;
    }

    /// Answers what a client asks before it begins: most want TLS.
    pub(crate) async fn begin(
        &self,
        mut socket: TcpStream,
        peer: SocketAddr,
        plain: bool,
    ) -> Begun {
        match timeout(HANDSHAKE, greet(&mut socket, plain)).await {
            Ok(Ok(Greeting::Tls)) => self.encrypted(socket, peer).await,
            Ok(Ok(Greeting::First(First::Cancel(key)))) => {
                self.gateway.cancel(&key);
                Begun::Over
            }
            Ok(Ok(Greeting::First(first))) => Begun::Plain(
                socket,
                Arrival { peer, sni: None, end_point: None, first: Some(first) },
            ),
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "No PostgreSQL client");
                Begun::Over
            }
            Err(_) => Begun::Over,
        }
    }

    /// A client that begins with TLS has to say that it speaks PostgreSQL.
    async fn direct(&self, socket: TcpStream, peer: SocketAddr) -> Begun {
        match self.encrypted(socket, peer).await {
            Begun::Tls(stream, arrival) if stream.get_ref().1.alpn_protocol() == Some(ALPN) => {
                Begun::Tls(stream, arrival)
            }
            Begun::Tls(..) | Begun::Plain(..) | Begun::Over => Begun::Over,
        }
    }

    async fn encrypted(&self, socket: TcpStream, peer: SocketAddr) -> Begun {
        let shaking = async {
            let start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
            let config = self.tls.borrow().postgres(&self.web, &start.client_hello());
            let shown = end_point(&config, start.client_hello());
            Ok::<_, io::Error>((start.into_stream(config).await?, shown))
        };
        match timeout(HANDSHAKE, shaking).await {
            Ok(Ok((stream, shown))) => self.over(stream, peer, shown),
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "No TLS handshake");
                Begun::Over
            }
            Err(_) => Begun::Over,
        }
    }

    /// A client whose handshake is done.
    pub(crate) fn over(
        &self,
        stream: TlsStream<TcpStream>,
        peer: SocketAddr,
        end_point: Option<Vec<u8>>,
    ) -> Begun {
        let sni = stream.get_ref().1.server_name().map(str::to_owned);
        Begun::Tls(Box::new(stream), Arrival { peer, sni, end_point, first: None })
    }

    /// Serves a session. Until somebody has signed in it may have to make room.
    pub(crate) async fn carry(&self, begun: Begun, guest: Guest) {
        match begun {
            Begun::Plain(stream, arrival) => self.door(stream, arrival, guest).await,
            Begun::Tls(stream, arrival) => self.door(*stream, arrival, guest).await,
            Begun::Over => {}
        }
    }

    async fn door<S>(&self, stream: S, arrival: Arrival, guest: Guest)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let proven = CancellationToken::new();
        let serving = self.gateway.serve(stream, arrival, proven.clone(), self.drain.clone());
        super::while_welcome(Box::pin(serving), proven, guest).await;
    }
}

impl Tls {
    /// What a PostgreSQL client is shown: the certificate of the name that it asks for.
    pub(crate) fn postgres(&self, web: &WebGateway, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        let named = hello.server_name().is_some_and(|name| {
            matches!(web.place(name), Place::Application(_)) && !self.is_own(name)
        });
        let (own, applications) = &self.postgres;
        if named { applications.clone() } else { own.clone() }
    }
}

/// The hash of the certificate that this client will be shown.
pub(crate) fn end_point(config: &ServerConfig, hello: ClientHello<'_>) -> Option<Vec<u8>> {
    let shown = config.cert_resolver.resolve(hello)?;
    gateway_postgres::end_point(shown.cert.first()?)
}

const TLS_HANDSHAKE: u8 = 0x16;
