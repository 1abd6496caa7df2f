//! The connections to the CA.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{HOST, HeaderValue, RETRY_AFTER};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Request, Response, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tunnel::tls::{Trust, foreign_client_config};

use super::AcmeError;

/// One connection for each request: orders are seldom, and CAs end idle ones.
#[derive(Clone)]
pub(super) struct Client {
    tls: Arc<ClientConfig>,
    /// When the CA wants to be asked again, as its last refusal said.
    retry: Arc<Mutex<Option<SystemTime>>>,
}

impl Client {
    /// A client that knows the CA's web server by the roots in a file, or by those of this machine.
    pub(super) fn new(roots: Option<&Path>) -> Result<Self, AcmeError> {
        let trust = match roots {
            Some(path) => {
                let text = std::fs::read_to_string(path);
                Trust::Ca(text.map_err(|source| AcmeError::Roots { source })?)
            }
            None => Trust::System,
        };
        let mut tls = foreign_client_config(&trust, None)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: Arc::new(tls), retry: Arc::default() })
    }

    pub(super) fn retry(&self) -> Option<SystemTime> {
        *self.retry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let answered = timeout(REQUEST, exchange(&client.tls, request)).await;
            let response = answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            let response = response.map_err(|error| Error::Other(Box::new(error)))?;
            let refused =
                response.status().is_client_error() || response.status().is_server_error();
            let retry = refused.then(|| retry_after(response.headers())).flatten();
            *client.retry.lock().unwrap_or_else(PoisonError::into_inner) = retry;
            Ok(BytesResponse::from(response))
        })
    }
}

async fn exchange(
    tls: &Arc<ClientConfig>,
    request: Request<BodyWrapper<Bytes>>,
) -> io::Result<Response<Body>> {
    let (host, port, request) = for_host(request)?;
    let socket = TcpStream::connect((host.as_str(), port)).await?;
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls.clone()).connect(name, socket).await?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(io::Error::other)?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        let (parts, body) = answer.into_parts();
        let body = to_bytes(Body::new(body), LARGEST).await.map_err(io::Error::other)?;
        Ok(Response::from_parts(parts, Body::from(body)))
    };
    tokio::pin!(answer);
    // The connection is driven here: it ends with the exchange.
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}

/// Where a request goes, and the request as it is sent there.
fn for_host(
    mut request: Request<BodyWrapper<Bytes>>,
) -> io::Result<(String, u16, Request<BodyWrapper<Bytes>>)> {
    let uri = request.uri().clone();
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https"));
    let authority = authority.ok_or_else(|| io::Error::other("the CA's URL is not https"))?;
    let host = HeaderValue::from_str(authority.as_str()).map_err(io::Error::other)?;
    request.headers_mut().insert(HOST, host);
    let path = uri.path_and_query().cloned();
    *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    let bare = authority.host().trim_matches(['[', ']']).to_owned();
    Ok((bare, authority.port_u16().unwrap_or(443), request))
}

/// Seconds; the form with a date is no CA's.
fn retry_after(headers: &HeaderMap) -> Option<SystemTime> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    // One that asks for more is asked again all the same.
    Some(SystemTime::now() + Duration::from_secs(seconds).min(LONGEST))
}

const REQUEST: Duration = Duration::from_secs(30);
const LARGEST: usize = 1024 * 1024;
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
