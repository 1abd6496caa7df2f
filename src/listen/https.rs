//! The HTTPS port: the API and web applications over TLS, for agents with their certificate; and SSH,
//! PostgreSQL and Redis for networks that let nothing else through.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use gateway_ssh::SshGateway;
use gateway_web::{
    Client, Guarded, Ledger, LetIn, Place, SwitchedStream, Watched, WebBody, WebGateway, authority,
    watch, without_port,
};
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use ipnet::IpNet;
use rdgateway::{RdGateway, Visitor};
use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{Acceptor, ResolvesServerCert};
use session::Door;
use store::Store;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tunnel::certificate::Facts;
use tunnel::tls::{Oldest, TlsError};
use tunnel::websocket::{self, WebSocket};
use tunnel::{ConnectError, Knock, Transport};

use super::HANDSHAKE;
use super::afterwards::{Afterwards, Line, Speak};
use super::aside::aside;
use super::forwarded::origin;
use super::linger::linger;
use super::postgres::{Begun, Postgres, end_point};
use super::presence::Presence;
use super::quic::{Machines, agent_of};
use super::redis::Redis;
use super::taken::{Socket, Start, Streams, Taken, Wait, outlast};
use crate::acme::{self, Challenges};
use crate::authn::Authn;
use crate::ca::ServerCertificate;
use crate::lobby::Guest;
use crate::{AgentIdentity, Peer};

/// TLS with the relay's certificate.
#[derive(Clone)]
pub(crate) struct Tls {
    /// For everybody.
    pub(crate) open: Arc<ServerConfig>,
    /// For everybody who asks for an application's name.
    pub(crate) applications: Arc<ServerConfig>,
    /// For agents: demands a client certificate.
    pub(crate) agents: Arc<ServerConfig>,
    /// For the tunnels of agents and connectors: demands a client certificate too.
    pub(crate) machines: Arc<ServerConfig>,
    /// For PostgreSQL clients: the relay's own certificate, and those of applications' names.
    pub(crate) postgres: (Arc<ServerConfig>, Arc<ServerConfig>),
    /// The same for Redis clients at their own port, who name no protocol.
    pub(crate) redis: (Arc<ServerConfig>, Arc<ServerConfig>),
    /// What the relay itself is called; `*.` stands for its applications.
    pub(crate) names: Arc<[String]>,
}

impl Tls {
    /// Whether a name is one of the relay's own.
    pub(crate) fn is_own(&self, name: &str) -> bool {
        is_listed(&self.names, name)
    }
}

/// Tells a client that speaks HTTP in the clear that it needs TLS.
async fn refuse_http(mut socket: TcpStream) {
    let body = concat!(
        r#"{"title":"Bad Request","status":400,"code":"tls.required","#,
        r#""detail":"this port is open over TLS only","hint":"use https://"}"#,
    );
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    let told = async {
        socket.write_all(answer.as_bytes()).await?;
        socket.shutdown().await
    };
    // Who does not read it is not waited for.
    if let Ok(Ok(())) = timeout(HANDSHAKE, told).await {
        linger(socket).await;
    }
}

/// What the HTTPS port serves.
pub(crate) struct Https {
    pub(crate) router: Router,
    pub(crate) web: WebGateway,
    pub(crate) ssh: SshGateway,
    pub(crate) postgres: Arc<Postgres>,
    pub(crate) redis: Arc<Redis>,
    pub(crate) rdgateway: RdGateway,
    pub(crate) machines: Arc<Machines>,
    pub(crate) store: Store,
    pub(crate) authn: Arc<Authn>,
    /// Who is believed where a request comes from.
    pub(crate) proxies: Arc<[IpNet]>,
    pub(crate) tls: watch::Receiver<Tls>,
    pub(crate) challenges: Arc<Challenges>,
    pub(crate) stop: CancellationToken,
    pub(crate) drain: CancellationToken,
}

