//! Sending something again without doing it twice.

use axum::http::Method;
use serde_json::{Value, json};

use super::{Answer, Relay, Who};

#[tokio::test]
async fn what_is_sent_again_under_its_key_is_done_once_and_answered_alike() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    for (path, body) in [
        ("/api/v1/sites", json!({ "name": "lab" })),
        ("/api/v1/users", json!({ "name": "carol" })),
        ("/api/v1/tokens", json!({ "user": "alice", "application": "web1" })),
        ("/api/v1/sites/hq/join-tokens", json!({})),
        // What was refused is refused again, also once it would not be.
        ("/api/v1/users", json!({ "name": "root" })),
    ] {
        let key = format!("{path}{body}");
        let key: String = key.chars().filter(char::is_ascii_graphic).take(64).collect();
        let first = send(&relay, &root, path, &body, &key).await;
        let again = send(&relay, &root, path, &body, &key).await;
        assert_eq!(first.headers.get("idempotency-replayed"), None);
        assert_eq!(again.headers["idempotency-replayed"], "true");
        assert_eq!(again.status, first.status, "{path}");
        assert_eq!(plain(&again), plain(&first), "{path}");
    }
    let tokens = relay.get(&root, "/api/v1/tokens?user=alice").await.items();
    assert_eq!(tokens.len(), 1, "one token, whose text was told twice");
}

#[tokio::test]
async fn a_key_is_of_one_request_and_of_one_caller() {
    let relay = Relay::new().await;
    let (admin, other) = (relay.admin().await, relay.admin().await);
    let (root, other) = (Who::Bearer(&admin), Who::Bearer(&other));
    let carol = json!({ "name": "carol" });
    send(&relay, &root, "/api/v1/users", &carol, "k").await.good();
    let reused = send(&relay, &root, "/api/v1/users", &json!({ "name": "dave" }), "k").await;
    assert_eq!(reused.problem(422), "request.key_reused");
    let elsewhere = send(&relay, &root, "/api/v1/sites", &carol, "k").await;
    assert_eq!(elsewhere.problem(422), "request.key_reused");
    // Another credential, be it of the same user, is told nothing of it.
    let exists = send(&relay, &other, "/api/v1/users", &carol, "k").await;
    assert_eq!(exists.problem(409), "user.exists");
    for wrong in ["", "a b", "é", &"k".repeat(65)] {
        let answer = send(&relay, &root, "/api/v1/users", &carol, wrong).await;
        assert_eq!(answer.problem(400), "request.invalid", "{wrong:?}");
    }
}

#[tokio::test]
async fn of_many_at_once_one_is_carried_out() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let asked = json!({ "user": "alice", "application": "web1" });
    let sent = (0..10).map(|_| send(&relay, &root, "/api/v1/tokens", &asked, "k"));
    let answers = futures_util::future::join_all(sent).await;
    let good: Vec<_> = answers.iter().filter(|answer| answer.status.is_success()).collect();
    assert!(!good.is_empty());
    for answer in answers.iter().filter(|answer| !answer.status.is_success()) {
        assert_eq!(answer.problem(409), "request.in_progress");
        assert_eq!(answer.headers["retry-after"], "1");
    }
    let last = send(&relay, &root, "/api/v1/tokens", &asked, "k").await.good();
    assert!(good.iter().all(|answer| answer.json() == last));
    assert_eq!(relay.get(&root, "/api/v1/tokens?user=alice").await.items().len(), 1);
}

#[tokio::test]
async fn who_hangs_up_finds_what_they_asked_for_done_once() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let asked = json!({ "name": "carol" });
    for after in 1..40u64 {
        let hung_up = send(&relay, &root, "/api/v1/users", &asked, "k");
        let pause = std::time::Duration::from_micros(after * 100);
        drop(tokio::time::timeout(pause, hung_up).await);
    }
    for _ in 0..200 {
        let answer = send(&relay, &root, "/api/v1/users", &asked, "k").await;
        if answer.status != 409 {
            assert_eq!(answer.good()["changes"].as_array().unwrap().len(), 1);
            return;
        }
        assert_eq!(answer.problem(409), "request.in_progress");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("no answer");
}

#[tokio::test]
async fn an_answer_is_kept_sealed_and_what_was_cut_off_is_not_done_again() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let asked = json!({ "user": "alice", "application": "web1" });
    let issued = send(&relay, &root, "/api/v1/tokens", &asked, "k").await.good();
    let text = issued["token"].as_str().unwrap();
    for file in std::fs::read_dir(relay._dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(text.len()).any(|part| part == text.as_bytes()));
    }
    // As a relay leaves it that ends before it has answered.
    let (now, body) = (std::time::SystemTime::now(), json!({ "name": "carol" }));
    let told = super::super::once::told("POST", "/api/v1/users", body.to_string().as_bytes());
    let id = super::super::once::id(&format!("token {}", &admin[11..21]), "cut");
    relay.state.store.begin_reply(&id, &told, now).await.unwrap();
    let cut = send(&relay, &root, "/api/v1/users", &body, "cut").await;
    assert_eq!(cut.problem(409), "request.interrupted");
    let day = std::time::Duration::from_secs(86_401);
    assert_eq!(relay.state.store.purge_replies(now + day).await.unwrap(), 2);
    send(&relay, &root, "/api/v1/users", &body, "cut").await.good();
}

async fn send(relay: &Relay, who: &Who<'_>, path: &str, body: &Value, key: &str) -> Answer {
    let headers = [("idempotency-key", key)];
    relay.call_with(who, Method::POST, path, Some(body.clone()), &headers).await
}

/// But for its request's id.
fn plain(answer: &Answer) -> Value {
    let mut json = answer.json();
    json.as_object_mut().unwrap().remove("request_id");
    json
}
