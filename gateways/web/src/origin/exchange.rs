//! One request and the head of its answer.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::header::{EXPECT, HOST, HeaderValue};
use hyper::{Method, Request, Response, Uri, Version};
use session::Session;
use tokio::time::{Instant, sleep_until};

use super::connect::{Line, connect, connect_single};
use super::{Lane, OriginError, Pool, Single};
use crate::body::{Flow, Upload};
use crate::target::Target;

/// Where a request is sent.
pub(crate) struct Exchange<'a> {
    pub(crate) session: &'a Session,
    pub(crate) pool: &'a Pool,
    pub(crate) target: &'a Target,
}

/// An answer's head, and what its body comes over.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) carrier: Carrier,
}

/// What carries a request and its answer.
pub(crate) enum Carrier {
    /// A whole connection.
    Single(Single),
    /// One of the lanes of a connection.
    Lane(Lane),
}

/// How long an answer's head may take.
#[derive(Clone, Copy)]
struct Limit<'a> {
    flow: &'a Flow,
    /// Without progress of the request.
    after: Duration,
}

enum Failed {
    /// Nothing of it was sent.
    Unsent(Box<Request<Upload>>),
    /// The origin says that it has not looked at it.
    Unseen(OriginError),
    /// Something may have been sent.
    Sent(OriginError),
}

impl Carrier {
    /// Polls what comes over it; the connection does what it can in between, where nobody else drives
    /// it.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut part: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        match self {
            Self::Single(single) => single.poll(cx, part),
            Self::Lane(_) => part(cx),
        }
    }
}

impl Exchange<'_> {
    /// Sends a request over a connection that waits, has room, or is new.
    ///
    /// One that waited may have been closed by the origin at that moment: a request that was not
    /// sent, or that may be sent twice, then goes over a new one. So does one that the origin has
    /// refused without looking at it.
    pub(crate) async fn send(&self, request: Request<Upload>) -> Result<Answer, OriginError> {
        let flow = request.body().flow();
        let mut request = request;
        let mut waiting = self.pool.take().await;
        for _ in 0..ATTEMPTS {
            let waited = waiting.is_some();
            let carrier = match waiting.take() {
                Some(carrier) => carrier,
                // Seldom, and large: not a part of each request's future.
                None => Box::pin(self.open()).await?,
            };
            let copy = copy(&request);
            let safe = waited && is_safe(&request);
            request = match (self.over(carrier, request, &flow).await, copy) {
                (Ok(answer), _) => return Ok(answer),
                (Err(Failed::Unsent(request)), _) => *request,
                (Err(Failed::Unseen(_)), Some(again)) => again,
                (Err(Failed::Sent(OriginError::Broken(_))), Some(again)) if safe => again,
                (Err(Failed::Unseen(error) | Failed::Sent(error)), _) => return Err(error),
            };
        }
        Err(OriginError::Closed)
    }

    /// Sends a request that asks for another protocol, which only a connection of its own can
    /// change to.
    pub(crate) async fn send_upgrade(
        &self,
        request: Request<Upload>,
    ) -> Result<Answer, OriginError> {
        let flow = request.body().flow();
        let request = match self.pool.take_single().await {
            None => request,
            Some(single) => match self.over(Carrier::Single(single), request, &flow).await {
                Ok(answer) => return Ok(answer),
                Err(Failed::Unsent(request)) => *request,
                Err(Failed::Unseen(error) | Failed::Sent(error)) => return Err(error),
            },
        };
        let single = Box::pin(connect_single(self.session, self.target)).await?;
        match self.over(Carrier::Single(single), request, &flow).await {
            Ok(answer) => Ok(answer),
            Err(Failed::Unseen(error) | Failed::Sent(error)) => Err(error),
            Err(Failed::Unsent(_)) => Err(OriginError::Closed),
        }
    }

    /// The same where the origin is spoken to in HTTP/2: a stream of the connection changes.
    pub(crate) async fn send_connect(
        &self,
        request: Request<Upload>,
    ) -> Result<Answer, OriginError> {
        let flow = request.body().flow();
        let lane = match self.pool.lane() {
            Some(lane) => lane,
            None => match Box::pin(self.open()).await? {
                Carrier::Lane(lane) => lane,
                Carrier::Single(_) => return Err(OriginError::NoHttp2),
            },
        };
        if !lane.takes_connect().await {
            return Err(OriginError::NoWebSocket);
        }
        match self.over(Carrier::Lane(lane), request, &flow).await {
            Ok(answer) => Ok(answer),
            Err(Failed::Unseen(error) | Failed::Sent(error)) => Err(error),
            Err(Failed::Unsent(_)) => Err(OriginError::Closed),
        }
    }

    /// A new connection; or a lane on one that somebody else has just made.
    async fn open(&self) -> Result<Carrier, OriginError> {
        let turn = self.pool.turn(self.target.connect).await;
        if turn.is_some()
            && let Some(lane) = self.pool.lane()
        {
            return Ok(Carrier::Lane(lane));
        }
        match connect(self.session, self.target).await? {
            Line::Single(single) => {
                self.pool.is_single();
                Ok(Carrier::Single(single))
            }
            Line::Multiplex(multiplex) => {
                let lane = self.pool.share(multiplex);
                lane.map(Carrier::Lane).ok_or(OriginError::Closed)
            }
        }
    }

    async fn over(
        &self,
        carrier: Carrier,
        mut request: Request<Upload>,
        flow: &Arc<Flow>,
    ) -> Result<Answer, Failed> {
        match carrier {
            Carrier::Single(single) => {
                self.in_one(&mut request);
                send_single(single, request, self.limit(flow)).await
            }
            Carrier::Lane(lane) => {
                self.in_two(&mut request).map_err(Failed::Sent)?;
                send_lane(lane, request, self.limit(flow)).await
            }
        }
    }

    fn limit<'b>(&self, flow: &'b Flow) -> Limit<'b> {
        Limit { flow, after: self.target.answer }
    }

    /// The request in the form of HTTP/1.1: where it goes stands in `Host`.
    fn in_one(&self, request: &mut Request<Upload>) {
        *request.version_mut() = Version::HTTP_11;
        if let Some(path) = request.uri().path_and_query().cloned() {
            *request.uri_mut() = Uri::from(path);
        }
        if let Ok(host) = HeaderValue::from_str(&self.target.side.host) {
            request.headers_mut().insert(HOST, host);
        }
    }

    /// The request in the form of HTTP/2: where it goes stands in its URI, which becomes
    /// `:authority`.
    fn in_two(&self, request: &mut Request<Upload>) -> Result<(), OriginError> {
        *request.version_mut() = Version::HTTP_2;
        request.headers_mut().remove(HOST);
        // Its windows hold a body back, and nobody is told of a 100 here.
        request.headers_mut().remove(EXPECT);
        request.body_mut().begin();
        let scheme = if self.target.tls.is_some() { "https" } else { "http" };
        let mut uri = Uri::builder().scheme(scheme).authority(self.target.side.host.as_str());
        if let Some(path) = request.uri().path_and_query().cloned() {
            uri = uri.path_and_query(path);
        }
        *request.uri_mut() = uri.build().map_err(|e| OriginError::Options(e.to_string()))?;
        Ok(())
    }
}

