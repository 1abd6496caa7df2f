//! Authenticator apps and recovery codes: set up, asked for, used once.

use std::time::SystemTime;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::browsers::{Ask, encoded};
use super::{Answer, Relay, Who};
use crate::authn::TotpKey;

const OWN: &str = "a text of my own";

#[tokio::test]
async fn an_app_is_asked_for_once_it_has_shown_a_code_and_no_code_counts_twice() {
    let relay = Relay::new().await;
    relay.has_password("alice", OWN).await;
    let (here, there) = (relay.signed_in("alice").await, relay.signed_in("alice").await);
    let offer = relay.portal(Method::POST, "me/totp", None, &here).await.good();
    let uri = offer["uri"].as_str().unwrap();
    assert!(uri.starts_with("otpauth://totp/relay.test:alice?secret="), "{uri}");
    let key = TotpKey::from_base32(offer["key"].as_str().unwrap()).unwrap();
    assert!(offer["qr"]["path"].as_str().unwrap().len() > 500);
    let wrong = json!({ "key": offer["key"], "code": "000000" });
    if code(&key, 0) != "000000" {
        let wrong = relay.portal(Method::PUT, "me/totp", Some(wrong), &here).await;
        assert_eq!(wrong.problem(422), "totp.code");
    }
    let first = code(&key, 0);
    let taken = json!({ "key": offer["key"], "code": first });
    let made = relay.portal(Method::PUT, "me/totp", Some(taken.clone()), &here).await.good();
    assert_eq!((made["codes"].as_array().unwrap().len(), &made["signed_out"]), (10, &json!(1)));
    assert!(relay.signed_in_as(&here).await && !relay.signed_in_as(&there).await);
    let again = relay.portal(Method::PUT, "me/totp", Some(taken), &here).await;
    assert_eq!(again.problem(409), "totp.exists");

    let step = relay.by_password("alice", OWN, "/go?to=a").await;
    assert_eq!(step.header("location"), "/sign-in/step");
    let begun = step.header("set-cookie").to_owned();
    assert!(!relay.signed_in_as(&begun).await);
    let used = relay.show(&begun, &first).await;
    assert_eq!(used.status, StatusCode::UNAUTHORIZED, "it was used to set the app up");
    assert!(used.text.contains("authn.second_factor"), "{used:?}");
    let done = relay.show(&begun, &code(&key, 1)).await;
    assert_eq!(done.header("location"), "/signed-in?next=/go%3Fto%3Da");
    let other = relay.by_password("alice", OWN, "").await.header("set-cookie").to_owned();
    let replayed = relay.show(&other, &code(&key, 1)).await;
    assert_eq!(replayed.status, StatusCode::UNAUTHORIZED, "{replayed:?}");

    let recovery = made["codes"][4].as_str().unwrap();
    let done = relay.show(&other, &recovery.to_uppercase()).await;
    assert_eq!(done.header("location"), "/", "{done:?}");
    let third = relay.by_password("alice", OWN, "").await.header("set-cookie").to_owned();
    assert_eq!(relay.show(&third, recovery).await.status, StatusCode::UNAUTHORIZED);
    let admin = relay.admin().await;
    let methods = relay.get(&Who::Bearer(&admin), "/api/v1/users/alice/sign-in-methods").await;
    assert_eq!(methods.good()["totp"]["recovery_codes"], 9);
    let rows = relay.actions().await;
    let second: Vec<_> = rows
        .iter()
        .filter(|(action, event)| action == "sign_in.opened" && event["how"] == "password")
        .map(|(_, event)| event["second"].clone())
        .collect();
    assert_eq!(second, [json!("totp"), json!("recovery")]);
    assert!(!format!("{rows:?}").contains(recovery), "a record holds a code");
}

