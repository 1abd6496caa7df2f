//! Passwords: given by admins, chosen by their owners, and how they sign a browser in.

use std::time::{Duration, SystemTime};

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use store::{EndOthers, NewPassword};

use super::browsers::Ask;
use super::{Answer, Relay, Who};

const OWN: &str = "a text of my own";

#[tokio::test]
async fn a_one_time_password_signs_in_only_whoever_chooses_another() {
    let relay = Relay::new().await;
    let given = relay.reset("alice").await;
    let step = relay.by_password("Alice ", &given, "/go?to=a").await;
    assert_eq!((step.status.as_u16(), step.header("location")), (303, "/sign-in/step"));
    let begun = step.header("set-cookie").to_owned();
    assert!(begun.starts_with("__Host-adit-step=") && begun.contains("; HttpOnly"), "{begun}");
    assert!(!step.text.contains("__Host-adit=") && !relay.signed_in_as(&begun).await);
    let page = relay.page(Ask::get("/sign-in/step").with(&begun)).await;
    assert!(page.text.contains("autocomplete=\"new-password\""), "{page:?}");

    for (new, again, told) in [
        ("short", "short", "12 to 128"),
        (OWN, "another of my own", "not the same"),
        (given.as_str(), given.as_str(), "one-time password"),
    ] {
        let answer = relay.choose(&begun, new, again).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{new}");
        assert!(answer.text.contains(told), "{new}: {answer:?}");
    }
    let done = relay.choose(&begun, OWN, OWN).await;
    assert_eq!(done.header("location"), "/signed-in?next=/go%3Fto%3Da");
    let cookies: Vec<_> =
        done.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(cookies[0].starts_with("__Host-adit=") && cookies[1].contains("Max-Age=0"));
    assert!(relay.signed_in_as(cookies[0]).await);
    let late = relay.choose(&begun, OWN, OWN).await;
    assert!(late.text.contains("sign_in.not_completed"), "{late:?}");

    let old = relay.by_password("alice", &given, "").await;
    assert!(old.text.contains("authn.password"), "{old:?}");
    let again = relay.by_password("alice", OWN, "https://evil.example/").await;
    assert_eq!(again.header("location"), "/", "no open redirect");
    let rows = relay.actions().await;
    let opened: Vec<_> = rows.iter().filter(|(action, _)| action == "sign_in.opened").collect();
    assert!(opened.iter().all(|(_, event)| event["how"] == "password") && opened.len() == 2);
    let told = format!("{rows:?}");
    assert!(!told.contains(&given) && !told.contains(OWN), "a record holds a password");
}

/// A page without the question that it asks of passkeys, which is another one each time.
fn without_passkey(page: &str) -> String {
    let (before, rest) = page.split_once(ASKED).unwrap();
    format!("{before}{}", rest.split_once('"').unwrap().1)
}

const ASKED: &str = "data-passkey=\"";

#[tokio::test]
async fn whoever_guesses_learns_nothing_of_who_there_is_and_waits_ever_longer() {
    let relay = Relay::new().await;
    relay.has_password("alice", OWN).await;
    let admin = relay.admin().await;
    let robot = json!({ "name": "robot", "machine": true });
    relay.post(&Who::Bearer(&admin), "/api/v1/users", robot).await.good();
    let mut answers = Vec::new();
    // With a password, without one, a machine, nobody, and what is no name at all.
    for name in ["alice", "bob", "robot", "nobody", "<b>"] {
        let answer = relay.by_password(name, "not the password", "").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}");
        answers.push(without_passkey(&answer.text));
    }
    assert!(answers.iter().all(|text| *text == answers[0]), "{answers:?}");
    let failed: Vec<Value> = relay.failures(5).await;
    assert_eq!((failed.len(), &failed[0]["user"]), (5, &json!("alice")));
    assert_eq!(failed[3].get("user"), None, "a name that nobody has may be a password");
    assert!(!format!("{failed:?}").contains("nobody\""), "{failed:?}");

    let mut last = None;
    for _ in 0..8 {
        last = Some(relay.by_password("alice", "not the password", "").await);
    }
    let last = last.unwrap();
    assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS);
    let right = relay.by_password("alice", OWN, "").await;
    assert!(right.text.contains("authn.throttled"), "while it is blocked, the right one too");
}

