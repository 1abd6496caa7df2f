//! Entity tags (RFC 9110, section 8.8): what somebody has seen of an object, so that they change
//! that and nothing newer, and are not told again what they know.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::header::{ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use store::{Expected, Revised};

use super::error::ApiError;
use super::openapi::{Answer, Input, Operation, Schemas, problems};

/// An object with its tag: 200, or 304 to somebody who has seen it.
pub(super) struct Tagged<T> {
    value: T,
    tag: String,
    seen: Seen,
}

impl<T> Tagged<T> {
    pub(super) fn new(revised: Revised<T>, seen: Seen) -> Self {
        Self { value: revised.spec, tag: revised.revision, seen }
    }
}

impl<T: Serialize> Tagged<T> {
    /// Of what has no revision but what it says.
    pub(super) fn of(value: T, seen: Seen) -> Self {
        Self { tag: store::revision(&value), value, seen }
    }
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut response = match self.seen.0.has(&self.tag) {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => Json(self.value).into_response(),
        };
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", self.tag)) {
            response.headers_mut().insert(ETAG, tag);
        }
        response
    }
}

impl<T: JsonSchema + Serialize> Answer for Tagged<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let schema = schemas.given::<T>();
        operation.answer(200, "application/json", schema);
        operation.tagged();
    }
}

/// `If-None-Match`: what the caller knows already.
pub(super) struct Seen(Tags);

/// `If-Match`: what the caller changes. Absent: whatever it is.
pub(super) struct Changing(pub(super) Expected);

/// A list of tags, or `*`.
#[derive(Debug, PartialEq, Eq)]
enum Tags {
    Any,
    Listed(Vec<Tag>),
}

#[derive(Debug, PartialEq, Eq)]
struct Tag {
    weak: bool,
    text: String,
}

impl Tags {
    fn of(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, ApiError> {
        if !headers.contains_key(name) {
            return Ok(None);
        }
        let texts = headers.get_all(name).iter().map(|value| value.to_str());
        let text = texts.collect::<Result<Vec<_>, _>>().ok().map(|lines| lines.join(","));
        let read = text.and_then(|text| Self::read(text.trim()));
        let wrong = || ApiError::invalid(format!("{name}: tags in quotes as ETag gave them, or *"));
        read.map(Some).ok_or_else(wrong)
    }

    fn read(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let (mut tags, mut rest) = (Vec::new(), text);
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                return (!tags.is_empty()).then_some(Self::Listed(tags));
            }
            let (weak, quoted) = match rest.strip_prefix("W/") {
                Some(quoted) => (true, quoted),
                None => (false, rest),
            };
            let (text, after) = quoted.strip_prefix('"')?.split_once('"')?;
            tags.push(Tag { weak, text: text.to_owned() });
            rest = after.trim_start_matches([' ', '\t']);
            if !rest.is_empty() && !rest.starts_with(',') {
                return None;
            }
        }
    }

    fn has(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|known| known.text == tag),
        }
    }

    fn expected(self) -> Expected {
        match self {
            Self::Any => Expected::Anything,
            // A weak tag is no proof of having seen all of it.
            Self::Listed(tags) => {
                let strong = tags.into_iter().filter(|tag| !tag.weak);
                Expected::OneOf(strong.map(|tag| tag.text).collect())
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Seen {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let tags = Tags::of(&parts.headers, &IF_NONE_MATCH)?;
        Ok(Self(tags.unwrap_or(Tags::Listed(Vec::new()))))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Changing {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let tags = Tags::of(&parts.headers, &IF_MATCH)?;
        Ok(Self(tags.map(Tags::expected).unwrap_or_default()))
    }
}

impl Input for Seen {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        let about = "The `ETag` of what the caller knows: 304 if it is still that.";
        operation.parameter(header("If-None-Match", about));
        operation.refuses(problems::INVALID);
    }
}

impl Input for Changing {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        let about = "The `ETag` of what the caller means to change: refused if it is another by \
                     now. Where absent, it is changed whatever it is.";
        operation.parameter(header("If-Match", about));
        operation.refuses(problems::INVALID);
        operation.refuses(problems::STALE);
    }
}

fn header(name: &str, about: &str) -> serde_json::Value {
    json!({ "name": name, "in": "header", "description": about, "schema": { "type": "string" } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_read_as_rfc_9110_writes_them() {
        let tag = |weak, text: &str| Tag { weak, text: text.to_owned() };
        let listed = |tags: Vec<Tag>| Some(Tags::Listed(tags));
        assert_eq!(Tags::read("*"), Some(Tags::Any));
        assert_eq!(Tags::read("\"a\""), listed(vec![tag(false, "a")]));
        assert_eq!(
            Tags::read("\"a,b\", W/\"c\" ,\"\""),
            listed(vec![tag(false, "a,b"), tag(true, "c"), tag(false, "")])
        );
        for wrong in ["", ",", "a", "\"a", "w/\"a\"", "\"a\" \"b\"", "\"a\", *"] {
            assert_eq!(Tags::read(wrong), None, "{wrong}");
        }
    }
}
