//! The whole document, from the table of routes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::describe::{JSON, Operation};
use super::problems;
use super::{Schemas, examples};
use crate::api::caller::{Gate, Role};
use crate::api::routes::Route;

pub(super) fn of(routes: &[Route]) -> Value {
    let mut schemas = Schemas::new();
    let problem = schemas.given::<api::Problem>();
    let mut refusals = Refusals { problem, all: BTreeMap::new() };
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in routes {
        let mut operation = Operation::default();
        (route.describe)(&mut operation, &mut schemas);
        let told = told(route, operation, &mut refusals);
        paths.entry(route.path).or_default().insert(method(route), told);
    }
    let tags: BTreeSet<_> = routes.iter().map(|route| tag(route.path)).collect();
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Adit relay",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": DESCRIPTION,
        },
        "servers": [{ "url": "/" }],
        "tags": tags.into_iter().map(tag_object).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "securitySchemes": security_schemes(),
            "responses": refusals.all,
        },
    });
    let mut document = schemas.finish(document);
    let codes: BTreeSet<_> = refusals_codes(&document);
    document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] = json!(codes);
    document
}

/// One operation as the document has it.
fn told(route: &Route, mut operation: Operation, refusals: &mut Refusals) -> Value {
    let Route { doc, gate: Gate { role, scope, fresh, .. }, .. } = route;
    let changes = route.method != axum::http::Method::GET;
    for problems in usual(*role, operation.bearer, changes).chain(doc.problems) {
        operation.refuses(problems);
    }
    if scope.is_some() {
        operation.refuses(problems::SCOPED);
    }
    if *fresh {
        operation.refuses(problems::FRESH);
    }
    if route.takes_key() {
        operation.refuses(problems::KEYED);
        operation.parameter(idempotency_key());
    }
    let mut told = json!({
        "operationId": doc.id,
        "summary": doc.summary,
        "tags": [tag(route.path)],
        "x-role": role.as_str(),
        "security": security(*role, operation.bearer),
    });
    if let Some(scope) = scope {
        told["x-scope"] = scope.as_str().into();
    }
    let parameters = parameters(route.path, &operation);
    if !parameters.is_empty() {
        told["parameters"] = parameters.into();
    }
    if let Some(schema) = &operation.body {
        told["requestBody"] = body(doc.id, schema);
    }
    told["responses"] = responses(&operation, refusals).into();
    told
}

fn usual(
    role: Role,
    bearer: bool,
    changes: bool,
) -> impl Iterator<Item = &'static problems::Problems> {
    let signed_in = role != Role::Anonymous;
    let who = match role {
        Role::Anonymous | Role::Holder => None,
        Role::User => Some(&problems::USERS),
        Role::Auditor | Role::Admin => Some(&problems::ADMINS),
    };
    let parts = [
        Some(&problems::ANY),
        (signed_in || bearer).then_some(&problems::BEARER),
        signed_in.then_some(&problems::BROWSER),
        (signed_in && changes).then_some(&problems::CHANGES),
        who,
    ];
    parts.into_iter().flatten()
}

fn parameters(path: &str, operation: &Operation) -> Vec<Value> {
    let in_path = names(path).zip(&operation.path).map(
        |(name, schema)| json!({ "name": name, "in": "path", "required": true, "schema": schema }),
    );
    in_path.chain(operation.parameters.iter().cloned()).collect()
}

/// The names in braces.
pub(in crate::api) fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn body(id: &str, schema: &Value) -> Value {
    let mut content = json!({ "schema": schema });
    if let Some(example) = examples::of(id) {
        content["example"] = example;
    }
    json!({ "required": true, "content": { JSON: content } })
}

fn responses(operation: &Operation, refusals: &mut Refusals) -> Map<String, Value> {
    let mut responses = Map::new();
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for (status, code) in &operation.problems {
        by_status.entry(*status).or_default().push(code);
    }
    for (status, media, schema) in &operation.answers {
        let mut answer = json!({ "description": reason(*status) });
        if !media.is_empty() {
            answer["content"] = json!({ *media: { "schema": schema } });
        }
        if operation.tagged {
            answer["headers"]["ETag"] = etag();
        }
        if let Some(codes) = by_status.remove(status) {
            answer["content"][PROBLEM] = refusals.content(&codes);
        }
        responses.insert(status.to_string(), answer);
    }
    if operation.tagged {
        let unchanged = json!({ "description": reason(304), "headers": { "ETag": etag() } });
        responses.insert("304".to_owned(), unchanged);
    }
    for (status, codes) in by_status {
        responses.insert(status.to_string(), refusals.named(status, &codes));
    }
    responses
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "description": "For sending it again without doing it twice: within 24 hours the same \
                        request of the same credential under the same key gets the first answer.",
        "schema": { "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[!-~]+$" },
    })
}

