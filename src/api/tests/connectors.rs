//! Connectors, and what they reach.

use std::sync::Arc;

use access::{ConnectorId, EndReason};
use async_trait::async_trait;
use axum::http::Method;
use serde_json::json;
use session::{DialError, DialRequest};
use splice::BoxStream;
use uuid::Uuid;

use super::{Relay, Who};
use crate::connectors::{CertificateEnd, ConnectorIdentity, Link, Membership, Shown};

#[tokio::test]
async fn a_check_says_of_each_connector_whether_it_reaches_the_application() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let ask = async |who: &Who<'_>, app: &str| {
        relay.call(who, Method::POST, &format!("/api/v1/applications/{app}/check"), None).await
    };
    assert_eq!(ask(&root, "orders").await.problem(409), "connector.offline");
    assert_eq!(ask(&root, "nothing").await.problem(404), "application.not_found");
    let near = connector(&relay, 1, None).await;
    let far = connector(&relay, 2, Some(DialError::NotAllowed)).await;
    let checked = ask(&root, "orders").await.good();
    assert_eq!(checked["application"], "orders.hq");
    let [first, second] = checked["connectors"].as_array().unwrap().as_slice() else {
        panic!("{checked}")
    };
    assert_eq!((&first["name"], &first["reachable"]), (&json!("hq-1"), &json!(true)));
    assert!(first["micros"].is_u64() && first["code"].is_null(), "{first}");
    assert_eq!(
        (&second["reachable"], &second["code"]),
        (&json!(false), &json!("dial.not_allowed"))
    );
    assert_eq!(second["hop"], "allow-list");
    let recorded = relay.actions().await.into_iter().rev();
    let recorded = recorded.map(|(_, event)| event).find(|event| event["change"] == "check");
    let recorded = recorded.unwrap();
    assert_eq!(recorded["object"], "application orders.hq");
    let at = first["address"].as_str().unwrap();
    assert_eq!(recorded["detail"], format!("hq-1 {at} reachable; hq-2 {at} dial.not_allowed"));
    let alice = relay.agent("alice").await;
    let refused = ask(&Who::Agent(&alice), "orders").await;
    assert_eq!(refused.problem(403), "access.admin_required");
    drop((near, far));
}

#[tokio::test]
async fn a_connectors_row_says_what_it_is_and_what_it_reaches() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let near = connector(&relay, 1, None).await;
    let path = "/api/v1/applications/orders.hq/check";
    relay.call(&root, Method::POST, path, None).await.good();
    let row = relay.get(&root, "/api/v1/connectors").await.good()["items"][0].clone();
    assert!(row["key"].as_str().unwrap().starts_with("SHA256:"), "{row}");
    assert_eq!((&row["online"], &row["certificate_expires"]), (&json!(true), &json!(7)));
    assert_eq!(row["transport"], "tls");
    let reached = &row["applications"][0];
    assert_eq!(
        (&reached["application"], &reached["reachable"]),
        (&json!("orders.hq"), &json!(true))
    );
    assert!(reached["micros"].is_u64() && reached["reached"].is_u64(), "{reached}");
    let sightings = relay.state.authn.sightings();
    sightings.connector(id(1), [192, 0, 2, 1].into(), "adit-connector 9");
    drop(near);
    let row = relay.get(&root, "/api/v1/connectors").await.good()["items"][0].clone();
    assert_eq!((&row["online"], &row["version"]), (&json!(false), &json!("adit-connector 9")));
    assert_eq!((&row["address"], row["seen"].is_u64()), (&json!("192.0.2.1"), true));
}

#[tokio::test]
async fn a_connector_says_how_its_ways_are_and_that_is_kept_until_it_says_it_anew() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let near = connector(&relay, 1, None).await;
    let far = connector(&relay, 2, Some(DialError::Left)).await;
    let path = |n| format!("/api/v1/connectors/{}/doctor", id(n));
    let empty = relay.get(&root, &path(1)).await.good();
    assert!(empty["at"].is_null() && empty["findings"] == json!([]), "{empty}");
    let told = relay.call(&root, Method::POST, &path(1), None).await.good();
    assert_eq!(told["findings"][1]["outcome"], "warning");
    assert_eq!(told["findings"][1]["fix"], "let UDP out");
    drop(near);
    let kept = relay.get(&root, &path(1)).await.good();
    assert_eq!(kept["findings"], told["findings"]);
    let row = relay.get(&root, "/api/v1/connectors").await.good()["items"][0].clone();
    assert_eq!(row["doctor"], "warning");
    let ask = async |n| relay.call(&root, Method::POST, &path(n), None).await;
    assert_eq!(ask(1).await.problem(409), "connector.offline");
    assert_eq!(ask(2).await.problem(502), "connector.mute");
    assert_eq!(ask(3).await.problem(404), "connector.not_found");
    drop(far);
}

/// A connector of hq that is connected: it reaches everything, or fails for this reason.
async fn connector(relay: &Relay, n: u128, fails: Option<DialError>) -> Membership {
    let sites = relay.state.store.sites().await.unwrap();
    let site = sites.into_iter().find(|site| site.name.as_str() == "hq").unwrap();
    let name = format!("hq-{n}");
    let mut key = [0; 32];
    key[0] = u8::try_from(n).unwrap();
    relay.state.store.enrol_connector(id(n), site.id, &name, key).await.unwrap();
    let identity = ConnectorIdentity { id: id(n), name, site: site.id, site_name: site.name };
    let certificate = Arc::new(CertificateEnd::default());
    certificate.set(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(7));
    let address = ([192, 0, 2, 1], 443).into();
    let (transport, version) = (tunnel::Transport::Tls, "adit-connector 9".into());
    let shown = Shown { address, transport, instance: None, version, certificate };
    relay.state.connectors.join(identity, shown, Arc::new(Fake(fails)))
}

fn id(n: u128) -> ConnectorId {
    ConnectorId(Uuid::from_u128(n))
}

struct Fake(Option<DialError>);

#[async_trait]
impl Link for Fake {
    async fn dial(&self, _: &DialRequest) -> Result<BoxStream, DialError> {
        Err(DialError::Refused)
    }

    async fn check(&self, _: &DialRequest) -> Result<(), DialError> {
        self.0.clone().map_or(Ok(()), Err)
    }

    async fn examine(&self) -> Result<wire::Examined, DialError> {
        let finding = |check: &str, outcome: &str| wire::Finding {
            check: check.to_owned(),
            outcome: outcome.to_owned(),
            found: "no answer".to_owned(),
            code: None,
            fix: Some("let UDP out".to_owned()),
        };
        match self.0 {
            Some(_) => Err(DialError::Left),
            None => Ok(wire::Examined {
                findings: vec![finding("tls", "good"), finding("quic", "warning")],
            }),
        }
    }

    fn is_open(&self) -> bool {
        true
    }

    fn streams(&self) -> usize {
        0
    }

    fn drain(&self) {}

    fn close(&self, _: EndReason, _: &str) {}
}
