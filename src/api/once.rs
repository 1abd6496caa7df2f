//! `Idempotency-Key`: a request that is sent again under its key is carried out once and answered
//! twice.
//!
//! A key belongs to the credential that sent it and to the request it was sent with. The request is
//! carried out in a task of its own, so that a caller who hangs up, which is why requests are sent
//! again, leaves it whole and finds its answer later. Answers are kept sealed, with whatever they
//! hold: a token's text is what somebody who lost the answer needs. What is begun and never
//! answered, because the relay ended in between, is told so and not done again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use access::Code;
use api::Problem;
use aws_lc_rs::digest::{SHA256, digest};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use store::{Sent, Store};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::caller::Caller;
use super::error::ApiError;
use crate::AppState;

/// The requests under a key that are being carried out now.
#[derive(Default)]
pub(super) struct Once {
    running: Arc<Mutex<HashSet<String>>>,
    tasks: TaskTracker,
}

impl Once {
    /// Completes when what was begun has been answered.
    pub(super) async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// `None`: it is being carried out already.
    fn enter(&self, id: &str) -> Option<Running> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let all = self.running.clone();
        running.insert(id.to_owned()).then(|| Running { all, id: id.to_owned() })
    }
}

/// A request that is being carried out; dropped when it is answered.
struct Running {
    all: Arc<Mutex<HashSet<String>>>,
    id: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// Carries a request with a key out once; one without a key goes its way. A body has at most `most`
/// bytes.
pub(super) async fn once(
    state: AppState,
    caller: Caller,
    request: Request,
    next: Next,
    most: usize,
) -> Result<Response, ApiError> {
    let Some(key) = key(request.headers())? else { return Ok(next.run(request).await) };
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, most).await.map_err(|_| ApiError::too_large())?;
    let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let told = told(parts.method.as_str(), &target, &body);
    let id = id(&caller.credential(), &key);
    let running = state.calls.once.enter(&id).ok_or_else(in_progress)?;
    let request = Request::from_parts(parts, Body::from(body));
    // Begun and carried out in one task: between the two nobody can hang up.
    let store = state.store.clone();
    let done = state.calls.once.tasks.spawn(async move {
        match store.begin_reply(&running.id, &told, SystemTime::now()).await? {
            Sent::First => {}
            Sent::Begun => return Err(interrupted()),
            Sent::Answered { status, body } => return Ok(again(status, body.to_vec())),
            Sent::Other => return Err(reused()),
        }
        let answered = timeout(LONGEST, next.run(request)).await;
        let response = answered.map_err(|_| interrupted())?;
        Ok(keep(&store, &running.id, response).await)
    });
    done.await.map_err(ApiError::internal)?
}

/// Keeps an answer for whoever sends the request again. One that says that nothing was changed
/// because the store is away is not kept: that can be tried again.
async fn keep(store: &Store, id: &str, response: Response) -> Response {
    let status = response.status();
    let problem = response.extensions().get::<Problem>().cloned();
    let kept = match &problem {
        Some(problem) if problem.code == "store.unavailable" => store.forget_reply(id).await,
        // What it changed is not known from here.
        Some(problem) if status.is_server_error() && problem.code != "policy.stale" => Ok(()),
        Some(problem) => {
            let body = serde_json::to_vec(problem).unwrap_or_default();
            store.finish_reply(id, status.as_u16(), &body).await
        }
        None => {
            let (parts, body) = response.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
            let kept = store.finish_reply(id, status.as_u16(), &body).await;
            note(kept);
            return Response::from_parts(parts, Body::from(body));
        }
    };
    note(kept);
    response
}

fn note(kept: Result<(), store::StoreError>) {
    if let Err(error) = kept {
        tracing::warn!(%error, "Could not keep an answer for whoever asks again");
    }
}

/// An answer that was given before.
fn again(status: u16, body: Vec<u8>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) if !status.is_success() => {
            let mut response = status.into_response();
            response.extensions_mut().insert(problem);
            response
        }
        Ok(_) | Err(_) => {
            let json = HeaderValue::from_static("application/json");
            (status, [(CONTENT_TYPE, json)], body).into_response()
        }
    };
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut all = headers.get_all(&KEY).iter();
    let Some(value) = all.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    match visible && (1..=64).contains(&text.len()) && all.next().is_none() {
        true => Ok(Some(text.to_owned())),
        false => {
            Err(ApiError::invalid("Idempotency-Key: one, of 1 to 64 visible ASCII characters"))
        }
    }
}

/// What a caller's key is kept by.
pub(super) fn id(credential: &str, key: &str) -> String {
    hash(&[credential.as_bytes(), key.as_bytes()])
}

/// What a request is told from others by.
pub(super) fn told(method: &str, target: &str, body: &[u8]) -> String {
    hash(&[method.as_bytes(), target.as_bytes(), body])
}

fn hash(parts: &[&[u8]]) -> String {
    let mut text = Vec::new();
    for part in parts {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part);
    }
    HEXLOWER.encode(digest(&SHA256, &text).as_ref())
}

fn in_progress() -> ApiError {
    let detail = "the request under this key is being carried out";
    ApiError::new(StatusCode::CONFLICT, Code("request.in_progress"), detail)
        .hint("send it again in a second for its answer")
        .retry_after(Duration::from_secs(1))
}

fn interrupted() -> ApiError {
    let detail = "the request under this key was begun, and the relay ended before it was answered";
    ApiError::new(StatusCode::CONFLICT, Code("request.interrupted"), detail)
        .hint("look whether it was done; to do it again, use another key")
}

fn reused() -> ApiError {
    let detail = "another request was sent under this key";
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, Code("request.key_reused"), detail)
        .hint("use a new key for each thing you ask for")
}

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Longer than any handler takes.
const LONGEST: Duration = Duration::from_secs(60);
