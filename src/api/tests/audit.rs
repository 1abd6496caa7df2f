use std::sync::Arc;
use std::time::{Duration, SystemTime};

use access::SessionId;
use serde_json::{Value, json};
use session::{AuditEvent, AuditLog, Door, Statement, StatementScope, WebRequest};
use uuid::Uuid;

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

#[tokio::test]
async fn statements_are_searched_by_application_as_it_is_named_elsewhere_and_by_when() {
    use session::StatementLog as _;

    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    for site in ["branch", "eu-hq"] {
        relay.post(&root, "/api/v1/sites", json!({ "name": site })).await.good();
    }
    let other =
        json!({ "name": "orders", "site": "branch", "kind": "mysql", "address": "db:3306" });
    relay.post(&root, "/api/v1/applications", other).await.good();
    // Its label is also what `orders-eu` at hq would have.
    let odd = json!({ "name": "orders", "site": "eu-hq", "kind": "mysql", "address": "db:3306" });
    relay.post(&root, "/api/v1/applications", odd).await.good();
    // `till` is gone since.
    let labels = ["orders-hq", "orders-branch", "orders-eu-hq", "till-branch", "vault-hq"];
    let kept = (1..).zip(labels).map(|(hour, label)| statement(hour, label)).collect();
    relay.state.store.keep(kept).await.unwrap();
    let found = async |query: &str| -> Vec<String> {
        let page = relay.get(&root, &format!("/api/v1/statements?{query}")).await.good();
        let rows = page["statements"].as_array().unwrap().iter();
        rows.map(|row| row["application"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(found("").await.len(), 5);
    assert_eq!(found("application=orders.hq").await, ["orders-hq"]);
    let all = ["orders-eu-hq", "orders-branch", "orders-hq"];
    assert_eq!(found("application=orders").await, all);
    assert_eq!(found("application=orders&limit=2").await, all[..2]);
    assert_eq!(found("application=orders-hq").await, ["orders-hq"], "a label");
    assert_eq!(found("application=orders-eu").await, [""; 0], "another application's label");
    for gone in ["till", "till.branch", "till-branch"] {
        assert_eq!(found(&format!("application={gone}")).await, ["till-branch"], "{gone}");
    }
    assert_eq!(found("application=till.hq").await, [""; 0]);
    let span = format!("since={}&until={}", written(2), written(4));
    assert_eq!(found(&span).await, ["orders-eu-hq", "orders-branch"]);
    assert_eq!(found(&format!("{span}&application=orders.branch")).await, ["orders-branch"]);
    for bad in [
        "since=2h",
        "application=a.b.c",
        "application=",
        &format!("since={0}&until={0}", written(1)),
    ] {
        let answer = relay.get(&root, &format!("/api/v1/statements?{bad}")).await;
        assert_eq!(answer.problem(400), "request.invalid", "{bad}");
    }
}

#[tokio::test]
async fn requests_are_searched_by_application_as_it_is_named_elsewhere_and_by_outcome_and_when() {
    use session::RequestLog;

    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    relay.post(&root, "/api/v1/sites", json!({ "name": "branch" })).await.good();
    let outcomes = [
        ("orders-hq", Some(200)),
        ("orders-branch", Some(404)),
        ("vault-hq", None),
        ("orders-hq", Some(399)),
    ];
    for (hour, (label, status)) in (1..).zip(outcomes) {
        RequestLog::note(&relay.state.store, request(hour, label, status));
    }
    let found = async |query: &str| -> Vec<u64> {
        let page = relay.get(&root, &format!("/api/v1/web/requests?{query}")).await.good();
        let rows = page["requests"].as_array().unwrap().iter();
        rows.map(|row| (row["at_ms"].as_u64().unwrap() / 1000 - START) / 3600).collect()
    };
    let kept = async {
        while found("").await.len() < 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), kept).await.unwrap();
    assert_eq!(found("").await, [4, 3, 2, 1]);
    assert_eq!(found("application=orders.hq").await, [4, 1]);
    assert_eq!(found("application=orders-branch").await, [2], "a label");
    assert_eq!(found("application=vault").await, [3]);
    assert_eq!(found("application=nothing").await, [0; 0]);
    assert_eq!(found("failed=true").await, [3, 2]);
    assert_eq!(found(&format!("since={}", written(2))).await, [4, 3, 2]);
    assert_eq!(found(&format!("until={}&failed=true", written(3))).await, [2]);
    for bad in ["since=2h", "application=a.b.c", &format!("since={0}&until={0}", written(1))] {
        let answer = relay.get(&root, &format!("/api/v1/web/requests?{bad}")).await;
        assert_eq!(answer.problem(400), "request.invalid", "{bad}");
    }
}

fn request(hour: u64, label: &str, status: Option<u16>) -> WebRequest {
    WebRequest {
        at: SystemTime::UNIX_EPOCH + since_epoch(hour),
        id: id(hour),
        client_id: None,
        from: [192, 0, 2, 1].into(),
        method: "GET".to_owned(),
        host: format!("{label}.relay.test"),
        path: "/".to_owned(),
        session: None,
        user: None,
        application: Some(label.to_owned()),
        status,
        code: None,
        up: 0,
        down: 0,
        millis: 1,
    }
}

const START: u64 = 1_800_000_000;

fn since_epoch(hour: u64) -> Duration {
    Duration::from_secs(START + hour * 3600)
}

/// Of version 7, as the doors make them.
fn id(hour: u64) -> Uuid {
    Uuid::from_u128(since_epoch(hour).as_millis() << 80 | 7 << 76 | 2 << 62)
}

/// As a query says it.
fn written(hour: u64) -> String {
    let seconds = since_epoch(hour).as_secs().cast_signed();
    let at = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    at.format(&time::format_description::well_known::Rfc3339).unwrap()
}

fn statement(hour: u64, label: &str) -> Statement {
    let scope = StatementScope {
        session: SessionId(Uuid::from_u128(1)),
        user: "alice".parse().unwrap(),
        application: label.to_owned(),
        database: "orders".to_owned(),
        role: "ro".to_owned(),
    };
    Statement {
        id: id(hour),
        at: SystemTime::UNIX_EPOCH + since_epoch(hour),
        scope: Arc::new(scope),
        client: None,
        text: "select 1".into(),
        cut: 0,
        outcome: None,
    }
}
