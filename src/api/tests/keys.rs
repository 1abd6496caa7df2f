//! SSH keys and machine users.

use std::time::{Duration, SystemTime};

use access::{Context, Keeps, TokenKind};
use axum::http::Method;
use serde_json::{Value, json};
use session::{Authn, AuthnError, Door};

use super::changes::within;
use super::enrolment::csr;
use super::oracles::failures;
use super::{Relay, Who};

const KEY: &str = "ssh-ed25519 \
    AAAAC3NzaC1lZDI1NTE5AAAAIFBgVJpX1N4InONGWQXFFu0C7ttV29sjan5Ak8nXMWxO alice@laptop";
const FINGERPRINT: &str = "SHA256:zETYLgH1q16GYRvMcRDediKmP404o2tI561o3iL0BZo";
const PATH: &str = "/api/v1/me/ssh-keys/SHA256%3AzETYLgH1q16GYRvMcRDediKmP404o2tI561o3iL0BZo";

#[tokio::test]
async fn a_user_registers_a_key_signs_in_with_it_and_removes_it() {
    let relay = Relay::new().await;
    let agent = relay.agent("alice").await;
    let alice = Who::Agent(&agent);
    let row = relay.post(&alice, "/api/v1/me/ssh-keys", json!({ "key": KEY })).await.good();
    assert_eq!((&row["fingerprint"], &row["name"]), (&json!(FINGERPRINT), &json!("alice@laptop")));
    let days = (row["expires"].as_u64().unwrap() - seconds(SystemTime::now())) / 86_400;
    assert!((98..=99).contains(&days), "{row}");
    let listed = relay.get(&alice, "/api/v1/me/ssh-keys").await.good();
    assert_eq!(listed["items"], json!([row]));
    let session = stand_on_the_key(&relay).await;
    let removed = relay.delete(&alice, PATH).await.good();
    assert_eq!(removed["ended"], 1);
    assert_eq!(within(session).await, access::EndReason::Revoked);
    assert_eq!(relay.delete(&alice, PATH).await.problem(404), "ssh_key.not_found");
    assert_eq!(by_key(&relay).await, Err(AuthnError::Unknown));
}

#[tokio::test]
async fn who_has_a_key_is_told_to_nobody_who_tries_to_register_it() {
    let relay = Relay::new().await;
    let (alice, bob) = (relay.agent("alice").await, relay.agent("bob").await);
    let asked = || json!({ "key": KEY });
    relay.post(&Who::Agent(&alice), "/api/v1/me/ssh-keys", asked()).await.good();
    let answer = relay.post(&Who::Agent(&bob), "/api/v1/me/ssh-keys", asked()).await;
    assert_eq!(answer.problem(422), "user.ssh_key");
    assert!(!answer.text.contains("alice") && !answer.text.contains("taken"), "{answer:?}");
    assert_eq!(relay.delete(&Who::Agent(&bob), PATH).await.problem(404), "ssh_key.not_found");
    let admin = relay.admin().await;
    let wanted = json!({ "user": "bob", "key": KEY });
    let told = relay.post(&Who::Bearer(&admin), "/api/v1/ssh-keys", wanted).await;
    assert_eq!(told.problem(422), "user.ssh_key_taken");
    let rows = relay.actions().await;
    let noted = rows.iter().find(|(action, _)| action == "access.denied").unwrap();
    assert_eq!(noted.1["code"], "user.ssh_key_taken");
    let changes = rows.iter().filter(|(action, _)| action == "admin.changed");
    assert_eq!(changes.count(), 1, "what was refused is no change");
}

