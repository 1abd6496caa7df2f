//! One span, and its form in OTLP/JSON (opentelemetry-proto, `trace/v1/trace.proto`).

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use uuid::Uuid;

/// A step that is over.
#[derive(Clone, Debug)]
pub(super) struct Span {
    trace: Uuid,
    name: &'static str,
    root: bool,
    start: SystemTime,
    took: Duration,
    attributes: Vec<(&'static str, String)>,
    /// The code of what failed.
    failed: Option<&'static str>,
}

impl Span {
    pub(super) fn new(trace: Uuid, name: &'static str, start: SystemTime, took: Duration) -> Self {
        Self { trace, name, root: false, start, took, attributes: Vec::new(), failed: None }
    }

    /// The span that the others of its trace belong to.
    pub(super) fn root(mut self) -> Self {
        self.root = true;
        self
    }

    pub(super) fn with(mut self, key: &'static str, value: &str) -> Self {
        self.attributes.push((key, value.to_owned()));
        self
    }

    pub(super) fn failed(mut self, code: &'static str) -> Self {
        self.failed = Some(code);
        self
    }

    /// The same number below 100 for all spans of one trace, by which it is kept or not.
    pub(super) fn draw(&self) -> u64 {
        self.root_id() % 100
    }

    pub(super) fn json(&self) -> Value {
        let attributes: Vec<_> =
            self.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
        let id = if self.root { self.root_id() } else { rand::random::<u64>().max(1) };
        let mut span = json!({
            "traceId": format!("{:032x}", self.trace.as_u128()),
            "spanId": format!("{id:016x}"),
            "name": self.name,
            // SPAN_KIND_SERVER and SPAN_KIND_INTERNAL
            "kind": if self.root { 2 } else { 1 },
            "startTimeUnixNano": nanos(self.start),
            "endTimeUnixNano": nanos(self.start + self.took),
            "attributes": attributes,
        });
        if !self.root {
            span["parentSpanId"] = format!("{:016x}", self.root_id()).into();
        }
        if let Some(code) = self.failed {
            // STATUS_CODE_ERROR
            span["status"] = json!({ "code": 2, "message": code });
        }
        span
    }

    /// The random half of the trace's id, so that children know it before the root is over.
    fn root_id(&self) -> u64 {
        self.trace.as_u64_pair().1
    }
}

/// A request of the export service, with these spans.
pub(super) fn request(spans: &[Span]) -> Value {
    let spans: Vec<_> = spans.iter().map(Span::json).collect();
    let resource = [
        attribute("service.name", "adit-relay"),
        attribute("service.version", env!("CARGO_PKG_VERSION")),
    ];
    json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{ "scope": { "name": "adit" }, "spans": spans }],
    }] })
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// 64-bit numbers are texts in this form of JSON.
fn nanos(at: SystemTime) -> String {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}
