//! The API as the portal's pages ask it: by the cookie of their browser's sign-in.

use access::EndReason;
use axum::http::Method;
use serde_json::{Value, json};

use super::browsers::Ask;
use super::changes::within;
use super::{Answer, Relay, Who};

const OWN: [(&str, &str); 1] = [("sec-fetch-site", "same-origin")];

#[tokio::test]
async fn a_browser_may_do_what_its_user_may_and_records_say_by_which_sign_in() {
    let relay = Relay::new().await;
    let (root, alice) = (relay.signed_in("root").await, relay.signed_in("alice").await);
    let me = relay.asked(&alice, Method::GET, "/api/v1/me", None).await.good();
    assert_eq!((&me["user"], &me["credential"]), (&json!("alice"), &json!("sign-in")));
    assert_eq!(me["admin"], json!(false));
    assert!(me["expires"].as_u64().unwrap() > 0);
    let denied = relay.asked(&alice, Method::GET, "/api/v1/users", None).await;
    assert_eq!(denied.problem(403), "access.admin_required");

    let body = Some(json!({ "name": "berlin" }));
    relay.asked(&root, Method::POST, "/api/v1/sites", body).await.good();
    let sign_in = json!(relay.id_of(&root).await);
    let rows = relay.actions().await;
    let added = rows
        .iter()
        .find(|(action, event)| action == "admin.changed" && event["object"] == "site berlin");
    let (_, added) = added.unwrap_or_else(|| panic!("{rows:?}"));
    assert_eq!((&added["actor"], &added["sign_in"]), (&json!("root"), &sign_in));
    let refused = rows.iter().find(|(action, _)| action == "access.denied").unwrap();
    assert_eq!(refused.1["user"], json!("alice"));
}

#[tokio::test]
async fn no_page_of_another_host_asks_in_anybodys_name() {
    let relay = Relay::new().await;
    let root = relay.signed_in("root").await;
    let foreign: [&[(&str, &str)]; 7] = [
        &[],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")],
        // A form, a link, a picture of another site.
        &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
        &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")],
        &[("origin", "https://evil-hq.relay.test:8443")],
        &[("origin", "null")],
    ];
    for headers in foreign {
        for content in ["application/json", "text/plain", "application/x-www-form-urlencoded"] {
            let mut headers = headers.to_vec();
            headers.push(("content-type", content));
            let ask = Ask { headers, ..Ask::post("/api/v1/users/alice/disable", "") };
            let answer = relay.page(ask.clone().with(&root)).await;
            assert_eq!(answer.problem(403), "web.cross_origin", "{:?}", ask.headers);
        }
    }
    // A picture or a script of another page.
    for site in ["same-site", "cross-site"] {
        let ask = Ask { headers: vec![("sec-fetch-site", site)], ..Ask::get("/api/v1/audit") };
        assert_eq!(relay.page(ask.with(&root)).await.problem(403), "web.cross_origin");
    }
    // Of this host, but no JSON: as for every caller.
    let form = [("sec-fetch-site", "same-origin"), ("content-type", "text/plain")];
    let ask = Ask { headers: form.to_vec(), ..Ask::post("/api/v1/sites", "{\"name\":\"x\"}") };
    assert_eq!(relay.page(ask.with(&root)).await.problem(415), "request.media_type");
    let older = [("origin", "https://relay.test:8443"), ("content-type", "application/json")];
    let ask = Ask { headers: older.to_vec(), ..Ask::post("/api/v1/sites", "{\"name\":\"x\"}") };
    relay.page(ask.with(&root)).await.good();
    let alice = relay.get(&Who::Bearer(&relay.admin().await), "/api/v1/users/alice").await.good();
    assert_eq!(alice["enabled"], json!(true), "nobody was disabled");
}

