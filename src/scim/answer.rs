//! Resources, lists and errors, as SCIM writes them.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::api::ApiError;

/// Why something was not done (RFC 7644, 3.12).
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    kind: Option<&'static str>,
    detail: String,
}

impl Failure {
    pub(super) fn new(
        status: StatusCode,
        kind: Option<&'static str>,
        detail: impl Into<String>,
    ) -> Self {
        Self { status, kind, detail: detail.into() }
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Some("invalidValue"), detail)
    }

    /// A body that is not of the form asked for.
    pub(super) fn unread(error: &serde_json::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Some("invalidSyntax"), error.to_string())
    }

    pub(super) fn absent() -> Self {
        Self::new(StatusCode::NOT_FOUND, None, "there is no such resource of yours")
    }

    pub(super) fn taken(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, Some("uniqueness"), detail)
    }

    pub(super) fn internal(cause: &str) -> Self {
        tracing::error!(error = cause, "A SCIM request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, None, "the relay failed")
    }

    pub(super) fn of(error: &ApiError) -> Self {
        let problem = error.problem();
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
        let kind = (status == StatusCode::CONFLICT).then_some("uniqueness");
        // SCIM has no 422.
        let status = match status {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            other => other,
        };
        Self::new(status, kind, format!("{} ({})", problem.detail, problem.code))
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::of(&error)
    }
}

impl From<store::StoreError> for Failure {
    fn from(error: store::StoreError) -> Self {
        Self::of(&error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut error = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": self.status.as_u16().to_string(),
            "detail": self.detail,
        });
        if let Some(kind) = self.kind {
            error["scimType"] = kind.into();
        }
        resource(self.status, &error)
    }
}

pub(super) fn resource(status: StatusCode, value: &Value) -> Response {
    let mut response = (status, value.to_string()).into_response();
    let kind = HeaderValue::from_static("application/scim+json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// A part of what was found (RFC 7644, 3.4.2).
pub(super) fn list(all: Vec<Value>, start: usize, count: usize) -> Response {
    let total = all.len();
    let first = start.max(1);
    let part: Vec<Value> = all.into_iter().skip(first - 1).take(count).collect();
    resource(
        StatusCode::OK,
        &json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": total,
            "startIndex": first,
            "itemsPerPage": part.len(),
            "Resources": part,
        }),
    )
}
