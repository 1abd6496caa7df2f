//! The door's packets as bytes, over TLS to it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use testkit::Deployment;

/// A connection to the relay's host.
pub(crate) struct Raw(StreamOwned<ClientConnection, TcpStream>);

impl Raw {
    pub(crate) fn connect(deployment: &Deployment) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(deployment.ca_file())?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let socket = TcpStream::connect(("127.0.0.1", deployment.doors().https))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from("localhost")?;
        Ok(Self(StreamOwned::new(ClientConnection::new(Arc::new(config), name)?, socket)))
    }

    /// One that has become a WebSocket.
    pub(crate) fn websocket(deployment: &Deployment) -> Result<Self> {
        let mut raw = Self::connect(deployment)?;
        raw.0.write_all(&head("RDG_OUT_DATA", "x", UPGRADE))?;
        let answer = raw.head()?;
        ensure!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        Ok(raw)
    }

    /// One on which a channel to the desktop is open.
    pub(crate) fn channel(deployment: &Deployment, token: &str) -> Result<Self> {
        let mut raw = Self::websocket(deployment)?;
        for packet in [handshake(), tunnel(token), authorise(), channel(&["desk"])] {
            raw.send(&packet)?;
            let answer = raw.packet()?;
            ensure!(answer[8..12] == [0; 4] || answer[10..14] == [0; 4], "{answer:?}");
        }
        Ok(raw)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes)?;
        Ok(self.0.flush()?)
    }

    /// As one message of a WebSocket.
    pub(crate) fn send(&mut self, packet: &[u8]) -> Result<()> {
        self.write(&framed(0x82, packet))
    }

    /// The next message.
    pub(crate) fn packet(&mut self) -> Result<Vec<u8>> {
        let mut start = [0; 2];
        self.0.read_exact(&mut start)?;
        let mut length = usize::from(start[1]);
        if length == 126 {
            let mut long = [0; 2];
            self.0.read_exact(&mut long)?;
            length = usize::from(u16::from_be_bytes(long));
        }
        let mut packet = vec![0; length];
        self.0.read_exact(&mut packet)?;
        Ok(packet)
    }

    /// A head of HTTP.
    pub(crate) fn head(&mut self) -> Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        Ok(String::from_utf8(head)?)
    }

    /// What comes until it is closed, or for `limit`; and whether it was closed.
    pub(crate) fn drain(&mut self, limit: Duration) -> (Vec<u8>, bool) {
        let (started, mut all, mut piece) = (Instant::now(), Vec::new(), [0; 4096]);
        while let Some(left) = limit.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
            drop(self.0.sock.set_read_timeout(Some(left)));
            match self.0.read(&mut piece) {
                Ok(0) => return (all, true),
                Ok(count) => all.extend_from_slice(&piece[..count]),
                Err(error) => {
                    let waits = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
                    return (all, !waits.contains(&error.kind()));
                }
            }
        }
        (all, false)
    }
}

/// A request's head.
pub(crate) fn head(method: &str, id: &str, fields: &str) -> Vec<u8> {
    format!(
        "{method} /remoteDesktopGateway/ HTTP/1.1\r\nHost: localhost\r\n\
         RDG-Connection-Id: {id}\r\nRDG-Auth-Scheme: PAA\r\n{fields}\r\n"
    )
    .into_bytes()
}

pub(crate) const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

/// A frame of a WebSocket, masked as a client has to.
pub(crate) fn framed(first: u8, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u16::try_from(bytes.len()) {
        Ok(short @ 0..126) => frame.push(0x80 | short.to_be_bytes()[1]),
        Ok(long) => {
            frame.push(0x80 | 126);
            frame.extend(long.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((bytes.len() as u64).to_be_bytes());
        }
    }
    frame.extend([7; 4]);
    frame.extend(bytes.iter().map(|byte| byte ^ 7));
    frame
}

pub(crate) fn packet(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap_or(u32::MAX);
    [&kind.to_le_bytes()[..], &[0, 0], &length.to_le_bytes(), body].concat()
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let length = u16::try_from(units.len()).unwrap_or(u16::MAX);
    [&length.to_le_bytes()[..], &units].concat()
}

pub(crate) fn handshake() -> Vec<u8> {
    packet(1, &[1, 0, 0, 0, 2, 0])
}

pub(crate) fn tunnel(token: &str) -> Vec<u8> {
    packet(4, &[&[13, 0, 0, 0, 1, 0, 0, 0][..], &text(token)].concat())
}

pub(crate) fn authorise() -> Vec<u8> {
    packet(6, &[&[0, 0][..], &text("laptop\0")].concat())
}

pub(crate) fn channel(names: &[&str]) -> Vec<u8> {
    let count = u8::try_from(names.len()).unwrap_or(u8::MAX);
    let names: Vec<u8> = names.iter().flat_map(|name| text(name)).collect();
    packet(8, &[&[count, 0, 0x3d, 0x0d, 3, 0][..], &names].concat())
}

pub(crate) fn data(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    packet(10, &[&length.to_le_bytes()[..], bytes].concat())
}

const PATIENCE: Duration = Duration::from_secs(20);
