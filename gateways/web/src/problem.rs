//! Refusals as a client gets them: `application/problem+json` (RFC 9457).

use access::{Code, Explain};
use bytes::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde::Serialize;
use uuid::Uuid;

use crate::answer::WebBody;
use crate::grpc;
use crate::request_id::{REQUEST_ID, own};

/// Why a request got no answer of its application.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: Code,
    detail: String,
    hint: Option<String>,
    /// What the record says, where the client is told less.
    recorded: Option<Code>,
    /// The connection is of no more use.
    close: bool,
}

impl Refusal {
    pub(crate) fn of(status: StatusCode, error: &dyn Explain) -> Self {
        Self {
            status,
            code: error.code(),
            detail: error.public().into_owned(),
            hint: error.hint().map(std::borrow::Cow::into_owned),
            recorded: None,
            close: false,
        }
    }

    pub(crate) fn new(status: StatusCode, code: Code, detail: &str) -> Self {
        let detail = detail.to_owned();
        Self { status, code, detail, hint: None, recorded: None, close: false }
    }

    pub(crate) fn hint(self, hint: &str) -> Self {
        Self { hint: Some(hint.to_owned()), ..self }
    }

    pub(crate) fn recorded_as(self, code: Code) -> Self {
        Self { recorded: Some(code), ..self }
    }

    pub(crate) fn closing(self) -> Self {
        Self { close: true, ..self }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn code(&self) -> Code {
        self.code
    }

    pub(crate) fn recorded(&self) -> Code {
        self.recorded.unwrap_or(self.code)
    }

    /// The same for a client of gRPC.
    pub(crate) fn into_call_response(self, id: Uuid) -> Response<WebBody> {
        let hint = self.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        let message = format!("{} ({}){hint}", self.detail, self.code.0);
        let mut response = grpc::refusal(self.status, &message);
        response.headers_mut().insert(REQUEST_ID, own(id));
        response
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn said_hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    pub(crate) fn into_response(self, id: Uuid) -> Response<WebBody> {
        let (name, id) = (own(id), id.to_string());
        let problem = Problem {
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            hint: self.hint.as_deref(),
            request_id: &id,
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(WebBody::full(Bytes::from(body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REQUEST_ID, name);
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"adit\""));
        }
        if [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&self.status) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A status out of a table of `access` or `session`.
pub(crate) fn http(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[derive(Serialize)]
struct Problem<'a> {
    title: &'a str,
    status: u16,
    code: Code,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    request_id: &'a str,
}
