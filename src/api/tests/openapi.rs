//! The API's document, and whether answers are what it says.

use std::collections::BTreeSet;
use std::path::Path;

use axum::http::Method;
use jsonschema::Validator;
use serde_json::{Value, json};

use super::{Answer, Relay, Who};
use crate::api::openapi::{document, text};
use crate::api::routes::routes;

#[test]
fn the_committed_document_is_what_the_handlers_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&file, text()).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap();
    assert!(committed == text(), "run again with UPDATE_OPENAPI=1, and look at what changed");
}

#[test]
fn the_document_is_valid_openapi() {
    let schema: Value = serde_json::from_str(include_str!("data/openapi-3.1.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<_> = validator.iter_errors(document()).map(|error| error.to_string()).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    for (name, schema) in document()["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::meta::is_valid(schema), "{name}: {schema:#}");
    }
    for route in routes() {
        let parameters = operation(&route.method, route.path)["parameters"].as_array().cloned();
        for parameter in parameters.unwrap_or_default() {
            assert!(jsonschema::meta::is_valid(&parameter["schema"]), "{parameter:#}");
        }
    }
}

#[test]
fn operations_have_names_of_their_own_and_all_their_parameters() {
    let mut ids = BTreeSet::new();
    for route in routes() {
        let operation = operation(&route.method, route.path);
        assert!(ids.insert(route.doc.id), "{} stands twice", route.doc.id);
        assert!(!route.doc.summary.ends_with('.'), "{}", route.doc.summary);
        let in_path = operation["parameters"].as_array().into_iter().flatten();
        let in_path = in_path.filter(|parameter| parameter["in"] == "path").count();
        assert_eq!(in_path, route.path.matches('{').count(), "{}", route.path);
    }
}

#[test]
fn examples_are_valid() {
    for route in routes() {
        let body = &operation(&route.method, route.path)["requestBody"];
        let content = &body["content"]["application/json"];
        if let Some(example) = content.get("example") {
            let validator = validator(&content["schema"]);
            let faults: Vec<_> = validator.iter_errors(example).map(|e| e.to_string()).collect();
            assert!(faults.is_empty(), "{}: {faults:#?}", route.doc.id);
        }
    }
}

#[tokio::test]
async fn the_relay_serves_the_document() {
    let relay = Relay::new().await;
    let answer = relay.get(&Who::Nobody, "/api/v1/openapi.json").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.text, text());
}

/// Fails where an answer is not what the document says of its operation.
#[track_caller]
pub(super) fn check(method: &Method, path: &str, answer: &Answer) {
    let path = path.split('?').next().unwrap_or(path);
    let Some(operation) = find(method, path) else { return };
    let status = answer.status.as_u16().to_string();
    let told = resolve(&operation["responses"][&status]);
    assert!(told.is_object(), "{method} {path} does not say that it answers {answer:?}");
    if answer.text.is_empty() {
        assert!(told["content"].is_null(), "{method} {path} says that it answers something");
        return;
    }
    let media = answer.headers["content-type"].to_str().unwrap();
    let schema = &told["content"][media]["schema"];
    assert!(schema.is_object(), "{method} {path} does not say that it answers {answer:?}");
    if media.ends_with("json") && media != "application/x-ndjson" {
        let faults: Vec<_> =
            validator(schema).iter_errors(&answer.json()).map(|e| e.to_string()).collect();
        assert!(faults.is_empty(), "{method} {path}: {faults:#?}: {answer:?}");
    }
}

fn find(method: &Method, path: &str) -> Option<&'static Value> {
    let fits = |template: &str| {
        let parts = || template.split('/').zip(path.split('/'));
        template.split('/').count() == path.split('/').count()
            && parts().all(|(part, text)| part == text || part.starts_with('{'))
    };
    let routes = routes();
    // A path without parameters comes before one with.
    let mut fitting: Vec<_> =
        routes.iter().filter(|route| route.method == *method && fits(route.path)).collect();
    fitting.sort_by_key(|route| route.path.matches('{').count());
    fitting.first().map(|route| operation(method, route.path))
}

fn operation(method: &Method, path: &str) -> &'static Value {
    &document()["paths"][path][method.as_str().to_ascii_lowercase()]
}

fn resolve(response: &'static Value) -> &'static Value {
    match response["$ref"].as_str() {
        Some(reference) => document().pointer(reference.trim_start_matches('#')).unwrap(),
        None => response,
    }
}

fn validator(schema: &Value) -> Validator {
    let root = json!({ "components": document()["components"], "allOf": [schema] });
    jsonschema::validator_for(&root).unwrap()
}
