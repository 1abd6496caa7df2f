//! Batches by HTTPS, signed.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use axum::body::Body;
use axum::http::Request;
use axum::http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::batch::{Batch, SendError};
use super::net;
use crate::config::WebhookTo;

/// What is posted.
pub(crate) struct Post<'a> {
    pub(crate) kind: &'static str,
    /// What tells it from others.
    pub(crate) header: (&'static str, &'a str),
    pub(crate) body: Vec<u8>,
}

/// Posts the batch. Any answer of success has taken it, and no other has.
pub(super) async fn post(to: &WebhookTo, batch: &Batch) -> Result<(), SendError> {
    let range = format!("{}-{}", batch.first, batch.last.seq);
    let (kind, header) = ("application/x-ndjson", ("Adit-Seq", range.as_str()));
    post_one(to, Post { kind, header, body: batch.lines() }).await
}

/// As [`post`], of anything.
pub(crate) async fn post_one(to: &WebhookTo, what: Post<'_>) -> Result<(), SendError> {
    let host = to.url.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = to.url.port_u16().unwrap_or(if to.tls.is_some() { 443 } else { 80 });
    let request = request(to, what)?;
    let socket = net::connect(host, port).await?;
    match &to.tls {
        Some(files) => {
            exchange(net::secure(socket, host, files, &[b"http/1.1"]).await?, request).await
        }
        None => exchange(socket, request).await,
    }
}

fn request(to: &WebhookTo, what: Post<'_>) -> Result<Request<Body>, SendError> {
    let Post { kind, header: (name, value), body } = what;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let path = to.url.path_and_query().map_or("/", |path| path.as_str());
    Request::post(path)
        .header(HOST, to.url.authority().map_or("", |authority| authority.as_str()))
        .header(USER_AGENT, concat!("adit-relay/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, kind)
        .header(name, value)
        .header("Adit-Signature", signature(&key(to)?, now, &body))
        .body(Body::from(body))
        .map_err(|source| SendError::Request { source })
}

async fn exchange<S>(stream: S, request: Request<Body>) -> Result<(), SendError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broke = |source| SendError::Exchange { source };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broke)?;
    let mut answer = Box::pin(sender.send_request(request));
    // The connection is driven here: it ends with the exchange.
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        // Its end may stand before the answer is read.
        _ = connection => answer.await,
    };
    let status = answer.map_err(broke)?.status();
    if status.is_success() { Ok(()) } else { Err(SendError::Refused { status }) }
}

/// `t=SECONDS,v1=HEX`: HMAC-SHA256 over the seconds, a dot and the body.
fn signature(key: &Key, now: u64, body: &[u8]) -> String {
    let signed = sign(key, &[format!("{now}.").as_bytes(), body].concat());
    let hex: String = signed.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={now},v1={hex}")
}

fn key(to: &WebhookTo) -> Result<Key, SendError> {
    let text = net::read(&to.secret_file)?;
    let secret = text.trim();
    if secret.len() < SHORTEST {
        let path = to.secret_file.clone();
        return Err(SendError::Secret { path, least: SHORTEST });
    }
    Ok(Key::new(HMAC_SHA256, secret.as_bytes()))
}

/// Bytes of a secret that nobody guesses.
const SHORTEST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_over_the_time_and_the_body() {
        let key = Key::new(HMAC_SHA256, b"0123456789abcdef");
        // printf '1800000000.{}\n' | openssl dgst -sha256 -hmac 0123456789abcdef
        let expected = "4f2e1ddfb2b097c099b1a5b51a6bb51c2a1e9ce2b80d9b872a379f5a0d51ff2b";
        assert_eq!(signature(&key, 1_800_000_000, b"{}\n"), format!("t=1800000000,v1={expected}"));
        assert_ne!(signature(&key, 1_800_000_001, b"{}\n")[13..], format!(",v1={expected}"));
    }
}
