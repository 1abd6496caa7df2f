use access::{Credential, RuleId};
use axum::http::Method;
use serde_json::{Value, json};

use super::{Answer, Relay, Who};
use crate::AgentIdentity;

/// `vault` can be asked for; `bob` is in the group that decides, `carol` is nobody.
struct Office {
    relay: Relay,
    admin: String,
    alice: AgentIdentity,
    bob: AgentIdentity,
    carol: AgentIdentity,
}

impl Office {
    async fn new() -> Self {
        let relay = Relay::new().await;
        let admin = relay.admin().await;
        let document = json!({
            "user": [{ "name": "carol" }],
            "group": [{ "name": "deciders", "members": ["bob"] }],
            "application": [{ "name": "vault", "site": "hq", "kind": "tcp",
                "address": "vault:8200", "requestable": true, "approvers": ["deciders"] },
                { "name": "hidden", "site": "hq", "kind": "tcp", "address": "hidden:1" }],
        });
        let apply = json!({ "document": document });
        relay.post(&Who::Bearer(&admin), "/api/v1/apply", apply).await.good();
        let (alice, bob) = (relay.agent("alice").await, relay.agent("bob").await);
        let carol = relay.agent("carol").await;
        Self { relay, admin, alice, bob, carol }
    }

    async fn ask(&self, who: &AgentIdentity, application: &str) -> Answer {
        let asked = json!({ "application": application, "reason": "on call", "duration": "2h" });
        self.relay.post(&Who::Agent(who), "/api/v1/me/requests", asked).await
    }

    async fn asked(&self) -> String {
        self.ask(&self.alice, "vault").await.good()["id"].as_str().unwrap().to_owned()
    }

    async fn decide(&self, who: &Who<'_>, id: &str, how: &str, decision: Value) -> Answer {
        self.relay.post(who, &format!("/api/v1/requests/{id}/{how}"), decision).await
    }

    async fn listed(&self, who: &AgentIdentity, path: &str) -> Vec<Value> {
        self.relay.get(&Who::Agent(who), path).await.items()
    }

    /// Whether alice may open the vault now.
    async fn opens(&self) -> bool {
        let authn = &self.relay.state.authn;
        let who = authn.agent(&self.alice, [192, 0, 2, 7].into()).unwrap();
        assert!(matches!(who.credential(), Credential::Agent { .. }));
        let policy = self.relay.state.policy.current();
        policy.reachable(&who).iter().any(|app| app.name.as_str() == "vault")
    }
}

#[tokio::test]
async fn an_approver_decides_on_every_request_but_their_own_and_does_nothing_else() {
    let office = Office::new().await;
    let (relay, root) = (&office.relay, Who::Bearer(&office.admin));
    let carol = Who::Agent(&office.carol);
    let id = office.asked().await;
    let denied = office.decide(&carol, &id, "approve", json!({})).await;
    assert_eq!(denied.problem(404), "access_request.not_found", "she is nobody yet");
    let spec = json!({ "name": "carol", "approver": true });
    relay.call(&root, Method::PUT, "/api/v1/users/carol", Some(spec)).await.good();
    assert_eq!(office.listed(&office.carol, "/api/v1/requests").await.len(), 1);
    office.decide(&carol, &id, "approve", json!({})).await.good();
    assert!(office.opens().await);
    let own = office.ask(&office.carol, "vault").await.good()["id"].as_str().unwrap().to_owned();
    let own = office.decide(&carol, &own, "approve", json!({})).await;
    assert_eq!(own.problem(403), "access_request.own");
    for path in ["/api/v1/users", "/api/v1/audit", "/api/v1/grants"] {
        assert_eq!(relay.get(&carol, path).await.problem(403), "access.admin_required", "{path}");
    }
    let rows = relay.get(&root, "/api/v1/users?prefix=carol").await.items();
    assert_eq!(rows[0]["approver"], true);
}

