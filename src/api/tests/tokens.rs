use access::{TokenKind, TokenText};
use serde_json::json;
use session::{Authn, Door};

use super::{Relay, Who};

#[tokio::test]
async fn an_issued_token_opens_until_it_is_revoked() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let asked = json!({ "user": "alice", "application": "web1", "uses": 3, "expires": "2h" });
    let issued = relay.post(&root, "/api/v1/tokens", asked).await.good();
    assert_eq!((&issued["kind"], &issued["uses"]), (&json!("access"), &json!(3)));
    assert_eq!(issued["application"], "web1.hq");
    assert_eq!(issued["warnings"], json!(null));
    assert_eq!(issued["command"], "ssh -p 2222 ubuntu@relay.test");
    let ssh = json!({ "host": "relay.test", "port": 2222, "user": "ubuntu",
        "prompt": "Access token:" });
    assert_eq!(issued["ssh"], ssh);
    let text = issued["token"].as_str().unwrap();
    opens(&relay, text).await.unwrap();
    let listed = relay.get(&root, "/api/v1/tokens?user=alice").await;
    assert!(!listed.text.contains(text), "a list shows no token");
    assert_eq!(listed.items()[0]["uses_left"], 2);
    let path = format!("/api/v1/tokens/{}", issued["id"].as_str().unwrap());
    relay.delete(&root, &path).await.good();
    assert_eq!(opens(&relay, text).await, Err(session::AuthnError::Revoked));
    assert_eq!(relay.delete(&root, "/api/v1/tokens/none").await.problem(404), "token.not_found");
}

