//! What is kept of requests at the web door.

use session::{RequestLog, WebRequest};

/// Tells the log of each request, for whoever looks into a failure.
pub(crate) struct Traced;

impl RequestLog for Traced {
    fn note(&self, request: WebRequest) {
        let WebRequest { id, session, status, code, up, down, millis, .. } = request;
        let session = session.map(|session| session.to_string());
        tracing::debug!(%id, session, status, code, up, down, millis, "Request");
    }
}