/// A copy of a request that has no body.
fn copy(request: &Request<Upload>) -> Option<Request<Upload>> {
    if !request.body().is_none() {
        return None;
    }
    let mut copy = Request::new(Upload::none(request.body().flow()));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// Whether a request changes nothing when the origin gets it twice.
fn is_safe(request: &Request<Upload>) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method())
}

async fn send_single(
    mut single: Single,
    request: Request<Upload>,
    limit: Limit<'_>,
) -> Result<Answer, Failed> {
    let mut sending = pin!(single.sender.try_send_request(request));
    let answered = poll_fn(|cx| single.poll(cx, |cx| sending.as_mut().poll(cx)));
    let response = in_time(answered, limit).await?;
    Ok(Answer { response, carrier: Carrier::Single(single) })
}

async fn send_lane(
    lane: Lane,
    request: Request<Upload>,
    limit: Limit<'_>,
) -> Result<Answer, Failed> {
    let mut sender = lane.sender();
    let response = in_time(sender.try_send_request(request), limit).await?;
    Ok(Answer { response, carrier: Carrier::Lane(lane) })
}

async fn in_time(
    answer: impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>>,
    limit: Limit<'_>,
) -> Result<Response<Incoming>, Failed> {
    let answered = tokio::select! {
        biased;
        answered = answer => answered,
        () = stalled(limit) => {
            return Err(Failed::Sent(OriginError::TimedOut { after: limit.after }));
        }
    };
    answered.map_err(|mut error| match error.take_message() {
        Some(request) => Failed::Unsent(Box::new(request)),
        None => {
            let error = error.into_error();
            match is_unseen(&error) {
                true => Failed::Unseen(OriginError::Broken(error)),
                false => Failed::Sent(OriginError::Broken(error)),
            }
        }
    })
}

/// Whether the origin says that it has not looked at the request (RFC 9113, section 8.7).
fn is_unseen(error: &hyper::Error) -> bool {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        let refused = cause.reason() == Some(h2::Reason::REFUSED_STREAM);
        cause.is_remote() && (refused || cause.is_go_away())
    })
}

/// Completes when no byte of the request has moved for too long.
async fn stalled(Limit { flow, after }: Limit<'_>) {
    loop {
        let due = flow.moved() + after;
        if Instant::now() >= due {
            return;
        }
        sleep_until(due).await;
    }
}

/// Connections tried for one request that no origin has looked at.
const ATTEMPTS: usize = 3;