#[tokio::test]
async fn a_token_comes_with_the_command_of_a_client_that_takes_it() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let application = |name: &str, kind: &str, account: bool| {
        let mut spec = json!({ "name": name, "site": "hq", "kind": kind, "address": "db:1",
            "allow_api": true });
        if account {
            spec.as_object_mut().unwrap().extend([
                ("account".to_owned(), json!("app")),
                ("password".to_owned(), json!("p")),
            ]);
        }
        spec
    };
    let document = json!({ "application": [
        application("wiki", "web", false), application("stock", "postgres", true),
        application("own", "postgres", false), application("cache", "redis", true),
    ]});
    relay.post(&root, "/api/v1/apply", json!({ "document": document })).await.good();
    let port = relay.state.info.https_port;
    let psql = format!("PGPASSWORD=TOKEN psql \"host=relay.test port={port} user=me+stock.hq ");
    let redis = format!("REDISCLI_AUTH=TOKEN redis-cli -h relay.test -p {port} --tls ");
    let cases = [
        ("wiki", "curl -H 'X-Adit-Key: TOKEN' https://wiki-hq.relay.test"),
        ("stock", &psql),
        ("cache", &redis),
        ("own", "ADIT_TOKEN=TOKEN adit --relay https://relay.test"),
    ];
    for (name, start) in cases {
        let asked = json!({ "user": "alice", "application": name, "kind": "api" });
        let issued = relay.post(&root, "/api/v1/tokens", asked).await.good();
        let command = issued["command"].as_str().unwrap();
        assert!(command.starts_with(start), "{command}");
        assert!(!command.contains(issued["token"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn a_second_api_token_ends_the_first() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let asked = || json!({ "user": "alice", "application": "orders", "kind": "api" });
    let first = relay.post(&root, "/api/v1/tokens", asked()).await.good();
    let second = relay.post(&root, "/api/v1/tokens", asked()).await.good();
    assert_eq!((&second["uses"], &second["expires"]), (&json!(null), &json!(null)));
    let ended = opens(&relay, first["token"].as_str().unwrap()).await;
    assert_eq!(ended, Err(session::AuthnError::Revoked));
    opens(&relay, second["token"].as_str().unwrap()).await.unwrap();
    let path = "/api/v1/tokens?user=alice&application=orders";
    assert_eq!(relay.delete(&root, path).await.good()["count"], 1);
    assert_eq!(relay.delete(&root, path).await.problem(404), "token.not_found");
    assert_eq!(relay.delete(&root, "/api/v1/tokens").await.problem(400), "request.invalid");
}

#[tokio::test]
async fn with_an_overlap_both_api_tokens_work_and_the_older_has_an_end() {
    let relay = Relay::new().await;
    let alice = relay.agent("alice").await;
    let alice = Who::Agent(&alice);
    let ask = async |overlap: Option<&str>| {
        let asked = json!({ "application": "orders", "kind": "api", "overlap": overlap });
        let issued = relay.post(&alice, "/api/v1/me/tokens", asked).await.good();
        issued["token"].as_str().unwrap().to_owned()
    };
    let (first, second) = (ask(None).await, ask(Some("1h")).await);
    opens(&relay, &first).await.unwrap();
    opens(&relay, &second).await.unwrap();
    let listed = relay.get(&alice, "/api/v1/me/tokens").await.items();
    let old = listed.iter().find(|row| row["replaced"].is_u64()).unwrap();
    assert_eq!(old["expires"].as_u64().unwrap() - old["replaced"].as_u64().unwrap(), 3600);
    assert!(old["warning"].as_str().unwrap().starts_with("replaced"), "{old}");
    let third = ask(None).await;
    for ended in [&first, &second] {
        assert_eq!(opens(&relay, ended).await, Err(session::AuthnError::Revoked));
    }
    opens(&relay, &third).await.unwrap();
    let wrong = json!({ "application": "web1", "overlap": "1h" });
    let answer = relay.post(&alice, "/api/v1/me/tokens", wrong).await;
    assert_eq!(answer.problem(400), "request.invalid", "access tokens replace none");
}

#[tokio::test]
async fn users_stay_within_their_doors_rules_and_admins_within_the_ceiling() {
    let relay = Relay::new().await;
    let alice = relay.agent("alice").await;
    let admin = relay.admin().await;
    let own = async |asked: serde_json::Value| {
        relay.post(&Who::Agent(&alice), "/api/v1/me/tokens", asked).await
    };
    let long = own(json!({ "application": "web1", "expires": "13h" })).await;
    assert_eq!(long.problem(422), "token.too_long");
    let often = own(json!({ "application": "web1", "uses": 2 })).await;
    assert_eq!(often.problem(422), "token.single_use");
    let issued = own(json!({ "application": "web1", "expires": "12h" })).await.good();
    assert_eq!((&issued["uses"], issued["expires"].is_u64()), (&json!(1), true));
    let by_admin = async |expires: &str| {
        let asked =
            json!({ "user": "alice", "application": "web1", "uses": 0, "expires": expires });
        relay.post(&Who::Bearer(&admin), "/api/v1/tokens", asked).await
    };
    by_admin("30d").await.good();
    assert_eq!(by_admin("31d").await.problem(422), "token.too_long");
}

#[tokio::test]
async fn what_expires_soon_is_marked_and_can_be_listed() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    for (application, expires) in [("orders", "3d"), ("web1", "1h")] {
        let kind = if application == "orders" { "api" } else { "access" };
        let asked = json!({ "user": "alice", "application": application, "kind": kind,
            "expires": expires });
        relay.post(&root, "/api/v1/tokens", asked).await.good();
    }
    let listed = relay.get(&root, "/api/v1/tokens?user=alice&expiring=7d").await.items();
    assert_eq!(listed.len(), 2, "{listed:?}");
    let warnings = listed.iter().filter_map(|row| row["warning"].as_str());
    let warnings: Vec<_> = warnings.collect();
    assert_eq!(warnings.len(), 1, "an access token never lasts: {warnings:?}");
    assert!(warnings[0].contains("adit token regenerate orders.hq"), "{warnings:?}");
    let soon = relay.get(&root, "/api/v1/tokens?user=alice&expiring=2d").await.items();
    assert_eq!(soon.len(), 1);
}

#[tokio::test]
async fn an_admin_lists_agents_and_ends_their_enrolment() {
    let relay = Relay::new().await;
    let (admin, alice) = (relay.admin().await, relay.agent("alice").await);
    let root = Who::Bearer(&admin);
    let listed = relay.get(&root, "/api/v1/agents?user=alice").await.items();
    assert_eq!((&listed[0]["user"], &listed[0]["device"]), (&json!("alice"), &json!("laptop")));
    let path = format!("/api/v1/agents/{}", alice.id);
    relay.delete(&root, &path).await.good();
    assert_eq!(relay.delete(&root, &path).await.problem(404), "agent.not_found");
    assert_eq!(relay.get(&Who::Agent(&alice), "/api/v1/me").await.problem(401), "token.revoked");
}

#[tokio::test]
async fn each_kind_has_its_own_rules() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let cases = [
        (
            json!({ "user": "alice", "application": "web1", "kind": "api" }),
            422,
            "token.api_not_allowed",
        ),
        (json!({ "user": "alice", "kind": "access" }), 400, "request.invalid"),
        (json!({ "user": "alice", "kind": "admin" }), 422, "token.not_admin"),
        (json!({ "user": "alice", "kind": "join" }), 400, "request.invalid"),
        (json!({ "user": "root", "kind": "admin", "application": "web1" }), 400, "request.invalid"),
        (json!({ "user": "root", "kind": "login", "uses": 0 }), 400, "request.invalid"),
        (json!({ "user": "nobody", "application": "web1" }), 404, "user.not_found"),
        (json!({ "user": "alice", "application": "web9" }), 404, "application.not_found"),
        (
            json!({ "user": "alice", "application": "web1", "expires": "soon" }),
            400,
            "request.invalid",
        ),
    ];
    for (asked, status, code) in cases {
        let answer = relay.post(&root, "/api/v1/tokens", asked.clone()).await;
        assert_eq!(answer.problem(status), code, "{asked}");
    }
    let login = relay.post(&root, "/api/v1/tokens", json!({ "user": "alice" })).await.good();
    assert_eq!((&login["kind"], &login["uses"]), (&json!("login"), &json!(1)));
    let text: TokenText = login["token"].as_str().unwrap().parse().unwrap();
    assert!(text.pin().is_some(), "whoever signs in knows the relay by it");
    let many = json!({ "user": "alice", "application": "web1", "uses": 0, "expires": "1h" });
    let many = relay.post(&root, "/api/v1/tokens", many).await.good();
    assert_eq!((&many["uses"], many["expires"].is_u64()), (&json!(null), true));
}

#[tokio::test]
async fn a_token_without_a_grant_is_issued_with_a_warning() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let asked = json!({ "user": "bob", "application": "vault" });
    let issued = relay.post(&Who::Bearer(&admin), "/api/v1/tokens", asked).await.good();
    let warning = issued["warnings"][0].as_str().unwrap();
    assert!(warning.contains("bob") && warning.contains("vault.hq"), "{warning}");
}

