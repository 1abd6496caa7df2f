//! A directory that keeps users and groups here, as Okta and Entra do.

use std::time::{Duration, Instant};

use access::EndReason;
use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::changes::within;
use super::{Relay, Who};
use crate::Peer;

#[tokio::test]
async fn a_directory_makes_changes_and_removes_its_users_and_sees_no_others() {
    let relay = Relay::new().await;
    let secret = relay.provisioner("entra").await;
    let none = relay.scim(&secret, Method::GET, "Users?filter=userName%20eq%20%22a%40x%22", None);
    assert_eq!(none.await.1["totalResults"], 0);
    let carol = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "Carol@example.com", "externalId": "e-1", "active": true,
        "name": { "familyName": "C" }, "emails": [{ "value": "carol@example.com" }] });
    let (status, made) = relay.scim(&secret, Method::POST, "Users", Some(carol.clone())).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!((&made["userName"], &made["active"]), (&json!("Carol@example.com"), &json!(true)));
    let id = made["id"].as_str().unwrap().to_owned();
    let (status, twice) = relay.scim(&secret, Method::POST, "Users", Some(carol)).await;
    assert_eq!((status, &twice["scimType"]), (409, &json!("uniqueness")));
    let taken = json!({ "userName": "root" });
    let (status, taken) = relay.scim(&secret, Method::POST, "Users", Some(taken)).await;
    assert_eq!((status, &taken["scimType"]), (409, &json!("uniqueness")), "an admin's own");
    for filter in ["userName eq \"carol@EXAMPLE.com\"", "externalId eq \"e-1\""] {
        let path = format!("Users?filter={}&startIndex=1&count=100", encoded(filter));
        let (_, found) = relay.scim(&secret, Method::GET, &path, None).await;
        assert_eq!((&found["totalResults"], &found["Resources"][0]["id"]), (&json!(1), &json!(id)));
    }
    let bad = format!("Users?filter={}", encoded("userName co \"a\""));
    let (status, bad) = relay.scim(&secret, Method::GET, &bad, None).await;
    assert_eq!((status, &bad["scimType"]), (400, &json!("invalidFilter")));
    let (_, all) = relay.scim(&secret, Method::GET, "Users", None).await;
    assert_eq!(all["totalResults"], 1, "alice, bob and root are not the directory's: {all}");

    let path = format!("Users/{id}");
    let renamed = json!({ "userName": "c@example.com", "active": true });
    let (status, renamed) = relay.scim(&secret, Method::PUT, &path, Some(renamed)).await;
    assert_eq!((status, &renamed["userName"]), (200, &json!("c@example.com")));
    assert_eq!(renamed["displayName"], "carol", "her name here stays");
    let other = relay.provisioner("okta").await;
    assert_eq!(relay.scim(&other, Method::GET, &path, None).await.0, 404);
    assert_eq!(relay.scim(&other, Method::DELETE, &path, None).await.0, 404);
    assert_eq!(relay.scim(&secret, Method::DELETE, &path, None).await.0, 204);
    assert_eq!(relay.scim(&secret, Method::GET, &path, None).await.0, 404);
    let rows = relay.actions().await;
    let by = rows.iter().filter(|(_, event)| event["actor"] == "provisioner entra").count();
    assert!(by >= 2, "{rows:?}");
}

#[tokio::test]
async fn whoever_is_deactivated_in_the_directory_is_out_within_a_second() {
    for patch in [
        json!([{ "op": "replace", "value": { "active": false } }]),
        json!([{ "op": "Replace", "path": "active", "value": "False" }]),
    ] {
        let relay = Relay::new().await;
        let stop = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "the test ends it and waits for it")]
        let follow = tokio::spawn(crate::browsers::follow(relay.state.clone(), stop.clone()));
        let secret = relay.provisioner("entra").await;
        let carol = json!({ "userName": "carol" });
        let (_, carol) = relay.scim(&secret, Method::POST, "Users", Some(carol)).await;
        let admin = relay.admin().await;
        let grant = json!({ "user": "carol", "application": "orders.hq" });
        relay.post(&Who::Bearer(&admin), "/api/v1/grants", grant).await.good();
        let cookie = relay.signed_in("carol").await;
        let session = relay.opened_by(&cookie, "orders").await;
        let path = format!("Users/{}", carol["id"].as_str().unwrap());
        let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": patch });
        let started = Instant::now();
        let (status, gone) = relay.scim(&secret, Method::PATCH, &path, Some(body)).await;
        assert_eq!((status, &gone["active"]), (200, &json!(false)));
        assert_eq!(within(session).await, EndReason::Revoked);
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        assert!(!relay.signed_in_as(&cookie).await);
        let back = json!({ "Operations": [{ "op": "add", "path": "active", "value": true }] });
        let (_, back) = relay.scim(&secret, Method::PATCH, &path, Some(back)).await;
        assert_eq!(back["active"], true);
        stop.cancel();
        follow.await.unwrap();
    }
}

