//! The client's side of the door, until it has shown a token.

use std::io;

use aws_lc_rs::rand;
use bytes::{BufMut as _, BytesMut};
use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

use crate::auth::Plugin;
use crate::proto::{self, First, Greeting, Hello, Hidden, LoginFault, Told, capability, packet};
use crate::wire::{PacketError, Wire, read, send};
use crate::words;

/// What a client that was greeted wants.
#[derive(Debug)]
pub enum Greeted {
    /// TLS begins.
    Tls,
    /// It is to be served as it is.
    Hello(Box<Hello>),
}

/// Why a client got no further. It has been told what can be told.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the connection broke")]
    Broken(#[from] io::Error),
    #[error(transparent)]
    Login(#[from] LoginFault),
    #[error("TLS is required")]
    NoTls,
    #[error("an answer that is no password")]
    NoPassword,
}

impl From<PacketError> for ClientError {
    fn from(error: PacketError) -> Self {
        match error {
            PacketError::Broken(error) => Self::Broken(error),
            PacketError::Fault(fault) => Self::Login(fault),
        }
    }
}

/// Says what the door is, in place of a server, and reads what the client makes of it. A client that
/// goes on in the clear where it must not is refused.
pub(crate) async fn greet<S>(
    io: &mut S,
    version: &str,
    thread: u32,
    plain: bool,
) -> Result<Greeted, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut out, mut number) = (BytesMut::new(), 0);
    greeting(version, thread)?.write(&mut out, &mut number);
    send(io, &out).await?;
    match hello(io, &mut number).await? {
        First::Tls => Ok(Greeted::Tls),
        First::Hello(_) if !plain => {
            refuse(io, number, &words::tls_required()).await;
            Err(ClientError::NoTls)
        }
        First::Hello(hello) => Ok(Greeted::Hello(hello)),
    }
}

fn greeting(version: &str, thread: u32) -> io::Result<Greeting> {
    let scramble = scramble()?.to_vec();
    let (capabilities, extended) = match version.contains("MariaDB") {
        true => (capability::OFFERED & !capability::LONG_PASSWORD, capability::EXTENDED_METADATA),
        false => (capability::OFFERED, 0),
    };
    let (version, plugin) = (version.to_owned(), Plugin::CachingSha2.name().to_owned());
    Ok(Greeting { version, thread, scramble, capabilities, extended, plugin })
}

/// What an answer is for. Characters, for clients that take it for text.
pub(crate) fn scramble() -> io::Result<[u8; 20]> {
    let mut bytes = [0; 20];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("no randomness"))?;
    Ok(bytes.map(|byte| b'!' + byte % 90))
}

/// Reads what a client says of itself; what is none is refused.
pub(crate) async fn hello<S>(io: &mut S, number: &mut u8) -> Result<First, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let read = match read(io, number).await {
        Ok(packet) => proto::first(&packet).map_err(PacketError::Fault),
        Err(error) => Err(error),
    };
    match read {
        Ok(first) => Ok(first),
        Err(PacketError::Fault(fault)) => {
            refuse(io, *number, &words::login(fault)).await;
            Err(fault.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Tells a client why the connection ends.
pub(crate) async fn refuse<S: AsyncWrite + Unpin>(io: &mut S, mut number: u8, told: &Told) {
    let mut out = BytesMut::new();
    proto::error(&mut out, &mut number, told);
    // Who has left is told nothing.
    drop(send(io, &out).await);
    drop(io.shutdown().await);
}

/// What a client has shown so far: by which plugin, and what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) plugin: Option<&'a str>,
    pub(crate) answer: &'a Hidden,
}

/// Asks for the token, as a password: by the plugin that the client has chosen where that shows a
/// password as it is, else by one that nearly all have.
pub(crate) async fn ask(
    io: &mut Wire,
    number: &mut u8,
    shown: Shown<'_>,
) -> Result<SecretString, ClientError> {
    let password = match shown.plugin.and_then(Plugin::named) {
        Some(Plugin::Clear) => shown.answer.0.clone(),
        Some(Plugin::CachingSha2) if !shown.answer.0.is_empty() => full(io, number).await?,
        // Who has no password says so by an empty answer.
        Some(Plugin::CachingSha2) => Zeroizing::default(),
        Some(Plugin::Native | Plugin::Ed25519) | None => {
            let mut out = BytesMut::new();
            proto::switch(&mut out, number, Plugin::CachingSha2.name(), &scramble()?);
            send(io, &out).await?;
            let answer = io.packet(number).await?;
            if answer.is_empty() { answer } else { full(io, number).await? }
        }
    };
    let text = password.strip_suffix(b"\0").unwrap_or(&password);
    let text = str::from_utf8(text).ok().filter(|text| text.len() <= LONGEST_PASSWORD);
    match text {
        Some(text) => Ok(SecretString::from(text.trim())),
        None => {
            let told = words::violation("a password was asked for, and that is none");
            refuse(io, *number, &told).await;
            Err(ClientError::NoPassword)
        }
    }
}

/// Full authentication of `caching_sha2_password`: within TLS the password as it is.
async fn full(io: &mut Wire, number: &mut u8) -> Result<Zeroizing<Vec<u8>>, ClientError> {
    let mut out = BytesMut::new();
    packet(&mut out, number, |out| out.put_slice(&FULL));
    send(io, &out).await?;
    Ok(io.packet(number).await?)
}

/// The layout of answers that a client has agreed on.
pub(crate) fn agreed(hello: &Hello) -> u32 {
    hello.capabilities & !capability::SSL
}

/// More data: full authentication.
const FULL: [u8; 2] = [1, 4];
/// A token is far shorter.
const LONGEST_PASSWORD: usize = 4096;
