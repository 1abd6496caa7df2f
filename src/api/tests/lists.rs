//! Lists in pages, and of what is asked for.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Value, json};

use super::{Relay, Who};
use crate::api::openapi::document;
use crate::api::routes::routes;

#[tokio::test]
async fn every_list_is_given_in_pages_that_miss_nothing_and_repeat_nothing() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    fill(&relay, &root).await;
    for path in lists() {
        // Tokens are for their owners: what root may list of itself is another path.
        let all = rows(&relay, &root, path, 1000).await;
        for limit in [1, 2] {
            let paged = rows(&relay, &root, path, limit).await;
            assert_eq!(paged, all, "{path} by {limit}");
        }
        let distinct: BTreeSet<_> = all.iter().map(Value::to_string).collect();
        assert_eq!(distinct.len(), all.len(), "{path}");
    }
}

#[tokio::test]
async fn a_page_goes_on_after_a_row_that_is_gone() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let names = async |path: &str| {
        let page = relay.get(&root, path).await.good();
        let items = page["items"].as_array().unwrap().iter();
        let names: Vec<_> = items.map(|row| row["name"].as_str().unwrap().to_owned()).collect();
        (names, page["next"].as_str().map(str::to_owned))
    };
    let (first, next) = names("/api/v1/users?limit=2").await;
    assert_eq!(first, ["alice", "bob"]);
    relay.delete(&root, "/api/v1/users/bob").await.good();
    for name in ["aaron", "carol"] {
        relay.post(&root, "/api/v1/users", json!({ "name": name })).await.good();
    }
    let next = next.unwrap();
    let (second, end) = names(&format!("/api/v1/users?limit=2&cursor={next}")).await;
    assert_eq!((second, end), (vec!["carol".to_owned(), "root".to_owned()], None));
}

#[tokio::test]
async fn a_page_has_bounds_and_a_cursor_is_of_its_list() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let next = relay.get(&root, "/api/v1/users?limit=1").await.good()["next"].clone();
    let next = next.as_str().unwrap();
    for path in lists() {
        // With calls of its own: those that cost much use up what one credential has.
        let admin = relay.admin().await;
        let root = Who::Bearer(&admin);
        for wrong in ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=1&limit=2", "nme=1"] {
            let answer = relay.get(&root, &format!("{path}?{wrong}")).await;
            assert_eq!(answer.problem(400), "request.invalid", "{path}?{wrong}");
        }
        // ["tokens",[1,"\u0000"]]: no database takes such a text.
        let forged = "WyJ0b2tlbnMiLFsxLCJcdTAwMDAiXV0";
        for cursor in ["", "x", "%00", forged, next] {
            let answer = relay.get(&root, &format!("{path}?cursor={cursor}")).await;
            match path == "/api/v1/users" && cursor == next {
                true => drop(answer.good()),
                false => assert_eq!(answer.problem(400), "request.cursor", "{path} {cursor}"),
            }
        }
    }
}

#[tokio::test]
async fn lists_give_what_fits_all_that_is_asked() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    fill(&relay, &root).await;
    for (query, count) in [
        ("users?group=g1", 2),
        ("users?group=g1&prefix=b", 1),
        ("users?admin=true", 1),
        ("users?enabled=false", 0),
        ("users?prefix=al", 1),
        ("applications?kind=ssh", 1),
        ("applications?site=s1", 1),
        ("applications?tag=env%3Dprod", 1),
        ("applications?tag=env%3Dprod&site=hq", 0),
        ("grants?user=alice", 2),
        ("grants?user=alice&application=web1", 1),
        ("grants?application=web1.hq", 1),
        ("grants?group=g1", 1),
        ("grants?tag=env%3Dprod", 1),
        ("tokens?user=alice", 3),
        ("tokens?user=alice&application=orders", 2),
        ("tokens?user=alice&kind=api", 2),
        ("tokens?user=alice&state=revoked", 1),
        ("tokens?user=alice&state=live&kind=access", 1),
        ("tokens?state=used-up", 0),
        ("tokens?state=expired", 0),
        ("tokens?user=alice&expiring=13h", 1),
        ("agents?user=bob", 1),
        ("connectors?site=hq", 0),
        ("sessions?user=alice&application=web1.hq", 0),
        ("requests?state=pending", 1),
        ("requests?user=alice", 0),
    ] {
        let found = relay.get(&root, &format!("/api/v1/{query}")).await.items();
        assert_eq!(found.len(), count, "{query}: {found:?}");
    }
}

/// The paths that answer with pages.
fn lists() -> Vec<&'static str> {
    let paged = |path: &str| {
        let parameters = &document()["paths"][path]["get"]["parameters"];
        parameters.as_array().is_some_and(|all| all.iter().any(|p| p["name"] == "cursor"))
    };
    let gets = routes().into_iter().filter(|route| route.method == Method::GET);
    gets.map(|route| route.path).filter(|path| paged(path)).collect()
}

#[test]
fn nothing_that_lists_rows_answers_with_all_of_them() {
    for route in routes().iter().filter(|route| route.doc.id.starts_with("list")) {
        // Logs are paged by their numbers, commands by their place in the recording, a session's
        // records are a stream, and there are as many destinations and directories as the relay's own
        // file names.
        let logs = ["listAudit", "listSessionEvents", "listStatements", "listWebRequests"];
        let other = [
            &logs[..],
            &["listAuditDestinations", "listCommands", "listDirectories", "listNoticeChannels"],
        ]
        .concat();
        let other = other.contains(&route.doc.id);
        assert!(other || lists().contains(&route.path), "{}", route.path);
    }
}

/// A row without what asking changes.
fn unseen(mut row: Value) -> Value {
    if let Some(row) = row.as_object_mut() {
        row.remove("seen");
    }
    row
}

async fn rows(relay: &Relay, who: &Who<'_>, path: &str, limit: u32) -> Vec<Value> {
    let (mut rows, mut next) = (Vec::new(), format!("{path}?limit={limit}"));
    loop {
        let page = relay.get(who, &next).await.good();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit as usize && (page["next"].is_null() || !items.is_empty()));
        rows.extend(items.iter().cloned().map(unseen));
        match page["next"].as_str() {
            Some(cursor) => next = format!("{path}?limit={limit}&cursor={cursor}"),
            None => return rows,
        }
    }
}

/// Several of everything that can be listed without a machine.
async fn fill(relay: &Relay, root: &Who<'_>) {
    let document = json!({
        "site": [{ "name": "s1" }, { "name": "s2" }],
        "group": [{ "name": "g1", "members": ["alice", "bob"] }, { "name": "g2" }],
        "application": [{ "name": "web1", "site": "s1", "kind": "tcp", "address": "a:1",
            "requestable": true, "tags": { "env": "prod" } }],
        "grant": [{ "group": "g1", "tag": "env=prod" }],
    });
    relay.post(root, "/api/v1/apply", json!({ "document": document })).await.good();
    for asked in [
        json!({ "user": "alice", "application": "orders", "kind": "api" }),
        json!({ "user": "alice", "application": "orders", "kind": "api" }),
        json!({ "user": "alice", "application": "web1.hq", "kind": "access" }),
    ] {
        relay.post(root, "/api/v1/tokens", asked).await.good();
    }
    let bob = relay.agent("bob").await;
    relay.agent("alice").await;
    relay.agent("alice").await;
    let asked = json!({ "application": "web1.s1", "reason": "on call", "duration": "1h" });
    relay.post(&Who::Agent(&bob), "/api/v1/me/requests", asked).await.good();
}
