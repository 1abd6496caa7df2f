//! What handlers take out of a request. Each refusal is a problem like every other.

use std::fmt::Display;
use std::str::FromStr;
use std::time::SystemTime;

use access::Code;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::{Extension, Json};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::caller::bearer;
use super::error::ApiError;
use super::openapi::{Input, Operation, PathText, Schemas, problems};
use crate::Peer;

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

/// The one parameter in the path. One that cannot be the name of anything names nothing.
pub(super) struct Param<T>(pub(super) T);

/// The query.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let Json(body) =
            Json::from_request(request, state).await.map_err(|error| unread(&error))?;
        Ok(Self(body))
    }
}

impl<T, S> FromRequestParts<S> for Param<T>
where
    T: FromStr<Err: Display>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read: Result<Path<String>, _> = Path::from_request_parts(parts, state).await;
        let Path(text) = read.map_err(|error| ApiError::invalid(error.body_text()))?;
        let value = text.parse().map_err(|error| {
            let detail = format!("there is no {text:?}: {error}");
            ApiError::new(StatusCode::NOT_FOUND, Code("request.not_found"), detail)
        })?;
        Ok(Self(value))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read: Result<Query<T>, _> = Query::from_request_parts(parts, state).await;
        let Query(query) = read.map_err(|error| ApiError::invalid(error.body_text()))?;
        Ok(Self(query))
    }
}

/// A Bearer token: for routes that sign in by nothing else.
pub(super) struct Bearer(pub(super) SecretString);

impl<S: Send + Sync> FromRequestParts<S> for Bearer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        bearer(&parts.headers)?.map(Self).ok_or_else(ApiError::signed_out)
    }
}

/// A point in time, as a field of a query writes it.
pub(super) fn moment(field: &str, text: &str) -> Result<SystemTime, ApiError> {
    let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| {
        ApiError::invalid(format!("{field}: {text:?} is not a time such as 2026-01-31T08:00:00Z"))
    })?;
    Ok(at.into())
}

/// A span of time, either end of which may be open. One that ends no later than it begins is refused.
pub(super) fn span(
    since: Option<&str>,
    until: Option<&str>,
) -> Result<(Option<SystemTime>, Option<SystemTime>), ApiError> {
    let since = since.map(|text| moment("since", text)).transpose()?;
    let until = until.map(|text| moment("until", text)).transpose()?;
    match (since, until) {
        (Some(from), Some(to)) if from >= to => {
            Err(ApiError::invalid("until: it is not after since"))
        }
        _ => Ok((since, until)),
    }
}

impl<T: JsonSchema> Input for Body<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        operation.body(schemas.taken::<T>());
        operation.refuses(problems::BODY);
    }
}

impl<T: PathText> Input for Param<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        operation.path(schemas.taken::<T>());
        operation.refuses(problems::PATH);
    }
}

impl<T: JsonSchema> Input for Params<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        for parameter in schemas.query::<T>() {
            operation.parameter(parameter);
        }
        operation.refuses(problems::QUERY);
    }
}

impl Input for Bearer {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.bearer();
    }
}

impl Input for Extension<Peer> {
    fn describe(_: &mut Operation, _: &mut Schemas) {}
}

/// The field and what is wrong with it. People read this in a form: they have sent no line and no type.
fn in_words(text: &str) -> &str {
    let said = text.strip_prefix(NO_SUCH_TYPE).unwrap_or(text);
    said.rsplit_once(" at line ").map_or(said, |(said, _)| said)
}

/// How axum begins.
const NO_SUCH_TYPE: &str = "Failed to deserialize the JSON body into the target type: ";

fn unread(rejection: &JsonRejection) -> ApiError {
    if let JsonRejection::JsonDataError(error) = rejection {
        return ApiError::invalid(in_words(&error.body_text()));
    }
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            let detail = "a body is JSON and says so";
            ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code("request.media_type"), detail)
                .hint("send `Content-Type: application/json`")
        }
        _ => ApiError::invalid(rejection.body_text()),
    }
}