impl Https {
    /// Serves one connection, told apart by its first byte: TLS begins with 0x16, SSH with an S, and
    /// PostgreSQL with the length of a short packet. Redis and HTTP in the clear are told what to do.
    pub(crate) async fn serve(self: Arc<Self>, socket: TcpStream, addr: SocketAddr, guest: Guest) {
        let served = async {
            let mut first = [0];
            match timeout(HANDSHAKE, socket.peek(&mut first)).await {
                Ok(Ok(1..)) if first == *b"S" => Protocol::Ssh(socket),
                Ok(Ok(1..)) if first == [TLS_HANDSHAKE] => self.tls(socket, addr).await,
                Ok(Ok(1..)) if first == [0] => {
                    Protocol::Postgres(self.postgres.begin(socket, addr, false).await)
                }
                Ok(Ok(1..)) if first == [gateway_redis::FIRST] => {
                    super::redis::refuse(socket).await;
                    Protocol::Unknown
                }
                Ok(Ok(1..)) if first[0].is_ascii_uppercase() => {
                    refuse_http(socket).await;
                    Protocol::Unknown
                }
                Ok(Ok(_) | Err(_)) | Err(_) => Protocol::Unknown,
            }
        };
        let protocol = tokio::select! {
            biased;
            protocol = served => protocol,
            () = guest.ousted() => return,
        };
        match protocol {
            Protocol::Ssh(socket) => {
                super::ssh(self.ssh.clone(), self.drain.clone(), socket, addr, guest).await;
            }
            Protocol::Http(stream, peer) => Box::pin(self.http(*stream, peer, guest)).await,
            Protocol::Postgres(begun) => self.postgres.carry(begun, guest).await,
            Protocol::Redis(stream) => self.redis.door(*stream, addr, guest).await,
            Protocol::Machine(stream) => {
                let knocking = Box::pin(tunnel::accept_tls(*stream, addr, Transport::Tls));
                self.machines.serve(addr, knocking, guest).await;
            }
            Protocol::Unknown => {}
        }
    }

    async fn tls(&self, socket: TcpStream, addr: SocketAddr) -> Protocol {
        match timeout(HANDSHAKE, self.handshake(socket)).await {
            // A CA has seen what it came for.
            Ok(Ok((stream, _))) if stream.get_ref().1.alpn_protocol() == Some(acme::ALPN) => {
                let mut stream = stream;
                drop(stream.shutdown().await);
                Protocol::Unknown
            }
            Ok(Ok((stream, shown)))
                if stream.get_ref().1.alpn_protocol() == Some(gateway_postgres::ALPN) =>
            {
                Protocol::Postgres(self.postgres.over(stream, addr, shown))
            }
            Ok(Ok((stream, _))) if stream.get_ref().1.alpn_protocol() == Some(wire::ALPN) => {
                if let Err(error) = tunnel::prepare(stream.get_ref().0) {
                    tracing::debug!(peer = %addr, %error, "The socket stays as it is");
                }
                Protocol::Machine(Box::new(stream))
            }
            Ok(Ok((mut stream, _))) => {
                if stream.get_ref().1.alpn_protocol().is_none()
                    && super::redis::begins(&mut stream).await
                {
                    return Protocol::Redis(Box::new(stream));
                }
                let agent = self.agent(&stream, addr).await;
                Protocol::Http(Box::new(stream), Peer { addr, agent })
            }
            Ok(Err(error)) => {
                tracing::debug!(peer = %addr, %error, "No TLS handshake");
                Protocol::Unknown
            }
            Err(_) => Protocol::Unknown,
        }
    }

