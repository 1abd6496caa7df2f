//! One request, from its head to its answer's.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use access::Code;
use bytes::Bytes;
use hyper::ext::on_informational;
use hyper::header::{EXPECT, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use rustls::client::danger::ServerCertVerifier;
use session::{Authn, Broker, DialError, RequestLog, SignIns};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use trust::Trust;
use uuid::Uuid;

use crate::answer::{Source, WebBody};
use crate::body::Upload;
use crate::browser::{self, Cookies};
use crate::change::Change;
use crate::faults::Faults;
use crate::grpc;
use crate::headers::{adjust, toward_client, toward_origin};
use crate::host::{Place, authority, is_named, without_port};
use crate::leftover::Watched;
use crate::links::{Places, rewrite};
use crate::log::Entry;
use crate::open::LetIn;
use crate::origin::{Answer, Carrier, Lane, OriginError};
use crate::problem::{Refusal, http};
use crate::request_id::{self, REQUEST_ID};
use crate::sessions::{Keeper, Sessions, Visit, sessions};
use crate::statement::Signer;
use crate::strict::{Ledger, Malformed};
use crate::target::Http;
use crate::token::{self, Base, Shown, TokenFault};
use crate::upgrade::{Far, Switch, SwitchedStream};

/// What the web door is made of.
pub struct WebConfig {
    pub broker: Broker,
    pub authn: Arc<dyn Authn>,
    pub sign_ins: Arc<dyn SignIns>,
    /// Applications are one label below it.
    pub domain: String,
    /// Where browsers reach the relay's own pages, without `https://`, where that is not its host and
    /// the port of applications.
    pub public: Option<String>,
    /// Checks the certificates of origins that have no CA and no pin of their own; `None`: those are
    /// not trusted.
    pub roots: Option<Arc<dyn ServerCertVerifier>>,
    pub signer: Arc<Signer>,
    pub log: Arc<dyn RequestLog>,
    /// Cancelled when no new requests come.
    pub stop: CancellationToken,
}

/// The web door. Cheap to clone.
#[derive(Clone)]
pub struct WebGateway(Arc<Inner>);

/// The connection that a request comes on.
#[derive(Clone)]
pub struct Client {
    pub addr: SocketAddr,
    /// The server name of the TLS handshake.
    pub sni: Option<String>,
    /// What is known of the bytes; `None` for HTTP/2.
    pub ledger: Option<Ledger>,
    /// Cancelled when a request has shown a token that is good.
    pub proven: CancellationToken,
    /// To be cancelled when the connection has to end though its client reads nothing.
    pub cut: CancellationToken,
    /// By what its last request was let in.
    pub let_in: LetIn,
    /// Where a change of protocol is left for whoever drives the connection.
    pub switch: Arc<Mutex<Option<Switch>>>,
    /// The same for the streams of HTTP/2.
    pub streams: Option<mpsc::Sender<SwitchedStream>>,
}

pub(crate) struct Inner {
    pub(crate) broker: Broker,
    pub(crate) authn: Arc<dyn Authn>,
    pub(crate) sign_ins: Arc<dyn SignIns>,
    pub(crate) sessions: Sessions,
    pub(crate) domain: String,
    pub(crate) public: Option<String>,
    pub(crate) trust: Trust,
    signer: Arc<Signer>,
    log: Arc<dyn RequestLog>,
    faults: Faults,
}

/// A request whose head is understood.
pub(crate) struct Asked {
    /// As the client wrote it.
    pub(crate) authority: String,
    pub(crate) label: String,
    pub(crate) target: PathAndQuery,
    pub(crate) by: By,
}

/// By what a request is to be let in.
pub(crate) enum By {
    Token(Shown),
    /// Whatever a browser holds.
    Cookies(Cookies),
}

/// Why a request has no answer of its application.
pub(crate) enum Turned {
    Away(Refusal),
    /// The relay answers for itself.
    Here(Response<WebBody>),
}

impl From<Refusal> for Turned {
    fn from(refusal: Refusal) -> Self {
        Self::Away(refusal)
    }
}

impl WebGateway {
    /// The door, and what keeps its sessions: it has to run for as long as the door is used.
    pub fn new(config: WebConfig) -> (Self, Keeper) {
        let WebConfig { broker, authn, sign_ins, domain, public, roots, signer, log, stop } =
            config;
        let (sessions, keeper) = sessions(stop);
        let trust = Trust::new(roots);
        let faults = Faults::default();
        let inner =
            Inner { broker, authn, sign_ins, sessions, domain, public, trust, signer, log, faults };
        (Self(Arc::new(inner)), keeper)
    }

    /// Answers a request for the application that its Host names by `label`.
    pub async fn answer(
        &self,
        mut request: Request<Watched>,
        client: &Client,
        label: String,
    ) -> Response<WebBody> {
        // Ordered by time: records are kept and listed by it.
        let id = Uuid::now_v7();
        let mut entry = self.0.entry(id, &request, client);
        let given = request_id::given(request.headers());
        entry.called(given.as_ref());
        let name = given.unwrap_or_else(|| request_id::own(id));
        request.headers_mut().insert(REQUEST_ID, name.clone());
        let call = grpc::is_call(request.headers());
        let person = browser::navigates(&request).then(|| authority(&request)).flatten();
        let person = person.map(str::to_owned);
        let answered = match self.0.serve(request, client, label, &mut entry).await {
            Ok(served) => self.0.pass_on(served, call, client, entry).await,
            Err(Turned::Away(refusal)) => Err((refusal, entry)),
            Err(Turned::Here(mut answer)) => {
                entry.answered(answer.status());
                answer.headers_mut().insert(REQUEST_ID, name);
                return answer;
            }
        };
        let away = |(refusal, entry)| self.0.turn_away((id, call, person), refusal, entry);
        let mut answer = answered.unwrap_or_else(away);
        answer.headers_mut().insert(REQUEST_ID, name);
        answer
    }

    /// What an authority, or the server name of a TLS handshake, names.
    pub fn place(&self, authority: &str) -> Place {
        self.0.place(authority)
    }

    /// The answer to a request that is for nobody here.
    pub fn nobody() -> Response<WebBody> {
        misdirected("the Host is no name of this relay").into_response(Uuid::new_v4())
    }
}

/// An origin's answer, and what it takes to pass it on.
struct Served {
    answer: Answer,
    visit: Visit,
    asked: Passed,
}

/// What of a request its answer depends on.
struct Passed {
    authority: String,
    base: Option<Base>,
    /// What the client asked to change to.
    change: Option<Change>,
}

impl Inner {
    fn entry(&self, id: Uuid, request: &Request<Watched>, client: &Client) -> Entry {
        let host = authority(request).unwrap_or_default();
        let asked = (request.method(), host, token::shown_path(request.uri().path()));
        Entry::new(self.log.clone(), id, client.addr.ip().to_canonical(), asked)
    }

    async fn serve(
        &self,
        mut request: Request<Watched>,
        client: &Client,
        label: String,
        entry: &mut Entry,
    ) -> Result<Served, Turned> {
        let asked = Self::understand(&mut request, client, label)?;
        let from = client.addr.ip().to_canonical();
        if let Some(own) = browser::own(&asked.target) {
            return Err(self.of_our_own(own, &asked)?);
        }
        let mut visit = match &asked.by {
            By::Token(shown) => self.enter(shown, &asked.label, (from, &client.let_in)).await?,
            By::Cookies(cookies) => self.visit(&request, &asked, cookies, from).await?,
        };
        client.proven.cancel();
        visit.came_on(&client.cut);
        if visit.is_crowded() {
            return Err(busy().into());
        }
        entry.belongs_to(&visit);
        visit.turn_to(without_port(&asked.authority), asked.target.path());
        let http = visit.target().http;
        let mut change = match client.ledger {
            Some(_) => Change::by_upgrade(request.headers(), http),
            None => Change::by_connect(&mut request)?,
        };
        let_through(&request, &asked, &visit)?;
        let upgrade = change.as_ref().and_then(|change| change.upgrade(http));
        let mut upload = self.outgoing(request, &asked, &visit, upgrade);
        if let Some(change) = &mut change {
            change.prepare(&mut upload, http);
        }
        Self::expect(&mut upload, client);
        entry.uploads(upload.body().flow());
        let (over, exchange) = (visit.over(), visit.exchange());
        let answer = tokio::select! {
            biased;
            () = over.cancelled() => Err(ended(&visit)),
            answer = async {
                match (&change, http) {
                    (None, _) => exchange.send(upload).await,
                    (Some(_), Http::Two) => Box::pin(exchange.send_connect(upload)).await,
                    (Some(_), Http::One | Http::Either) => {
                        Box::pin(exchange.send_upgrade(upload)).await
                    }
                }
            } => answer.map_err(|error| {
                self.faults.tell(visit.application(), &error);
                unanswered(&error, client)
            }),
        };
        let Asked { authority, by, .. } = asked;
        let base = match by {
            By::Token(shown) => shown.base,
            By::Cookies(_) => None,
        };
        let asked = Passed { authority, base, change };
        Ok(Served { answer: answer?, visit, asked })
    }

    fn place(&self, authority: &str) -> Place {
        Place::of(authority, &self.domain, &self.broker.policy())
    }

    /// A refusal, for a client of gRPC, a person who looked for a page at a host, or a program.
    fn turn_away(
        &self,
        (id, call, person): (Uuid, bool, Option<String>),
        refusal: Refusal,
        mut entry: Entry,
    ) -> Response<WebBody> {
        entry.refused(refusal.status(), refusal.recorded());
        match person {
            _ if call => refusal.into_call_response(id),
            Some(host) => self.show(id, refusal, &host),
            None => refusal.into_response(id),
        }
    }

    /// Reads whom a request is for and takes its token out.
    fn understand(
        request: &mut Request<Watched>,
        client: &Client,
        label: String,
    ) -> Result<Asked, Refusal> {
        let authority =
            authority(request).ok_or_else(|| misdirected("the request has no one Host"))?;
        let authority = authority.to_owned();
        if client.sni.as_ref().is_some_and(|sni| !is_named(&authority, sni)) {
            return Err(misdirected("the Host is another than the connection was made for"));
        }
        let mut target = request.uri().path_and_query().cloned().ok_or_else(no_path)?;
        // A server as a whole is asked for its options and for nothing else.
        let whole = target.as_str() == "*" && request.method() == Method::OPTIONS;
        if !target.path().starts_with('/') && !whole {
            return Err(no_path());
        }
        // The relay's own cookies go no further, whatever lets the request in.
        let cookies = Cookies::take(request.headers_mut());
        let by = match token::take(request.headers_mut(), &mut target) {
            Ok(shown) => By::Token(shown),
            Err(TokenFault::None) => By::Cookies(cookies),
            Err(fault @ (TokenFault::Two | TokenFault::InQuery)) => return Err(no_token(fault)),
        };
        Ok(Asked { authority, label, target, by })
    }

    /// The request as the origin gets it.
    fn outgoing(
        &self,
        request: Request<Watched>,
        asked: &Asked,
        visit: &Visit,
        upgrade: Option<HeaderValue>,
    ) -> Request<Upload> {
        let (mut parts, body) = request.into_parts();
        parts.uri = Uri::from(visit.target().path(&asked.target));
        let (told, statement) = (visit.told(&asked.authority), visit.statement(&self.signer));
        toward_origin(&mut parts.headers, upgrade, &told, statement);
        adjust(&mut parts.headers, &visit.application().web);
        parts.extensions.clear();
        Request::from_parts(parts, Upload::new(body))
    }

    /// Leaves it to the origin whether a body is asked for, where the client waits for that.
    fn expect(request: &mut Request<Upload>, client: &Client) {
        let expects = request.headers().get(EXPECT);
        let expects = expects.is_some_and(|e| e.as_bytes().eq_ignore_ascii_case(CONTINUE));
        // Over HTTP/2 the client would not be told.
        if !expects || client.ledger.is_none() || request.body().is_none() {
            request.headers_mut().remove(EXPECT);
            return;
        }
        let wanted = CancellationToken::new();
        request.body_mut().await_continue(wanted.clone());
        on_informational(request, move |answer| {
            if answer.status() == StatusCode::CONTINUE {
                wanted.cancel();
            }
        });
    }

    /// The origin's answer as the client gets it.
    async fn pass_on(
        &self,
        served: Served,
        call: bool,
        client: &Client,
        mut entry: Entry,
    ) -> Result<Response<WebBody>, (Refusal, Entry)> {
        let Served { answer: Answer { mut response, carrier }, visit, asked } = served;
        let far = hyper::upgrade::on(&mut response);
        let (mut parts, body) = response.into_parts();
        let made = asked.change.as_ref().filter(|change| change.is_made(&parts, &carrier));
        toward_client(&mut parts.headers, made.is_some());
        browser::refuse_ours(&mut parts.headers);
        browser::spare_ours(&mut parts.headers);
        let (public, base) = (asked.authority.as_str(), asked.base.as_ref());
        let several = visit.targets().len() > 1;
        let all = visit.targets().filter(|_| several).map(|target| &target.side).collect();
        let places = Places { public, own: &visit.target().side, all, base };
        rewrite(&mut parts.headers, &places);
        parts.version = Version::default();
        if let Some(change) = made {
            change.tell(&mut parts);
        } else if parts.status == StatusCode::SWITCHING_PROTOCOLS || asked.is_deceived(&parts) {
            return Err((unanswered(&OriginError::Switched, client), entry));
        }
        entry.answered(parts.status);
        if made.is_none() {
            let source = Source { body, carrier, call };
            return Ok(Response::from_parts(parts, WebBody::of(source, visit, entry).await));
        }
        let (origin, ahead, lane) = match far_end(carrier, far).await {
            Ok(end) => end,
            Err(error) => return Err((unanswered(&error, client), entry)),
        };
        let switch = Switch { origin, lane, ahead, visit, entry };
        client.change(switch, asked.change.and_then(|change| change.stream)).await;
        Ok(Response::from_parts(parts, WebBody::empty()))
    }
}

impl Passed {
    /// Whether the client would take an answer for a change that the origin has not made: any success
    /// is one to who has sent CONNECT.
    fn is_deceived(&self, answer: &hyper::http::response::Parts) -> bool {
        let connect = self.change.as_ref().is_some_and(|change| change.stream.is_some());
        connect && answer.status.is_success()
    }
}

impl Client {
    /// Leaves a change for whoever drives the connection, or the stream of it that has asked.
    async fn change(&self, switch: Switch, stream: Option<OnUpgrade>) {
        match (stream, &self.streams) {
            (Some(client), Some(streams)) => {
                // Where nobody takes it, the connection is over.
                drop(streams.send(SwitchedStream { switch, client }).await);
            }
            _ => *self.switch.lock().unwrap_or_else(PoisonError::into_inner) = Some(switch),
        }
    }
}

/// The origin's stream under an answer that has changed protocols.
async fn far_end(
    carrier: Carrier,
    far: OnUpgrade,
) -> Result<(Box<dyn Far>, Bytes, Option<Lane>), OriginError> {
    match carrier {
        Carrier::Single(single) => {
            let (io, ahead) = single.into_io().await;
            Ok((Box::new(io), ahead, None))
        }
        Carrier::Lane(lane) => {
            let upgraded = far.await.map_err(OriginError::Broken)?;
            Ok((Box::new(TokioIo::new(upgraded)), Bytes::new(), Some(lane)))
        }
    }
}

fn let_through(request: &Request<Watched>, asked: &Asked, visit: &Visit) -> Result<(), Refusal> {
    let options = &visit.application().web;
    // A WebSocket is begun by GET, however HTTP/2 calls that.
    let connect = request.method() == Method::CONNECT;
    let method = if connect { &Method::GET } else { request.method() };
    if options.lets_through(method.as_str(), asked.target.path()) {
        return Ok(());
    }
    let detail = "the application is not open for this method or path";
    Err(Refusal::new(StatusCode::FORBIDDEN, Code("web.not_let_through"), detail)
        .hint("an admin sets what is in the application's `methods` and `paths`"))
}

pub(crate) fn malformed(error: Malformed) -> Refusal {
    let status = match error {
        Malformed::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Malformed::LineEnd
        | Malformed::RequestLine
        | Malformed::Version
        | Malformed::Target
        | Malformed::Field
        | Malformed::Folded
        | Malformed::Host
        | Malformed::Length
        | Malformed::TransferEncoding
        | Malformed::Chunk
        | Malformed::Upgrade => StatusCode::BAD_REQUEST,
    };
    Refusal::of(status, &error).closing()
}

fn misdirected(detail: &str) -> Refusal {
    Refusal::new(StatusCode::MISDIRECTED_REQUEST, Code("web.misdirected"), detail)
        .hint("an application's address is https://<app>-<site>.<domain of the relay>/")
}

fn busy() -> Refusal {
    let detail = "this session has as many requests under way as it may";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, Code("web.busy"), detail)
        .hint("send fewer at a time")
}

