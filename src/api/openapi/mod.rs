//! The API's description, made from its handlers: what they take and give is in their types, what
//! they refuse stands in the table of routes. A handler whose types are not described is no
//! [`Described`] one, and the table takes no other.

mod describe;
mod document;
mod examples;
pub(super) mod problems;
mod schemas;

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::Value;

pub(super) use describe::{Answer, Created, Described, Input, Lines, Operation, PathText};
pub(super) use schemas::Schemas;

/// What the table of routes says of one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doc {
    /// `operationId`: a verb and what it is done to.
    pub(super) id: &'static str,
    /// One sentence, in the third person, without a full stop.
    pub(super) summary: &'static str,
    /// What it refuses for, beside what follows from its role and from what it takes.
    pub(super) problems: &'static [problems::Problems],
}

pub(super) const fn doc(
    id: &'static str,
    summary: &'static str,
    problems: &'static [problems::Problems],
) -> Doc {
    Doc { id, summary, problems }
}

/// The OpenAPI 3.1 document.
pub(super) fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| document::of(&super::routes::routes()));
    &DOCUMENT
}

/// The document as text, as it is served and committed.
pub(super) fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", document()));
    &TEXT
}

/// The document itself, which describes every JSON value.
pub(super) struct Served;

pub(super) async fn serve() -> Served {
    Served
}

impl IntoResponse for Served {
    fn into_response(self) -> axum::response::Response {
        ([(CONTENT_TYPE, "application/json")], text()).into_response()
    }
}

impl Answer for Served {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.answer(200, "application/json", serde_json::json!({ "type": "object" }));
    }
}
