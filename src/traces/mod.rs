//! Traces of sessions over OTLP. A session's trace id is its own id, so that whoever reads the audit
//! log finds its trace and the other way round.

mod export;
mod span;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use access::SessionId;
use axum::http::Uri;
use session::{AuditEvent, Door, Life, Step, Witness};
use tokio::sync::mpsc;
use uuid::Uuid;

pub(crate) use export::Exporter;
use span::Span;

/// Where spans are handed in. What finds no room is dropped and counted: nobody waits for a trace.
pub(crate) struct Traces {
    queue: mpsc::Sender<Span>,
    dropped: Arc<AtomicU64>,
    /// Of a hundred traces, how many are kept.
    percent: u64,
}

impl Traces {
    /// The two ends: what takes spans, and what sends them to the collector at `url`.
    pub(crate) fn to(url: Uri, percent: usize) -> (Arc<Self>, Exporter) {
        let (queue, spans) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let exporter = Exporter::new(url, spans, dropped.clone());
        let percent = u64::try_from(percent).unwrap_or(100);
        (Arc::new(Self { queue, dropped, percent }), exporter)
    }

    /// A sign-in that `answer` came of: the name of who it was, or the code of the refusal.
    pub(crate) fn login(
        &self,
        (door, from): (Door, IpAddr),
        took: Duration,
        answer: Result<&str, &'static str>,
    ) {
        let trace = Uuid::new_v4();
        let span = Span::new(trace, "login", SystemTime::now() - took, took).root();
        let span = span.with("adit.door", door.as_str()).with("client.address", &from.to_string());
        self.hand_in(match answer {
            Ok(user) => span.with("user.name", user),
            Err(code) => span.failed(code),
        });
    }

    fn hand_in(&self, span: Span) {
        if span.draw() >= self.percent {
            return;
        }
        if self.queue.try_send(span).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

impl Witness for Traces {
    fn step(
        &self,
        session: SessionId,
        step: Step,
        began: SystemTime,
        failed: Option<&'static str>,
    ) {
        let took = since(began);
        let span = Span::new(session.0, step.as_str(), began, took);
        self.hand_in(match failed {
            Some(code) => span.failed(code),
            None => span,
        });
    }

    fn ended(&self, event: &AuditEvent, life: Life) {
        let AuditEvent::SessionEnded {
            session,
            user,
            application,
            site,
            door,
            reason,
            side,
            up,
            down,
            ..
        } = event
        else {
            return;
        };
        let whole = Span::new(session.0, "session", life.opened, since(life.opened)).root();
        let whole = [
            ("adit.session", session.to_string()),
            ("user.name", user.to_string()),
            ("adit.application", application.to_string()),
            ("adit.site", site.to_string()),
            ("adit.door", door.as_str().to_owned()),
            ("adit.reason", reason.as_str().to_owned()),
            ("adit.side", side.as_str().to_owned()),
            ("adit.bytes.up", up.to_string()),
            ("adit.bytes.down", down.to_string()),
        ]
        .iter()
        .fold(whole, |span, (key, value)| span.with(key, value));
        if let Some(dialled) = life.dialled {
            self.hand_in(Span::new(session.0, "splice", dialled, since(dialled)));
        }
        let now = SystemTime::now();
        let end = Span::new(session.0, "end", now, Duration::ZERO);
        self.hand_in(end.with("adit.reason", reason.as_str()));
        self.hand_in(whole);
    }
}

fn since(began: SystemTime) -> Duration {
    SystemTime::now().duration_since(began).unwrap_or_default()
}

/// About 2 MB of spans, as much as a collector may fall behind.
const QUEUE: usize = 4096;
