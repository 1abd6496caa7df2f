use access::TokenKind;
use axum::http::Method;
use serde_json::{Value, json};

use super::{Relay, Who};

#[tokio::test]
async fn the_grant_that_decided_is_named() {
    let relay = Relay::with_terms().await;
    let why = relay.why("user=bob&application=web1&at=2027-01-15T08:00:00Z").await;
    assert_eq!(why["allowed"], true);
    assert_eq!(
        why["answer"],
        "bob may reach web1.hq by the grant group web → env=prod, within source (10.0.0.0/8); a \
         session ends by 2027-01-15T17:00:00Z"
    );
    assert_eq!((&why["provided"], &why["ends"]), (&json!(["source"]), &json!(1_800_032_400)));
    assert_eq!(why["grant"]["grant"]["group"], "web");
    let inside = relay.why("user=bob&application=web1.hq&from=10.1.2.3&at=2027-01-15T08:00:00Z");
    assert_eq!(inside.await.get("provided"), None);
}

#[tokio::test]
async fn the_nearest_grant_is_named_with_what_it_lacks() {
    let relay = Relay::with_terms().await;
    let query = "user=bob&application=web1&from=192.0.2.1&at=2027-01-16T08:00:00%2B01:00";
    let why = relay.why(query).await;
    assert_eq!(why["allowed"], false);
    assert_eq!(
        why["answer"],
        "bob may not reach web1.hq: the nearest grant, group web → env=prod, falls short by hours \
         (mon-fri 08:00-18:00 Europe/Berlin) and by source (10.0.0.0/8)"
    );
    assert_eq!(why["short_by"], json!(["hours", "source"]));
    assert_eq!((&why["at"], &why["from"]), (&json!(1_800_082_800), &json!("192.0.2.1")));
}

#[tokio::test]
async fn what_a_door_will_compare_is_told_as_it_is() {
    let relay = Relay::with_terms().await;
    relay.with_a_database().await;
    let why = relay.why("user=bob&application=stock").await;
    let told = "bob may reach stock.hq by the grant bob → stock.hq, within databases (orders)";
    assert_eq!(why["answer"], told);
    assert_eq!(why["provided"], json!(["databases"]));
}

#[tokio::test]
async fn a_term_that_nothing_keeps_and_a_sign_in_are_told_in_words() {
    let relay = Relay::with_terms().await;
    let admin = relay.admin().await;
    let cases = [
        (
            json!({ "level": "viewer" }),
            "level (viewer: no door for its kind keeps that, or it has no account for it)",
        ),
        (
            json!({ "databases": ["orders", "stock"] }),
            "databases (orders, stock: no door for its kind keeps that)",
        ),
        (json!({ "recording": "required" }), "recording (required: no door for its kind records)"),
        (
            json!({ "require_active_session": true }),
            "session (required: the user is signed in nowhere)",
        ),
    ];
    for (terms, words) in cases {
        let mut grant = json!({ "user": "bob", "application": "orders" });
        grant.as_object_mut().unwrap().extend(terms.as_object().unwrap().clone());
        let body = json!({ "document": { "grant": [grant] } });
        relay.post(&Who::Bearer(&admin), "/api/v1/apply", body).await.good();
        let why = relay.why("user=bob&application=orders").await;
        let answer = why["answer"].as_str().unwrap();
        assert!(answer.ends_with(&format!("falls short by {words}")), "{answer}");
        assert_eq!(why["short_by"], json!([words.split(' ').next().unwrap()]));
    }
    relay.agent("bob").await;
    let why = relay.why("user=bob&application=orders").await;
    assert_eq!((&why["allowed"], why["ends"].is_u64()), (&json!(true), true), "{why}");
}

#[tokio::test]
async fn no_grant_and_a_disabled_user_are_told_apart() {
    let relay = Relay::with_terms().await;
    let none = relay.why("user=bob&application=vault").await;
    assert!(none["answer"].as_str().unwrap().contains("no grant names both"), "{none}");
    assert_eq!(none.get("grant"), None);
    let admin = relay.admin().await;
    let disable = "/api/v1/users/bob/disable";
    relay.call(&Who::Bearer(&admin), Method::POST, disable, None).await.good();
    let disabled = relay.why("user=bob&application=web1").await;
    assert!(disabled["answer"].as_str().unwrap().ends_with("the user is disabled"), "{disabled}");
}

#[tokio::test]
async fn a_question_about_nobody_or_nothing_is_a_problem() {
    let relay = Relay::with_terms().await;
    let admin = relay.admin().await;
    let cases = [
        ("user=eve&application=web1", 404, "user.not_found"),
        ("user=bob&application=web9", 404, "application.not_found"),
        ("user=bob&application=web1&at=noon", 400, "request.invalid"),
        ("user=bob&application=web1&from=home", 400, "request.invalid"),
        ("user=bob", 400, "request.invalid"),
    ];
    for (query, status, code) in cases {
        let answer = relay.get(&Who::Bearer(&admin), &format!("/api/v1/why?{query}")).await;
        assert_eq!(answer.problem(status), code, "{query}");
    }
}

impl Relay {
    /// Bob may reach what is tagged env=prod, from one network at office hours.
    async fn with_terms() -> Self {
        let relay = Self::new().await;
        let admin = relay.token("root", TokenKind::Admin).await;
        let document = json!({
            "group": [{ "name": "web", "members": ["bob"] }],
            "application": [{ "name": "web1", "site": "hq", "kind": "ssh",
                "address": "web1.corp:22", "account": "ubuntu", "tags": { "env": "prod" } }],
            "grant": [{ "group": "web", "tag": "env=prod", "sources": ["10.0.0.0/8"],
                "hours": ["mon-fri 08:00-18:00"], "zone": "Europe/Berlin" }],
        });
        let body = json!({ "document": document });
        relay.post(&Who::Bearer(&admin), "/api/v1/apply", body).await.good();
        relay
    }

    /// Bob may reach this database, and only `orders` in it.
    async fn with_a_database(&self) {
        let document = json!({
            "application": [{ "name": "stock", "site": "hq", "kind": "postgres",
                "address": "db.corp:5432", "account": "app", "password": "p" }],
            "grant": [{ "user": "bob", "application": "stock", "databases": ["orders"] }],
        });
        let admin = self.admin().await;
        let body = json!({ "document": document });
        self.post(&Who::Bearer(&admin), "/api/v1/apply", body).await.good();
    }

    async fn why(&self, query: &str) -> Value {
        let admin = self.admin().await;
        self.get(&Who::Bearer(&admin), &format!("/api/v1/why?{query}")).await.good()
    }
}
