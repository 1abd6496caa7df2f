//! Receivers on this machine, some of which do not behave.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What a webhook does with a post.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Whim {
    Take,
    /// 500, having kept nothing.
    Refuse,
    /// Keeps it and hangs up without a word.
    Forget,
    /// Hangs up in the middle.
    Half,
    /// Takes it, and says so a while later.
    Late,
}

/// A connection, with TLS or without.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

pub(crate) struct Hook {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) posts: Arc<Mutex<Vec<Post>>>,
    _task: JoinSet<()>,
}

#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Post {
    pub(crate) fn header(&self, name: &str) -> String {
        let start = format!("{name}: ");
        let line = self
            .head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix(&start).map(str::to_owned));
        line.unwrap()
    }
}

impl Hook {
    /// One whim for each post, and the last for those after.
    pub(crate) async fn start(whims: Vec<Whim>) -> Self {
        Self::start_with(whims, None).await
    }

    pub(crate) async fn start_with(whims: Vec<Whim>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let posts = Arc::new(Mutex::new(Vec::new()));
        let (mut task, kept) = (JoinSet::new(), posts.clone());
        task.spawn(async move {
            for n in 0.. {
                let (socket, _) = listener.accept().await.unwrap();
                let whim = whims[n.min(whims.len() - 1)];
                let mut socket: Box<dyn Duplex> = match &tls {
                    Some(acceptor) => Box::new(acceptor.accept(socket).await.unwrap()),
                    None => Box::new(socket),
                };
                if whim == Whim::Half {
                    socket.read_exact(&mut [0; 100]).await.unwrap();
                    continue;
                }
                let post = read_post(&mut socket).await;
                let status = match whim {
                    Whim::Refuse => StatusCode::INTERNAL_SERVER_ERROR,
                    Whim::Take | Whim::Forget | Whim::Half | Whim::Late => {
                        kept.lock().unwrap().push(post);
                        StatusCode::NO_CONTENT
                    }
                };
                if whim == Whim::Late {
                    tokio::time::sleep(Duration::from_millis(700)).await;
                }
                if whim != Whim::Forget {
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                    socket.write_all(answer.as_bytes()).await.unwrap();
                    socket.flush().await.unwrap();
                }
            }
        });
        Self { address, posts, _task: task }
    }
}

async fn read_post(socket: &mut Box<dyn Duplex>) -> Post {
    let (mut text, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let read = socket.read(&mut part).await.unwrap();
        text.extend_from_slice(&part[..read]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
        let post = Post { head: head.to_owned(), body: body.to_owned() };
        if body.len() >= post.header("content-length").parse().unwrap() {
            return post;
        }
        assert_ne!(read, 0, "{head}");
    }
}

/// A receiver that reads what is counted, and drops a connection when told to.
pub(super) struct Syslog {
    pub(super) port: u16,
    pub(super) messages: Arc<Mutex<Vec<String>>>,
    drops: Arc<Mutex<u32>>,
    _task: JoinSet<()>,
}

impl Syslog {
    /// Its CA is `ca.pem` of the folder.
    pub(super) async fn start(folder: &Path, name: &str) -> Self {
        Self::start_with(acceptor(folder, name)).await
    }

    pub(super) async fn start_with(acceptor: TlsAcceptor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (messages, drops) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let (mut task, kept, left) = (JoinSet::new(), messages.clone(), drops.clone());
        task.spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(socket).await else { continue };
                let drops = std::mem::replace(&mut *left.lock().unwrap(), 0);
                if drops > 0 {
                    *left.lock().unwrap() = drops - 1;
                    // With something unread: the peer sees a reset.
                    stream.read_exact(&mut [0; 10]).await.unwrap();
                    continue;
                }
                let mut bytes = Vec::new();
                if stream.read_to_end(&mut bytes).await.is_ok() {
                    kept.lock().unwrap().extend(counted(&bytes));
                }
                drop(stream.shutdown().await);
            }
        });
        Self { port, messages, drops, _task: task }
    }

    pub(super) fn drop_next(&self, connections: u32) {
        *self.drops.lock().unwrap() = connections;
    }
}

fn counted(mut bytes: &[u8]) -> Vec<String> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let blank = bytes.iter().position(|byte| *byte == b' ').unwrap();
        let length: usize = std::str::from_utf8(&bytes[..blank]).unwrap().parse().unwrap();
        let (message, rest) = bytes[blank + 1..].split_at(length);
        messages.push(String::from_utf8(message.to_vec()).unwrap());
        bytes = rest;
    }
    messages
}

pub(crate) fn acceptor(folder: &Path, name: &str) -> TlsAcceptor {
    let (chain, key) = vouched(folder, name);
    let config = server().with_no_client_auth().with_single_cert(chain, key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Takes only whom its own CA vouches for.
pub(super) fn demanding(folder: &Path, name: &str) -> TlsAcceptor {
    let (chain, key) = vouched(folder, name);
    let ca = fs::read_to_string(folder.join("ca.pem")).unwrap();
    let verifier = tunnel::tls::client_verifier(&ca, tunnel::tls::Expiry::Enforced).unwrap();
    let config = server().with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn server() -> rustls::ConfigBuilder<rustls::ServerConfig, rustls::WantsVerifier> {
    rustls::ServerConfig::builder_with_provider(tunnel::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
}

/// A CA in `ca.pem`, which vouches for a server of that name and for `client.pem`.
fn vouched(folder: &Path, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(folder.join("ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let ca = Issuer::new(ca, ca_key);
    let client_key = KeyPair::generate().unwrap();
    let client = CertificateParams::new(vec!["relay.test".to_owned()]).unwrap();
    let client = client.signed_by(&client_key, &ca).unwrap();
    fs::write(folder.join("client.pem"), client.pem()).unwrap();
    fs::write(folder.join("client-key.pem"), client_key.serialize_pem()).unwrap();
    let own = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let chain = vec![CertificateDer::from(own.der().to_vec())];
    (chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}
