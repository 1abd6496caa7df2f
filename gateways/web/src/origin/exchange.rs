//! One request and the head of its answer.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use session::Session;
use tokio::time::{Instant, sleep_until};

use super::{Origin, OriginError, Pool};
use crate::body::{Flow, Upload};
use crate::target::Target;

/// Where a request is sent.
pub(crate) struct Exchange<'a> {
    pub(crate) session: &'a Session,
    pub(crate) pool: &'a Pool,
    pub(crate) target: &'a Target,
}

/// An answer's head, and the connection its body comes over.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) origin: Origin,
}

enum Failed {
    /// Nothing of it was sent.
    Unsent(Box<Request<Upload>>),
    /// Something may have been sent.
    Sent(OriginError),
}

impl Exchange<'_> {
    /// Sends a request over a connection that waits or a new one.
    ///
    /// One that waited may have been closed by the origin at that moment: a request that was not
    /// sent, or that may be sent twice, then goes over a new one.
    pub(crate) async fn send(&self, request: Request<Upload>) -> Result<Answer, OriginError> {
        let flow = request.body().flow();
        let again = repeatable(&request);
        let request = match self.pool.take().await {
            None => request,
            Some(origin) => match (send(origin, request, &flow).await, again) {
                (Ok(answer), _) => return Ok(answer),
                (Err(Failed::Unsent(request)), _) => *request,
                (Err(Failed::Sent(OriginError::Broken(_))), Some(again)) => again,
                (Err(Failed::Sent(error)), _) => return Err(error),
            },
        };
        let origin = Origin::connect(self.session, self.target).await?;
        match send(origin, request, &flow).await {
            Ok(answer) => Ok(answer),
            Err(Failed::Sent(error)) => Err(error),
            Err(Failed::Unsent(_)) => Err(OriginError::Closed),
        }
    }
}

/// A copy of a request that changes nothing when it is sent twice and has no body.
fn repeatable(request: &Request<Upload>) -> Option<Request<Upload>> {
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if !safe || !request.body().is_none() {
        return None;
    }
    let mut copy = Request::new(Upload::none(request.body().flow()));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

async fn send(
    mut origin: Origin,
    request: Request<Upload>,
    flow: &Arc<Flow>,
) -> Result<Answer, Failed> {
    let mut sending = pin!(origin.sender.try_send_request(request));
    let answered = poll_fn(|cx| {
        // Polled before and after: the connection answers what it was asked in the same turn.
        if let Poll::Ready(answered) = sending.as_mut().poll(cx) {
            return Poll::Ready(answered);
        }
        origin.drive(cx);
        sending.as_mut().poll(cx)
    });
    let answered = tokio::select! {
        biased;
        answered = answered => answered,
        () = stalled(flow) => {
            return Err(Failed::Sent(OriginError::TimedOut { after: ANSWER }));
        }
    };
    match answered {
        Ok(response) => Ok(Answer { response, origin }),
        Err(mut error) => Err(match error.take_message() {
            Some(request) => Failed::Unsent(Box::new(request)),
            None => Failed::Sent(OriginError::Broken(error.into_error())),
        }),
    }
}

/// Completes when no byte of the request has moved for too long.
async fn stalled(flow: &Flow) {
    loop {
        let due = flow.moved() + ANSWER;
        if Instant::now() >= due {
            return;
        }
        sleep_until(due).await;
    }
}

/// From the last byte of a request to its answer's head.
const ANSWER: Duration = Duration::from_secs(60);
