use axum::http::Method;
use serde_json::{Value, json};

use super::{Answer, Relay, Who};

const PATH: &str = "/api/v1/settings";

#[tokio::test]
async fn a_changed_setting_binds_the_next_token() {
    let relay = Relay::new().await;
    let alice = relay.agent("alice").await;
    let own =
        async |asked: Value| relay.post(&Who::Agent(&alice), "/api/v1/me/tokens", asked).await;
    let two_uses = || json!({ "application": "orders", "expires": "2h", "uses": 2 });
    assert_eq!(own(two_uses()).await.problem(422), "token.single_use");
    let reusable = async || {
        let mine = relay.get(&Who::Agent(&alice), "/api/v1/me/applications").await.items();
        mine.iter().map(|app| app["reusable_tokens"] == true).collect::<Vec<_>>()
    };
    assert_eq!(reusable().await, [false, false]);
    let given = json!({ "tokens": { "database": { "hours": 2, "reusable": true } } });
    relay.set(given).await.good();
    assert_eq!(reusable().await, [true, false]);
    own(two_uses()).await.good();
    let long = own(json!({ "application": "orders", "expires": "3h" })).await;
    assert_eq!(long.problem(422), "token.too_long");
    let usual = own(json!({ "application": "orders" })).await.good();
    assert_eq!(usual["uses"], json!(null), "good until it expires");
    own(json!({ "application": "web1", "expires": "12h" })).await.good();
}

#[tokio::test]
async fn what_changed_is_told_and_recorded_from_what_to_what() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let before = relay.get(&root, PATH).await.good();
    assert_eq!(before["ssh_key_days"], 99);
    assert_eq!(before["tokens"]["rdp"], json!({ "hours": 12, "reusable": false }));
    let given = json!({ "ssh_key_days": 30, "tokens": { "ssh": { "hours": 8 } } });
    let applied = relay.set(given.clone()).await.good();
    let detail = "ssh_key_days 99 → 30; tokens.ssh.hours 12 → 8";
    assert_eq!(
        applied["changes"],
        json!([{ "action": "change", "object": "settings", "detail": detail }])
    );
    let after = relay.get(&root, PATH).await.good();
    assert_eq!((&after["ssh_key_days"], &after["tokens"]["ssh"]["hours"]), (&json!(30), &json!(8)));
    assert_eq!(relay.set(given).await.good()["changes"], json!([]));
    let recorded: Vec<_> =
        relay.actions().await.into_iter().filter(|(action, _)| action == "admin.changed").collect();
    let [(_, event)] = &recorded[..] else { panic!("{recorded:?}") };
    assert_eq!((&event["actor"], &event["object"]), (&json!("root"), &json!("settings")));
    assert_eq!(event["detail"], detail);
}

#[tokio::test]
async fn every_value_out_of_range_is_told_and_nothing_is_set() {
    let relay = Relay::new().await;
    let given = json!({ "ssh_key_days": 3651,
        "tokens": { "ssh": { "hours": 0 }, "web": { "hours": 721 }, "tcp": { "hours": 1 } } });
    let answer = relay.set(given).await;
    assert_eq!(answer.problem(422), "request.refused");
    let errors = answer.json()["errors"].clone();
    let codes: Vec<_> = errors.as_array().unwrap().iter().map(|error| &error["code"]).collect();
    assert_eq!(codes, [&json!("settings.value"); 3]);
    assert_eq!(relay.set(json!({ "ssh_key_days": 0 })).await.problem(422), "settings.value");
    for wrong in [
        json!({ "ssh_keys": 1 }),
        json!({ "ssh_key_days": -1 }),
        json!({ "tokens": { "ftp": { "hours": 1 } } }),
        json!({ "tokens": { "ssh": { "reusable": 1 } } }),
    ] {
        assert_eq!(relay.set(wrong).await.problem(400), "request.invalid");
    }
    let admin = relay.admin().await;
    assert_eq!(relay.get(&Who::Bearer(&admin), PATH).await.good()["tokens"]["tcp"]["hours"], 12);
}

impl Relay {
    async fn set(&self, given: Value) -> Answer {
        let admin = self.admin().await;
        self.call(&Who::Bearer(&admin), Method::PATCH, PATH, Some(given)).await
    }
}
