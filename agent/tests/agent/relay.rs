//! A relay that knows one user and a few applications, in this process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use access::{CaPin, EndReason, TokenKind, TokenText};
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair,
};
use serde_json::{Value, json};
use splice::{Io, Stream as _};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tunnel::endpoint::{self, Congestion};
use tunnel::tls::{self, Expiry};
use tunnel::{Connection, Knock, Renewer, Stream};
use wire::{Header, Mode, Open, Refusal, Reply};

/// Runs until it is dropped.
pub(crate) struct Relay {
    runtime: Runtime,
    shared: Arc<Shared>,
    https: SocketAddr,
    dir: tempfile::TempDir,
    pin: CaPin,
}

struct Shared {
    ca: Issuer<'static, KeyPair>,
    ca_pem: String,
    quic_port: u16,
    connections: Mutex<Vec<Connection>>,
    calls: Mutex<Vec<String>>,
}

impl Relay {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (ca, ca_pem, pin) = authority();
        let (chain, key) = server(&ca, &ca_pem);
        let _entered = runtime.enter();
        let verifier = tls::client_verifier(&ca_pem, Expiry::ForRenewal).unwrap();
        let config =
            endpoint::server_config(&chain, &key.clone().into(), verifier, Congestion::default());
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let quic = endpoint::bind_udp(local)
            .and_then(|socket| endpoint::listen(socket, config.unwrap(), &[7; 32]))
            .unwrap();
        let https = std::net::TcpListener::bind(local).unwrap();
        https.set_nonblocking(true).unwrap();
        let shared = Arc::new(Shared {
            ca,
            ca_pem: ca_pem.clone(),
            quic_port: quic.local_addr().unwrap().port(),
            connections: Mutex::default(),
            calls: Mutex::default(),
        });
        let address = https.local_addr().unwrap();
        let mut tls = tls::server_config(&chain, &key.into(), None, tls::Oldest::Tls13).unwrap();
        tls.alpn_protocols = vec![wire::ALPN_API.to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        spawn(
            &runtime,
            serve_https(TcpListener::from_std(https).unwrap(), acceptor, shared.clone()),
        );
        spawn(&runtime, serve_quic(quic, shared.clone()));
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), &ca_pem).unwrap();
        Self { runtime, shared, https: address, dir, pin }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.https)
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A login token with the CA's pin in it.
    pub(crate) fn token(&self) -> String {
        TokenText::new(TokenKind::Login, [1; 7], [2; 20], Some(self.pin)).expose().to_owned()
    }

    /// A token that says nothing of the CA.
    pub(crate) fn bare_token(&self) -> String {
        TokenText::new(TokenKind::Admin, [1; 7], [2; 20], None).expose().to_owned()
    }

    /// Cuts every agent's connection.
    pub(crate) fn cut(&self) {
        let _entered = self.runtime.enter();
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            connection.close(EndReason::Broken, "cut");
        }
    }

    /// The API calls so far, as `METHOD path`.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.shared.calls.lock().unwrap().clone()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        Path::join(self.dir.path(), name)
    }
}

fn spawn(runtime: &Runtime, task: impl Future<Output = ()> + Send + 'static) {
    runtime.handle().spawn(task);
}

async fn serve_quic(endpoint: quinn::Endpoint, shared: Arc<Shared>) {
    let mut agents = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        let shared = shared.clone();
        agents.spawn(async move {
            if let Ok(knock) = tunnel::accept(incoming).await {
                serve_agent(knock, shared).await;
            }
        });
    }
}

async fn serve_agent(knock: Knock, shared: Arc<Shared>) {
    let renewer = Arc::new(NoRenewal);
    let Ok(connection) = knock.welcome("fake", renewer).await else { return };
    shared.connections.lock().unwrap().push(connection.clone());
    let mut streams = JoinSet::new();
    while let Ok(stream) = connection.accept().await {
        streams.spawn(serve_stream(stream));
    }
}

