//! Changing what somebody has looked at, and nothing newer.

use axum::http::Method;
use serde_json::{Value, json};

use super::{Answer, CANARY, Relay, Who, configuration};

#[tokio::test]
async fn a_change_is_made_on_what_was_seen_and_on_nothing_newer() {
    let relay = Relay::new().await;
    let office = Office::new(&relay).await;
    for (path, change) in office.objects().await {
        let (mut spec, tag) = office.look_at(&path).await;
        assert_eq!(office.look_at(&path).await.1, tag, "{path}: it is what it was");
        change(&mut spec);
        let changed = office.put(&path, &spec, &[("if-match", &tag)]).await.good();
        assert_eq!(changed["changes"].as_array().unwrap().len(), 1, "{path}: {changed}");
        let (now, newer) = office.look_at(&path).await;
        assert_eq!(now, spec, "{path}");
        assert_ne!(newer, tag, "{path}");
        // Somebody who saw it before would undo what they have not seen.
        let stale = office.put(&path, &spec, &[("if-match", &tag)]).await;
        assert_eq!(stale.problem(412), "request.stale", "{path}");
        let weak = format!("W/{newer}");
        let weak = office.put(&path, &spec, &[("if-match", &weak)]).await;
        assert_eq!(weak.problem(412), "request.stale", "{path}: a weak tag proves nothing");
        let listed = format!("{tag}, {newer}");
        for good in [listed.as_str(), "*"] {
            let again = office.put(&path, &spec, &[("if-match", good)]).await.good();
            assert_eq!(again["changes"], json!([]), "{path}");
        }
        office.put(&path, &spec, &[]).await.good();
        for wrong in ["", "abc", "\"abc"] {
            let answer = office.put(&path, &spec, &[("if-match", wrong)]).await;
            assert_eq!(answer.problem(400), "request.invalid", "{path} {wrong:?}");
        }
    }
}

#[tokio::test]
async fn of_two_who_saw_the_same_one_changes_it() {
    let relay = Relay::new().await;
    let office = Office::new(&relay).await;
    let path = "/api/v1/groups/dba";
    let (_, tag) = office.look_at(path).await;
    let tries = ["bob", "root", "carol", "dave"].map(|member| {
        let (office, tag) = (&office, tag.as_str());
        async move {
            let spec = json!({ "name": "dba", "members": [member] });
            office.put(path, &spec, &[("if-match", tag)]).await.status.as_u16()
        }
    });
    let mut answers = futures_util::future::join_all(tries).await;
    answers.sort_unstable();
    assert_eq!(answers, [200, 412, 412, 412]);
}

#[tokio::test]
async fn what_is_known_is_not_told_again() {
    let relay = Relay::new().await;
    let office = Office::new(&relay).await;
    let mut paths: Vec<_> = office.objects().await.into_iter().map(|(path, _)| path).collect();
    paths.extend(["/api/v1/export", "/api/v1/sites/hq"].map(str::to_owned));
    for path in paths {
        let (_, tag) = office.look_at(&path).await;
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let answer = office.get(&path, &[("if-none-match", &known)]).await;
            assert_eq!((answer.status.as_u16(), answer.text.as_str()), (304, ""), "{path}");
            assert_eq!(answer.headers["etag"].to_str().unwrap(), tag);
        }
        office.get(&path, &[("if-none-match", "\"x\"")]).await.good();
    }
}