#[tokio::test]
async fn users_issue_tokens_only_for_what_they_reach() {
    let relay = Relay::new().await;
    let alice = relay.agent("alice").await;
    let alice = Who::Agent(&alice);
    let issued = relay.post(&alice, "/api/v1/me/tokens", json!({ "application": "web1" })).await;
    let issued = issued.good();
    opens(&relay, issued["token"].as_str().unwrap()).await.unwrap();
    let forbidden =
        relay.post(&alice, "/api/v1/me/tokens", json!({ "application": "vault" })).await;
    let absent = relay.post(&alice, "/api/v1/me/tokens", json!({ "application": "void" })).await;
    assert_eq!(forbidden.problem(403), "access.denied");
    let words = |answer: &super::Answer| answer.json()["detail"].clone();
    assert_eq!((absent.problem(403), words(&absent)), (forbidden.problem(403), words(&forbidden)));
    let login = json!({ "application": "web1", "kind": "login" });
    let answer = relay.post(&alice, "/api/v1/me/tokens", login).await;
    assert_eq!(answer.problem(403), "token.kind_not_allowed");
}

#[tokio::test]
async fn users_see_and_revoke_their_own_tokens_only() {
    let relay = Relay::new().await;
    let (alice, bob) = (relay.agent("alice").await, relay.agent("bob").await);
    let (alice, bob) = (Who::Agent(&alice), Who::Agent(&bob));
    let issued = relay.post(&alice, "/api/v1/me/tokens", json!({ "application": "web1" })).await;
    let path = format!("/api/v1/me/tokens/{}", issued.good()["id"].as_str().unwrap());
    assert_eq!(relay.delete(&bob, &path).await.problem(404), "token.not_found");
    assert_eq!(relay.get(&bob, "/api/v1/me/tokens").await.items().len(), 0);
    assert_eq!(relay.get(&alice, "/api/v1/me/tokens").await.items()[0]["state"], "live");
    relay.delete(&alice, &path).await.good();
    assert_eq!(relay.get(&alice, "/api/v1/me/tokens").await.items()[0]["state"], "revoked");
}

#[tokio::test]
async fn users_list_what_they_reach() {
    let relay = Relay::new().await;
    let (alice, bob) = (relay.agent("alice").await, relay.agent("bob").await);
    let mine = relay.get(&Who::Agent(&alice), "/api/v1/me/applications").await.items();
    let names: Vec<_> = mine.iter().map(|app| &app["name"]).collect();
    assert_eq!(names, ["orders", "web1"]);
    assert_eq!(mine[0]["online"], false);
    let none = relay.get(&Who::Agent(&bob), "/api/v1/me/applications").await.items();
    assert!(none.is_empty());
}

async fn opens(relay: &Relay, text: &str) -> Result<TokenKind, session::AuthnError> {
    let from = "192.0.2.9".parse().unwrap();
    let who = relay.state.authn.token(&text.to_owned().into(), Door::Ssh, from).await?;
    match who.credential() {
        access::Credential::Token { kind, .. } => Ok(*kind),
        other => panic!("{other:?}"),
    }
}