#[tokio::test]
async fn who_has_to_have_one_sets_it_up_on_the_way_in_and_keeps_the_codes() {
    let relay = Relay::new().await;
    relay.has_password("root", OWN).await;
    relay.has_password("bob", OWN).await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let rule = json!({ "second_factor": "admins" });
    relay.call(&root, Method::PATCH, "/api/v1/settings", Some(rule)).await.good();
    assert_eq!(relay.by_password("bob", OWN, "").await.header("location"), "/");

    let begun = relay.by_password("root", OWN, "").await.header("set-cookie").to_owned();
    let page = relay.page(Ask::get("/sign-in/step").with(&begun)).await;
    assert!(page.text.contains("<svg class=\"qr\" role=\"img\""), "{page:?}");
    let key = page.text.split("<code>").nth(1).unwrap().split("</code>").next().unwrap();
    let key = TotpKey::from_base32(&key.replace(' ', "")).unwrap();
    let wrong = relay.show(&begun, "12345").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let taken = relay.show(&begun, &code(&key, 0)).await;
    assert_eq!(taken.header("location"), "/sign-in/step");
    assert!(!relay.signed_in_as(&begun).await);
    let codes = relay.page(Ask::get("/sign-in/step").with(&begun)).await;
    assert_eq!(codes.text.matches("<li><code>").count(), 10, "{codes:?}");
    let done = relay.page(Ask::post("/sign-in/step", "").with(&begun)).await;
    assert!(relay.signed_in_as(done.header("set-cookie")).await, "{done:?}");

    // Who has lost the app: an admin takes it away, and it is set up anew.
    relay.delete(&root, "/api/v1/users/root/second-factor").await.good();
    let again = relay.delete(&root, "/api/v1/users/root/second-factor").await;
    assert_eq!(again.problem(404), "totp.not_found");
    let begun = relay.by_password("root", OWN, "").await.header("set-cookie").to_owned();
    let page = relay.page(Ask::get("/sign-in/step").with(&begun)).await;
    assert!(page.text.contains("<svg class=\"qr\""), "{page:?}");
}

#[tokio::test]
async fn guesses_at_a_second_factor_are_slowed_down_and_a_change_of_it_needs_it() {
    let relay = Relay::new().await;
    relay.has_password("alice", OWN).await;
    let here = relay.signed_in("alice").await;
    let none = json!({ "code": "123456" });
    let none = relay.portal(Method::POST, "me/totp/remove", Some(none), &here).await;
    assert_eq!(none.problem(404), "totp.not_found");
    let offer = relay.portal(Method::POST, "me/totp", None, &here).await.good();
    let key = TotpKey::from_base32(offer["key"].as_str().unwrap()).unwrap();
    let taken = json!({ "key": offer["key"], "code": code(&key, 0) });
    let old = relay.portal(Method::PUT, "me/totp", Some(taken), &here).await.good();
    let show = json!({ "code": old["codes"][0] });
    let renewed = relay.portal(Method::POST, "me/recovery-codes", Some(show), &here).await.good();
    let dead = json!({ "code": old["codes"][1] });
    let dead = relay.portal(Method::POST, "me/totp/remove", Some(dead), &here).await;
    assert_eq!(dead.problem(422), "totp.code", "the old codes are worth nothing");
    let begun = relay.by_password("alice", OWN, "").await.header("set-cookie").to_owned();
    let mut last = None;
    for n in 0..7 {
        last = Some(relay.show(&begun, &format!("guess {n}")).await);
    }
    assert_eq!(last.unwrap().status, StatusCode::TOO_MANY_REQUESTS);
    let gone = json!({ "code": renewed["codes"][0] });
    let gone = relay.portal(Method::POST, "me/totp/remove", Some(gone), &here).await;
    assert!(gone.status.is_success(), "who showed one here before still may: {gone:?}");
}

impl Relay {
    /// A request of the portal.
    pub(super) async fn portal(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        cookie: &str,
    ) -> Answer {
        let (path, body) = (format!("/api/v1/{path}"), body.map(|body| body.to_string()));
        let headers = vec![("sec-fetch-site", "same-origin"), ("content-type", "application/json")];
        let body = body.as_deref().unwrap_or_default();
        self.page(Ask { method, headers, ..Ask::post(&path, body) }.with(cookie)).await
    }

    async fn show(&self, begun: &str, code: &str) -> Answer {
        let form = format!("code={}", encoded(code));
        self.page(Ask::post("/sign-in/step", &form).with(begun)).await
    }
}

/// What the app shows so many steps from now.
fn code(key: &TotpKey, ahead: u64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    key.code(now.as_secs() / 30 + ahead)
}
