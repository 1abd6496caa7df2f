//! The admin listener: health, readiness, metrics and the log's level, over plain HTTP, for this
//! machine only. It has no sign-in and changes nothing but what is logged.

mod metrics;
mod process;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::registry::Registry;
use serde::Serialize;
use telemetry::{Level, Log};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::AppState;
use crate::policy::MAX_AGE;

pub(crate) use metrics::{Dials, Measured, registry};

/// What the admin listener's handlers reach.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) state: AppState,
    pub(crate) registry: Arc<Registry>,
    pub(crate) log: Log,
    /// Cancelled when the relay begins to stop.
    pub(crate) stopping: CancellationToken,
}

/// The answer of `/readyz`.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Readiness {
    ready: bool,
    /// Why it is not ready.
    reasons: Vec<&'static str>,
}

pub(crate) fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/log-level", get(level).post(set_level))
        .layer(DefaultBodyLimit::max(1024))
        .layer(from_fn(from_this_machine))
        .with_state(admin)
}

/// Refuses what a web page could send: a browser on this machine must not lend it a hand.
async fn from_this_machine(request: Request, next: Next) -> Response {
    match request.headers().contains_key(ORIGIN) || !names_this_machine(request.headers()) {
        true => {
            (StatusCode::FORBIDDEN, "ask for 127.0.0.1, and not from a web page\n").into_response()
        }
        false => next.run(request).await,
    }
}

fn names_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let uri = host.and_then(|host| host.parse::<Uri>().ok());
    let name = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Answers as long as the process does anything at all.
async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(admin): State<Admin>) -> (StatusCode, Json<Readiness>) {
    let readiness = admin.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}

impl Admin {
    async fn readiness(&self) -> Readiness {
        let mut reasons = Vec::new();
        if self.stopping.is_cancelled() {
            reasons.push("the relay is stopping");
        }
        if !matches!(timeout(STORE_ANSWERS, self.state.store.ping()).await, Ok(Ok(()))) {
            reasons.push("the store does not answer");
        }
        if self.state.policy.age() >= MAX_AGE {
            reasons.push("the policy is too old to be trusted");
        }
        if self.state.broker.is_short_of_memory() {
            reasons.push("memory is short");
        }
        Readiness { ready: reasons.is_empty(), reasons }
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &admin.registry) {
        Ok(()) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "Could not write the metrics down");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn level(State(admin): State<Admin>) -> String {
    format!("{}\n", admin.log.level())
}

async fn set_level(State(admin): State<Admin>, text: String) -> Response {
    let level: Level = match text.trim().parse() {
        Ok(level) => level,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    match admin.log.set_level(&level) {
        Ok(before) => {
            tracing::warn!(%before, now = %level, "Log level changed");
            format!("{level}\n").into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Shorter than what probes wait.
const STORE_ANSWERS: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_names_of_this_machine_are_answered() {
        let answered = |host: &'static str| {
            names_this_machine(&HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]))
        };
        for good in ["127.0.0.1:9090", "localhost", "localhost:9090", "[::1]:9090", "127.1.2.3"] {
            assert!(answered(good), "{good}");
        }
        for bad in ["rebound.example:9090", "10.0.0.1:9090", "", "127.0.0.1.example"] {
            assert!(!answered(bad), "{bad}");
        }
        assert!(!names_this_machine(&HeaderMap::new()));
    }
}