#[tokio::test]
async fn only_sound_public_keys_are_registered_and_for_a_bounded_time() {
    let relay = Relay::new().await;
    let agent = relay.agent("alice").await;
    let alice = Who::Agent(&agent);
    let ask = async |asked: Value| relay.post(&alice, "/api/v1/me/ssh-keys", asked).await;
    for (key, hint) in [
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n", ".pub"),
        ("ssh-dss AAAAB3NzaC1kc3M=", "algorithm"),
        ("command=\"/bin/sh\" ssh-ed25519 AAAA", "options"),
        ("ssh-ed25519-cert-v01@openssh.com AAAA", "certificate"),
        ("hello", "one line"),
    ] {
        let answer = ask(json!({ "key": key })).await;
        assert_eq!(answer.problem(422), "user.ssh_key", "{key}");
        assert!(answer.text.contains(hint) && !answer.text.contains("b3Blbn"), "{answer:?}");
    }
    let long = ask(json!({ "key": KEY, "expires": "100d" })).await;
    assert_eq!(long.problem(422), "user.ssh_key_expiry");
    assert_eq!(ask(json!({ "key": KEY, "never": true })).await.problem(400), "request.invalid");
    ask(json!({ "key": KEY, "expires": "99d" })).await.good();
}

#[tokio::test]
async fn an_expired_key_signs_nobody_in_and_its_session_ends_with_it() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let add = async |expires: &str| {
        let asked = json!({ "user": "alice", "key": KEY, "expires": expires });
        relay.post(&root, "/api/v1/ssh-keys", asked).await.good()
    };
    add("1h").await;
    let session = stand_on_the_key(&relay).await;
    add("1s").await;
    assert!(!session.is_finished(), "the key is good for a second more");
    assert_eq!(within(session).await, access::EndReason::Expired);
    assert_eq!(by_key(&relay).await, Err(AuthnError::KeyExpired));
    assert_eq!(failures(&relay, 1).await[0]["code"], "ssh_key.expired");
    let listed = relay.get(&root, "/api/v1/ssh-keys?user=alice").await.good();
    assert_eq!(listed["items"][0]["expired"], true);
    assert_eq!(relay.get(&root, "/api/v1/ssh-keys?user=eve").await.problem(404), "user.not_found");
}

/// Clients show a certificate's key alone once the library has refused the certificate.
#[tokio::test]
async fn a_key_whose_certificate_is_over_is_on_record_and_counts_as_no_guess() {
    let relay = Relay::new().await;
    let agent = relay.agent("alice").await;
    let asked = json!({ "key": KEY, "sources": [] });
    relay.post(&Who::Agent(&agent), "/api/v1/me/ssh-certificates", asked).await.good();
    for _ in 0..30 {
        assert_eq!(by_key(&relay).await, Err(AuthnError::Uncertified));
    }
    // No more rows than that are written of one address in a minute.
    assert_eq!(failures(&relay, 10).await[0]["code"], "ssh_certificate.refused");
    // From an address that guesses, no first wrong token is looked at.
    let wrong = access::TokenText::new(TokenKind::Access, [7; 7], [7; 20], None);
    let wrong = secrecy::SecretString::from(wrong.expose());
    let from = [192, 0, 2, 9].into();
    let answer = relay.state.authn.token(&wrong, Door::Ssh, from).await.map(drop);
    assert_eq!(answer, Err(AuthnError::Unknown));
    for _ in 0..30 {
        relay.state.authn.refuse("a certificate of another CA", from).await;
    }
    let answer = relay.state.authn.token(&wrong, Door::Ssh, from).await.map(drop);
    assert_eq!(answer, Err(AuthnError::Throttled));
}

#[tokio::test]
async fn who_leaves_with_nothing_shown_is_on_record() {
    let relay = Relay::new().await;
    relay.state.authn.left("ubuntu+web1", [192, 0, 2, 9].into());
    let row = &failures(&relay, 1).await[0];
    assert_eq!(row["code"], "authn.nothing");
    assert!(row["detail"].as_str().unwrap().contains("ubuntu+web1"), "{row}");
}

