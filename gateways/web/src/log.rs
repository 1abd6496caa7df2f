//! One record per request.

use std::mem::take;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use access::Code;
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use session::{RequestLog, WebRequest};
use splice::Counters;
use tokio::time::Instant;
use uuid::Uuid;

use crate::body::Flow;
use crate::sessions::Shared;

/// A request's record, written when the last of it is over.
pub(crate) struct Entry {
    log: Arc<dyn RequestLog>,
    record: WebRequest,
    began: Instant,
    upload: Option<Arc<Flow>>,
}

impl Entry {
    /// Begins the record of a request. `path` holds no token and no query.
    pub(crate) fn new(
        log: Arc<dyn RequestLog>,
        id: Uuid,
        from: IpAddr,
        (method, host, path): (&Method, &str, &str),
    ) -> Self {
        let record = WebRequest {
            at: SystemTime::now(),
            id,
            client_id: None,
            from,
            method: cut(method.as_str(), LONGEST_METHOD),
            host: cut(host, LONGEST_HOST),
            path: cut(path, LONGEST_PATH),
            session: None,
            user: None,
            application: None,
            status: None,
            code: None,
            up: 0,
            down: 0,
            millis: 0,
        };
        Self { log, record, began: Instant::now(), upload: None }
    }

    /// The client calls the request so.
    pub(crate) fn called(&mut self, id: Option<&HeaderValue>) {
        self.record.client_id = id.and_then(|id| id.to_str().ok()).map(str::to_owned);
    }

    pub(crate) fn belongs_to(&mut self, shared: &Shared) {
        self.record.session = Some(shared.id());
        self.record.user = Some(shared.user().clone());
        self.record.application = Some(shared.label().to_owned());
    }

    pub(crate) fn uploads(&mut self, flow: Arc<Flow>) {
        self.upload = Some(flow);
    }

    /// Whether nothing is read of the request any more.
    pub(crate) fn is_uploaded(&self) -> bool {
        self.upload.as_ref().is_none_or(|flow| flow.is_over())
    }

    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.record.status = Some(status.as_u16());
    }

    pub(crate) fn refused(&mut self, status: StatusCode, code: Code) {
        self.record.status = Some(status.as_u16());
        self.record.code = Some(code.0);
    }

    pub(crate) fn count_down(&mut self, bytes: usize) {
        self.record.down += bytes as u64;
    }

    /// What passed after the protocol was changed.
    pub(crate) fn carried(&mut self, counters: &Counters) {
        self.record.up += counters.up();
        self.record.down += counters.down();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let record = &mut self.record;
        let uploaded = self.upload.as_ref().map_or(0, |flow| flow.bytes());
        self.log.note(WebRequest {
            method: take(&mut record.method),
            host: take(&mut record.host),
            path: take(&mut record.path),
            client_id: record.client_id.take(),
            user: record.user.take(),
            application: record.application.take(),
            up: record.up + uploaded,
            millis: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            ..*record
        });
    }
}

/// The first characters of a text.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    text.chars().take(most).collect()
}

const LONGEST_METHOD: usize = 32;
const LONGEST_HOST: usize = 256;
const LONGEST_PATH: usize = 1024;
