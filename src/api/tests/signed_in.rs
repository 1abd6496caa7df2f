//! Access that is good only while its user is signed in.

use std::time::{Duration, Instant, SystemTime};

use access::{AgentId, Context, EndReason, Explain, Keeps};
use serde_json::{Value, json};
use session::{Authn, Door};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::changes::{open, within};
use super::{Relay, Who};
use crate::ends::Ends;

#[tokio::test]
async fn an_api_token_works_while_its_user_is_signed_in_and_ends_with_the_last_sign_in() {
    let relay = Relay::new().await;
    let token = relay.api_token(by_application()).await;
    assert_eq!(relay.refused(&token).await, "session.required");
    let (laptop, desk) = (relay.agent("alice").await, relay.agent("alice").await);
    let (id, session) = open(&relay, &token, "orders").await;

    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let path = |id: AgentId| format!("/api/v1/agents/{id}");
    assert_eq!(relay.delete(&root, &path(laptop.id)).await.good().get("ended"), Some(&json!(0)));
    assert!(!session.is_finished(), "she is signed in at her desk");
    let started = Instant::now();
    let removed = relay.delete(&root, &path(desk.id)).await.good();
    assert_eq!(removed["ended"], 1, "{removed}");
    assert_eq!(within(session).await, EndReason::SignedOut);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());

    let receipt = relay.receipt(&format!("agent {}", desk.id)).await;
    assert_eq!((&receipt["ended"], &receipt["actor"]), (&json!(1), &json!("root")));
    let ended = relay.actions().await.into_iter().find(|(action, _)| action == "session.ended");
    let ended = ended.unwrap().1;
    assert_eq!((&ended["session"], &ended["reason"]), (&json!(id), &json!("signed_out")));
    assert_eq!(relay.refused(&token).await, "session.required");
}

#[tokio::test]
async fn signing_out_ends_it_too_and_an_agent_that_stands_on_a_token_signs_nobody_in() {
    let relay = Relay::new().await;
    let token = relay.api_token(by_grant()).await;
    let laptop = relay.agent("alice").await;
    let (_, session) = open(&relay, &token, "orders").await;
    relay.enrol(Duration::from_secs(3600), Some(token.as_str())).await;
    let gone = relay.delete(&Who::Agent(&laptop), "/api/v1/me/agent").await.good();
    assert_eq!(gone["ended"], 1, "{gone}");
    assert_eq!(within(session).await, EndReason::SignedOut);
    assert_eq!(relay.refused(&token).await, "session.required");
}

#[tokio::test]
async fn the_end_of_the_last_enrolment_is_the_end_of_the_session() {
    let relay = Relay::new().await;
    let token = relay.api_token(by_grant()).await;
    let stop = CancellationToken::new();
    #[expect(clippy::disallowed_methods, reason = "the test ends it and waits for it")]
    let ends = tokio::spawn(Ends::follow(relay.state.clone(), stop.clone()));
    let started = Instant::now();
    relay.enrol(Duration::from_secs(3), None).await;
    let (_, session) = open(&relay, &token, "orders").await;
    assert_eq!(within(session).await, EndReason::SignedOut);
    // The store keeps whole seconds.
    let lasted = started.elapsed();
    assert!((1900..6000).contains(&lasted.as_millis()), "{lasted:?}");
    let receipt = relay.receipt("sign-in of alice").await;
    assert_eq!((&receipt["change"], &receipt["ended"]), (&json!("expire"), &json!(1)));
    stop.cancel();
    ends.await.unwrap();
}

fn by_application() -> Value {
    json!({ "application": [{ "name": "orders", "site": "hq", "kind": "postgres",
        "address": "db:5432", "allow_api": true, "require_active_session": true }] })
}

fn by_grant() -> Value {
    json!({ "grant": [{ "user": "alice", "application": "orders.hq",
        "require_active_session": true }] })
}

impl Relay {
    /// An api token of alice for `orders`, once this is applied.
    async fn api_token(&self, document: Value) -> String {
        let admin = self.admin().await;
        let root = Who::Bearer(&admin);
        self.post(&root, "/api/v1/apply", json!({ "document": document })).await.good();
        let asked = json!({ "user": "alice", "application": "orders", "kind": "api" });
        let issued = self.post(&root, "/api/v1/tokens", asked).await.good();
        issued["token"].as_str().unwrap().to_owned()
    }

    /// Enrols an agent of alice that may stand on a token.
    async fn enrol(&self, lasts: Duration, token: Option<&str>) {
        let alice = self.state.store.user(&"alice".parse().unwrap()).await.unwrap().unwrap().id;
        let (id, end) = (AgentId(Uuid::new_v4()), SystemTime::now() + lasts);
        let token = token.map(|text| text.parse::<access::TokenText>().unwrap().id().clone());
        let store = &self.state.store;
        store.enrol_agent(id, alice, "box", [7; 32], end, token.as_ref()).await.unwrap();
        self.state.policy.refresh().await;
    }

    /// The code with which the token is refused at `orders`.
    async fn refused(&self, text: &str) -> &'static str {
        let from = "192.0.2.9".parse().unwrap();
        let text = text.to_owned().into();
        let who = self.state.authn.token(&text, Door::Agent, from).await.unwrap();
        let policy = self.state.policy.current();
        let application = policy.find("orders", &who).unwrap();
        let context = Context { from, login: None, database: None, keeps: Keeps::NOTHING };
        let now = SystemTime::now();
        policy.authorize(&who, application, context, now).unwrap_err().code().0
    }

    async fn receipt(&self, object: &str) -> Value {
        for _ in 0..300 {
            let rows = self.actions().await.into_iter();
            let mut receipts = rows.filter(|(action, _)| action == "access.withdrawn");
            if let Some((_, event)) = receipts.find(|(_, event)| event["object"] == object) {
                return event;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no receipt for {object}: {:?}", self.actions().await);
    }
}