#[tokio::test]
async fn a_directorys_groups_have_its_users_and_leave_those_of_admins_alone() {
    let relay = Relay::new().await;
    let secret = relay.provisioner("entra").await;
    let mut ids = Vec::new();
    for name in ["carol", "dora"] {
        let user = json!({ "userName": name });
        let (_, user) = relay.scim(&secret, Method::POST, "Users", Some(user)).await;
        ids.push(user["id"].as_str().unwrap().to_owned());
    }
    let group = json!({ "displayName": "Data Engineers", "members": [{ "value": ids[0] }] });
    let (status, group) = relay.scim(&secret, Method::POST, "Groups", Some(group)).await;
    assert_eq!((status, &group["members"]), (201, &json!([{ "value": ids[0] }])), "{group}");
    let path = format!("Groups/{}", group["id"].as_str().unwrap());
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let members = async || {
        let group = relay.get(&root, "/api/v1/groups/data-engineers").await.good();
        let mut members: Vec<String> = serde_json::from_value(group["members"].clone()).unwrap();
        members.sort();
        members
    };
    assert_eq!(members().await, ["carol"]);
    let alice = json!({ "name": "data-engineers", "members": ["alice", "carol"] });
    relay.call(&root, Method::PUT, "/api/v1/groups/data-engineers", Some(alice)).await.good();
    let patch = async |operations: Value| {
        let body = json!({ "Operations": operations });
        relay.scim(&secret, Method::PATCH, &path, Some(body)).await
    };
    let add = json!([{ "op": "Add", "path": "members", "value": [{ "value": ids[1] }] }]);
    assert_eq!(patch(add).await.0, 200);
    assert_eq!(members().await, ["alice", "carol", "dora"]);
    let which = format!("members[value eq \"{}\"]", ids[0]);
    let (_, left) = patch(json!([{ "op": "Remove", "path": which }])).await;
    assert_eq!(left["members"], json!([{ "value": ids[1] }]), "alice is not told");
    assert_eq!(members().await, ["alice", "dora"]);
    let stranger = json!([{ "op": "add", "path": "members", "value": [{ "value":
        relay.state.store.user(&"bob".parse().unwrap()).await.unwrap().unwrap().id.to_string() }] }]);
    patch(stranger).await;
    assert_eq!(members().await, ["alice", "dora"], "bob is not the directory's");
    let replaced = json!({ "displayName": "Data", "members": [] });
    let (_, replaced) = relay.scim(&secret, Method::PUT, &path, Some(replaced)).await;
    assert_eq!((&replaced["displayName"], &replaced["members"]), (&json!("Data"), &json!([])));
    assert_eq!(members().await, ["alice"]);
    let filter = format!("Groups?filter={}", encoded("displayName eq \"data\""));
    assert_eq!(relay.scim(&secret, Method::GET, &filter, None).await.1["totalResults"], 1);
    assert_eq!(relay.scim(&secret, Method::DELETE, &path, None).await.0, 204);
    let gone = relay.get(&root, "/api/v1/groups/data-engineers").await;
    assert_eq!(gone.problem(404), "group.not_found");
}

#[tokio::test]
async fn nobody_is_a_provisioner_without_its_secret_or_after_its_end() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let secret = relay.provisioner("entra").await;
    for wrong in ["", "adit_scim_x", admin.as_str()] {
        let (status, error) = relay.scim(wrong, Method::GET, "Users", None).await;
        assert_eq!((status, &error["status"]), (401, &json!("401")), "{wrong}");
    }
    let (status, config) = relay.scim(&secret, Method::GET, "ServiceProviderConfig", None).await;
    assert_eq!((status, &config["patch"]["supported"]), (200, &json!(true)));
    let twice = relay.post(&root, "/api/v1/provisioners", json!({ "name": "entra" })).await;
    assert_eq!(twice.problem(409), "provisioner.exists");
    let scoped = json!({ "user": "root", "kind": "admin", "scopes": ["configuration"] });
    let scoped = relay.post(&root, "/api/v1/tokens", scoped).await.good();
    let scoped = Who::Bearer(scoped["token"].as_str().unwrap());
    let more = relay.post(&scoped, "/api/v1/provisioners", json!({ "name": "okta" })).await;
    assert_eq!(more.problem(403), "token.scope");
    let listed = relay.get(&root, "/api/v1/provisioners").await.items();
    assert_eq!((listed.len(), &listed[0]["name"]), (1, &json!("entra")));
    let user = json!({ "userName": "carol" });
    relay.scim(&secret, Method::POST, "Users", Some(user)).await;
    relay.delete(&root, "/api/v1/provisioners/entra").await.good();
    assert_eq!(relay.scim(&secret, Method::GET, "Users", None).await.0, 401);
    relay.get(&root, "/api/v1/users/carol").await.good();
    let gone = relay.delete(&root, "/api/v1/provisioners/entra").await;
    assert_eq!(gone.problem(404), "provisioner.not_found");
    assert!(!format!("{:?}", relay.actions().await).contains(&secret), "a record holds a secret");
}

impl Relay {
    async fn provisioner(&self, name: &str) -> String {
        let admin = self.admin().await;
        let body = json!({ "name": name });
        let added = self.post(&Who::Bearer(&admin), "/api/v1/provisioners", body).await.good();
        assert_eq!(added["url"], "https://relay.test/scim/v2");
        added["secret"].as_str().unwrap().to_owned()
    }

    async fn scim(
        &self,
        secret: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let addr = std::net::SocketAddr::from(([192, 0, 2, 7], 50_000));
        let request = Request::builder()
            .method(method)
            .uri(format!("/scim/v2/{path}"))
            .header("authorization", format!("Bearer {secret}"))
            .header("content-type", "application/scim+json")
            .extension(Peer { addr, agent: None })
            .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
            .unwrap();
        let response = crate::api::router(self.state.clone()).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}

fn encoded(text: &str) -> String {
    super::browsers::encoded(text)
}