#[tokio::test]
async fn a_secret_stays_until_another_is_sent_and_the_tag_tells_which() {
    let relay = Relay::new().await;
    let office = Office::new(&relay).await;
    let path = "/api/v1/applications/web1";
    let (mut spec, tag) = office.look_at(path).await;
    assert!(!spec.to_string().contains("canary"), "{spec}");
    spec["address"] = json!("web1.corp:2222");
    office.put(path, &spec, &[("if-match", &tag)]).await.good();
    let stored = async || {
        let app = relay.state.store.application("web1").await.unwrap().unwrap().id;
        match session::Secrets::credential(&relay.state.store, app).await.unwrap().unwrap() {
            session::TargetCredential::Password(text) => {
                secrecy::ExposeSecret::expose_secret(&text).to_owned()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(stored().await, CANARY);
    let (_, before) = office.look_at(path).await;
    spec["password"] = json!("another");
    office.put(path, &spec, &[("if-match", &before)]).await.good();
    assert_eq!(stored().await, "another");
    assert_ne!(office.look_at(path).await.1, before, "nothing that is shown has changed");
}

#[tokio::test]
async fn what_is_sent_is_of_the_object_in_the_path() {
    let relay = Relay::new().await;
    let office = Office::new(&relay).await;
    for (path, mut spec) in [
        ("/api/v1/users/alice", json!({ "name": "bob" })),
        ("/api/v1/groups/dba", json!({ "name": "ops" })),
        (
            "/api/v1/applications/web1",
            json!({ "name": "web2", "site": "hq", "kind": "ssh", "address": "a:1" }),
        ),
    ] {
        let answer = office.put(path, &spec, &[]).await;
        assert_eq!(answer.problem(422), "request.other_object", "{path}");
        spec["name"] = json!("nobody");
        let gone = path.rsplit_once('/').unwrap().0.to_owned() + "/nobody";
        let answer = office.put(&gone, &spec, &[]).await;
        assert!(answer.problem(404).ends_with(".not_found"), "{gone}");
    }
    let grants = relay.get(&office.root(), "/api/v1/grants").await.items();
    let path = format!("/api/v1/grants/{}", grants[0]["id"].as_str().unwrap());
    let other = json!({ "user": "bob", "application": grants[0]["grant"]["application"] });
    assert_eq!(office.put(&path, &other, &[]).await.problem(422), "request.other_object");
    let last = json!({ "name": "root", "admin": false });
    assert_eq!(office.put("/api/v1/users/root", &last, &[]).await.problem(422), "user.last_admin");
}

#[tokio::test]
async fn a_document_is_applied_to_the_configuration_it_was_made_from() {
    let relay = Relay::new().await;
    let office = Office::new(&relay).await;
    let (document, tag) = office.look_at("/api/v1/export").await;
    for plan in [true, false] {
        let body = json!({ "document": document, "plan": plan });
        let apply = async |tag: &str| {
            let (path, headers) = ("/api/v1/apply", [("if-match", tag)]);
            relay.call_with(&office.root(), Method::POST, path, Some(body.clone()), &headers).await
        };
        apply(&tag).await.good();
        assert_eq!(apply("\"other\"").await.problem(412), "request.stale");
    }
    // Tokens come and go all the time: they are no part of it.
    let asked = json!({ "user": "alice", "application": "web1" });
    relay.post(&office.root(), "/api/v1/tokens", asked).await.good();
    assert_eq!(office.look_at("/api/v1/export").await.1, tag);
    relay.post(&office.root(), "/api/v1/sites", json!({ "name": "lab" })).await.good();
    assert_ne!(office.look_at("/api/v1/export").await.1, tag);
}

type Change = fn(&mut Value);

const SETTINGS: &str = "/api/v1/settings";

struct Office<'a> {
    relay: &'a Relay,
    admin: String,
}

impl<'a> Office<'a> {
    async fn new(relay: &'a Relay) -> Self {
        let mut document = configuration();
        document["group"] = json!([{ "name": "dba", "members": ["alice"] }]);
        for name in ["carol", "dave"] {
            document["user"].as_array_mut().unwrap().push(json!({ "name": name }));
        }
        let document = serde_json::from_value(document).unwrap();
        let now = std::time::SystemTime::now();
        relay.state.store.apply(&document, store::Apply::default(), now).await.unwrap();
        Self { relay, admin: relay.admin().await }
    }

    fn root(&self) -> Who<'_> {
        Who::Bearer(&self.admin)
    }

    /// One of each kind, and something that can be changed of it.
    async fn objects(&self) -> Vec<(String, Change)> {
        let grants = self.relay.get(&self.root(), "/api/v1/grants").await.items();
        let grant = format!("/api/v1/grants/{}", grants[0]["id"].as_str().unwrap());
        vec![
            ("/api/v1/users/alice".to_owned(), |user| user["enabled"] = json!(false)),
            ("/api/v1/groups/dba".to_owned(), |group| group["members"] = json!(["bob"])),
            ("/api/v1/applications/web1.hq".to_owned(), |app| app["allow_api"] = json!(true)),
            (grant, |grant| grant["max_session"] = json!("8h")),
            (SETTINGS.to_owned(), |settings| settings["ssh_key_days"] = json!(30)),
        ]
    }

    async fn look_at(&self, path: &str) -> (Value, String) {
        let answer = self.get(path, &[]).await;
        let tag = answer.headers["etag"].to_str().unwrap().to_owned();
        (answer.good(), tag)
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.relay.call_with(&self.root(), Method::GET, path, None, headers).await
    }

    /// Settings are changed by what is given, all else as a whole.
    async fn put(&self, path: &str, spec: &Value, headers: &[(&str, &str)]) -> Answer {
        let method = if path == SETTINGS { Method::PATCH } else { Method::PUT };
        self.relay.call_with(&self.root(), method, path, Some(spec.clone()), headers).await
    }
}
