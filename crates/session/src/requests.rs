//! What is kept of each request at the web door. Beside the audit log, which knows sessions.

use std::net::IpAddr;
use std::time::SystemTime;

use access::{Name, SessionId};
use uuid::Uuid;

/// One request of a client.
#[derive(Clone, Debug)]
pub struct WebRequest {
    /// When it came.
    pub at: SystemTime,
    pub id: Uuid,
    /// What the client calls it: its `X-Request-Id`.
    pub client_id: Option<String>,
    pub from: IpAddr,
    pub method: String,
    /// As the client wrote it.
    pub host: String,
    /// Without a token and without the query.
    pub path: String,
    /// `None`: it was refused before there was one.
    pub session: Option<SessionId>,
    pub user: Option<Name>,
    /// The application's host label.
    pub application: Option<String>,
    /// `None`: the client left before there was an answer.
    pub status: Option<u16>,
    /// Why the relay answered itself.
    pub code: Option<&'static str>,
    /// Bytes of the request's body.
    pub up: u64,
    /// Bytes of the answer's body.
    pub down: u64,
    /// Until the last of it was over, in milliseconds.
    pub millis: u64,
}

/// Where requests are recorded.
pub trait RequestLog: Send + Sync {
    /// Records the request if there is room, without waiting; counts it as dropped if there is none.
    fn note(&self, request: WebRequest);
}
