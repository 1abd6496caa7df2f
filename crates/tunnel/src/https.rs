//! A small HTTPS client for the relay's JSON API.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use access::{Code, Explain};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, ETAG, HOST, HeaderName, HeaderValue, RETRY_AFTER,
    USER_AGENT,
};
pub use hyper::http::Method;
use hyper::http::{self, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Identity;
use crate::local;
use crate::proxy::{Proxies, ProxyError};
use crate::tls::{self, Intercepted, TlsError, Trust, Witness};

/// Calls the API of one relay. Holds no connection between calls.
#[derive(Clone)]
pub struct Client {
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: TlsConnector,
    witness: Arc<Witness>,
    proxies: Proxies,
}

/// The relay's own answer to a request it does not fulfil (RFC 9457 with Adit's members).
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", problem.say())]
pub struct ApiError {
    pub status: u16,
    pub problem: Box<Problem>,
    /// When to try again, where the relay said so.
    pub retry_after: Option<Duration>,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call<'a, B> {
    pub method: Method,
    pub path: &'a str,
    pub body: Option<&'a B>,
    /// Beside those that every request has.
    pub headers: Vec<(HeaderName, String)>,
}

/// What the relay gave.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    pub value: T,
    /// Of the object that was given, where it has one.
    pub etag: Option<String>,
}

/// `application/problem+json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Problem {
    pub title: String,
    pub code: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    pub request_id: Option<String>,
    /// One entry for each mistake, in the shape the operation documents.
    pub errors: Vec<serde_json::Value>,
}

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("{url:?} is not the URL of a relay (https://host or https://host:port)")]
    Url { url: String },
    #[error("the keys or certificates on this side are not usable")]
    Tls {
        #[from]
        source: TlsError,
    },
    #[error("{host}:{port} does not answer")]
    Connect { host: String, port: u16, source: io::Error },
    #[error("{host} is not the relay this machine trusts, or does not trust this machine")]
    Handshake { host: String, source: io::Error },
    #[error(transparent)]
    Intercepted {
        #[from]
        source: Intercepted,
    },
    #[error(transparent)]
    Proxy {
        #[from]
        source: ProxyError,
    },
    #[error("the request is not one")]
    Request { source: http::Error },
    #[error("the connection to the relay broke")]
    Exchange { source: hyper::Error },
    #[error("the relay's answer is not readable")]
    Body { source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the relay's answer is not what this version expects")]
    Json { source: serde_json::Error },
    #[error(transparent)]
    Refused(#[from] ApiError),
    #[error("no answer within {after:?}")]
    TimedOut { after: Duration },
}

impl Client {
    /// For the relay at `url`. With an identity every call shows its certificate.
    pub fn new(url: &str, trust: &Trust, identity: Option<&Identity>) -> Result<Self, CallError> {
        let (host, port) = parse(url).ok_or_else(|| CallError::Url { url: url.to_owned() })?;
        let name = ServerName::try_from(host.clone())
            .map_err(|_| CallError::Url { url: url.to_owned() })?;
        let (mut config, witness) = tls::watched_client_config(trust, identity)?;
        config.alpn_protocols = vec![match identity {
            Some(_) => wire::ALPN_API.to_vec(),
            None => b"http/1.1".to_vec(),
        }];
        let (tls, proxies) = (TlsConnector::from(Arc::new(config)), Proxies::default());
        Ok(Self { host, port, name, tls, witness, proxies })
    }

    /// The same, through the proxy that leads to the relay.
    #[must_use]
    pub fn through(self, proxies: Proxies) -> Self {
        Self { proxies, ..self }
    }

    /// `GET`: see [`call`](Self::call).
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        bearer: Option<&SecretString>,
    ) -> Result<T, CallError> {
        self.call(Method::GET, path, bearer, None::<&()>).await
    }

    /// `POST`: see [`call`](Self::call).
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        bearer: Option<&SecretString>,
        body: &(impl Serialize + Sync),
    ) -> Result<T, CallError> {
        self.call(Method::POST, path, bearer, Some(body)).await
    }

    /// The relay's `host:port`.
    pub fn address(&self) -> String {
        self.beside(self.port)
    }

    /// `host:port` of another listener of the same relay.
    pub fn beside(&self, port: u16) -> String {
        authority(&self.host, port)
    }

    /// One request and its answer, within a deadline. An empty answer reads as `()`.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        bearer: Option<&SecretString>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, CallError> {
        let call = Call { method, path, body, headers: Vec::new() };
        Ok(self.send(&call, bearer).await?.value)
    }

    /// As [`call`](Self::call), with headers on both ways.
    pub async fn send<T: DeserializeOwned>(
        &self,
        call: &Call<'_, impl Serialize + Sync>,
        bearer: Option<&SecretString>,
    ) -> Result<Answer<T>, CallError> {
        let request = self.request(call, bearer)?;
        let answer = timeout(DEADLINE, self.exchange(request)).await;
        let (head, body) = answer.map_err(|_| CallError::TimedOut { after: DEADLINE })??;
        let told = |name| head.headers.get(name)?.to_str().ok();
        if !head.status.is_success() {
            let seconds = told(RETRY_AFTER).and_then(|text| text.parse().ok());
            return Err(CallError::Refused(ApiError {
                status: head.status.as_u16(),
                problem: problem(head.status, &body),
                retry_after: seconds.map(Duration::from_secs),
            }));
        }
        let etag = told(ETAG).map(str::to_owned);
        let json = if body.is_empty() { &b"null"[..] } else { &body[..] };
        let value = serde_json::from_slice(json).map_err(|source| CallError::Json { source })?;
        Ok(Answer { value, etag })
    }

    /// What the relay takes the time for, as HTTP writes it.
    pub(crate) async fn date(&self) -> Result<Option<String>, CallError> {
        let call: Call<'_, ()> =
            Call { method: Method::GET, path: "/healthz", body: None, headers: Vec::new() };
        let (head, _) = self.exchange(self.request(&call, None)?).await?;
        Ok(head.headers.get(DATE).and_then(|date| Some(date.to_str().ok()?.to_owned())))
    }

    fn request(
        &self,
        call: &Call<'_, impl Serialize>,
        bearer: Option<&SecretString>,
    ) -> Result<Request<Full<Bytes>>, CallError> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(call.path)
            .header(HOST, authority(&self.host, self.port))
            .header(USER_AGENT, concat!("adit/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json");
        if let Some(token) = bearer {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
                .map_err(|error| CallError::Request { source: error.into() })?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let body = match call.body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                serde_json::to_vec(body).map_err(|source| CallError::Json { source })?.into()
            }
            None => Bytes::new(),
        };
        request.body(Full::new(body)).map_err(|source| CallError::Request { source })
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(http::response::Parts, Bytes), CallError> {
        let broke = |source| CallError::Exchange { source };
        let io = TokioIo::new(self.connect().await?);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(io).await.map_err(broke)?;
        let mut exchange =
            Box::pin(async move { read(sender.send_request(request).await.map_err(broke)?).await });
        tokio::select! {
            answer = &mut exchange => answer,
            // The end of the connection may stand before the last of the answer is read.
            _ = connection => exchange.await,
        }
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>, CallError> {
        let failed =
            |source| CallError::Connect { host: self.host.clone(), port: self.port, source };
        let dialled = timeout(CONNECT, self.dial()).await;
        let socket = dialled.map_err(|_| failed(io::ErrorKind::TimedOut.into()))??;
        socket.set_nodelay(true).map_err(failed)?;
        let shaken = self.tls.connect(self.name.clone(), socket).await;
        shaken.map_err(|source| match self.witness.stranger() {
            Some(stranger) => stranger.into(),
            None => CallError::Handshake { host: self.host.clone(), source },
        })
    }

    async fn dial(&self) -> Result<TcpStream, CallError> {
        match self.proxies.to(&self.host) {
            Some(proxy) => Ok(proxy.connect(&authority(&self.host, self.port)).await?),
            None => {
                let (host, port) = (self.host.clone(), self.port);
                let connected = TcpStream::connect((local::host(&self.host), port)).await;
                connected.map_err(|source| CallError::Connect { host, port, source })
            }
        }
    }
}

