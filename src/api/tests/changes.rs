use std::time::{Duration, SystemTime};

use access::{Context, Keeps, SessionId, TokenKind};
use serde_json::{Value, json};
use session::{Authn, Door};
use tokio::task::JoinHandle;

use super::{Relay, Who};
use crate::api::change::{Actor, Intent, change};

#[tokio::test]
async fn revoking_a_token_ends_its_sessions_and_says_how_many() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let issued = issue(&relay, &root, "web1").await;
    let other = issue(&relay, &root, "orders").await;
    let text = issued["token"].as_str().unwrap();
    let (first, second) = (open(&relay, text, "web1").await, open(&relay, text, "web1").await);
    let stays = open(&relay, other["token"].as_str().unwrap(), "orders").await;
    let path = format!("/api/v1/tokens/{}", issued["id"].as_str().unwrap());
    let revoked = relay.delete(&root, &path).await.good();
    assert_eq!(revoked["ended"], 2);
    assert!(revoked["millis"].as_u64().unwrap() < 1000);
    for session in [first, second] {
        assert_eq!(within(session.1).await, access::EndReason::Revoked);
    }
    assert_eq!(relay.state.broker.live().len(), 1);
    let receipt = receipt(&relay).await;
    assert_eq!((&receipt["change"], &receipt["ended"]), (&json!("revoke"), &json!(2)));
    stays.1.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_at_the_same_time_do_not_make_each_other_fail() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let add = |n| {
        let (relay, root) = (&relay, &root);
        async move {
            relay.post(root, "/api/v1/users", json!({ "name": format!("new-{n}") })).await.good()
        }
    };
    futures_util::future::join_all((0..100).map(add)).await;
}

#[tokio::test]
async fn disabling_a_user_ends_their_sessions() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let issued = issue(&relay, &root, "web1").await;
    let session = open(&relay, issued["token"].as_str().unwrap(), "web1").await;
    let path = "/api/v1/users/alice/disable";
    let disabled = relay.call(&root, axum::http::Method::POST, path, None).await.good();
    assert_eq!(disabled["ended"], 1);
    assert_eq!(within(session.1).await, access::EndReason::Revoked);
    assert_eq!(receipt(&relay).await["object"], "user alice");
    let last = relay.call(&root, axum::http::Method::POST, "/api/v1/users/root/disable", None);
    assert_eq!(last.await.problem(422), "user.last_admin");
}

#[tokio::test]
async fn what_is_wrong_with_a_field_is_said_without_its_place_in_json() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let wiki = json!({ "name": "wiki", "site": "hq", "kind": "web", "address": "10.0.0.7:80 " });
    let answer = relay.post(&root, "/api/v1/applications", wiki).await;
    assert_eq!(answer.problem(400), "request.invalid");
    let said: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(said["detail"], "address: the port is a number from 1 to 65535");
}

#[tokio::test]
async fn a_killed_session_is_gone_when_the_answer_comes() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let issued = issue(&relay, &root, "web1").await;
    let (id, session) = open(&relay, issued["token"].as_str().unwrap(), "web1").await;
    let listed = relay.get(&root, "/api/v1/sessions").await.items();
    assert_eq!((&listed[0]["id"], &listed[0]["user"]), (&json!(id), &json!("alice")));
    let path = format!("/api/v1/sessions/{id}");
    let long = format!("{path}?message={}", "a".repeat(301));
    assert_eq!(relay.delete(&root, &long).await.problem(400), "request.invalid");
    let path = format!("{path}?message=maintenance%20now");
    assert_eq!(relay.delete(&root, &path).await.good()["ended"], 1);
    assert!(relay.get(&root, "/api/v1/sessions").await.items().is_empty());
    assert_eq!(within(session).await, access::EndReason::Killed);
    assert_eq!(relay.delete(&root, &path).await.problem(404), "session.not_found");
    let events = exported(&relay, &root, id).await;
    assert_eq!(events, ["session.opened", "session.ended"]);
    let changed = changes(&relay).await;
    assert!(changed.iter().any(|change| change["detail"] == "maintenance now"), "{changed:?}");
}

#[tokio::test]
async fn a_change_is_recorded_with_who_made_it() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    relay.post(&root, "/api/v1/sites", json!({ "name": "lab" })).await.good();
    relay.post(&root, "/api/v1/sites", json!({ "name": "lab" })).await.problem(409);
    let changed = changes(&relay).await;
    assert_eq!(changed.len(), 1, "what was refused is no change: {changed:?}");
    assert_eq!((&changed[0]["actor"], &changed[0]["object"]), (&json!("root"), &json!("site lab")));
    assert_eq!(changed[0]["from"], "192.0.2.7");
}

