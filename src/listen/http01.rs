//! Port 80, where a CA looks whether a name leads here; everybody else is sent to https.

use std::convert::Infallible;
use std::sync::Arc;

use access::HostName;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HOST, LOCATION};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use gateway_web::{Place, WebGateway, without_port};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::https::{Tls, finish, http1_server};
use crate::acme::Challenges;
use crate::lobby::Guest;

/// What port 80 knows.
pub(crate) struct Http01 {
    pub(crate) challenges: Arc<Challenges>,
    pub(crate) web: WebGateway,
    pub(crate) tls: watch::Receiver<Tls>,
    /// Where https is.
    pub(crate) port: u16,
    pub(crate) stop: CancellationToken,
}

impl Http01 {
    /// Serves one connection until the peer leaves, has to make room, or the relay stops.
    pub(crate) async fn serve(self: Arc<Self>, socket: TcpStream, guest: Guest) {
        let door = self.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = door.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let connection = http1_server().serve_connection(TokioIo::new(socket), service);
        tokio::select! {
            biased;
            () = finish(connection, self.stop.cancelled()) => {}
            () = guest.ousted() => {}
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        let mut hosts = request.headers().get_all(HOST).iter();
        let host = hosts.next().filter(|_| hosts.next().is_none());
        let host = host.and_then(|host| host.to_str().ok()).map(without_port);
        let host = host.unwrap_or_default().to_ascii_lowercase();
        let path = request.uri().path();
        if let Some(token) = path.strip_prefix(WELL_KNOWN)
            && let Some(text) = self.challenges.http(&host, token)
        {
            return answer(StatusCode::OK, CONTENT_TYPE, "application/octet-stream", text);
        }
        match self.knows(&host).then(|| self.there(&host, request)) {
            Some(there) => answer(StatusCode::PERMANENT_REDIRECT, LOCATION, &there, String::new()),
            None => {
                let text = "the Host is no name of this relay\n".to_owned();
                answer(StatusCode::MISDIRECTED_REQUEST, CONTENT_TYPE, "text/plain", text)
            }
        }
    }

    fn knows(&self, host: &str) -> bool {
        let is_own = self.tls.borrow().names.iter().any(|name| name == host);
        let is_name = host.parse::<HostName>().is_ok();
        is_own || (is_name && matches!(self.web.place(host), Place::Application(_)))
    }

    fn there<B>(&self, host: &str, request: &Request<B>) -> String {
        let port = if self.port == 443 { String::new() } else { format!(":{}", self.port) };
        let path = request.uri().path_and_query().map(PathAndQuery::as_str);
        let path = path.filter(|path| path.starts_with('/')).unwrap_or("/");
        format!("https://{host}{port}{path}")
    }
}

fn answer(
    status: StatusCode,
    name: axum::http::HeaderName,
    value: &str,
    text: String,
) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

const WELL_KNOWN: &str = "/.well-known/acme-challenge/";
