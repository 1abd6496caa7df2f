//! Sending spans to a collector: OTLP over HTTP, in its JSON form.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{Request, StatusCode, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::span::{Span, request};

/// Sends what [`Traces`](super::Traces) takes.
pub(crate) struct Exporter {
    url: Uri,
    spans: mpsc::Receiver<Span>,
    dropped: Arc<AtomicU64>,
    /// Whether the last batch did not arrive, so that a dead collector is named once.
    failing: bool,
}

/// Why a batch did not arrive.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("the collector's address has no host")]
    NoHost,
    #[error("the collector is not reachable")]
    Connect { source: io::Error },
    #[error("the exchange with the collector broke")]
    Exchange { source: hyper::Error },
    #[error("the request is not one")]
    Request { source: axum::http::Error },
    #[error("the collector answered {status}")]
    Refused { status: StatusCode },
    #[error("no answer within {DEADLINE:?}")]
    TimedOut,
}

impl Exporter {
    pub(super) fn new(url: Uri, spans: mpsc::Receiver<Span>, dropped: Arc<AtomicU64>) -> Self {
        Self { url, spans, dropped, failing: false }
    }

    /// Sends until `stop`, and once more what is left then.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                count = self.spans.recv_many(&mut batch, BATCH) => if count == 0 { return },
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = sleep(LINGER) => {}
            }
            self.send(&mut batch).await;
        }
        self.send(&mut batch).await;
    }

    /// A batch that does not arrive is dropped: its memory is for the next one.
    async fn send(&mut self, batch: &mut Vec<Span>) {
        while batch.len() < BATCH
            && let Ok(span) = self.spans.try_recv()
        {
            batch.push(span);
        }
        if batch.is_empty() {
            return;
        }
        let sent =
            timeout(DEADLINE, post(&self.url, batch)).await.unwrap_or(Err(SendError::TimedOut));
        self.note(&sent, batch.len());
        batch.clear();
    }

    fn note(&mut self, sent: &Result<(), SendError>, count: usize) {
        let lost = self.dropped.load(Relaxed);
        match sent {
            Ok(()) if self.failing => tracing::info!(lost, "The trace collector answers again"),
            Ok(()) => {}
            Err(error) => {
                let lost = lost + self.dropped.fetch_add(count as u64, Relaxed);
                if !self.failing {
                    let error = error as &dyn std::error::Error;
                    tracing::warn!(error, lost, "Traces do not arrive; sessions go on");
                }
            }
        }
        self.failing = sent.is_err();
    }
}

async fn post(url: &Uri, spans: &[Span]) -> Result<(), SendError> {
    let host = url.host().ok_or(SendError::NoHost)?;
    let port = url.port_u16().unwrap_or(80);
    let socket = TcpStream::connect((host.trim_matches(['[', ']']), port)).await;
    let socket = socket.map_err(|source| SendError::Connect { source })?;
    let broke = |source| SendError::Exchange { source };
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(broke)?;
    let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
    let asked = Request::post(path)
        .header(HOST, format!("{host}:{port}"))
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(request(spans).to_string()))
        .map_err(|source| SendError::Request { source })?;
    // The connection is driven here: it ends with the exchange.
    let answer = tokio::select! {
        biased;
        answer = sender.send_request(asked) => answer.map_err(broke)?,
        ended = connection => return Err(match ended {
            Err(source) => broke(source),
            Ok(()) => SendError::TimedOut,
        }),
    };
    let status = answer.status();
    if status.is_success() { Ok(()) } else { Err(SendError::Refused { status }) }
}

const BATCH: usize = 512;
/// How long the first span of a batch waits for company.
const LINGER: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(5);
