//! Each way in which access goes: live sessions end within a second, others stay, and a receipt with
//! the right count is recorded.

use std::time::{Duration, Instant};

use access::EndReason;
use axum::http::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::changes::{open, within};
use super::{Relay, Who};
use crate::ends::Ends;

/// A request that takes access away.
struct Way {
    method: Method,
    path: String,
    body: Option<Value>,
}

fn way(method: Method, path: &str) -> Way {
    Way { method, path: path.to_owned(), body: None }
}

fn apply(document: &Value) -> Way {
    let body = Some(json!({ "document": document }));
    Way { method: Method::POST, path: "/api/v1/apply".to_owned(), body }
}

fn delete(path: &str) -> Way {
    way(Method::DELETE, path)
}

#[tokio::test]
async fn whatever_is_withdrawn_ends_its_sessions_within_a_second_and_leaves_a_receipt() {
    let narrower = json!({ "grant": [{ "group": "ops", "application": "vault.hq",
        "sources": ["203.0.113.0/24"] }] });
    let elsewhere = json!({ "application": [{ "name": "vault", "site": "hq", "kind": "tcp",
        "address": "other:8200" }] });
    let ways: [(&str, Way); 11] = [
        ("revoke a token", delete("/api/v1/tokens/TOKEN")),
        ("revoke all of a user", delete("/api/v1/tokens?user=bob")),
        ("revoke all of an application", delete("/api/v1/tokens?application=vault")),
        ("disable a user", way(Method::POST, "/api/v1/users/bob/disable")),
        ("remove a user", delete("/api/v1/users/bob")),
        ("leave a group", apply(&json!({ "user": [{ "name": "bob", "groups": [] }] }))),
        ("remove a group", delete("/api/v1/groups/ops")),
        ("remove a grant", delete("/api/v1/grants/GRANT")),
        ("edit a grant", apply(&narrower)),
        ("edit an application", apply(&elsewhere)),
        ("remove an application", delete("/api/v1/applications/vault")),
    ];
    for (what, way) in ways {
        let scene = Scene::new().await;
        let started = Instant::now();
        let answer = scene.take_away(way).await;
        assert_eq!(answer["ended"], 3, "{what}: {answer}");
        assert!(started.elapsed() < Duration::from_secs(1), "{what}: {:?}", started.elapsed());
        scene.ended(3, EndReason::Revoked, what).await;
    }
}