#[tokio::test]
async fn guesses_lock_nobody_out_where_they_were_signed_in_before() {
    let relay = Relay::new().await;
    relay.has_password("alice", OWN).await;
    let known = relay.by_password("alice", OWN, "").await;
    assert_eq!(known.status, StatusCode::SEE_OTHER);
    let stranger = "203.0.113.9".parse().unwrap();
    for _ in 0..9 {
        let guess = "not the password".to_owned().into();
        assert!(relay.state.authn.by_password("alice", guess, stranger).await.is_err());
    }
    let here = relay.by_password("alice", OWN, "").await;
    assert_eq!(here.status, StatusCode::SEE_OTHER, "{here:?}");
}

#[tokio::test]
async fn a_changed_or_reset_password_signs_the_other_browsers_out() {
    let relay = Relay::new().await;
    relay.has_password("alice", OWN).await;
    let (here, there) = (relay.signed_in("alice").await, relay.signed_in("alice").await);
    let bob = relay.signed_in("bob").await;
    let body = json!({ "current": OWN, "new": "another of my own" });
    let changed = relay.change(&here, &body).await.good();
    assert_eq!(changed["count"], 1);
    assert!(relay.signed_in_as(&here).await && !relay.signed_in_as(&there).await);
    let wrong = relay.change(&here, &body).await;
    assert_eq!(wrong.problem(422), "password.current");
    let short = json!({ "current": "another of my own", "new": "short" });
    assert_eq!(relay.change(&here, &short).await.problem(422), "password.length");

    let given = relay.reset("alice").await;
    assert!(!relay.signed_in_as(&here).await, "an admin's reset ends all");
    assert!(relay.signed_in_as(&bob).await);
    assert_eq!(given.len(), 23);
    for cookie in [&here, &there] {
        let ended = relay.sign_in_ended(relay.id_of(cookie).await).await;
        assert_eq!(ended["reason"], "password_changed");
    }
}

#[tokio::test]
async fn no_browser_gives_its_user_their_first_password_and_no_scoped_token_any() {
    let relay = Relay::new().await;
    let here = relay.signed_in("alice").await;
    let new = json!({ "new": OWN });
    assert_eq!(relay.change(&here, &new).await.problem(403), "password.first");
    let agent = relay.agent("alice").await;
    let me = Who::Agent(&agent);
    relay.call(&me, Method::PUT, "/api/v1/me/password", Some(new.clone())).await.good();
    let again = relay.call(&me, Method::PUT, "/api/v1/me/password", Some(new.clone())).await;
    assert_eq!(again.problem(422), "password.current", "an agent shows the one before too");

    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let scoped = json!({ "user": "root", "kind": "admin", "scopes": ["configuration"] });
    let scoped = relay.post(&root, "/api/v1/tokens", scoped).await.good();
    let scoped = Who::Bearer(scoped["token"].as_str().unwrap());
    let own = relay.call(&scoped, Method::PUT, "/api/v1/me/password", Some(new)).await;
    assert_eq!(own.problem(403), "token.scope");
    let path = "/api/v1/users/alice/password";
    let reset = relay.call(&scoped, Method::POST, path, None).await;
    assert_eq!(reset.problem(403), "token.scope");
    relay.delete(&root, path).await.good();
    assert_eq!(relay.delete(&root, path).await.problem(404), "password.not_found");
    let methods = relay.get(&root, "/api/v1/users/alice/sign-in-methods").await.good();
    assert_eq!(methods, json!({}));
    let robot = json!({ "name": "robot", "machine": true });
    relay.post(&root, "/api/v1/users", robot).await.good();
    let robot = relay.call(&root, Method::POST, "/api/v1/users/robot/password", None).await;
    assert_eq!(robot.problem(422), "user.machine");
}

