//! Asking a provider: HTTPS, one connection for each request, no redirects, bounded answers.

use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use axum::http::{Request, StatusCode, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tunnel::tls::{Trust, foreign_client_config};

/// Why a provider's answer is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("{what}: not an https URL")]
    Url { what: &'static str },
    #[error("{what}")]
    Failed { what: &'static str, source: io::Error },
    #[error("{what}: it answers {status}: {words}")]
    Status { what: &'static str, status: StatusCode, words: String },
    #[error("{what}: its answer is not what it should be")]
    Form { what: &'static str, source: serde_json::Error },
    #[error("{what}: {detail}")]
    Other { what: &'static str, detail: String },
}

/// What is sent with a form: who the relay is at the provider.
pub(super) struct Post {
    pub(super) body: String,
    /// `Authorization`.
    pub(super) shown: Option<HeaderValue>,
}

/// The JSON at `url`; `post` is sent where there is one. `what` names it in errors.
pub(super) async fn json<T: DeserializeOwned>(
    what: &'static str,
    url: &str,
    ca_file: Option<&Path>,
    post: Option<Post>,
) -> Result<T, FetchError> {
    let uri: Uri = url.parse().map_err(|_| FetchError::Url { what })?;
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https"));
    let authority = authority.ok_or(FetchError::Url { what })?;
    let failed = |source| FetchError::Failed { what, source };
    let tls = client_config(ca_file).map_err(failed)?;
    let request = request(&uri, authority.as_str(), post).map_err(failed)?;
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let port = authority.port_u16().unwrap_or(443);
    let (status, body) = exchange(tls, &host, port, request).await.map_err(failed)?;
    if !status.is_success() {
        let words = String::from_utf8_lossy(&body);
        let words = access::text::visible(&words).chars().take(300).collect();
        return Err(FetchError::Status { what, status, words });
    }
    serde_json::from_slice(&body).map_err(|source| FetchError::Form { what, source })
}

/// `application/x-www-form-urlencoded`.
pub(super) fn form(fields: &[(&str, &str)]) -> String {
    let each = fields.iter().map(|(key, value)| format!("{key}={}", encoded(value)));
    each.collect::<Vec<_>>().join("&")
}

/// A text as one value of a form or a query.
pub(super) fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    let each = text.bytes();
    each.map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// The file is read each time anew: what an admin puts in its place is used at once.
fn client_config(ca_file: Option<&Path>) -> io::Result<Arc<ClientConfig>> {
    let trust = match ca_file {
        Some(path) => Trust::Ca(std::fs::read_to_string(path)?),
        None => Trust::System,
    };
    let mut tls = foreign_client_config(&trust, None).map_err(io::Error::other)?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(tls))
}

fn request(uri: &Uri, authority: &str, post: Option<Post>) -> io::Result<Request<Body>> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::builder().uri(path).header(HOST, authority);
    let request = request.header(ACCEPT, "application/json");
    let request = match post {
        None => request.body(Body::empty()),
        Some(Post { body, shown }) => {
            let kind = "application/x-www-form-urlencoded";
            let mut request = request.method("POST").header(CONTENT_TYPE, kind);
            if let Some(shown) = shown {
                request = request.header(AUTHORIZATION, shown);
            }
            request.body(Body::from(body))
        }
    };
    request.map_err(io::Error::other)
}

async fn exchange(
    tls: Arc<ClientConfig>,
    host: &str,
    port: u16,
    request: Request<Body>,
) -> io::Result<(StatusCode, Vec<u8>)> {
    let socket = TcpStream::connect((host, port)).await?;
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(tls).connect(name, socket).await?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(io::Error::other)?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        let (parts, body) = answer.into_parts();
        let body = to_bytes(Body::new(body), LARGEST).await.map_err(io::Error::other)?;
        Ok((parts.status, body.to_vec()))
    };
    tokio::pin!(answer);
    // The connection is driven here: it ends with the exchange.
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}

const LARGEST: usize = 256 * 1024;
