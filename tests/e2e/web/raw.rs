//! Bytes as they are, over TLS to the web door.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::stage::Stage;

pub(crate) type Connection = StreamOwned<ClientConnection, TcpStream>;

/// Sends a text frame and gets it back.
pub(super) fn echo(stream: &mut Connection, text: &[u8]) -> Result<()> {
    let length = u8::try_from(text.len())?;
    let masked: Vec<u8> = text.iter().map(|byte| byte ^ 7).collect();
    stream.write_all(&[&[0x81, 0x80 | length, 7, 7, 7, 7], &masked[..]].concat())?;
    let mut frame = vec![0; text.len() + 2];
    stream.read_exact(&mut frame)?;
    ensure!(frame[2..] == *text, "{}", frame.escape_ascii());
    Ok(())
}

/// Sends bytes as they are to the application `app`.
pub(crate) struct Raw {
    pub(super) host: String,
    pub(super) token: String,
    name: String,
    port: u16,
    config: Arc<ClientConfig>,
}

impl Raw {
    pub(crate) fn new(stage: &Stage, token: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(stage.deployment.ca_file())?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let host = stage.host();
        let name = host.split(':').next().context("a name")?.to_owned();
        let port = stage.deployment.doors().https;
        Ok(Self { token: token.to_owned(), host, name, port, config: Arc::new(config) })
    }

    /// All that comes back until the connection is closed or quiet.
    pub(super) fn send(&self, bytes: &[u8]) -> Result<String> {
        let mut stream = self.connect(Duration::from_millis(700))?;
        stream.write_all(bytes)?;
        let mut answers = Vec::new();
        // Quiet, closed, cut: the answers so far are what counts.
        drop(stream.read_to_end(&mut answers));
        Ok(String::from_utf8_lossy(&answers).into_owned())
    }

    /// A WebSocket of `app` on which a frame has come back.
    pub(crate) fn websocket(&self) -> Result<Connection> {
        self.websocket_at("/ws")
    }

    pub(super) fn websocket_at(&self, path: &str) -> Result<Connection> {
        let mut stream = self.connect(Duration::from_secs(40))?;
        let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
        let fields = format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{key}");
        let head = self.head("GET", "", &fields);
        stream.write_all(&String::from_utf8_lossy(&head).replace("/page", path).into_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        ensure!(answer.starts_with(b"HTTP/1.1 101 "), "{}", answer.escape_ascii());
        echo(&mut stream, b"hello")?;
        Ok(stream)
    }

    pub(crate) fn connect(&self, patience: Duration) -> Result<Connection> {
        let socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_read_timeout(Some(patience))?;
        let name = ServerName::try_from(self.name.clone())?;
        let connection = ClientConnection::new(self.config.clone(), name)?;
        Ok(StreamOwned::new(connection, socket))
    }

    pub(super) fn head(&self, method: &str, version: &str, fields: &str) -> Vec<u8> {
        let version = if version.is_empty() { "HTTP/1.1" } else { version };
        let Self { host, token, .. } = self;
        format!("{method} /page {version}\r\nHost: {host}\r\nX-Adit-Key: {token}\r\n{fields}\r\n")
            .into_bytes()
    }
}