#[tokio::test]
async fn a_password_signs_nobody_in_who_is_disabled_or_came_too_late() {
    let relay = Relay::new().await;
    relay.has_password("alice", OWN).await;
    let admin = relay.admin().await;
    let path = "/api/v1/users/alice/disable";
    relay.call(&Who::Bearer(&admin), Method::POST, path, None).await.good();
    let disabled = relay.by_password("alice", OWN, "").await;
    assert!(disabled.text.contains("access.user_disabled"), "{disabled:?}");
    let given = relay.reset("bob").await;
    let bob = relay.state.store.user(&"bob".parse().unwrap()).await.unwrap().unwrap().id;
    let hash = relay.state.store.password(bob).await.unwrap().unwrap().hash;
    let expires = Some(SystemTime::now() - Duration::from_secs(1));
    let late = NewPassword { user: bob, hash, must_change: true, expires };
    let none = EndOthers { but: None, why: "test" };
    relay.state.store.put_password(late, none, SystemTime::now()).await.unwrap();
    let late = relay.by_password("bob", &given, "").await;
    assert!(late.text.contains("password.expired"), "{late:?}");
}

#[tokio::test]
async fn no_other_page_signs_in_with_a_password() {
    let relay = Relay::new().await;
    let form = "user=alice&password=x&next=";
    for path in ["/sign-in/password", "/sign-in/step"] {
        let foreign = vec![("sec-fetch-site", "same-site")];
        let answer = relay.page(Ask { headers: foreign, ..Ask::post(path, form) }).await;
        assert!(answer.text.contains("web.cross_origin"), "{path}: {answer:?}");
    }
}

impl Relay {
    /// The one-time password that an admin gives.
    pub(super) async fn reset(&self, user: &str) -> String {
        let admin = self.admin().await;
        let path = format!("/api/v1/users/{user}/password");
        let made = self.call(&Who::Bearer(&admin), Method::POST, &path, None).await.good();
        assert_eq!(made["url"], "https://relay.test/sign-in");
        made["password"].as_str().unwrap().to_owned()
    }

    pub(super) async fn has_password(&self, user: &str, password: &str) {
        let agent = self.agent(user).await;
        let body = Some(json!({ "new": password }));
        self.call(&Who::Agent(&agent), Method::PUT, "/api/v1/me/password", body).await.good();
        self.state.store.revoke_agent(agent.id).await.unwrap();
        self.state.policy.refresh().await;
    }

    pub(super) async fn by_password(&self, user: &str, password: &str, next: &str) -> Answer {
        let encoded = super::browsers::encoded;
        let form =
            format!("user={}&password={}&next={}", encoded(user), encoded(password), encoded(next));
        self.page(Ask::post("/sign-in/password", &form)).await
    }

    async fn choose(&self, begun: &str, new: &str, again: &str) -> Answer {
        let encoded = super::browsers::encoded;
        let form = format!("new={}&again={}", encoded(new), encoded(again));
        self.page(Ask::post("/sign-in/step", &form).with(begun)).await
    }

    /// `PUT /me/password` by the portal.
    async fn change(&self, cookie: &str, body: &Value) -> Answer {
        let text = body.to_string();
        let headers = vec![("sec-fetch-site", "same-origin"), ("content-type", "application/json")];
        let ask = Ask { method: Method::PUT, headers, ..Ask::post("/api/v1/me/password", &text) };
        self.page(ask.with(cookie)).await
    }

    pub(super) async fn signed_in_as(&self, cookie: &str) -> bool {
        self.user_at(cookie).await.is_some()
    }

    /// The sign-ins that failed, once there are so many: they are recorded a little later.
    pub(super) async fn failures(&self, count: usize) -> Vec<Value> {
        for _ in 0..300 {
            let rows = self.actions().await.into_iter();
            let failed = rows.filter(|(action, _)| action == "authn.failed");
            let failed: Vec<Value> = failed.map(|(_, event)| event).collect();
            if failed.len() >= count {
                return failed;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", self.actions().await);
    }
}