fn etag() -> Value {
    json!({
        "description": "Of what is given; `If-Match` and `If-None-Match` take it.",
        "schema": { "type": "string" },
    })
}

/// The answers that refuse: many operations share them.
struct Refusals {
    problem: Value,
    all: BTreeMap<String, Value>,
}

impl Refusals {
    fn content(&self, codes: &[&str]) -> Value {
        json!({
            "schema": {
                "allOf": [self.problem, { "properties": { "code": { "enum": codes } } }],
            },
        })
    }

    /// A reference to the answer with this status and these codes. Its name is made of both, so
    /// that an operation's new code changes nothing in others.
    fn named(&mut self, status: u16, codes: &[&str]) -> Value {
        let name = match codes {
            [one] => format!("{status}-{one}"),
            codes => format!("{status}-{}", short_hash(&codes.join(" "))),
        };
        let mut response = json!({
            "description": format!("{}: {}", reason(status), codes.join(", ")),
            "content": { PROBLEM: self.content(codes) },
        });
        if codes.iter().any(|code| ["request.throttled", "authn.throttled"].contains(code)) {
            response["headers"]["Retry-After"] = json!({
                "description": "After so many seconds it is worth trying again.",
                "schema": { "type": "integer", "minimum": 1 },
            });
        }
        let reference = json!({ "$ref": format!("#/components/responses/{name}") });
        self.all.insert(name, response);
        reference
    }
}

fn short_hash(text: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    hash.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// Every code that an operation refuses with.
fn refusals_codes(document: &Value) -> BTreeSet<String> {
    fn collect(value: &Value, codes: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(listed) = fields.get("code").and_then(|code| code["enum"].as_array()) {
                    codes.extend(listed.iter().filter_map(Value::as_str).map(str::to_owned));
                }
                fields.values().for_each(|field| collect(field, codes));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, codes)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    // Those that any path and method may meet stand at no operation.
    let everywhere = ["request.method", "request.not_found"];
    let mut codes: BTreeSet<_> = everywhere.map(str::to_owned).into();
    collect(&document["components"]["responses"], &mut codes);
    collect(&document["paths"], &mut codes);
    codes
}

fn reason(status: u16) -> &'static str {
    let status = axum::http::StatusCode::from_u16(status).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or_default()
}

fn method(route: &Route) -> String {
    route.method.as_str().to_ascii_lowercase()
}

/// The part of the API that a path belongs to.
fn tag(path: &str) -> &str {
    let rest = path.strip_prefix("/api/v1/").unwrap_or("relay");
    match rest.split('/').next().unwrap_or(rest) {
        "healthz" | "info" | "openapi.json" => "relay",
        part => part,
    }
}

fn tag_object(tag: &str) -> Value {
    json!({ "name": tag })
}

fn security(role: Role, bearer: bool) -> Value {
    match (role, bearer) {
        (Role::Anonymous, false) => json!([]),
        (Role::Anonymous, true) => json!([{ "bearer": [] }]),
        (Role::Holder | Role::User | Role::Auditor | Role::Admin, _) => {
            json!([{ "bearer": [] }, { "agent": [] }, { "browser": [] }])
        }
    }
}

fn security_schemes() -> Value {
    json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "adit_<kind>_…",
            "description": "A token that was issued: `admin`, `login` (good for one call), or for \
                            what its holder may do for themselves `api` and `access`.",
        },
        "agent": {
            "type": "mutualTLS",
            "description": "The certificate of an enrolled agent, on a connection that negotiated \
                            the ALPN protocol `adit-api/1`.",
        },
        "browser": {
            "type": "apiKey",
            "in": "cookie",
            "name": "__Host-adit",
            "description": "The sign-in of a browser, for the portal's own pages at the relay's \
                            host: what they ask for says `Sec-Fetch-Site: same-origin`, or in older \
                            browsers has the relay's own `Origin`; all else is refused with \
                            `web.cross_origin`, and so is a cookie beside a token or an agent's \
                            certificate (`request.invalid`).",
        },
    })
}

const PROBLEM: &str = "application/problem+json";

const DESCRIPTION: &str = "\
The only way to administer a relay, and what its users do for themselves.

Times are Unix seconds, or milliseconds where the field's name ends in `_ms`; lengths of time are \
texts such as `12h`. A failure is `application/problem+json` (RFC 9457) with a stable `code`; \
docs/errors.md says what each means and what to do. Unknown fields are refused in what is sent and \
may appear in what is answered. `x-role` says who may call an operation: `anonymous`, `holder` (of \
any token or agent), `user` (of an agent or of a token that is not for one application only), \
`auditor` (a user with `auditor` or `admin`), `admin`; `x-scope` says which scope a token that has \
scopes needs for it. A caller may make 50 calls a second (`limits.api_calls`), and four times as \
many at once; where a call is dear, a fifth of that. Beyond, it is told to wait: 429 with \
`Retry-After`.";