    /// Also the hash of the certificate that a PostgreSQL client was shown.
    async fn handshake(
        &self,
        socket: TcpStream,
    ) -> std::io::Result<(TlsStream<TcpStream>, Option<Vec<u8>>)> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
        let offers = |protocol: &[u8]| {
            let offered = start.client_hello().alpn();
            offered.is_some_and(|mut offered| offered.any(|name| name == protocol))
        };
        if offers(acme::ALPN) {
            let name = start.client_hello().server_name().map(str::to_owned);
            let config = name.and_then(|name| self.challenges.tls(&name));
            let unasked = || std::io::Error::other("no order for that name is under way");
            return Ok((start.into_stream(config.ok_or_else(unasked)?).await?, None));
        }
        if offers(wire::ALPN) {
            let config = self.tls.borrow().machines.clone();
            return Ok((start.into_stream(config).await?, None));
        }
        let agent = offers(wire::ALPN_API);
        if offers(gateway_postgres::ALPN) {
            let config = self.tls.borrow().postgres(&self.web, &start.client_hello());
            let shown = end_point(&config, start.client_hello());
            return Ok((start.into_stream(config).await?, shown));
        }
        let Tls { open, applications, agents, names, .. } = self.tls.borrow().clone();
        let named = start.client_hello().server_name().is_some_and(|name| {
            matches!(self.web.place(name), Place::Application(_)) && !is_listed(&names, name)
        });
        let config = match (agent, named) {
            (true, _) => agents,
            (false, true) => applications,
            (false, false) => open,
        };
        Ok((start.into_stream(config).await?, None))
    }

    /// The agent of a connection that has shown a certificate, by its registered key.
    async fn agent(
        &self,
        stream: &TlsStream<TcpStream>,
        addr: SocketAddr,
    ) -> Option<AgentIdentity> {
        let leaf = stream.get_ref().1.peer_certificates()?.first()?;
        let facts = Facts::of(leaf).ok()?;
        match agent_of(&self.store, facts.spki).await {
            Ok(None) => {
                self.authn.refused_key(Door::Api, addr.ip().to_canonical(), &facts);
                None
            }
            Ok(agent) => agent,
            Err(error) => {
                tracing::error!(%error, "Could not look an agent up");
                None
            }
        }
    }

    /// Serves requests until the peer leaves, the relay stops, or the connection is old.
    async fn http(&self, stream: TlsStream<TcpStream>, peer: Peer, guest: Guest) {
        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let presence = Presence::new();
        if peer.agent.is_some() {
            presence.vouch();
        }
        let ousted = ousted(guest, presence.clone());
        let left = CancellationToken::new();
        let leave = aside(async {
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = sleep(MAX_AGE) => {}
                () = presence.idle(IDLE) => {}
            }
            left.cancel();
        });
        // A client that takes nothing more keeps a connection that was told to end no longer.
        let overdue = async {
            left.cancelled().await;
            sleep(IDLE).await;
            presence.idle(IDLE).await;
        };
        let socket = Socket::of(stream.get_ref().0);
        let addr = peer.addr;
        let talk = self.talk(&stream, peer, presence.clone());
        let cut = talk.client.cut.clone();
        let serve = async {
            if h2 {
                let (changing, changed) = mpsc::channel(STREAMS_CHANGING);
                let (own, ours) = mpsc::channel(STREAMS_CHANGING);
                let talk = Arc::new(talk.changing(changing, own));
                let service = service_fn(move |request| talk.clone().answer(request));
                let (io, streams) = (TokioIo::new(stream), Streams::new());
                let server = http2_server(streams.start(socket));
                let connection = server.serve_connection(io, service);
                let served = async {
                    tokio::join!(finish(connection, leave), carry(changed, ours, &presence));
                };
                tokio::select! {
                    biased;
                    () = served => {}
                    () = aside(overdue) => {}
                }
            } else {
                let (guarded, ledger) = Guarded::new(stream);
                let (switch, wait) = (talk.client.switch.clone(), Wait::default());
                let own = talk.own.clone();
                let tunnel = talk.tunnel.clone();
                let read = ledger.clone();
                let talk = Arc::new(talk.over(ledger, wait.clone()));
                let service = service_fn(move |request| Box::pin(talk.clone().answer(request)));
                let connection = http1_server().serve_connection(TokioIo::new(guarded), service);
                let given_up = aside(async {
                    tokio::select! {
                        () = overdue => {}
                        () = wait.stalled(|| socket.unsent()) => {}
                    }
                });
                let (mut io, ahead) = tokio::select! {
                    biased;
                    ended = until_http_ends(connection, leave) => ended,
                    () = given_up => return,
                };
                if tunnel.load(Relaxed) {
                    let knocking = Box::pin(self.inside(io, ahead, addr));
                    // In a box: few connections become one of these.
                    return Box::pin(self.tunnel(knocking, addr, &presence)).await;
                }
                let switch = switch.lock().unwrap_or_else(PoisonError::into_inner).take();
                match (switch, own.take()) {
                    (Some(switch), _) => switch.carry(io, ahead).await,
                    (None, Some(speak)) => {
                        speak(Line { io: Box::new(io), early: ahead }).await;
                    }
                    (None, None) => {
                        let closed = timeout(IDLE, io.shutdown()).await;
                        if closed.is_ok() && (read.is_behind() || !ahead.is_empty()) {
                            linger(io.into_inner().into_inner().0).await;
                        }
                    }
                }
            }
        };
        let end = aside(async {
            tokio::select! {
                () = ousted => {}
                // What is on its way to a client that does not read goes with it.
                () = cut.cancelled() => {}
            }
        });
        tokio::select! {
            biased;
            () = serve => {}
            () = end => {}
        }
    }
}

