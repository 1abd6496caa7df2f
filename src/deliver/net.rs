//! Connections to receivers.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use secrecy::SecretString;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tunnel::tls::{Trust, foreign_client_config};
use zeroize::Zeroizing;

use super::batch::SendError;
use crate::config::TlsFiles;

pub(crate) async fn connect(host: &str, port: u16) -> Result<TcpStream, SendError> {
    let connected = TcpStream::connect((host, port)).await;
    connected.map_err(|source| SendError::Connect { host: host.to_owned(), port, source })
}

/// Speaks TLS over `socket` with a server whose certificate is for `host`.
pub(crate) async fn secure(
    socket: TcpStream,
    host: &str,
    files: &TlsFiles,
    alpn: &[&[u8]],
) -> Result<TlsStream<TcpStream>, SendError> {
    let mut config = config(files)?;
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| SendError::Name { host: host.to_owned() })?;
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
    shaken.map_err(|source| SendError::Handshake { host: host.to_owned(), source })
}

fn config(files: &TlsFiles) -> Result<ClientConfig, SendError> {
    let trust = match &files.ca {
        Some(path) => Trust::Ca(read(path)?.to_string()),
        None => Trust::System,
    };
    let Some((certificate, key)) = &files.shown else {
        return Ok(foreign_client_config(&trust, None)?);
    };
    let (certificate, key) = (read(certificate)?, SecretString::from(read(key)?.as_str()));
    Ok(foreign_client_config(&trust, Some((&certificate, &key)))?)
}

/// A small file, read each time anew: what an admin puts in its place is used at once.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, SendError> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|source| SendError::Read { path: path.to_owned(), source })?;
    Ok(Zeroizing::new(text))
}