impl CallError {
    /// What is wrong on the way and what helps, where that is known.
    pub fn explain(&self) -> Option<&dyn Explain> {
        match self {
            Self::Intercepted { source } => Some(source),
            Self::Proxy { source } => Some(source),
            Self::Connect { .. } | Self::Exchange { .. } | Self::TimedOut { .. } => {
                Some(&Unreachable)
            }
            Self::Handshake { .. } => Some(&Untrusted),
            Self::Url { .. }
            | Self::Tls { .. }
            | Self::Request { .. }
            | Self::Body { .. }
            | Self::Json { .. }
            | Self::Refused(_) => None,
        }
    }
}

#[derive(Debug)]
struct Unreachable;

impl Explain for Unreachable {
    fn code(&self) -> Code {
        Code("relay.unreachable")
    }

    fn public(&self) -> Cow<'static, str> {
        "the relay does not answer".into()
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(
            "check its URL, and that it runs and a firewall lets this machine connect to it".into(),
        )
    }
}

#[derive(Debug)]
struct Untrusted;

impl Explain for Untrusted {
    fn code(&self) -> Code {
        Code("relay.untrusted")
    }

    fn public(&self) -> Cow<'static, str> {
        "what answers is not the relay that this machine trusts".into()
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some("check that the URL leads to the relay that the token is of".into())
    }
}

impl Problem {
    fn say(&self) -> &str {
        self.detail.as_deref().unwrap_or(&self.title)
    }
}

async fn read(response: Response<Incoming>) -> Result<(http::response::Parts, Bytes), CallError> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await;
    let body = body.map_err(|source| CallError::Body { source })?;
    Ok((head, body.to_bytes()))
}

/// What an error answer says, also when it comes from something in between that is no relay.
fn problem(status: http::StatusCode, body: &[u8]) -> Box<Problem> {
    let problem = serde_json::from_slice(body).unwrap_or_else(|_| Problem {
        title: status.to_string(),
        code: format!("http.{}", status.as_u16()),
        ..Problem::default()
    });
    Box::new(problem)
}

/// `host:port` of the relay at `url`; `None` where that is no relay's URL.
pub fn address(url: &str) -> Option<String> {
    parse(url).map(|(host, port)| authority(&host, port))
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn parse(url: &str) -> Option<(String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let bare = uri.path_and_query().is_none_or(|path| path.as_str() == "/");
    if uri.scheme_str() != Some("https") || !bare {
        return None;
    }
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), uri.port_u16().unwrap_or(443)))
}

const DEADLINE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);
const MAX_BODY: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_relays_url_is_taken() {
        let table = [
            ("https://relay.example", Some(("relay.example", 443))),
            ("https://relay.example:8443/", Some(("relay.example", 8443))),
            ("https://[::1]:8443", Some(("::1", 8443))),
            ("https://127.0.0.1", Some(("127.0.0.1", 443))),
            ("http://relay.example", None),
            ("relay.example", None),
            ("https://relay.example/api", None),
            ("", None),
        ];
        for (url, expected) in table {
            let parsed = parse(url);
            let parsed = parsed.as_ref().map(|(host, port)| (host.as_str(), *port));
            assert_eq!(parsed, expected, "{url}");
        }
    }
}