impl Https {
    /// The TLS inside a WebSocket, which is between the machine and this relay, whoever ends the TLS
    /// around it.
    async fn inside<S>(&self, io: S, ahead: Bytes, addr: SocketAddr) -> Result<Knock, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let config = self.tls.borrow().machines.clone();
        let shake = async {
            let websocket = WebSocket::serve(io, ahead).await;
            TlsAcceptor::from(config).accept(websocket).await
        };
        let late = |_| ConnectError::TimedOut { after: HANDSHAKE };
        let shaken = timeout(HANDSHAKE, shake).await.map_err(late)?;
        let stream = shaken.map_err(|source| ConnectError::Shake { source })?;
        if stream.get_ref().1.alpn_protocol() != Some(wire::ALPN) {
            return Err(ConnectError::Protocol);
        }
        tunnel::accept_tls(stream, addr, Transport::WebSocket).await
    }

    async fn tunnel(
        &self,
        knocking: impl Future<Output = Result<Knock, ConnectError>>,
        addr: SocketAddr,
        presence: &Presence,
    ) {
        if let Some(machine) = Box::pin(self.machines.meet(addr, knocking)).await {
            presence.vouch();
            Box::pin(self.machines.host(machine)).await;
        }
    }

    fn talk(&self, stream: &TlsStream<TcpStream>, peer: Peer, presence: Presence) -> Talk {
        let client = Client {
            addr: peer.addr,
            sni: stream.get_ref().1.server_name().map(str::to_owned),
            ledger: None,
            proven: presence.proven(),
            cut: CancellationToken::new(),
            let_in: LetIn::default(),
            switch: Arc::new(Mutex::new(None)),
            streams: None,
        };
        let (router, web, rdgateway) =
            (self.router.clone(), self.web.clone(), self.rdgateway.clone());
        let names = self.tls.borrow().names.clone();
        let (own, streams, tunnel) = (Afterwards::default(), None, Arc::default());
        Talk {
            router,
            web,
            rdgateway,
            names,
            proxies: self.proxies.clone(),
            peer,
            presence,
            client,
            wait: None,
            own,
            streams,
            tunnel,
        }
    }
}

/// One connection's requests, and who answers them.
struct Talk {
    router: Router,
    web: WebGateway,
    rdgateway: RdGateway,
    names: Arc<[String]>,
    proxies: Arc<[IpNet]>,
    peer: Peer,
    presence: Presence,
    client: Client,
    /// Of the connection, whose answers come one after another; `None` for HTTP/2.
    wait: Option<Wait>,
    /// What the connection becomes, where the relay itself speaks that; of HTTP/1.1.
    own: Afterwards,
    /// Streams that become something else; of HTTP/2.
    streams: Option<mpsc::Sender<OwnStream>>,
    /// Whether what follows on the connection is a tunnel.
    tunnel: Arc<AtomicBool>,
}

/// A stream that changes to a protocol of the relay's own.
type OwnStream = (OnUpgrade, Speak);

impl Talk {
    /// The same over HTTP/1.1, whose bytes are checked.
    fn over(mut self, ledger: Ledger, wait: Wait) -> Self {
        self.client.ledger = Some(ledger);
        self.wait = Some(wait);
        self
    }

