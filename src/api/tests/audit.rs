use serde_json::{Value, json};
use session::{AuditEvent, AuditLog, Door};

use super::{Relay, Who};

#[tokio::test]
async fn records_are_searched_by_whom_what_where_and_when() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    relay.post(&root, "/api/v1/sites", json!({ "name": "branch" })).await.good();
    relay.post(&root, "/api/v1/users", json!({ "name": "carol" })).await.good();
    for user in ["mallory", "eve", "root"] {
        relay.state.store.append(failed(user)).await.unwrap();
    }
    relay.state.store.append(denied("web1.hq")).await.unwrap();
    relay.state.store.append(denied("web2")).await.unwrap();
    let seqs = async |query: &str| -> Vec<u64> {
        let page = relay.get(&root, &format!("/api/v1/audit?{query}")).await.good();
        page["events"].as_array().unwrap().iter().map(|row| row["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!(seqs("").await, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(seqs("latest=true&limit=3").await, [7, 6, 5]);
    assert_eq!(seqs("latest=true&limit=3&before=5").await, [4, 3, 2]);
    assert_eq!(seqs("user=root").await, [1, 2, 5], "what they did, and who said they were");
    assert_eq!(seqs("actor=root").await, [1, 2]);
    assert_eq!(seqs("action=authn.failed").await, [3, 4, 5]);
    assert_eq!(seqs("action=access.*").await, [6, 7]);
    assert_eq!(seqs("action=session.*").await, [0; 0]);
    assert_eq!(seqs("application=web1.hq").await, [6]);
    assert_eq!(seqs("application=web2&user=alice").await, [7]);
    assert_eq!(seqs("since=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z").await, [0; 0]);
    assert_eq!(seqs("since=2020-01-01T00:00:00%2B01:00&limit=1").await, [1]);
    for bad in [
        "since=yesterday",
        "until=2h",
        "since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
        "action=session",
        "action=*",
        "action=session.%25",
        "session=x",
        "site=No%20Site",
        "limit=x",
        "latest=maybe",
        "aktion=x",
    ] {
        let answer = relay.get(&root, &format!("/api/v1/audit?{bad}")).await;
        assert_eq!(answer.problem(400), "request.invalid", "{bad}");
    }
}

#[tokio::test]
async fn the_chain_is_verified_part_by_part_and_against_what_was_noted() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let verify = async |query: &str| -> Value {
        relay.get(&root, &format!("/api/v1/audit/verify?{query}")).await.good()
    };
    let empty = json!({ "rows": 0, "damages": [], "done": true, "end": 0 });
    assert_eq!(verify("").await, empty);
    for user in 0..6000 {
        relay.state.store.note(failed(&format!("eve-{user}")));
        if user % 1000 == 0 {
            relay.state.store.append(failed("mallory")).await.unwrap();
        }
    }
    relay.state.store.append(failed("last")).await.unwrap();
    let whole = verify("").await;
    let end = whole["at"].as_str().unwrap();
    assert_eq!((&whole["damages"], &whole["done"]), (&json!([]), &json!(true)));
    assert!(end.starts_with(&format!("{}:", whole["end"])), "{whole}");
    let rest = verify(&format!("after={end}&expect={end}")).await;
    assert_eq!((&rest["rows"], &rest["damages"]), (&json!(0), &json!([])));
    let noted = format!("3:{}", "0".repeat(64));
    let damage = &verify(&format!("expect={noted}")).await["damages"][0];
    assert_eq!((&damage["seq"], &damage["kind"]), (&json!(3), &json!("noted")));
    let beyond = format!("9000:{}", "0".repeat(64));
    let damage = &verify(&format!("after={end}&expect={beyond}")).await["damages"][0];
    assert_eq!((&damage["seq"], &damage["kind"]), (&json!(9000), &json!("noted")));
    for bad in ["after=3", "expect=x", "expect=3:00", "from=1"] {
        let answer = relay.get(&root, &format!("/api/v1/audit/verify?{bad}")).await;
        assert_eq!(answer.problem(400), "request.invalid", "{bad}");
    }
}

fn failed(user: &str) -> AuditEvent {
    AuditEvent::AuthnFailed {
        door: Door::Ssh,
        from: [192, 0, 2, 1].into(),
        user: Some(user.to_owned()),
        code: access::Code("authn.failed"),
        detail: String::new(),
        suppressed: 0,
    }
}

fn denied(application: &str) -> AuditEvent {
    AuditEvent::AccessDenied {
        door: Door::Ssh,
        from: [192, 0, 2, 1].into(),
        user: "alice".parse().unwrap(),
        application: application.to_owned(),
        code: access::Code("access.denied"),
        detail: String::new(),
    }
}