#[tokio::test]
async fn a_request_signs_in_by_one_thing() {
    let relay = Relay::new().await;
    let (cookie, token) = (relay.signed_in("alice").await, relay.admin().await);
    let bearer = format!("Bearer {token}");
    let both = [OWN[0], ("authorization", bearer.as_str())];
    let ask = Ask { headers: both.to_vec(), ..Ask::get("/api/v1/me") };
    assert_eq!(relay.page(ask.with(&cookie)).await.problem(400), "request.invalid");
    let agent = relay.agent("alice").await;
    let shown = cookie.split(';').next().unwrap();
    let headers = [OWN[0], ("cookie", shown)];
    let answer =
        relay.call_with(&Who::Agent(&agent), Method::GET, "/api/v1/me", None, &headers).await;
    assert_eq!(answer.problem(400), "request.invalid");
    // Two of ours are none.
    let twice = format!("{shown}; {shown}");
    let answer = relay.asked(&twice, Method::GET, "/api/v1/me", None).await;
    assert_eq!(answer.problem(401), "authn.required");
}

#[tokio::test]
async fn a_browser_that_is_signed_out_asks_nothing_any_more() {
    let relay = Relay::new().await;
    let cookie = relay.signed_in("alice").await;
    let id = relay.id_of(&cookie).await;
    let path = format!("/api/v1/me/sign-ins/{id}");
    relay.asked(&cookie, Method::DELETE, &path, None).await.good();
    let after = relay.asked(&cookie, Method::GET, "/api/v1/me", None).await;
    assert_eq!(after.problem(401), "authn.required");
}

#[tokio::test]
async fn a_browser_signs_no_other_browser_in() {
    let relay = Relay::new().await;
    let cookie = relay.signed_in("alice").await;
    let answer = relay.asked(&cookie, Method::POST, "/api/v1/me/sign-in-codes", None).await;
    assert_eq!(answer.problem(403), "token.kind_not_allowed");
    let key = json!({ "key": "ssh-ed25519 AAAA" });
    let answer = relay.asked(&cookie, Method::POST, "/api/v1/me/ssh-certificates", Some(key)).await;
    assert_eq!(answer.problem(403), "ssh_certificate.no_agent");
}

#[tokio::test]
async fn a_browser_has_a_bucket_of_its_own() {
    let relay = Relay::new().await;
    let (root, bob) = (relay.signed_in("root").await, relay.signed_in("bob").await);
    let mut last = None;
    for _ in 0..400 {
        // A dear one.
        let answer = relay.asked(&root, Method::GET, "/api/v1/audit", None).await;
        if answer.status == 429 {
            last = Some(answer);
            break;
        }
    }
    assert_eq!(last.unwrap().problem(429), "request.throttled");
    relay.asked(&bob, Method::GET, "/api/v1/me", None).await.good();
}

#[tokio::test]
async fn users_see_and_end_their_own_sessions_and_no_others() {
    let relay = Relay::new().await;
    let (alice, bob) = (relay.signed_in("alice").await, relay.signed_in("bob").await);
    let session = relay.opened_by(&alice, "orders").await;
    let mine = relay.asked(&alice, Method::GET, "/api/v1/me/sessions", None).await.items();
    assert_eq!((mine.len(), &mine[0]["application"]), (1, &json!("orders")));
    assert!(relay.asked(&bob, Method::GET, "/api/v1/me/sessions", None).await.items().is_empty());
    let path = format!("/api/v1/me/sessions/{}", mine[0]["id"].as_str().unwrap());
    let foreign = relay.asked(&bob, Method::DELETE, &path, None).await;
    assert_eq!(foreign.problem(404), "session.not_found");
    let ended = relay.asked(&alice, Method::DELETE, &path, None).await.good();
    assert_eq!(ended["ended"], json!(1));
    assert_eq!(within(session).await, EndReason::Killed);
}

impl Relay {
    /// A request of the portal's, in whoever's name this cookie is.
    async fn asked(&self, cookie: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        let body = body.map(|body| body.to_string());
        let mut headers = OWN.to_vec();
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        let body = body.as_deref().unwrap_or_default();
        let ask = Ask { method: method.clone(), headers, body, ..Ask::get(path) };
        let answer = self.page(ask.with(cookie)).await;
        super::openapi::check(&method, path, &answer);
        answer
    }
}
