//! The host keys by which targets are known.

use serde_json::json;
use session::{HostKeyVerdict, HostKeys};

use super::{Relay, Who};

const PATH: &str = "/api/v1/applications/web1/host-key";
const FIRST: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFBgVJpX1N4InONGWQXFFu0C7ttV29sjan5Ak8nXMWxO";
const SECOND: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINQeSQLEoZSTBTqKSHBhqGp9Lr8b9cIkeaGSDdD5fJQm";

#[tokio::test]
async fn an_admin_has_a_learned_key_forgotten_and_that_is_recorded() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let learns = async |key: &str| {
        let policy = relay.state.policy.current();
        let app = policy.applications().find(|app| app.name.as_str() == "web1").unwrap();
        relay.state.store.check(app, key).await.unwrap()
    };
    assert_eq!(relay.get(&root, PATH).await.good(), json!({ "application": "web1.hq" }));
    assert_eq!(relay.delete(&root, PATH).await.good()["count"], 0);
    assert_eq!(learns(FIRST).await, HostKeyVerdict::Learned);
    assert_eq!(relay.get(&root, PATH).await.good()["learned"], FIRST);
    assert_eq!(learns(SECOND).await, HostKeyVerdict::Changed { known: FIRST.to_owned() });
    assert_eq!(relay.delete(&root, PATH).await.good()["count"], 1);
    assert_eq!(learns(SECOND).await, HostKeyVerdict::Learned);
    let recorded = relay.actions().await;
    let changes: Vec<_> = recorded.iter().filter(|(action, _)| action == "admin.changed").collect();
    let [(_, event)] = &changes[..] else { panic!("nothing to forget is no change: {changes:?}") };
    assert_eq!(event["change"], "forget");
    assert_eq!(event["object"], "host key of application web1.hq");
    assert_eq!((&event["actor"], &event["detail"]), (&json!("root"), &json!(FIRST)));
}
