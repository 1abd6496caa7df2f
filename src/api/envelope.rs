//! What every answer has: an id, headers that keep it out of caches, and problems as JSON.

use access::Code;
use std::time::Duration;

use api::Problem;
use axum::Extension;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;
use tracing::Instrument;
use uuid::Uuid;

use super::error::ApiError;

/// Gives the request an id and a deadline, and writes its answer out.
pub(super) async fn envelope(request: Request, next: Next) -> Response {
    let id = Uuid::new_v4();
    let span = tracing::info_span!("request", %id);
    let answered = timeout(DEADLINE, next.run(request).instrument(span)).await;
    let response = answered.unwrap_or_else(|_| too_slow().into_response());
    finish(response, &id.to_string())
}

/// That a path leads nowhere; an extension of its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoSuchPath;

/// The answer where the path leads nowhere.
pub(super) async fn no_such_path() -> (Extension<NoSuchPath>, ApiError) {
    let detail = "the API has no such path";
    let error = ApiError::new(StatusCode::NOT_FOUND, Code("request.not_found"), detail);
    (Extension(NoSuchPath), error)
}

/// The answer where the path is there, but not for this method.
pub(super) async fn no_such_method() -> ApiError {
    let detail = "this path has no such method";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, Code("request.method"), detail)
}

fn too_slow() -> ApiError {
    let detail = format!("the request took longer than {} s", DEADLINE.as_secs());
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, Code("request.timeout"), detail)
        .hint("try again")
}

fn finish(mut response: Response, id: &str) -> Response {
    if let Some(mut problem) = response.extensions_mut().remove::<Problem>() {
        id.clone_into(&mut problem.request_id);
        response = write_out(response, &problem);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    // Answers hold tokens and names: no cache may keep one, and no browser guess at one, show one as a
    // page or tell anybody its address.
    for (name, value) in SECURITY {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn write_out(response: Response, problem: &Problem) -> Response {
    let (mut parts, _) = response.into_parts();
    let json = serde_json::to_vec(problem).unwrap_or_default();
    let kind = HeaderValue::from_static("application/problem+json");
    parts.headers.remove(axum::http::header::CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, kind);
    if parts.status == StatusCode::UNAUTHORIZED {
        parts.headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    Response::from_parts(parts, Body::from(json))
}

const SECURITY: [(HeaderName, &str); 5] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
];
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Around a whole request, so that a peer that sends its body drop by drop holds nothing for long.
const DEADLINE: Duration = Duration::from_secs(30);