#[tokio::test]
async fn what_ends_by_itself_ends_on_time_and_leaves_a_receipt_too() {
    let scene = Scene::new().await;
    let stop = CancellationToken::new();
    #[expect(clippy::disallowed_methods, reason = "the test ends it and waits for it")]
    let ends = tokio::spawn(Ends::follow(scene.relay.state.clone(), stop.clone()));
    let root = Who::Bearer(&scene.admin);
    let terms = json!({ "user": "bob", "application": "vault", "uses": 9, "expires": "2s" });
    let short = scene.relay.post(&root, "/api/v1/tokens", terms).await.good();
    let short = open(&scene.relay, short["token"].as_str().unwrap(), "vault").await;
    let asked = json!({ "user": "alice", "application": "orders", "kind": "api" });
    let old = scene.relay.post(&root, "/api/v1/tokens", asked.clone()).await.good();
    let replaced = open(&scene.relay, old["token"].as_str().unwrap(), "orders").await;
    let mut again = asked;
    again["overlap"] = json!("2s");
    scene.relay.post(&root, "/api/v1/tokens", again).await.good();
    let request = scene.requested("2s").await;
    let started = Instant::now();
    assert_eq!(within(short.1).await, EndReason::Expired);
    assert_eq!(within(request.1).await, EndReason::Expired);
    assert_eq!(within(replaced.1).await, EndReason::Revoked);
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    for (object, change) in [
        (format!("token {}", old["id"].as_str().unwrap()), "revoke"),
        (format!("rule {}", request.0), "expire"),
    ] {
        let receipt = scene.receipt(&object).await;
        assert_eq!(
            (&receipt["change"], &receipt["ended"]),
            (&json!(change), &json!(1)),
            "{object}"
        );
        assert!(receipt["millis"].as_u64().unwrap() < 1000, "{receipt}");
    }
    let path = "/api/v1/me/requests";
    let alice = scene.relay.agent("alice").await;
    for _ in 0..300 {
        let mine = scene.relay.get(&Who::Agent(&alice), path).await.items();
        if mine[0]["state"] == "ended" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(scene.relay.get(&Who::Agent(&alice), path).await.items()[0]["state"], "ended");
    stop.cancel();
    ends.await.unwrap();
}

/// Three sessions of bob at `vault`, which the group `ops` may reach, and one of alice elsewhere.
struct Scene {
    relay: Relay,
    admin: String,
    token: String,
    sessions: Vec<(access::SessionId, tokio::task::JoinHandle<EndReason>)>,
    stays: tokio::task::JoinHandle<EndReason>,
}

impl Scene {
    async fn new() -> Self {
        let relay = Relay::new().await;
        let admin = relay.admin().await;
        let root = Who::Bearer(&admin);
        let document = json!({
            "group": [{ "name": "ops", "members": ["bob"] }],
            "grant": [{ "group": "ops", "application": "vault.hq" }],
        });
        let body = json!({ "document": document });
        relay.post(&root, "/api/v1/apply", body).await.good();
        let issue = async |user: &str, application: &str| {
            let asked = json!({ "user": user, "application": application, "uses": 9 });
            relay.post(&root, "/api/v1/tokens", asked).await.good()
        };
        let (own, other) = (issue("bob", "vault").await, issue("alice", "web1").await);
        let text = own["token"].as_str().unwrap();
        let mut sessions = Vec::new();
        for _ in 0..3 {
            sessions.push(open(&relay, text, "vault").await);
        }
        let stays = open(&relay, other["token"].as_str().unwrap(), "web1").await.1;
        let token = own["id"].as_str().unwrap().to_owned();
        Self { relay, admin, token, sessions, stays }
    }

    async fn take_away(&self, way: Way) -> Value {
        let root = Who::Bearer(&self.admin);
        let grants = self.relay.get(&root, "/api/v1/grants").await.items();
        let own = |row: &&Value| row["grant"]["group"] == "ops";
        let grant = grants.iter().find(own).unwrap()["id"].clone();
        let path = way.path.replace("TOKEN", &self.token);
        let path = path.replace("GRANT", grant.as_str().unwrap());
        self.relay.call(&root, way.method, &path, way.body).await.good()
    }

    async fn ended(self, count: u64, reason: EndReason, what: &str) {
        for (_, session) in self.sessions {
            assert_eq!(within(session).await, reason, "{what}");
        }
        assert!(!self.stays.is_finished(), "{what} ended somebody else's session");
        self.stays.abort();
        let rows = self.relay.actions().await;
        let receipts: Vec<_> =
            rows.iter().filter(|(action, _)| action == "access.withdrawn").collect();
        assert_eq!(receipts.len(), 1, "{what}: {receipts:?}");
        let receipt = &receipts[0].1;
        assert_eq!((&receipt["ended"], &receipt["actor"]), (&json!(count), &json!("root")));
        assert!(receipt["millis"].as_u64().unwrap() < 1000, "{what}: {receipt}");
    }

    /// A session of alice at `vault` that stands on a request approved for this long.
    async fn requested(&self, duration: &str) -> (String, tokio::task::JoinHandle<EndReason>) {
        let root = Who::Bearer(&self.admin);
        let document = json!({ "application": [{ "name": "vault", "site": "hq", "kind": "tcp",
            "address": "vault:8200", "requestable": true }] });
        let body = json!({ "document": document });
        self.relay.post(&root, "/api/v1/apply", body).await.good();
        let alice = self.relay.agent("alice").await;
        let asked = json!({ "application": "vault", "reason": "on call", "duration": duration });
        let asked = self.relay.post(&Who::Agent(&alice), "/api/v1/me/requests", asked).await;
        let id = asked.good()["id"].as_str().unwrap().to_owned();
        let token = json!({ "user": "alice", "application": "vault", "uses": 9 });
        let token = self.relay.post(&root, "/api/v1/tokens", token).await.good();
        let approve = format!("/api/v1/requests/{id}/approve");
        self.relay.post(&root, &approve, json!({})).await.good();
        let session = open(&self.relay, token["token"].as_str().unwrap(), "vault").await.1;
        (id, session)
    }

    async fn receipt(&self, object: &str) -> Value {
        for _ in 0..300 {
            let rows = self.relay.actions().await;
            let found = rows.into_iter().find(|(action, event)| {
                action == "access.withdrawn" && event["object"] == object && event["ended"] != 0
            });
            if let Some((_, event)) = found {
                return event;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no receipt for {object}: {:?}", self.relay.actions().await);
    }
}
