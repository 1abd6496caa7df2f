//! Tokens for automation: no more than their user, and no more than their scopes.

use api::Scope;
use axum::http::Method;
use serde_json::json;
use uuid::Uuid;

use super::{Relay, Who};
use crate::api::caller::Role;
use crate::api::routes::routes;

#[tokio::test]
async fn a_token_does_what_its_scopes_say_and_nothing_else() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    for scope in Scope::ALL {
        let token = issue(&relay, &admin, &[scope.as_str()]).await;
        let who = Who::Bearer(&token);
        let me = relay.get(&who, "/api/v1/me").await.good();
        assert_eq!((&me["scopes"], &me["admin"]), (&json!([scope]), &json!(true)));
        for route in routes().into_iter().filter(|route| route.gate.role != Role::Anonymous) {
            let path = route.path.replace("{id}", &Uuid::new_v4().to_string());
            let path = path.replace("{name}", "nobody");
            let sends = [Method::POST, Method::PUT, Method::PATCH].contains(&route.method);
            let answer = relay.call(&who, route.method, &path, sends.then(|| json!({}))).await;
            let open = route.gate.scope.is_none_or(|needed| needed == scope);
            match open {
                false => assert_eq!(answer.problem(403), "token.scope", "{scope} {path}"),
                true if answer.status == 403 => {
                    assert_ne!(answer.problem(403), "token.scope", "{scope} {path}");
                }
                true => {}
            }
        }
    }
}

#[tokio::test]
async fn a_token_issues_none_wider_than_itself() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let token = issue(&relay, &admin, &["tokens", "read"]).await;
    let who = Who::Bearer(&token);
    let ask = async |asked| relay.post(&who, "/api/v1/tokens", asked).await;
    for wider in [
        json!({ "user": "root", "kind": "admin" }),
        json!({ "user": "root", "kind": "admin", "scopes": ["tokens", "audit"] }),
        json!({ "user": "root", "kind": "login" }),
        json!({ "user": "alice" }),
    ] {
        assert_eq!(ask(wider.clone()).await.problem(403), "token.scope", "{wider}");
    }
    ask(json!({ "user": "root", "kind": "admin", "scopes": ["tokens"] })).await.good();
    ask(json!({ "user": "alice", "application": "web1" })).await.good();
    let login = json!({ "csr_pem": super::enrolment::csr(), "device": "laptop" });
    let enrolled = relay.post(&who, "/api/v1/agents/login", login).await;
    assert_eq!(enrolled.problem(403), "token.scope");
    let scoped = json!({ "user": "alice", "application": "web1", "scopes": ["read"] });
    assert_eq!(ask(scoped).await.problem(400), "request.invalid");
    let none = json!({ "user": "root", "kind": "admin", "scopes": [] });
    assert_eq!(ask(none).await.problem(400), "request.invalid");
    let listed = relay.get(&who, "/api/v1/tokens?kind=admin").await.items();
    assert!(listed.iter().any(|row| row["scopes"] == json!(["read", "tokens"])), "{listed:?}");
}

#[tokio::test]
async fn a_token_does_no_more_than_its_user_does_now() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let auditor = json!({ "name": "eve", "auditor": true });
    relay.post(&root, "/api/v1/users", auditor).await.good();
    let asked = json!({ "user": "eve", "kind": "admin", "scopes": ["read", "configuration"] });
    let token = relay.post(&root, "/api/v1/tokens", asked).await.good();
    let token = token["token"].as_str().unwrap().to_owned();
    let eve = Who::Bearer(&token);
    relay.get(&eve, "/api/v1/users").await.good();
    let add = relay.post(&eve, "/api/v1/sites", json!({ "name": "lab" })).await;
    assert_eq!(add.problem(403), "access.admin_required");
    let path = "/api/v1/users/eve";
    relay.call(&root, Method::PUT, path, Some(json!({ "name": "eve" }))).await.good();
    let gone = relay.get(&eve, "/api/v1/users").await;
    assert_eq!(gone.problem(403), "access.admin_required");
}

#[test]
fn every_route_above_holders_says_its_scope() {
    for route in routes() {
        let says = route.gate.scope.is_some();
        let expected = match route.gate.role {
            Role::Anonymous | Role::Holder => false,
            Role::User | Role::Auditor | Role::Admin => true,
        };
        assert_eq!(says, expected, "{} {}", route.method, route.path);
    }
}

async fn issue(relay: &Relay, admin: &str, scopes: &[&str]) -> String {
    let asked = json!({ "user": "root", "kind": "admin", "scopes": scopes });
    let issued = relay.post(&Who::Bearer(admin), "/api/v1/tokens", asked).await.good();
    issued["token"].as_str().unwrap().to_owned()
}