#[tokio::test]
async fn a_machine_user_has_tokens_and_keys_and_does_not_log_in() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let (login, agent) = (relay.token("bob", TokenKind::Login).await, relay.agent("bob").await);
    let document = json!({ "document": { "user": [{ "name": "bob", "machine": true }],
        "grant": [{ "user": "bob", "application": "web1" }] } });
    relay.post(&root, "/api/v1/apply", document).await.good();
    // What a person had is of no use to the machine that the name is now.
    assert_eq!(relay.get(&Who::Agent(&agent), "/api/v1/me").await.problem(401), "user.machine");
    assert_eq!(relay.get(&Who::Bearer(&login), "/api/v1/me").await.problem(401), "user.machine");
    let asked = json!({ "user": "bob", "kind": "login" });
    assert_eq!(relay.post(&root, "/api/v1/tokens", asked).await.problem(422), "user.machine");
    let asked = json!({ "user": "bob", "application": "web1" });
    let issued = relay.post(&root, "/api/v1/tokens", asked).await.good();
    let (id, session) =
        super::changes::open(&relay, issued["token"].as_str().unwrap(), "web1").await;
    let opened = relay.actions().await.into_iter().find(|(action, _)| action == "session.opened");
    let opened = opened.unwrap().1;
    assert_eq!((&opened["session"], &opened["machine"]), (&json!(id), &json!(true)));
    session.abort();
    let never = json!({ "user": "bob", "key": KEY, "never": true });
    let row = relay.post(&root, "/api/v1/ssh-keys", never).await.good();
    assert_eq!(row["expires"], json!(null));
    assert!(by_key(&relay).await.is_ok());
    let users = relay.get(&root, "/api/v1/users").await.good();
    let bob = users["items"].as_array().unwrap().iter().find(|user| user["name"] == "bob").unwrap();
    assert_eq!(bob["machine"], true);
}

#[tokio::test]
async fn a_machine_may_administer_by_token_but_neither_decides_nor_logs_in() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let document = json!({ "document": {
        "user": [{ "name": "robot", "machine": true, "admin": true }],
        "application": [{ "name": "vault", "site": "hq", "kind": "tcp", "address": "vault:8200",
            "requestable": true }] } });
    relay.post(&root, "/api/v1/apply", document).await.good();
    let text = relay.token("robot", TokenKind::Admin).await;
    let robot = Who::Bearer(&text);
    let me = relay.get(&robot, "/api/v1/me").await.good();
    assert_eq!((&me["admin"], &me["machine"]), (&json!(true), &json!(true)));
    relay.get(&robot, "/api/v1/users").await.good();
    let alice = relay.agent("alice").await;
    let asked = json!({ "application": "vault", "reason": "to look", "duration": "1h" });
    let request = relay.post(&Who::Agent(&alice), "/api/v1/me/requests", asked).await.good();
    let path = format!("/api/v1/requests/{}/approve", request["id"].as_str().unwrap());
    assert_eq!(relay.post(&robot, &path, json!({})).await.problem(403), "user.machine");
    let csr = json!({ "csr_pem": csr(), "device": "ci" });
    let login = relay.call(&robot, Method::POST, "/api/v1/agents/login", Some(csr)).await;
    assert_eq!(login.problem(401), "user.machine");
}

/// A session of the key's owner, for as long as its lease lasts.
async fn stand_on_the_key(relay: &Relay) -> tokio::task::JoinHandle<access::EndReason> {
    let who = relay.state.authn.ssh_key(FINGERPRINT, [192, 0, 2, 9].into()).await.unwrap();
    let policy = relay.state.policy.current();
    let application = policy.find("web1", &who).unwrap();
    let login = Some("ubuntu".to_owned());
    let context = Context { from: who.from(), login, database: None, keeps: Keeps::SSH };
    let grant = policy.authorize(&who, application, context, SystemTime::now()).unwrap();
    let session = relay.state.broker.open(grant, Door::Ssh, SystemTime::now()).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test waits for the handle, or ends with it")]
    tokio::spawn(async move {
        let reason = session.lease().ended().await;
        session.end(reason, access::Side::Relay);
        reason
    })
}

async fn by_key(relay: &Relay) -> Result<(), AuthnError> {
    relay.state.authn.ssh_key(FINGERPRINT, [192, 0, 2, 9].into()).await.map(drop)
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