#[tokio::test]
async fn hanging_up_early_leaves_no_change_unrecorded() {
    let relay = Relay::new().await;
    let actor = Actor::other("root".to_owned(), "192.0.2.7".parse().unwrap());
    let intent = Intent { action: "disable", object: "user bob".to_owned() };
    let reached = tokio::sync::Notify::new();
    let act = async {
        relay.state.store.set_enabled(&"bob".parse().unwrap(), false).await?;
        reached.notify_one();
        std::future::pending().await
    };
    tokio::select! {
        _ = change::<()>(&relay.state, actor, intent, act) => panic!("it never answers"),
        () = reached.notified() => {}
    }
    for _ in 0..500 {
        if let [recorded] = &changes(&relay).await[..] {
            assert_eq!(
                (&recorded["actor"], &recorded["change"]),
                (&json!("root"), &json!("disable"))
            );
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the change was not recorded");
}

#[tokio::test]
async fn the_audit_log_is_read_page_by_page() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    for n in 0..5 {
        relay.post(&root, "/api/v1/sites", json!({ "name": format!("s{n}") })).await.good();
    }
    let (mut path, mut seen) = ("/api/v1/audit?limit=2&action=admin.changed".to_owned(), 0);
    loop {
        let page = relay.get(&root, &path).await.good();
        seen += page["events"].as_array().unwrap().len();
        let Some(next) = page["next"].as_u64() else { break };
        path = format!("/api/v1/audit?limit=2&action=admin.changed&after={next}");
    }
    assert_eq!(seen, 5);
}

#[tokio::test]
async fn a_used_up_token_keeps_its_session() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let asked = json!({ "user": "alice", "application": "web1" });
    let issued = relay.post(&root, "/api/v1/tokens", asked).await.good();
    let (_, session) = open(&relay, issued["token"].as_str().unwrap(), "web1").await;
    relay.token("bob", TokenKind::Login).await;
    let again = relay.get(&root, "/api/v1/tokens?user=alice").await.items();
    assert_eq!(again[0]["state"], "used-up");
    assert!(!session.is_finished(), "policy changed since, and its session goes on");
    session.abort();
}

async fn issue(relay: &Relay, root: &Who<'_>, application: &str) -> Value {
    let asked = json!({ "user": "alice", "application": application, "uses": 9 });
    relay.post(root, "/api/v1/tokens", asked).await.good()
}

/// Opens a session that stands on the token and lasts as long as its lease.
pub(super) async fn open(
    relay: &Relay,
    text: &str,
    app: &str,
) -> (SessionId, JoinHandle<access::EndReason>) {
    let state = &relay.state;
    let from = "192.0.2.9".parse().unwrap();
    let who = state.authn.token(&text.to_owned().into(), Door::Ssh, from).await.unwrap();
    let policy = state.policy.current();
    let application = policy.find(app, &who).unwrap();
    let context =
        Context { from, login: Some("ubuntu".to_owned()), database: None, keeps: Keeps::SSH };
    let grant = policy.authorize(&who, application, context, SystemTime::now()).unwrap();
    let session = state.broker.open(grant, Door::Ssh, SystemTime::now()).await.unwrap();
    let id = session.id();
    #[expect(clippy::disallowed_methods, reason = "the test waits for the handle, or ends with it")]
    let task = tokio::spawn(async move {
        let reason = session.lease().ended().await;
        session.end(reason, access::Side::Relay);
        reason
    });
    (id, task)
}

pub(super) async fn within(task: JoinHandle<access::EndReason>) -> access::EndReason {
    tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap()
}

async fn changes(relay: &Relay) -> Vec<Value> {
    let all = relay.actions().await.into_iter();
    all.filter(|(action, _)| action == "admin.changed").map(|(_, event)| event).collect()
}

async fn receipt(relay: &Relay) -> Value {
    let mut all = relay.actions().await.into_iter().rev();
    all.find(|(action, _)| action == "access.withdrawn").unwrap().1
}

async fn exported(relay: &Relay, root: &Who<'_>, id: SessionId) -> Vec<String> {
    let answer = relay.get(root, &format!("/api/v1/sessions/{id}/events")).await;
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    let rows = answer.text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| row["action"].as_str().unwrap().to_owned()).collect()
}
