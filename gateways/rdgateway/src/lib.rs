//! The RD Gateway door: Remote Desktop's own clients, over HTTPS and with a token for a password
//! ([MS-TSGU]). What they say to the desktop, and it to them, passes as it is.
//!
//! `Grant → Broker::open → Session::dial` is the only way from here to a network.

mod connection;
mod enter;
mod line;
mod pair;
#[doc(hidden)]
pub mod proto;
#[cfg(test)]
mod proto_tests;
mod websocket;
mod words;

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use access::{Code, EndReason, Side};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full, combinators::UnsyncBoxBody};
use hyper::body::Body;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode, Version};
use session::{Authn, Broker, Session};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::line::Line;
use crate::pair::Waiting;
use crate::websocket::WebSocket;

/// What the door needs of the relay.
pub struct RdGatewayConfig {
    pub broker: Broker,
    pub authn: Arc<dyn Authn>,
    /// Applications are one label below it.
    pub domain: String,
    /// Cancelled when the relay ends what is open.
    pub drain: CancellationToken,
    /// For desktops where the relay signs in.
    pub desks: Arc<dyn Desks>,
}

/// Speaks RDP with clients of managed desktops.
pub trait Desks: Send + Sync {
    /// Serves a client to the session's end, of which it tells. `left` says that the client is gone.
    fn serve<'a>(
        &'a self,
        session: Session,
        client: Box<dyn Duplex + 'a>,
        left: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = Over> + Send + 'a>>;
}

/// Bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// How a desktop came to its end, and what its user is told of it.
#[derive(Clone, Debug)]
pub struct Over {
    pub reason: EndReason,
    pub side: Side,
    pub words: String,
    pub code: Code,
}

/// The RD Gateway door. Cheap to clone.
#[derive(Clone)]
pub struct RdGateway(Arc<Gateway>);

pub(crate) struct Gateway {
    pub(crate) broker: Broker,
    pub(crate) authn: Arc<dyn Authn>,
    pub(crate) domain: String,
    pub(crate) drain: CancellationToken,
    pub(crate) desks: Arc<dyn Desks>,
    waiting: Waiting,
}

/// Who asks, over one HTTP connection or two.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub addr: SocketAddr,
    /// Cancelled once the client has shown who it is: until then its connections may be given to
    /// others.
    pub proven: Vec<CancellationToken>,
}

/// An answer's body.
pub type Answer = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// A connection that goes on as a WebSocket once its answer is written.
pub struct Switch {
    gateway: Arc<Gateway>,
    visitor: Visitor,
}

impl RdGateway {
    pub fn new(config: RdGatewayConfig) -> Self {
        let RdGatewayConfig { broker, authn, domain, drain, desks } = config;
        let waiting = Waiting::default();
        Self(Arc::new(Gateway { broker, authn, domain, drain, desks, waiting }))
    }

    /// Whether a request at the relay's host is for this door.
    pub fn is_for<B>(request: &Request<B>) -> bool {
        request.uri().path().trim_end_matches('/').eq_ignore_ascii_case(PATH)
    }

    /// Answers a request. One for the second half of a pair is answered at its end: until then the
    /// session is carried here.
    pub async fn answer<B>(
        &self,
        request: Request<B>,
        visitor: Visitor,
    ) -> (Response<Answer>, Option<Switch>)
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let headers = request.headers();
        let way = match request.method().as_str() {
            _ if shows_password(headers) => return refuse(StatusCode::UNAUTHORIZED),
            _ if request.version() != Version::HTTP_11 => {
                return refuse(StatusCode::HTTP_VERSION_NOT_SUPPORTED);
            }
            OUT => Way::Out,
            IN => Way::In,
            _ => return refuse(StatusCode::METHOD_NOT_ALLOWED),
        };
        let socket = websocket::answer(headers).filter(|_| matches!(way, Way::Out));
        if let Some(answer) = socket {
            let switch = Switch { gateway: self.0.clone(), visitor };
            return (answer.map(|()| empty()), Some(switch));
        }
        let Some(id) = connection_id(headers) else { return refuse(StatusCode::BAD_REQUEST) };
        let answer = match way {
            Way::Out => self.begin(&id, &visitor),
            // Clients ask first whether they may.
            Way::In if request.body().is_end_stream() => Response::new(empty()),
            Way::In => Box::pin(self.join(&id, request.into_body(), visitor)).await,
        };
        (answer, None)
    }

    fn begin(&self, id: &str, visitor: &Visitor) -> Response<Answer> {
        let proven = visitor.proven.first().cloned().unwrap_or_default();
        match self.0.waiting.begin(visitor.from(), id, proven) {
            Some(out) => Response::new(out.boxed_unsync()),
            None => refusal(StatusCode::CONFLICT),
        }
    }

    async fn join<B>(&self, id: &str, body: B, mut visitor: Visitor) -> Response<Answer>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let Some(half) = self.0.waiting.join(visitor.from(), id) else {
            return refusal(StatusCode::CONFLICT);
        };
        visitor.proven.push(half.proven.clone());
        let line = Line::new(Box::new(half.with(body)));
        self.0.serve(line, &visitor).await;
        Response::new(empty())
    }
}

impl Switch {
    /// Serves the client over the connection's stream, of which `early` was read already. To be run
    /// when the connection's HTTP has ended.
    pub async fn carry<S>(self, io: S, early: Bytes)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let line = Line::new(Box::new(WebSocket::serve(io, early).await));
        self.gateway.serve(line, &self.visitor).await;
    }
}

impl Visitor {
    pub(crate) fn from(&self) -> IpAddr {
        self.addr.ip().to_canonical()
    }

    pub(crate) fn proven(&self) {
        for proven in &self.proven {
            proven.cancel();
        }
    }
}

/// Which half of a pair a request is.
#[derive(Clone, Copy)]
enum Way {
    Out,
    In,
}

/// Whether a client has no token, and shows something that nobody here looks at.
fn shows_password(headers: &HeaderMap) -> bool {
    let by_token = headers.get(&AUTH_SCHEME).is_some_and(|scheme| scheme == "PAA");
    headers.contains_key(AUTHORIZATION) && !by_token
}

/// By which the two requests of a pair belong together.
fn connection_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(&CONNECTION_ID)?.to_str().ok()?;
    let sound = (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    sound.then(|| id.to_owned())
}

fn refuse(status: StatusCode) -> (Response<Answer>, Option<Switch>) {
    (refusal(status), None)
}

fn refusal(status: StatusCode) -> Response<Answer> {
    let text = "This is a gateway for Remote Desktop. Its clients come with a token, which stands in \
                the .rdp file that the portal and `adit rdp APP` give.\n";
    let mut response = Response::new(Full::from(text).boxed_unsync());
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

fn empty() -> Answer {
    Empty::new().boxed_unsync()
}

const PATH: &str = "/remoteDesktopGateway";
const OUT: &str = "RDG_OUT_DATA";
const IN: &str = "RDG_IN_DATA";
const AUTH_SCHEME: HeaderName = HeaderName::from_static("rdg-auth-scheme");
const CONNECTION_ID: HeaderName = HeaderName::from_static("rdg-connection-id");
const MAX_ID: usize = 64;
