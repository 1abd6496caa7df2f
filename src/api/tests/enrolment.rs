use access::TokenKind;
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use store::AgentQuery;

use super::{Relay, Who};
use crate::AgentIdentity;

#[tokio::test]
async fn a_join_token_enrols_one_connector() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let path = "/api/v1/sites/hq/join-tokens";
    let issued = relay.post(&Who::Bearer(&admin), path, json!({})).await.good();
    assert_eq!((&issued["kind"], &issued["site"]), (&json!("join"), &json!("hq")));
    let ask = |csr: &str| json!({ "token": issued["token"], "csr_pem": csr, "name": "c1" });
    let join = "/api/v1/connectors/join";
    let bad = relay.post(&Who::Nobody, join, ask("nonsense")).await;
    assert_eq!(bad.problem(400), "request.csr", "a bad request costs no token");
    for name in ["", "Bad Name", "-c1", "c1.", "c\u{e9}", &"c".repeat(65)] {
        let mut named = ask(&csr());
        named["name"] = json!(name);
        let refused = relay.post(&Who::Nobody, join, named).await;
        assert_eq!(refused.problem(400), "connector.name", "{name:?} costs no token");
    }
    let joined = relay.post(&Who::Nobody, join, ask(&csr())).await.good();
    assert_eq!((&joined["site"], &joined["domain"]), (&json!("hq"), &json!("relay.test")));
    assert!(joined["certificate_pem"].as_str().unwrap().contains("BEGIN CERTIFICATE"));
    let again = relay.post(&Who::Nobody, join, ask(&csr())).await;
    assert_eq!(again.problem(401), "token.used_up");
    let root = Who::Bearer(&admin);
    let listed = relay.get(&root, "/api/v1/connectors").await.items();
    assert_eq!((&listed[0]["name"], &listed[0]["online"]), (&json!("c1"), &json!(false)));
    let path = format!("/api/v1/connectors/{}", joined["id"].as_str().unwrap());
    relay.delete(&root, &path).await.good();
    assert_eq!(relay.delete(&root, &path).await.problem(404), "connector.not_found");
}

#[tokio::test]
async fn a_login_token_enrols_one_agent_which_can_sign_out() {
    let relay = Relay::new().await;
    let token = relay.token("alice", TokenKind::Login).await;
    let login = "/api/v1/agents/login";
    let ask = || json!({ "csr_pem": csr(), "device": "laptop\u{7}" });
    assert_eq!(relay.post(&Who::Nobody, login, ask()).await.problem(401), "authn.required");
    let bearer = Who::Bearer(&token);
    let logged_in = relay.post(&bearer, login, ask()).await.good();
    assert_eq!(logged_in["user"], "alice");
    assert_eq!(relay.post(&bearer, login, ask()).await.problem(401), "token.used_up");
    let rows = relay.state.store.agents(AgentQuery::default()).await.unwrap();
    assert_eq!(rows[0].device, "laptop");
    let identity = AgentIdentity {
        id: rows[0].id,
        user: rows[0].user,
        user_name: rows[0].user_name.clone(),
        device: rows[0].device.clone(),
        token: rows[0].token.clone(),
    };
    let agent = Who::Agent(&identity);
    assert_eq!(relay.get(&agent, "/api/v1/me").await.good()["credential"], "agent");
    let multiplied = relay.post(&agent, login, ask()).await;
    assert_eq!(multiplied.problem(401), "authn.required", "an agent does not enrol agents");
    relay.delete(&agent, "/api/v1/me/agent").await.good();
    assert_eq!(relay.get(&agent, "/api/v1/me").await.problem(401), "token.revoked");
}

#[tokio::test]
async fn a_token_for_an_application_enrols_an_agent_that_ends_with_it() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let asked = json!({ "user": "alice", "application": "orders", "expires": "2h" });
    let issued = relay.post(&root, "/api/v1/tokens", asked).await.good();
    let command = "ADIT_TOKEN=TOKEN adit --relay https://relay.test tunnel orders.hq";
    assert_eq!(issued["command"], command);
    let bearer = Who::Bearer(issued["token"].as_str().unwrap());
    let login = "/api/v1/agents/login";
    let ask = || json!({ "csr_pem": csr(), "device": "laptop" });
    let enrolled = relay.post(&bearer, login, ask()).await.good();
    assert_eq!((&enrolled["user"], &enrolled["expires"]), (&json!("alice"), &issued["expires"]));
    assert_eq!(relay.post(&bearer, login, ask()).await.problem(401), "token.used_up");
    let row = relay.state.store.agents(AgentQuery::default()).await.unwrap().remove(0);
    let identity = AgentIdentity {
        id: row.id,
        user: row.user,
        user_name: row.user_name,
        device: row.device,
        token: row.token,
    };
    let agent = Who::Agent(&identity);
    let listed = relay.get(&agent, "/api/v1/me/applications").await.items();
    let names: Vec<_> = listed.iter().map(|app| &app["name"]).collect();
    assert_eq!(names, ["orders"], "alice may reach more, her token does not");
    assert_eq!(relay.get(&agent, "/api/v1/me").await.good()["agent"], enrolled["id"]);
    let path = format!("/api/v1/tokens/{}", issued["id"].as_str().unwrap());
    relay.delete(&root, &path).await.good();
    assert_eq!(relay.get(&agent, "/api/v1/me").await.problem(401), "token.revoked");
}

#[tokio::test]
async fn an_api_token_enrols_only_where_its_application_takes_it() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let asked = json!({ "user": "alice", "application": "orders", "kind": "api" });
    let issued = relay.post(&Who::Bearer(&admin), "/api/v1/tokens", asked).await.good();
    let bearer = Who::Bearer(issued["token"].as_str().unwrap());
    let ask = || json!({ "csr_pem": csr(), "device": "laptop" });
    relay.post(&bearer, "/api/v1/agents/login", ask()).await.good();
    let orders = json!({ "name": "orders", "site": "hq", "kind": "postgres", "address": "db:5432",
        "allow_api": false });
    let document = json!({ "document": { "application": [orders] } });
    relay.post(&Who::Bearer(&admin), "/api/v1/apply", document).await.good();
    let refused = relay.post(&bearer, "/api/v1/agents/login", ask()).await;
    assert_eq!(refused.problem(403), "token.api_not_allowed");
}

#[tokio::test]
async fn anybody_may_know_what_the_relay_says_of_itself() {
    let relay = Relay::new().await;
    let info = relay.get(&Who::Nobody, "/api/v1/info").await.good();
    assert_eq!((&info["domain"], &info["ssh_port"]), (&json!("relay.test"), &json!(2222)));
    assert!(info["ca_pem"].as_str().unwrap().contains("BEGIN CERTIFICATE"));
}

pub(super) fn csr() -> String {
    let key = KeyPair::generate().unwrap();
    CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap()
}
