//! Machines that are signed in by a browser.

use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::browsers::{Ask, encoded};
use super::{Answer, Relay, Who};

#[tokio::test]
async fn a_machine_is_signed_in_as_whoever_approves_the_code_it_shows() {
    let relay = Relay::new().await;
    let asked = relay.device().await;
    let (device_code, user_code) = (text(&asked, "device_code"), text(&asked, "user_code"));
    assert_eq!(asked["url"], format!("https://relay.test/device?code={user_code}"));
    assert_eq!(relay.polled(&device_code).await.problem(409), "device_login.pending");
    let path = format!("/device?code={user_code}");
    let stranger = relay.page(Ask::get(&path)).await;
    let next = format!("/sign-in?next=/device%3Fcode%3D{user_code}");
    assert_eq!(stranger.header("location"), next);

    let alice = relay.signed_in("alice").await;
    let page = relay.page(Ask::get(&path).with(&alice)).await;
    for part in ["<strong>laptop &lt;b&gt;</strong>", "192.0.2.7", user_code.as_str()] {
        assert!(page.text.contains(part), "{part}: {page:?}");
    }
    let done = relay.decide(&alice, &user_code, "approve").await;
    assert!(done.text.contains("The machine is signed in"), "{done:?}");
    let token = text(&relay.polled(&device_code).await.good(), "token");
    assert_eq!(relay.polled(&device_code).await.problem(410), "device_login.over");
    let me = relay.get(&Who::Bearer(&token), "/api/v1/me").await.good();
    assert_eq!(me["user"], "alice");
    assert_eq!(relay.get(&Who::Bearer(&token), "/api/v1/me").await.problem(401), "token.used_up");
    let rows = relay.actions().await;
    let issued = rows.iter().find(|(_, event)| event["detail"] == "login of alice").unwrap();
    assert_eq!(issued.1["actor"], "alice");
    assert!(issued.1["sign_in"].is_string(), "{issued:?}");
    assert!(!format!("{rows:?}").contains(&token), "a record holds a token");
}

#[tokio::test]
async fn what_is_denied_foreign_or_late_signs_no_machine_in() {
    let relay = Relay::new().await;
    let alice = relay.signed_in("alice").await;
    let asked = relay.device().await;
    let (device_code, user_code) = (text(&asked, "device_code"), text(&asked, "user_code"));
    let form = format!("code={user_code}&which=approve");
    for headers in [vec![], vec![("sec-fetch-site", "same-site")]] {
        let foreign = Ask { headers, ..Ask::post("/device", &form).with(&alice) };
        assert!(relay.page(foreign).await.text.contains("web.cross_origin"));
    }
    assert!(relay.decide(&alice, "BBBB-BBBB", "approve").await.text.contains("device_login.over"));
    assert_eq!(relay.polled(&device_code).await.problem(409), "device_login.pending");
    relay.decide(&alice, &user_code, "deny").await;
    assert_eq!(relay.polled(&device_code).await.problem(403), "device_login.denied");
    assert_eq!(relay.polled("nonsense").await.problem(410), "device_login.over");
    let mut last = None;
    for _ in 0..12 {
        last = Some(relay.ask().await);
    }
    assert_eq!(last.unwrap().problem(429), "request.throttled");
}

#[tokio::test]
async fn a_browser_that_was_left_brings_no_machine() {
    let relay = Relay::new().await;
    let alice = relay.signed_in("alice").await;
    let id = relay.id_of(&alice).await;
    let browsers = relay.state.authn.browsers();
    let later = SystemTime::now() + Duration::from_secs(16 * 60);
    assert!(browsers.is_fresh(id, SystemTime::now()) && !browsers.is_fresh(id, later));
    browsers.age(id, Duration::from_secs(16 * 60));
    let user_code = text(&relay.device().await, "user_code");
    let page = relay.page(Ask::get(&format!("/device?code={user_code}")).with(&alice)).await;
    assert!(page.text.contains("Sign in again"), "{page:?}");
    let next = format!("/sign-in?next=/device%3Fcode%3D{user_code}");
    assert!(page.text.contains(&next), "{page:?}");
    let tried = relay.decide(&alice, &user_code, "approve").await;
    assert!(tried.text.contains("Sign in again"), "{tried:?}");
}

impl Relay {
    async fn ask(&self) -> Answer {
        let body = json!({ "device": "laptop <b>" });
        self.post(&Who::Nobody, "/api/v1/device-logins", body).await
    }

    async fn device(&self) -> Value {
        let answer = self.ask().await;
        assert_eq!(answer.status, StatusCode::CREATED);
        answer.good()
    }

    async fn polled(&self, device_code: &str) -> Answer {
        let body = json!({ "device_code": device_code });
        self.post(&Who::Nobody, "/api/v1/device-logins/token", body).await
    }

    async fn decide(&self, cookie: &str, code: &str, which: &str) -> Answer {
        let form = format!("code={}&which={which}", encoded(code));
        self.page(Ask::post("/device", &form).with(cookie)).await
    }
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_lets_somebody_in_for_long_asks_for_a_sign_in_that_was_just_made() {
    let relay = Relay::new().await;
    let root = relay.signed_in("root").await;
    let ask = async |path: &str, body: Value| {
        relay.portal(axum::http::Method::POST, path, Some(body), &root).await
    };
    let token = json!({ "user": "alice", "kind": "login" });
    assert!(ask("tokens", token.clone()).await.status.is_success());
    relay.state.authn.browsers().age(relay.id_of(&root).await, Duration::from_secs(16 * 60));
    assert_eq!(ask("tokens", token).await.problem(403), "sign_in.stale");
    let provisioner = json!({ "name": "entra" });
    assert_eq!(ask("provisioners", provisioner).await.problem(403), "sign_in.stale");
    let password = relay.portal(axum::http::Method::POST, "users/alice/password", None, &root);
    assert_eq!(password.await.problem(403), "sign_in.stale");
    assert!(ask("groups", json!({ "name": "dba" })).await.status.is_success(), "nothing else");
}