async fn serve_stream(mut stream: Stream) {
    let Ok(Header::Open(open)) = stream.recv_frame().await else { return };
    let mode = match (open.application.as_str(), open.raw) {
        ("managed", false) => Mode::Door,
        _ => Mode::Raw,
    };
    match open.application.as_str() {
        "offline" => {
            drop(stream.send_frame(&Reply::Refused(offline(&open))).await);
            stream.deliver().await;
        }
        "killed" => {
            drop(
                stream
                    .send_frame(&Reply::Opened { session: None, mode, host_keys: Vec::new() })
                    .await,
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
            stream.abort(EndReason::Killed.number());
        }
        _ => {
            drop(
                stream
                    .send_frame(&Reply::Opened { session: None, mode, host_keys: Vec::new() })
                    .await,
            );
            let (mut read, mut write) = tokio::io::split(Io::new(stream));
            drop(tokio::io::copy(&mut read, &mut write).await);
            drop(tokio::io::AsyncWriteExt::shutdown(&mut write).await);
        }
    }
}

fn offline(open: &Open) -> Refusal {
    Refusal {
        code: "connector.offline".into(),
        message: format!("the site of {} is offline", open.application),
        hint: Some("ask an admin".into()),
    }
}

async fn serve_https(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        connections.spawn(async move {
            let Ok(socket) = acceptor.accept(socket).await else { return };
            let service = service_fn(|request| answer(request, shared.clone()));
            let http = hyper::server::conn::http1::Builder::new();
            drop(http.serve_connection(TokioIo::new(socket), service).await);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let call = format!("{} {}", request.method(), request.uri().path());
    shared.calls.lock().unwrap().push(call.clone());
    let body = request.into_body().collect().await?.to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (status, answer) = match call.as_str() {
        "POST /api/v1/agents/login" => (StatusCode::OK, logged_in(&body, &shared)),
        "GET /api/v1/info" => (StatusCode::OK, info(&shared)),
        "GET /api/v1/me" => {
            (StatusCode::OK, json!({"user": "ann", "admin": false, "credential": "agent"}))
        }
        "GET /api/v1/me/applications" => (StatusCode::OK, applications()),
        "POST /api/v1/me/tokens" if body["application"] == "echo" => (StatusCode::OK, issued()),
        "DELETE /api/v1/me/agent" => (StatusCode::OK, Value::Null),
        _ => (StatusCode::NOT_FOUND, not_found()),
    };
    let mut response = Response::new(Full::new(answer.to_string().into()));
    *response.status_mut() = status;
    Ok(response)
}

fn logged_in(body: &Value, shared: &Shared) -> Value {
    let csr = body["csr_pem"].as_str().unwrap();
    let request = CertificateSigningRequestParams::from_pem(csr).unwrap();
    let certificate = request.signed_by(&shared.ca).unwrap().pem();
    let expires =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 86400;
    json!({
        "id": uuid::Uuid::nil(), "user": "ann", "domain": "relay.test", "quic_port": shared.quic_port,
        "ssh_port": 22, "https_port": 443, "certificate_pem": certificate, "ca_pem": shared.ca_pem,
        "ssh_host_keys": ["ssh-ed25519 AAAAC3fake"], "expires": expires,
    })
}

fn info(shared: &Shared) -> Value {
    json!({
        "name": "fake", "version": "0.0.0", "domain": "relay.test", "quic_port": shared.quic_port,
        "ssh_port": 22, "https_port": 443, "ca_pem": shared.ca_pem, "ssh_host_keys": [],
    })
}

fn applications() -> Value {
    let names = ["echo", "managed", "offline", "killed"];
    let row = |name: &str| {
        json!({"name": name, "site": "hq", "kind": "tcp", "label": format!("{name}-hq"),
            "login": {"mode": "transparent"}, "allow_api": false, "online": true})
    };
    json!({ "items": names.map(row).to_vec() })
}

fn issued() -> Value {
    json!({"id": "tok1", "token": "adit_access_secret", "kind": "access", "uses": 1,
        "command": "adit tunnel echo"})
}

fn not_found() -> Value {
    json!({"title": "Not found", "status": 404, "code": "application.not_found",
        "detail": "there is no such application", "hint": "run `adit ls`"})
}

fn authority() -> (Issuer<'static, KeyPair>, String, CaPin) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let pin = CaPin::of(certificate.der());
    (Issuer::new(params, key), certificate.pem(), pin)
}

fn server(ca: &Issuer<'static, KeyPair>, ca_pem: &str) -> (String, String) {
    let names = ["relay.test".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, ca).unwrap();
    (format!("{}{ca_pem}", certificate.pem()), key.serialize_pem())
}

struct NoRenewal;

#[async_trait]
impl Renewer for NoRenewal {
    async fn renew(&self, _csr_pem: &str) -> Result<String, Refusal> {
        Err(Refusal { code: "no".into(), message: "no".into(), hint: None })
    }
}
