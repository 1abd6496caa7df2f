use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;

#[tokio::test]
async fn spans_of_one_session_are_one_trace() {
    let (received, url, mut tasks) = collector().await;
    let (traces, exporter) = Traces::to(url, 100);
    let stop = CancellationToken::new();
    tasks.spawn(exporter.run(stop.clone()));
    let session = SessionId(Uuid::now_v7());
    traces.step(session, Step::Open, SystemTime::now(), None);
    traces.step(session, Step::Dial, SystemTime::now(), Some("dial.refused"));
    traces.ended(
        &ended(session),
        Life { opened: SystemTime::now(), dialled: Some(SystemTime::now()) },
    );
    let spans = tokio::time::timeout(Duration::from_secs(20), spans(received)).await.unwrap();
    let names: Vec<_> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["open", "dial", "splice", "end", "session"]);
    let trace = format!("{:032x}", session.0.as_u128());
    let root = spans[4]["spanId"].clone();
    assert!(spans.iter().all(|span| span["traceId"] == *trace), "{spans:?}");
    assert!(spans[..4].iter().all(|span| span["parentSpanId"] == root), "{spans:?}");
    assert_eq!(spans[4]["parentSpanId"], Value::Null);
    assert_eq!(spans[1]["status"]["message"], "dial.refused");
    let text = spans[4].to_string();
    assert!(["alice", "echo", "closed"].iter().all(|word| text.contains(word)), "{text}");
}

#[tokio::test]
async fn a_dead_collector_costs_bounded_memory_and_no_time() {
    // Takes connections and answers nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap()).parse().unwrap();
    let (traces, exporter) = Traces::to(url, 100);
    let mut tasks = JoinSet::new();
    tasks.spawn(exporter.run(CancellationToken::new()));
    let started = Instant::now();
    for _ in 0..20_000 {
        traces.step(SessionId(Uuid::now_v7()), Step::Open, SystemTime::now(), None);
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(traces.dropped.load(Relaxed) >= 20_000 - (QUEUE + 1024) as u64);
}

#[test]
fn a_trace_is_kept_or_left_as_a_whole() {
    let (traces, _exporter) = Traces::to("http://127.0.0.1:1".parse().unwrap(), 10);
    for _ in 0..1000 {
        let session = SessionId(Uuid::now_v7());
        let before = traces.queue.capacity();
        traces.step(session, Step::Open, SystemTime::now(), None);
        traces.step(session, Step::Dial, SystemTime::now(), None);
        assert!(matches!(before - traces.queue.capacity(), 0 | 2));
    }
    let kept = QUEUE - traces.queue.capacity();
    assert!((100..400).contains(&kept), "{kept} of 2000");
}

fn ended(session: SessionId) -> AuditEvent {
    AuditEvent::SessionEnded {
        session,
        user: "alice".parse().unwrap(),
        application: "echo".parse().unwrap(),
        site: "hq".parse().unwrap(),
        door: Door::Agent,
        reason: access::EndReason::Closed,
        side: access::Side::Client,
        up: 1,
        down: 2,
        millis: 3,
    }
}

async fn collector() -> (mpsc::Receiver<Value>, Uri, JoinSet<()>) {
    let (sender, received) = mpsc::channel(16);
    let take = |State(sender): State<mpsc::Sender<Value>>, body: axum::Json<Value>| async move {
        sender.send(body.0).await.unwrap();
        axum::Json(serde_json::json!({}))
    };
    let router = Router::new().route("/v1/traces", post(take)).with_state(sender);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (received, url, tasks)
}

/// The spans of the first request.
async fn spans(mut received: mpsc::Receiver<Value>) -> Vec<Value> {
    let request = received.recv().await.unwrap();
    let resource = &request["resourceSpans"][0];
    assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "adit-relay");
    resource["scopeSpans"][0]["spans"].as_array().unwrap().clone()
}
