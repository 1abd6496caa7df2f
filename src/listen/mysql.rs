//! Where MySQL and MariaDB clients come in: a port of its own, where the door speaks first.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use gateway_mysql::{Arrival, Greeted, MysqlGateway};
use gateway_web::WebGateway;
use rustls::server::Acceptor;
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

/// What a MySQL client is served with.
#[derive(Clone)]
pub(crate) struct Mysql {
    pub(crate) gateway: MysqlGateway,
    /// Tells which names are applications'.
    pub(crate) web: WebGateway,
    pub(crate) tls: watch::Receiver<Tls>,
    pub(crate) drain: CancellationToken,
}

/// A client that begins a session, by a stream of either kind.
enum Begun {
    Plain(TcpStream, Arrival),
    Tls(Box<TlsStream<TcpStream>>, Arrival),
    Over,
}

impl Mysql {
    /// Serves one connection. `plain`: TLS is the client's choice. Until somebody has signed in it
    /// may have to make room.
    pub(crate) async fn serve(
        self: Arc<Self>,
        plain: bool,
        socket: TcpStream,
        peer: SocketAddr,
        guest: Guest,
    ) {
        let begun = tokio::select! {
            biased;
            begun = self.begin(socket, peer, plain) => begun,
            () = guest.ousted() => return,
        };
        match begun {
            Begun::Plain(stream, arrival) => self.door(stream, arrival, guest).await,
            Begun::Tls(stream, arrival) => self.door(*stream, arrival, guest).await,
            Begun::Over => {}
        }
    }

    async fn begin(&self, mut socket: TcpStream, peer: SocketAddr, plain: bool) -> Begun {
        let thread = self.gateway.thread();
        match timeout(HANDSHAKE, self.gateway.greet(&mut socket, thread, plain)).await {
            Ok(Ok(Greeted::Tls)) => self.encrypted(socket, peer, thread).await,
            Ok(Ok(Greeted::Hello(hello))) => {
                Begun::Plain(socket, Arrival { peer, sni: None, thread, hello: Some(hello) })
            }
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "No MySQL client");
                Begun::Over
            }
            Err(_) => Begun::Over,
        }
    }

    async fn encrypted(&self, socket: TcpStream, peer: SocketAddr, thread: u32) -> Begun {
        let shaking = async {
            let start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
            // That of databases' doors; who speaks MySQL names no protocol in the handshake.
            let config = self.tls.borrow().postgres(&self.web, &start.client_hello());
            start.into_stream(config).await
        };
        match timeout(HANDSHAKE, shaking).await {
            Ok(Ok(stream)) => {
                let sni = stream.get_ref().1.server_name().map(str::to_owned);
                Begun::Tls(Box::new(stream), Arrival { peer, sni, thread, hello: None })
            }
            Ok(Err(error)) => {
                let error: io::Error = error;
                tracing::debug!(%peer, %error, "No TLS handshake");
                Begun::Over
            }
            Err(_) => Begun::Over,
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
