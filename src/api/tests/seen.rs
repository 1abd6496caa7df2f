//! When somebody was last there.

use std::time::SystemTime;

use serde_json::{Value, json};
use store::Known;

use super::{Relay, Who};

#[tokio::test]
async fn a_list_tells_when_from_where_and_by_which_door_a_user_was_vouched_for() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    assert_eq!(row(&relay, "/api/v1/users", "name", "alice").await["seen"], json!(null));
    let agent = relay.agent("alice").await;
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    relay.get(&Who::Agent(&agent), "/api/v1/me").await.good();
    let seen = row(&relay, "/api/v1/users", "name", "alice").await["seen"].clone();
    assert_eq!((&seen["from"], &seen["door"]), (&json!("192.0.2.7"), &json!("api")));
    assert!((began..began + 60).contains(&seen["at"].as_u64().unwrap()), "{seen}");
    let asked = json!({ "user": "alice", "application": "web1" });
    let issued = relay.post(&root, "/api/v1/tokens", asked).await.good();
    let (_, session) =
        super::changes::open(&relay, issued["token"].as_str().unwrap(), "web1").await;
    session.abort();
    let seen = row(&relay, "/api/v1/users", "name", "alice").await["seen"].clone();
    assert_eq!((&seen["from"], &seen["door"]), (&json!("192.0.2.9"), &json!("ssh")));
    let listed = row(&relay, "/api/v1/agents", "user", "alice").await;
    assert_eq!(listed["seen"]["from"], "192.0.2.7");
    assert_eq!(row(&relay, "/api/v1/users", "name", "bob").await["seen"], json!(null));
}

#[tokio::test]
async fn signing_in_writes_nothing_and_a_flush_keeps_the_last_of_each() {
    let relay = Relay::new().await;
    let agent = relay.agent("alice").await;
    let sightings = relay.state.authn.sightings();
    for _ in 0..3 {
        relay.get(&Who::Agent(&agent), "/api/v1/me").await.good();
    }
    assert!(relay.state.store.seen().await.unwrap().is_empty());
    let version = *relay.state.store.changed().borrow();
    sightings.flush().await;
    let stored = relay.state.store.seen().await.unwrap();
    assert_eq!(stored.len(), 2, "the user and the agent: {stored:?}");
    assert_eq!(stored[&Known::User(agent.user)].by.as_deref(), Some("api"));
    assert_eq!(*relay.state.store.changed().borrow(), version, "it is no change of the policy");
    assert_eq!(sightings.all().await.unwrap(), stored);
    relay
        .state
        .store
        .note_seen(&[(Known::User(agent.user), store::Seen { at: 1, from: None, by: None })])
        .await
        .unwrap();
    assert_eq!(relay.state.store.seen().await.unwrap(), stored, "the latest stays");
}

async fn row(relay: &Relay, path: &str, key: &str, name: &str) -> Value {
    let admin = relay.admin().await;
    let listed = relay.get(&Who::Bearer(&admin), path).await.good();
    let mut rows = listed["items"].as_array().unwrap().iter();
    rows.find(|row| row[key] == name).unwrap_or_else(|| panic!("{listed}")).clone()
}
