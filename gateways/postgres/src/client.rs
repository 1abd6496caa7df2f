//! The client's side of the door, until it has shown a token.

use std::io;

use bytes::BytesMut;
use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::proto::{
    First, Startup, StartupFault, Told, fatal, first, first_length, message, negotiate,
};
use crate::words;

/// What a client that has just connected wants.
#[derive(Debug)]
pub enum Greeting {
    /// It has been told that TLS begins.
    Tls,
    /// It is to be served as it is.
    First(First),
}

/// Why a client got no further. It has been told what can be told.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the connection broke")]
    Broken(#[from] io::Error),
    #[error(transparent)]
    Startup(#[from] StartupFault),
    #[error("TLS is required")]
    NoTls,
    #[error("a message that is no password")]
    NoPassword,
}

/// Answers requests for encryption, each once, up to the packet that begins something. A client
/// that goes on in the clear where it must not is refused.
pub async fn greet<S>(io: &mut S, plain: bool) -> Result<Greeting, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut gss = false;
    loop {
        match read_first(io).await? {
            First::Tls => {
                io.write_all(b"S").await?;
                io.flush().await?;
                return Ok(Greeting::Tls);
            }
            First::Gss if !gss => {
                gss = true;
                io.write_all(b"N").await?;
                io.flush().await?;
            }
            First::Gss => return Err(refused(io, StartupFault::Layout).await),
            First::Startup(_) if !plain => {
                refuse(io, &words::tls_required()).await;
                return Err(ClientError::NoTls);
            }
            other => return Ok(Greeting::First(other)),
        }
    }
}

/// Reads one packet without a type; what is none is refused.
pub(crate) async fn read_first<S>(io: &mut S) -> Result<First, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let length = match first_length(length) {
        Ok(length) => length,
        Err(fault) => return Err(refused(io, fault).await),
    };
    let mut packet = BytesMut::zeroed(length);
    io.read_exact(&mut packet).await?;
    match first(&packet) {
        Ok(first) => Ok(first),
        Err(fault) => Err(refused(io, fault).await),
    }
}

async fn refused<S: AsyncWrite + Unpin>(io: &mut S, fault: StartupFault) -> ClientError {
    refuse(io, &words::startup(fault)).await;
    ClientError::Startup(fault)
}

/// Tells a client why the connection ends.
pub(crate) async fn refuse<S: AsyncWrite + Unpin>(io: &mut S, told: &Told) {
    let mut out = BytesMut::new();
    fatal(&mut out, told);
    // Who has left is told nothing.
    drop(io.write_all(&out).await);
    drop(io.flush().await);
    drop(io.shutdown().await);
}

/// Asks for the token, as a password. Says first which version is spoken where the client named
/// another, or asked for more.
pub(crate) async fn ask<S>(io: &mut S, startup: &Startup) -> Result<SecretString, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = BytesMut::new();
    let spoken = startup.spoken();
    if spoken != startup.minor || !startup.extensions.is_empty() {
        negotiate(&mut out, spoken, &startup.extensions);
    }
    message(&mut out, b'R', |out| out.extend_from_slice(&CLEARTEXT));
    io.write_all(&out).await?;
    io.flush().await?;
    match password(io).await? {
        Some(token) => Ok(token),
        None => {
            refuse(io, &words::violation("a password was asked for, and that is none")).await;
            Err(ClientError::NoPassword)
        }
    }
}

async fn password<S: AsyncRead + Unpin>(io: &mut S) -> io::Result<Option<SecretString>> {
    let kind = io.read_u8().await?;
    let length = usize::try_from(io.read_u32().await?).unwrap_or(usize::MAX);
    let length = length.checked_sub(4).filter(|length| *length <= LONGEST_PASSWORD);
    let Some(length) = length.filter(|_| kind == b'p') else { return Ok(None) };
    let mut body = zeroize::Zeroizing::new(vec![0; length]);
    io.read_exact(&mut body).await?;
    let Some(text) = body.strip_suffix(b"\0") else { return Ok(None) };
    Ok(str::from_utf8(text).ok().map(|text| SecretString::from(text.trim())))
}

/// AuthenticationCleartextPassword.
const CLEARTEXT: [u8; 4] = [0, 0, 0, 3];
/// A token is far shorter.
const LONGEST_PASSWORD: usize = 4096;
