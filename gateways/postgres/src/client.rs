//! The client's side of the door, until it has shown a token.

use std::io;

use access::{TokenId, TokenProof};
use aws_lc_rs::rand;
use bytes::BytesMut;
use data_encoding::BASE64;
use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use zeroize::Zeroizing;

use crate::proto::{
    First, Startup, StartupFault, Told, fatal, first, first_length, message, negotiate, split_text,
    text,
};
use crate::prove::{Challenge, ProveFault};
use crate::scram::{PLAIN, PLUS};
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
    #[error(transparent)]
    Prove(#[from] ProveFault),
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

/// Asks for the token, as a password.
pub(crate) async fn ask<S>(io: &mut S, startup: &Startup) -> Result<SecretString, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = hello(startup);
    message(&mut out, b'R', |out| out.extend_from_slice(&CLEARTEXT));
    io.write_all(&out).await?;
    io.flush().await?;
    let answer = answer(io).await?;
    let text = answer.as_deref().and_then(|body| body.strip_suffix(b"\0"));
    match text.and_then(|text| str::from_utf8(text).ok()) {
        Some(token) => Ok(SecretString::from(token.trim())),
        None => {
            refuse(io, &words::violation("a password was asked for, and that is none")).await;
            Err(ClientError::NoPassword)
        }
    }
}

/// Has the client prove that it knows a token, whether there is one of this id or not.
pub(crate) async fn prove<S>(
    io: &mut S,
    startup: &Startup,
    token: TokenId,
    end_point: Option<&[u8]>,
) -> Result<TokenProof, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match exchange(io, startup, token, end_point).await {
        Err(ClientError::Prove(fault)) => {
            refuse(io, &words::violation(&fault.to_string())).await;
            Err(ClientError::Prove(fault))
        }
        proven => proven,
    }
}

async fn exchange<S>(
    io: &mut S,
    startup: &Startup,
    token: TokenId,
    end_point: Option<&[u8]>,
) -> Result<TokenProof, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = hello(startup);
    message(&mut out, b'R', |out| {
        out.extend_from_slice(&SASL);
        if end_point.is_some() {
            text(out, PLUS);
        }
        text(out, PLAIN);
        out.extend_from_slice(&[0]);
    });
    io.write_all(&out).await?;
    io.flush().await?;
    let body = said(io).await?;
    let (mechanism, rest) = split_text(&body).ok_or(ProveFault::Message)?;
    // The length of what follows, which is all of the rest.
    let first = rest.get(4..).ok_or(ProveFault::Message)?;
    let (mechanism, first) = (utf8(mechanism)?, utf8(first)?);
    let mut random = [0; 18];
    rand::fill(&mut random).map_err(io::Error::other)?;
    let nonce = BASE64.encode(&random);
    let challenge = Challenge::answer(token, (mechanism, first), end_point, &nonce)?;
    step(io, SASL_CONTINUE, challenge.text()).await?;
    Ok(challenge.proof(utf8(&said(io).await?)?)?)
}

/// Shows a client that has proved to know a token that the relay does too.
pub(crate) async fn assure<S>(io: &mut S, signature: &[u8]) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    step(io, SASL_FINAL, &format!("v={}", BASE64.encode(signature))).await
}

async fn step<S: AsyncWrite + Unpin>(io: &mut S, kind: [u8; 4], text: &str) -> io::Result<()> {
    let mut out = BytesMut::new();
    message(&mut out, b'R', |out| {
        out.extend_from_slice(&kind);
        out.extend_from_slice(text.as_bytes());
    });
    io.write_all(&out).await?;
    io.flush().await
}

/// Says which version is spoken where the client named another, or asked for more.
fn hello(startup: &Startup) -> BytesMut {
    let mut out = BytesMut::new();
    let spoken = startup.spoken();
    if spoken != startup.minor || !startup.extensions.is_empty() {
        negotiate(&mut out, spoken, &startup.extensions);
    }
    out
}

async fn said<S: AsyncRead + Unpin>(io: &mut S) -> Result<Zeroizing<Vec<u8>>, ClientError> {
    Ok(answer(io).await?.ok_or(ProveFault::Message)?)
}

fn utf8(text: &[u8]) -> Result<&str, ProveFault> {
    str::from_utf8(text).map_err(|_| ProveFault::Message)
}

/// What a client answers to a request for authentication; `None`: something else.
async fn answer<S: AsyncRead + Unpin>(io: &mut S) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let kind = io.read_u8().await?;
    let length = usize::try_from(io.read_u32().await?).unwrap_or(usize::MAX);
    let length = length.checked_sub(4).filter(|length| *length <= LONGEST_PASSWORD);
    let Some(length) = length.filter(|_| kind == b'p') else { return Ok(None) };
    let mut body = Zeroizing::new(vec![0; length]);
    io.read_exact(&mut body).await?;
    Ok(Some(body))
}

/// AuthenticationSASL, and its two further steps.
const SASL: [u8; 4] = [0, 0, 0, 10];
const SASL_CONTINUE: [u8; 4] = [0, 0, 0, 11];
const SASL_FINAL: [u8; 4] = [0, 0, 0, 12];
/// AuthenticationCleartextPassword.
const CLEARTEXT: [u8; 4] = [0, 0, 0, 3];
/// A token is far shorter.
const LONGEST_PASSWORD: usize = 4096;
