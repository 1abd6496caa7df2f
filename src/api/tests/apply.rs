use serde_json::{Value, json};

use super::{CANARY, Relay, Who, configuration};

#[tokio::test]
async fn a_plan_says_what_applying_does_and_changes_nothing() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let document = json!({
        "site": [{ "name": "lab" }],
        "application": [
            { "name": "box", "site": "lab", "kind": "ssh", "address": "10.0.0.1:22" },
            { "name": "orders", "site": "hq", "kind": "postgres", "address": "db2:5432",
              "allow_api": true },
        ],
        "grant": [{ "user": "bob", "application": "box.lab" }],
    });
    let ask = |plan| json!({ "document": document, "plan": plan });
    let before = relay.get(&root, "/api/v1/export").await.good();
    let planned = relay.post(&root, "/api/v1/apply", ask(true)).await.good();
    assert_eq!(planned["applied"], false);
    assert_eq!(relay.get(&root, "/api/v1/export").await.good(), before);
    let applied = relay.post(&root, "/api/v1/apply", ask(false)).await.good();
    assert_eq!((&applied["applied"], &applied["changes"]), (&json!(true), &planned["changes"]));
    assert_eq!(applied["changes"].as_array().unwrap().len(), 4);
    let again = relay.post(&root, "/api/v1/apply", ask(false)).await.good();
    assert_eq!(again["changes"], json!([]), "applying is idempotent");
    let bob = relay.agent("bob").await;
    let reached = relay.get(&Who::Agent(&bob), "/api/v1/me/applications").await.items();
    assert_eq!(reached[0]["name"], "box", "what is answered is in force");
}

#[tokio::test]
async fn the_configuration_of_a_large_organisation_is_taken_whole() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let names: Vec<_> = (0..10_000).map(|n| format!("person-{n:05}-{}", "x".repeat(18))).collect();
    let users: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
    let groups = ["all", "again"].map(|name| json!({ "name": name, "members": names }));
    let document = json!({ "user": users, "group": groups });
    let body = json!({ "document": document, "plan": true });
    assert!(body.to_string().len() > 1 << 20);
    let planned = relay.post(&Who::Bearer(&admin), "/api/v1/apply", body).await.good();
    assert_eq!(planned["changes"].as_array().unwrap().len(), 10_002);
}

#[tokio::test]
async fn one_mistake_leaves_everything_as_it_was() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let before = relay.get(&root, "/api/v1/export").await.good();
    let document = json!({
        "site": [{ "name": "lab" }],
        "grant": [
            { "user": "bob", "application": "nothing" },
            { "group": "nobody", "application": "web1" },
        ],
    });
    let answer = relay.post(&root, "/api/v1/apply", json!({ "document": document })).await;
    assert_eq!(answer.problem(422), "request.refused");
    assert_eq!(answer.json()["errors"].as_array().unwrap().len(), 2, "{answer:?}");
    assert_eq!(relay.get(&root, "/api/v1/export").await.good(), before);
}

#[tokio::test]
async fn no_answer_ever_holds_a_stored_secret() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let mut answers = Vec::new();
    for path in [
        "sites",
        "connectors",
        "applications",
        "users",
        "groups",
        "grants",
        "tokens",
        "export",
        "audit",
    ] {
        answers.push(relay.get(&root, &format!("/api/v1/{path}")).await);
    }
    let changed = CANARY.replace("7d1f", "8e2a");
    let text = configuration().to_string().replace(CANARY, &changed);
    let mut document: Value = serde_json::from_str(&text).unwrap();
    answers.push(relay.post(&root, "/api/v1/apply", json!({ "document": document })).await);
    answers.push(relay.get(&root, "/api/v1/audit").await);
    document["grant"][0]["application"] = json!("nothing");
    answers.push(relay.post(&root, "/api/v1/apply", json!({ "document": document })).await);
    let misplaced = json!({ "name": "x", "site": "hq", "password": CANARY, "kind": CANARY });
    answers.push(relay.post(&root, "/api/v1/users", misplaced).await);
    for answer in answers {
        assert!(!answer.text.contains("canary"), "{answer:?}");
        assert!(!answer.text.contains(&admin), "{answer:?}");
    }
}