#[tokio::test]
async fn an_approved_request_is_access_until_it_is_revoked() {
    let office = Office::new().await;
    assert!(!office.opens().await);
    let id = office.asked().await;
    assert!(!office.opens().await, "asking gives nothing");
    let bob = Who::Agent(&office.bob);
    let decision = json!({ "comment": "go ahead", "duration": "1h" });
    let approved = office.decide(&bob, &id, "approve", decision).await.good();
    assert_eq!((&approved["state"], &approved["decided_by"]), (&json!("approved"), &json!("bob")));
    let lasts = approved["ends"].as_u64().unwrap() - approved["decided"].as_u64().unwrap();
    assert_eq!(lasts, 3600, "as the approver said, not as alice asked");
    assert!(office.opens().await);
    let root = Who::Bearer(&office.admin);
    let why = "/api/v1/why?user=alice&application=vault";
    let why = office.relay.get(&root, why).await.good();
    assert_eq!((&why["allowed"], &why["request"]["id"]), (&json!(true), &json!(id)));
    let answer = why["answer"].as_str().unwrap();
    assert!(answer.contains("by the request") && answer.contains("on call"), "{answer}");
    let path = format!("/api/v1/requests/{id}");
    office.relay.call(&bob, Method::DELETE, &path, None).await.good();
    assert!(!office.opens().await);
    assert_eq!(office.listed(&office.alice, "/api/v1/me/requests").await[0]["state"], "revoked");
    let told: Vec<_> = office.relay.actions().await.into_iter().map(|(_, event)| event).collect();
    for change in ["ask", "approve", "revoke"] {
        let one = |event: &&Value| {
            event["change"] == change && event["object"].to_string().contains("request")
        };
        assert!(told.iter().any(|event| one(&event)), "{change}: {told:?}");
    }
}

#[tokio::test]
async fn nobody_decides_on_their_own_and_strangers_see_nothing() {
    let office = Office::new().await;
    let id = office.asked().await;
    let carol = Who::Agent(&office.carol);
    assert!(office.listed(&office.carol, "/api/v1/requests").await.is_empty());
    let absent = RuleId(uuid::Uuid::new_v4()).to_string();
    for id in [id.as_str(), absent.as_str()] {
        for how in ["approve", "deny"] {
            let answer = office.decide(&carol, id, how, json!({})).await;
            assert_eq!(answer.problem(404), "access_request.not_found");
        }
        for path in [format!("/api/v1/requests/{id}"), format!("/api/v1/me/requests/{id}")] {
            let answer = office.relay.delete(&carol, &path).await;
            assert_eq!(answer.problem(404), "access_request.not_found");
        }
    }
    let own = office.ask(&office.bob, "vault").await.good()["id"].as_str().unwrap().to_owned();
    let answer = office.decide(&Who::Agent(&office.bob), &own, "approve", json!({})).await;
    assert_eq!(answer.problem(403), "access_request.own");
    let root = Who::Bearer(&office.admin);
    office.decide(&root, &own, "deny", json!({ "comment": "no need" })).await.good();
    let again = office.decide(&root, &own, "approve", json!({})).await;
    assert_eq!(again.problem(409), "access_request.settled");
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_told_like_what_is_not_there() {
    let office = Office::new().await;
    let hidden = office.ask(&office.carol, "hidden").await;
    let absent = office.ask(&office.carol, "absent").await;
    let words = |answer: &Answer| (answer.status, answer.json()["detail"].clone());
    assert_eq!(words(&hidden), words(&absent));
    assert_eq!(hidden.problem(403), "access.denied");
    let reached = office.ask(&office.alice, "web1").await;
    assert_eq!(reached.problem(422), "access_request.not_requestable");
    let twice =
        [office.ask(&office.alice, "vault").await, office.ask(&office.alice, "vault").await];
    assert_eq!(twice[1].problem(409), "access_request.exists");
    for (reason, duration) in [("", "2h"), ("a\u{1b}[31m", "2h"), ("fine", "31d")] {
        let asked = json!({ "application": "vault", "reason": reason, "duration": duration });
        let carol = Who::Agent(&office.carol);
        let answer = office.relay.post(&carol, "/api/v1/me/requests", asked).await;
        assert_eq!(answer.problem(400), "request.invalid", "{reason:?} {duration}");
    }
}

#[tokio::test]
async fn whoever_asked_can_take_it_back_before_and_after_the_decision() {
    let office = Office::new().await;
    let alice = Who::Agent(&office.alice);
    for approve in [false, true] {
        let id = office.asked().await;
        if approve {
            office.decide(&Who::Agent(&office.bob), &id, "approve", json!({})).await.good();
            assert!(office.opens().await);
        }
        let path = format!("/api/v1/me/requests/{id}");
        office.relay.delete(&alice, &path).await.good();
        assert!(!office.opens().await);
        assert_eq!(office.relay.delete(&alice, &path).await.problem(409), "access_request.settled");
    }
}