    /// The same over HTTP/2, whose streams may change to another protocol.
    fn changing(
        mut self,
        streams: mpsc::Sender<SwitchedStream>,
        own: mpsc::Sender<OwnStream>,
    ) -> Self {
        (self.client.streams, self.streams) = (Some(streams), Some(own));
        self
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Taken>, Infallible> {
        let asking = self.presence.ask();
        let asked = self.client.ledger.as_ref().map(|ledger| ledger.admit(&request)).transpose();
        let response = match asked {
            Ok(asked) => {
                let response = self.route(request).await;
                if let Some(asked) = asked {
                    asked.answered(response.status());
                }
                response
            }
            Err(refusal) => refusal.map(Either::Left),
        };
        Ok(Taken::of(response, asking, self.wait.as_ref()))
    }

    /// The Host decides: the relay's own names are the API's, one label below its domain and the host
    /// names of applications are theirs, and there is nothing else.
    async fn route(&self, request: Request<Incoming>) -> Response<Either<WebBody, Body>> {
        let host = authority(&request).unwrap_or_default();
        let (own, place) = (self.is_own(without_port(host)), self.web.place(host));
        if own && let Some(response) = self.becomes_tunnel(&request) {
            return response.map(|()| Either::Right(Body::empty()));
        }
        let addr = origin(self.peer.addr, request.headers(), &self.proxies);
        let (request, leftover) = watch(request);
        let response = match place {
            _ if own && RdGateway::is_for(&request) => {
                Box::pin(self.desktop(request, addr)).await.map(Either::Right)
            }
            _ if own => self.api(request, addr).await.map(Either::Right),
            Place::Application(label) => {
                let client = Client { addr, ..self.client.clone() };
                self.web.answer(request, &client, label).await.map(Either::Left)
            }
            Place::Elsewhere => {
                drop(request);
                WebGateway::nobody().map(Either::Left)
            }
        };
        match leftover {
            Some(leftover) if self.wait.is_some() => leftover.settle(response).await,
            Some(leftover) => {
                outlast(leftover);
                response
            }
            None => response,
        }
    }

    /// The answer to a request that makes a tunnel of its connection; over HTTP/1.1 only.
    fn becomes_tunnel(&self, request: &Request<Incoming>) -> Option<Response<()>> {
        self.wait.as_ref()?;
        let response = websocket::answer(request)?;
        self.tunnel.store(true, Relaxed);
        Some(response)
    }

    /// For Remote Desktop's clients. One of them stays for as long as its session.
    async fn desktop(&self, request: Request<Watched>, addr: SocketAddr) -> Response {
        let proven = vec![self.presence.proven()];
        let visitor = Visitor { addr, proven };
        let (response, switch) = self.rdgateway.answer(request, visitor).await;
        if let Some(switch) = switch {
            self.own.set(|Line { io, early }| switch.carry(io, early));
        }
        response.map(Body::new)
    }

    fn is_own(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>().is_ok() || is_listed(&self.names, host)
    }

    async fn api(&self, mut request: Request<Watched>, addr: SocketAddr) -> Response {
        request.extensions_mut().insert(Peer { addr, ..self.peer.clone() });
        request.extensions_mut().insert(self.presence.clone());
        let afterwards = self.afterwards();
        request.extensions_mut().insert(afterwards.clone());
        let stream =
            (*request.method() == Method::CONNECT).then(|| hyper::upgrade::on(&mut request));
        let answered = timeout(REQUEST, self.router.clone().oneshot(request.map(Body::new))).await;
        let response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
        };
        if let (Some(streams), Some(stream)) = (&self.streams, stream)
            && let Some(speak) = afterwards.take()
        {
            // Whoever carries them ends with the connection, and so does this.
            drop(streams.send((stream, speak)).await);
        }
        response
    }

    /// Where a handler leaves what comes after its answer: of the connection, or of its stream.
    fn afterwards(&self) -> Afterwards {
        match self.streams {
            Some(_) => Afterwards::default(),
            None => self.own.clone(),
        }
    }
}

fn is_listed(names: &[String], host: &str) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(host))
}