fn no_path() -> Refusal {
    Refusal::of(StatusCode::BAD_REQUEST, &Malformed::Target)
}

pub(crate) fn no_token(fault: TokenFault) -> Refusal {
    match fault {
        TokenFault::None => {
            let detail = "this application needs a token, and the request shows none";
            Refusal::new(StatusCode::UNAUTHORIZED, Code("authn.required"), detail)
                .hint("send one as `X-Adit-Key: TOKEN`, or call /adit-key/TOKEN/…")
        }
        TokenFault::Two | TokenFault::InQuery => {
            let detail = fault.to_string();
            Refusal::new(StatusCode::BAD_REQUEST, Code("web.two_tokens"), &detail)
                .hint("show one token, in one header or at the beginning of the path")
        }
    }
}

/// The answer to a request whose session ended before there was one.
fn ended(visit: &Visit) -> Refusal {
    let reason = visit.reason();
    Refusal::of(http(reason.http_status()), &reason)
}

/// The answer for an origin that gave none; or for a client whose body broke off.
fn unanswered(error: &OriginError, client: &Client) -> Refusal {
    if let Some(error) = client.ledger.as_ref().and_then(Ledger::broken) {
        return malformed(error);
    }
    tracing::debug!(error = error as &dyn std::error::Error, "No answer of an origin");
    let status = match error {
        OriginError::TimedOut { .. } | OriginError::Dial(DialError::TimedOut { .. }) => {
            StatusCode::GATEWAY_TIMEOUT
        }
        OriginError::Dial(_)
        | OriginError::Tls(_)
        | OriginError::Options(_)
        | OriginError::NoHttp2
        | OriginError::NoWebSocket
        | OriginError::Broken(_)
        | OriginError::Closed
        | OriginError::Switched => StatusCode::BAD_GATEWAY,
    };
    Refusal::of(status, error).recorded_as(error.recorded())
}

const CONTINUE: &[u8] = b"100-continue";
