//! How the types of a handler describe themselves.

use std::collections::BTreeSet;

use axum::Json;
use axum::body::Body as Bytes;
use axum::extract::State;
use axum::handler::Handler;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::Schemas;
use super::problems::{self, Problem};
use crate::AppState;
use crate::api::error::ApiError;

/// What is known of an operation from its handler's types.
#[derive(Debug, Default)]
pub(in crate::api) struct Operation {
    /// Schemas of the path's parameters, in their order.
    pub(super) path: Vec<Value>,
    /// Parameters of the query and of the head.
    pub(super) parameters: Vec<Value>,
    pub(super) body: Option<Value>,
    /// Status, media type and schema of what it gives; no media type where that is no body.
    pub(super) answers: Vec<(u16, &'static str, Value)>,
    pub(super) problems: BTreeSet<Problem>,
    /// Whether it asks for a Bearer token itself.
    pub(super) bearer: bool,
    /// Whether what it gives has an entity tag.
    pub(super) tagged: bool,
}

impl Operation {
    pub(in crate::api) fn answer(&mut self, status: u16, media: &'static str, schema: Value) {
        self.answers.push((status, media, schema));
    }

    pub(in crate::api) fn path(&mut self, schema: Value) {
        self.path.push(schema);
    }

    pub(in crate::api) fn parameter(&mut self, parameter: Value) {
        self.parameters.push(parameter);
    }

    pub(in crate::api) fn body(&mut self, schema: Value) {
        self.body = Some(schema);
    }

    pub(in crate::api) fn bearer(&mut self) {
        self.bearer = true;
    }

    pub(in crate::api) fn tagged(&mut self) {
        self.tagged = true;
    }

    pub(in crate::api) fn refuses(&mut self, problems: problems::Problems) {
        self.problems.extend(problems);
    }
}

/// Something a handler takes out of a request.
pub(in crate::api) trait Input {
    fn describe(operation: &mut Operation, schemas: &mut Schemas);
}

/// Something a handler answers with.
pub(in crate::api) trait Answer: IntoResponse {
    fn describe(operation: &mut Operation, schemas: &mut Schemas);
}

/// A handler all of whose inputs and answers are described.
#[diagnostic::on_unimplemented(
    message = "the API's document can not describe `{Self}`",
    note = "each argument has to be an `Input` and the answer an `Answer`; see CONTRIBUTING.md"
)]
pub(in crate::api) trait Described<T>: Handler<T, AppState> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas);
}

impl<F, Fut, A> Described<((),)> for F
where
    F: FnOnce() -> Fut + Handler<((),), AppState>,
    Fut: Future<Output = A>,
    A: Answer,
{
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        A::describe(operation, schemas);
    }
}

macro_rules! described {
    ($($input:ident),+) => {
        impl<F, Fut, A, M, $($input),+> Described<(M, $($input,)+)> for F
        where
            F: FnOnce($($input),+) -> Fut + Handler<(M, $($input,)+), AppState>,
            Fut: Future<Output = A>,
            A: Answer,
            $($input: Input,)+
        {
            fn describe(operation: &mut Operation, schemas: &mut Schemas) {
                $($input::describe(operation, schemas);)+
                A::describe(operation, schemas);
            }
        }
    };
}

described!(I1);
described!(I1, I2);
described!(I1, I2, I3);
described!(I1, I2, I3, I4);
described!(I1, I2, I3, I4, I5);
described!(I1, I2, I3, I4, I5, I6);

impl Input for State<AppState> {
    fn describe(_: &mut Operation, _: &mut Schemas) {}
}

impl<T: JsonSchema + Serialize> Answer for Json<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let schema = schemas.given::<T>();
        operation.answer(200, JSON, schema);
    }
}

impl<A: Answer> Answer for Result<A, ApiError> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        A::describe(operation, schemas);
    }
}

/// What was made: 201.
pub(in crate::api) struct Created<T>(pub(in crate::api) T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

impl<T: JsonSchema + Serialize> Answer for Created<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let schema = schemas.given::<T>();
        operation.answer(201, JSON, schema);
    }
}

/// A line of JSON for each `T`, one after another while they are read.
pub(in crate::api) struct Lines<T> {
    pub(in crate::api) body: Bytes,
    pub(in crate::api) of: std::marker::PhantomData<T>,
}

impl<T> Lines<T> {
    pub(in crate::api) fn new(body: Bytes) -> Self {
        Self { body, of: std::marker::PhantomData }
    }
}

impl<T> IntoResponse for Lines<T> {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, LINES)], self.body).into_response()
    }
}

impl<T: JsonSchema> Answer for Lines<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let line = schemas.given::<T>();
        let schema = json!({ "type": "string", "x-line": line });
        operation.answer(200, LINES, schema);
    }
}

/// What can stand in a path.
pub(in crate::api) trait PathText: JsonSchema {}

impl PathText for uuid::Uuid {}
impl PathText for access::Name {}
impl PathText for access::RuleId {}
impl PathText for access::SessionId {}
impl PathText for access::SignInId {}
impl PathText for access::ConnectorId {}
impl PathText for access::AgentId {}
impl PathText for String {}

pub(super) const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