/// TLS that offers these protocols; with a verifier it demands a client certificate.
pub(crate) fn tls(
    certificate: &ServerCertificate,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    protocols: &[&[u8]],
    oldest: Oldest,
) -> Result<Arc<ServerConfig>, TlsError> {
    let ServerCertificate { chain_pem, key_pem } = certificate;
    let mut config = tunnel::tls::server_config(chain_pem, key_pem, verifier, oldest)?;
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// TLS that offers these protocols, with a certificate for each name.
pub(crate) fn tls_by_name(
    certificates: Arc<dyn ResolvesServerCert>,
    protocols: &[&[u8]],
    oldest: Oldest,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = tunnel::tls::server_config_by_name(certificates, oldest)?;
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

enum Protocol {
    Ssh(TcpStream),
    Http(Box<TlsStream<TcpStream>>, Peer),
    Postgres(Begun),
    Redis(Box<TlsStream<TcpStream>>),
    /// A tunnel.
    Machine(Box<TlsStream<TcpStream>>),
    Unknown,
}

/// Drives a connection; once `leave` completes it takes no new request.
pub(super) async fn finish<C: GracefulConnection>(connection: C, leave: impl Future<Output = ()>)
where
    C::Error: std::fmt::Display,
{
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = leave => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "An HTTP connection broke");
    }
}

/// Drives an HTTP/1.1 connection until it ends or changes protocols, and gives its stream back with
/// what was read of it and not understood.
async fn until_http_ends<I, S, B>(
    mut connection: http1::Connection<TokioIo<I>, S>,
    leave: impl Future<Output = ()>,
) -> (I, Bytes)
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: HttpService<Incoming, ResBody = B, Error = Infallible, Future: Unpin> + Unpin,
    B: HttpBody<Error: Into<axum::BoxError>> + 'static,
{
    let mut leave = pin!(leave);
    let mut leaving = false;
    let ended = poll_fn(|cx| {
        if !leaving && leave.as_mut().poll(cx).is_ready() {
            leaving = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        connection.poll_without_shutdown(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "An HTTP connection broke");
    }
    let parts = connection.into_parts();
    (parts.io.into_inner(), parts.read_buf)
}

/// Carries the streams of a connection that have changed to another protocol. They end with it.
async fn carry(
    mut changed: mpsc::Receiver<SwitchedStream>,
    mut own: mpsc::Receiver<OwnStream>,
    presence: &Presence,
) {
    let mut carried = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(ended) = carried.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "A stream that changed protocols failed");
                }
            }
            stream = changed.recv() => match stream {
                Some(stream) => {
                    let asking = presence.ask();
                    carried.spawn(async move {
                        stream.carry().await;
                        drop(asking);
                    });
                }
                None => break,
            },
            Some((stream, speak)) = own.recv() => {
                let asking = presence.ask();
                carried.spawn(async move {
                    speak_on(stream, speak).await;
                    drop(asking);
                });
            }
        }
    }
}

async fn speak_on(stream: OnUpgrade, speak: Speak) {
    match stream.await {
        Ok(stream) => {
            speak(Line { io: Box::new(TokioIo::new(stream)), early: Bytes::new() }).await;
        }
        Err(error) => tracing::debug!(%error, "A stream ended before it changed"),
    }
}

/// Completes when a peer nobody has vouched for has to make room. Its place in the lobby is given
/// back as soon as a certificate or a request has said who it is.
async fn ousted(guest: Guest, presence: Presence) {
    tokio::select! {
        biased;
        () = presence.vouched() => {}
        () = guest.ousted() => return,
    }
    drop(guest);
    std::future::pending::<()>().await;
}

pub(super) fn http1_server() -> http1::Builder {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(MAX_HEADERS);
    server
}

fn http2_server(start: Start) -> http2::Builder<Start> {
    let mut server = http2::Builder::new(start);
    server
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(HEADERS))
        .keep_alive_timeout(HEADERS)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(16 * 1024)
        .max_pending_accept_reset_streams(20)
        .enable_connect_protocol();
    server
}

const TLS_HANDSHAKE: u8 = 0x16;
/// From one request to the next one's whole head, and between two signs of life.
const HEADERS: Duration = Duration::from_secs(20);
/// From a request's head to its answer's.
const REQUEST: Duration = Duration::from_secs(60);
/// Without a request, whatever else the peer sends.
const IDLE: Duration = Duration::from_secs(60);
const MAX_AGE: Duration = Duration::from_secs(600);
const MAX_HEADERS: usize = 64 * 1024;
const MAX_STREAMS: u32 = 64;
/// Changed and not carried yet; more wait.
const STREAMS_CHANGING: usize = 8;
