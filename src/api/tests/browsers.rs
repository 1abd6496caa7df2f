//! Browsers: signed in by a code, let in to applications, and out again.

use std::time::{Duration, Instant, SystemTime};

use access::{Context, EndReason, Keeps, SignInId};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use data_encoding::BASE64URL_NOPAD;
use http_body_util::BodyExt;
use secrecy::SecretString;
use serde_json::{Value, json};
use session::{Door, SignIns as _};
use store::{NewSignIn, SignInQuery};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

use super::changes::within;
use super::{Answer, Relay, Who};
use crate::Peer;

#[tokio::test]
async fn a_code_signs_a_browser_in_once_and_everything_about_it_is_closed() {
    let relay = Relay::new().await;
    let code = relay.code("alice").await;
    let page = relay.page(Ask::get("/sign-in?next=/go%3Fto%3Da")).await;
    assert!(page.text.contains("value=\"/go?to=a\""), "{}", page.text);
    let answer = relay.sign_in(&code).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/"));
    let cookie = answer.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-adit=") && cookie.len() > 60, "{cookie}");
    assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
    for answer in [&page, &answer] {
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let again = relay.sign_in(&code).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED);
    assert!(again.text.contains("token.used_up") && !again.headers.contains_key("set-cookie"));
    let wrong = relay.sign_in("<script>").await;
    assert!(wrong.text.contains("authn.failed") && !wrong.text.contains("<script>"), "{wrong:?}");

    let home = relay.page(Ask::get("/").with(&cookie)).await;
    assert!(home.status == StatusCode::OK && home.text.contains("./assets/"), "{home:?}");
    assert_eq!(relay.user_at(&cookie).await.as_deref(), Some("alice"));
    let rows = relay.actions().await;
    let opened: Vec<_> = rows.iter().filter(|(action, _)| action == "sign_in.opened").collect();
    assert_eq!(opened.len(), 1, "{rows:?}");
    assert_eq!((&opened[0].1["user"], &opened[0].1["browser"]), (&json!("alice"), &json!("Lynx")));
    assert!(!format!("{rows:?}").contains(&secret(&cookie)), "a record holds a secret");
}

#[tokio::test]
async fn a_browser_that_signs_in_anew_has_another_cookie_and_the_old_one_is_worth_nothing() {
    let relay = Relay::new().await;
    let first = relay.signed_in("alice").await;
    let code = relay.code("bob").await;
    let answer = relay.page(Ask::post("/sign-in", &format!("code={code}")).with(&first)).await;
    let second = answer.header("set-cookie").to_owned();
    assert_ne!(secret(&first), secret(&second));
    assert_eq!(relay.page(Ask::get("/").with(&first)).await.header("location"), "/sign-in");
    assert_eq!(relay.user_at(&second).await.as_deref(), Some("bob"));
    let both = format!("__Host-adit={}; __Host-adit={}", secret(&second), secret(&second));
    let twice = relay.page(Ask::get("/").with(&both)).await;
    assert_eq!(twice.header("location"), "/sign-in", "nobody knows which of two is ours");
}

#[tokio::test]
async fn a_person_who_comes_to_nothing_is_shown_a_page_and_a_way_on_and_a_program_is_told_in_json()
{
    let relay = Relay::new().await;
    let html = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let ask = |path, headers: Vec<(&'static str, &'static str)>| Ask { headers, ..Ask::get(path) };
    for path in ["/nothing", "/admin", "/apis", "/sign-in/more", "/scim", "/a/b?c=%3Cd%3E"] {
        let page = relay.page(ask(path, vec![html, ("sec-fetch-mode", "navigate")])).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "{path}");
        assert!(page.text.contains("<h1>Nothing is here</h1>"), "{path}: {}", page.text);
        assert!(page.text.contains("<a href=\"/\">Your applications</a>"), "{}", page.text);
        assert!(page.text.contains("request.not_found") && !page.text.contains("<d>"));
        let id = page.header("x-request-id");
        assert!(!id.is_empty() && page.text.contains(id), "{page:?}");
        let policy = page.header("content-security-policy");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(page.header("cache-control"), "no-store");
    }
    for (path, headers) in [
        ("/nothing", vec![]),
        ("/nothing", vec![("accept", "application/json")]),
        ("/nothing", vec![("accept", "*/*")]),
        // A script of a page.
        ("/nothing", vec![html, ("sec-fetch-mode", "cors")]),
        ("/api/v1/nothing", vec![html]),
        ("/api/nothing", vec![html]),
        ("/api", vec![html]),
    ] {
        let answer = relay.page(ask(path, headers.clone())).await;
        assert_eq!(answer.problem(404), "request.not_found", "{path} {headers:?}");
    }
    // The page is drawn at one host, so that is where it is.
    for host in ["192.0.2.1:8443", "other.test"] {
        let away = relay.page(Ask { host, ..ask("/a/b?c=d", vec![html]) }).await;
        let port = host.strip_prefix("192.0.2.1").unwrap_or_default();
        let there = format!("https://relay.test{port}/a/b?c=d");
        assert_eq!((away.status, away.header("location")), (StatusCode::FOUND, there.as_str()));
        let program = relay.page(Ask { host, ..Ask::get("/a/b?c=d") }).await;
        assert_eq!(program.problem(404), "request.not_found");
    }
    // What is there and says no is no path that is not.
    let known = relay.page(ask("/scim/v2/Users", vec![html])).await;
    assert!(!known.text.contains("<h1>"), "{known:?}");
}

#[tokio::test]
async fn no_other_page_acts_here_whatever_cookies_the_browser_sends() {
    let relay = Relay::new().await;
    let cookie = relay.signed_in("alice").await;
    let forms = [
        ("/sign-in", "code=x"),
        ("/sign-out", "which=all"),
        ("/ask", "application=wiki&reason=x&for=1h"),
    ];
    let foreign: [&[(&str, &str)]; 6] = [
        &[],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site"), ("origin", "https://relay.test")],
        &[("origin", "https://evil-hq.relay.test")],
        &[("origin", "null")],
        &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate")],
    ];
    for (path, body) in forms {
        for headers in foreign {
            let ask = Ask { headers: headers.to_vec(), ..Ask::post(path, body).with(&cookie) };
            let answer = relay.page(ask).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {headers:?}");
            assert!(answer.text.contains("web.cross_origin"), "{answer:?}");
        }
    }
    assert_eq!(relay.user_at(&cookie).await.as_deref(), Some("alice"), "still there");
    let elsewhere = Ask { host: "other.relay.test:8443", ..Ask::get("/sign-in?a=b") };
    let answer = relay.page(elsewhere).await;
    assert_eq!(answer.header("location"), "https://relay.test:8443/sign-in?a=b");
}

#[tokio::test]
async fn whoever_is_signed_in_is_handed_over_to_an_application_and_nowhere_else() {
    let relay = Relay::with_wiki().await;
    let cookie = relay.signed_in("alice").await;
    let (nonce, link) = link("wiki-hq.relay.test", "/x?y=z");
    let stranger = relay.page(Ask::get(&link)).await;
    assert!(stranger.header("location").starts_with("/sign-in?next=/go%3Fto%3D"), "{stranger:?}");

    let answer = relay.page(Ask::get(&link).with(&cookie)).await;
    let to = answer.header("location");
    let code = to.strip_prefix("https://wiki-hq.relay.test:8443/.adit/enter?code=").unwrap();
    let wiki = relay.application("wiki");
    let code: SecretString = code.to_owned().into();
    let entered = relay.state.authn.enter(&code, wiki, &nonce).unwrap();
    assert_eq!(entered.path, "/x?y=z");
    assert!(relay.state.authn.enter(&code, wiki, &nonce).is_none(), "a code is taken once");
    let from = "192.0.2.7".parse().unwrap();
    let who = relay.state.authn.visitor(&entered.cookie, wiki, from).unwrap();
    assert_eq!(who.name().as_str(), "alice");
    let other = relay.application("orders");
    assert!(relay.state.authn.visitor(&entered.cookie, other, from).is_none());

    let (nonce, link) = self::link("Wiki.Example:8443", "/a");
    let answer = relay.page(Ask::get(&link).with(&cookie)).await;
    let code =
        answer.header("location").strip_prefix("https://wiki.example:8443/.adit/enter?code=");
    let code = code.unwrap().to_owned().into();
    assert!(relay.state.authn.enter(&code, wiki, &nonce).is_some(), "at a host name of its own");

    let hostile = [
        "evil.example",
        "wiki-hq.relay.test.evil.example",
        "relay.test",
        "evil.example/wiki-hq",
        "wiki-hq.relay.test@evil.example",
        "//evil.example",
        "",
        "wiki-hq",
        "a.wiki-hq.relay.test",
        "wiki-hq.relay.test\r\nx",
        "evil.example#.relay.test",
        "orders-hq.relay.test",
        "nothing-hq.relay.test",
    ];
    for to in hostile {
        let (_, link) = self::link(to, "/");
        let answer = relay.page(Ask::get(&link).with(&cookie)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{to}");
        assert!(!answer.headers.contains_key("location") && answer.text.contains("access.denied"));
    }
    for path in ["//evil.example", "https://evil.example", "/\\evil.example", "x", "\r\na: b"] {
        let (nonce, link) = self::link("wiki-hq.relay.test", path);
        let answer = relay.page(Ask::get(&link).with(&cookie)).await;
        let code = answer.header("location").rsplit_once('=').unwrap().1.to_owned().into();
        let entered = relay.state.authn.enter(&code, wiki, &nonce).unwrap();
        assert!(entered.path.starts_with('/'), "{path}: {}", entered.path);
    }
}

#[tokio::test]
async fn whoever_may_not_is_told_why_and_can_ask_where_that_is_allowed() {
    let relay = Relay::with_wiki().await;
    let cookie = relay.signed_in("bob").await;
    let (_, to_wiki) = link("wiki-hq.relay.test", "/");
    let denied = relay.page(Ask::get(&to_wiki).with(&cookie)).await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    let id = denied.header("x-request-id").to_owned();
    assert!(denied.text.contains("access.denied") && denied.text.contains(&id), "{denied:?}");
    assert!(denied.text.contains("action=\"/ask\"") && denied.text.contains("wiki.hq"));
    let absent = relay.page(Ask::get(&link("no-hq.relay.test", "/").1).with(&cookie)).await;
    let vault = relay.page(Ask::get(&link("vault-hq.relay.test", "/").1).with(&cookie)).await;
    let plain = |answer: &Answer| answer.text.replace(answer.header("x-request-id"), "ID");
    assert_eq!(plain(&absent), plain(&vault), "absent and forbidden look alike");
    assert!(!absent.text.contains("/ask"));

    let form = "application=wiki.hq&reason=on+call+%3Cb%3E&for=8h";
    let asked = relay.page(Ask::post("/ask", form).with(&cookie)).await;
    assert!(asked.text.contains("You have asked for access"), "{asked:?}");
    let admin = relay.admin().await;
    let requests = relay.get(&Who::Bearer(&admin), "/api/v1/requests").await.items();
    assert_eq!(
        (&requests[0]["user"], &requests[0]["reason"]),
        (&json!("bob"), &json!("on call <b>"))
    );
    let again = relay.page(Ask::post("/ask", form).with(&cookie)).await;
    assert!(again.text.contains("access_request.exists"), "{again:?}");
}

#[tokio::test]
async fn who_has_asked_is_told_since_when_that_waits_and_what_comes_next_and_not_asked_again() {
    let relay = Relay::with_wiki().await;
    let admin = relay.admin().await;
    let (bob, carol) = (relay.signed_in("bob").await, relay.other("carol").await);
    let (_, to_wiki) = link("wiki-hq.relay.test", "/");
    let form = "application=wiki.hq&reason=on+call+%3Cb%3E&for=8h";
    relay.page(Ask::post("/ask", form).with(&bob)).await;
    let row = relay.get(&Who::Bearer(&admin), "/api/v1/requests").await.items().remove(0);
    let created = row["created"].as_u64().unwrap();
    let minute = format!("{:02}:{:02} UTC", created / 3600 % 24, created / 60 % 60);
    for path in [to_wiki.as_str(), "/ask?to=wiki-hq.relay.test"] {
        let page = relay.page(Ask::get(path).with(&bob)).await;
        assert!(!page.text.contains("<form method=\"post\""), "{}", page.text);
        for part in ["You have asked for access to wiki.hq", "For 8h", &minute, "on call &lt;b&gt;"]
        {
            assert!(page.text.contains(part), "{part}: {}", page.text);
        }
        assert!(page.text.contains("/#/requests"), "{}", page.text);
        assert!(!page.text.contains("sk your administrator"), "{}", page.text);
        // Of somebody else's request nothing is said.
        let page = relay.page(Ask::get(path).with(&carol)).await;
        assert!(page.text.contains("action=\"/ask\""), "{}", page.text);
        assert!(!page.text.contains("on call"), "{}", page.text);
    }
    // Decided, it waits no more.
    let deny = format!("/api/v1/requests/{}/deny", row["id"].as_str().unwrap());
    relay.post(&Who::Bearer(&admin), &deny, json!({ "comment": "no" })).await.good();
    let page = relay.page(Ask::get(&to_wiki).with(&bob)).await;
    assert!(page.text.contains("action=\"/ask\""), "{}", page.text);
}

#[tokio::test]
async fn whatever_ends_a_sign_in_ends_what_stands_on_it_within_a_second_and_leaves_a_receipt() {
    for (what, reason) in [
        ("sign out", "signed_out"),
        ("sign out everywhere", "signed_out"),
        ("end one's own", "signed_out"),
        ("an admin", "ended"),
        ("disable", "disabled"),
        ("away too long", "idle"),
    ] {
        let relay = Relay::with_wiki().await;
        let stop = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "the test ends it and waits for it")]
        let follow = tokio::spawn(crate::browsers::follow(relay.state.clone(), stop.clone()));
        let (cookie, stays) = (relay.signed_in("alice").await, relay.signed_in("bob").await);
        let idle = (what == "away too long").then(|| Duration::from_secs(2));
        let cookie = match idle {
            Some(idle) => relay.away_after("alice", idle).await,
            None => cookie,
        };
        let id = relay.id_of(&cookie).await;
        let session = relay.opened_by(&cookie, "orders").await;
        let started = Instant::now();
        relay.end(what, &cookie, id).await;
        let ended = within(session).await;
        let expected = if what == "disable" { EndReason::Revoked } else { EndReason::SignedOut };
        assert_eq!(ended, expected, "{what}");
        let took = started.elapsed().saturating_sub(idle.unwrap_or_default());
        assert!(took < Duration::from_secs(2), "{what}: {took:?}");
        let event = relay.sign_in_ended(id).await;
        assert_eq!((&event["reason"], &event["user"]), (&json!(reason), &json!("alice")), "{what}");
        let receipts = relay
            .actions()
            .await
            .into_iter()
            .filter(|(action, event)| action == "access.withdrawn" && event["ended"] == 1);
        assert_eq!(receipts.count(), 1, "{what}");
        let left = relay.page(Ask::get("/").with(&cookie)).await;
        assert_eq!(left.header("location"), "/sign-in", "{what}");
        assert_eq!(relay.user_at(&stays).await.as_deref(), Some("bob"), "{what}");
        stop.cancel();
        follow.await.unwrap();
    }
}

#[tokio::test]
async fn a_sign_in_counts_where_access_needs_one() {
    let relay = Relay::with_wiki().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let document = json!({ "grant": [{ "user": "alice", "application": "orders.hq",
        "require_active_session": true }] });
    relay.post(&root, "/api/v1/apply", json!({ "document": document })).await.good();
    let cookie = relay.signed_in("alice").await;
    let session = relay.opened_by(&cookie, "orders").await;
    let token = relay
        .post(
            &root,
            "/api/v1/tokens",
            json!({ "user": "alice", "application": "orders", "kind": "api" }),
        )
        .await
        .good();
    let (_, by_token) =
        super::changes::open(&relay, token["token"].as_str().unwrap(), "orders").await;
    relay.page(Ask::post("/sign-out", "which=this").with(&cookie)).await;
    assert_eq!(within(session).await, EndReason::SignedOut);
    assert_eq!(within(by_token).await, EndReason::SignedOut);
}

#[tokio::test]
async fn users_see_and_end_their_own_and_admins_all() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let (alice, bob) = (relay.signed_in("alice").await, relay.signed_in("bob").await);
    let (hers, his) = (relay.id_of(&alice).await, relay.id_of(&bob).await);
    let agent = relay.agent("alice").await;
    let me = Who::Agent(&agent);
    let mine = relay.get(&me, "/api/v1/me/sign-ins").await.items();
    assert_eq!((mine.len(), &mine[0]["id"]), (1, &json!(hers)));
    assert_eq!((&mine[0]["browser"], &mine[0]["idle"]), (&json!("Lynx"), &json!(3600)));
    let foreign = relay.delete(&me, &format!("/api/v1/me/sign-ins/{his}")).await;
    assert_eq!(foreign.problem(404), "sign_in.not_found");
    assert_eq!(relay.get(&root, "/api/v1/sign-ins").await.items().len(), 2);
    let of_bob = relay.get(&root, "/api/v1/sign-ins?user=bob").await.items();
    assert_eq!((of_bob.len(), &of_bob[0]["user"]), (1, &json!("bob")));
    relay.delete(&me, &format!("/api/v1/me/sign-ins/{hers}")).await.good();
    assert!(relay.get(&me, "/api/v1/me/sign-ins").await.items().is_empty());
    let all = relay.get(&me, "/api/v1/me/sign-ins?all=true").await.items();
    assert_eq!((all.len(), &all[0]["why"]), (1, &json!("signed_out")));
    relay.delete(&root, &format!("/api/v1/sign-ins/{his}")).await.good();
    let twice = relay.delete(&root, &format!("/api/v1/sign-ins/{his}")).await;
    assert_eq!(twice.problem(404), "sign_in.not_found");
}

#[tokio::test]
async fn codes_are_for_people_and_open_nothing_else() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let robot = json!({ "name": "robot", "machine": true });
    relay.post(&root, "/api/v1/users", robot).await.good();
    let asked = json!({ "user": "robot", "kind": "sign-in" });
    assert_eq!(relay.post(&root, "/api/v1/tokens", asked).await.problem(422), "user.machine");
    let twice = json!({ "user": "alice", "kind": "sign-in", "uses": 2 });
    assert_eq!(relay.post(&root, "/api/v1/tokens", twice).await.problem(400), "request.invalid");
    let code = relay.code("alice").await;
    let shown = relay.get(&Who::Bearer(&code), "/api/v1/me").await;
    assert_eq!(shown.problem(401), "token.wrong_kind");
    assert_eq!(relay.sign_in(&code).await.status, StatusCode::SEE_OTHER);
    let login = relay.token("alice", access::TokenKind::Login).await;
    assert!(relay.sign_in(&login).await.text.contains("token.wrong_kind"));
    let link = relay.post(&root, "/api/v1/tokens", json!({ "user": "bob", "kind": "sign-in" }));
    let link = link.await.good();
    assert_eq!(link["command"], "https://relay.test/sign-in#CODE");
    let scoped = json!({ "user": "root", "kind": "admin", "scopes": ["tokens"] });
    let scoped = relay.post(&root, "/api/v1/tokens", scoped).await.good();
    let scoped = Who::Bearer(scoped["token"].as_str().unwrap());
    let refused = relay.call(&scoped, Method::POST, "/api/v1/me/sign-in-codes", None).await;
    assert_eq!(refused.problem(403), "token.kind_not_allowed");
}

#[tokio::test]
async fn guesses_are_slowed_down_and_tell_nothing() {
    let relay = Relay::new().await;
    let mut last = None;
    for _ in 0..30 {
        let guess = crate::tokens::issue(access::TokenKind::SignIn, relay.state.ca.pin());
        last = Some(relay.sign_in(guess.expose()).await);
    }
    let last = last.unwrap();
    assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(last.text.contains("authn.throttled"), "{last:?}");
}

#[tokio::test]
async fn browsers_stay_signed_in_over_a_start_of_the_relay() {
    let relay = Relay::with_wiki().await;
    let cookie: SecretString = secret(&relay.signed_in("alice").await).into();
    let (store, policy) = (&relay.state.store, &relay.state.policy);
    let load = async || {
        let authn = crate::authn::Authn::new(store.clone(), policy.subscribe(), store.audit());
        authn.knowing(crate::authn::Browsers::load(store).await.unwrap())
    };
    let (first, second) = (load().await, load().await);
    let (from, wiki) = ("192.0.2.7".parse().unwrap(), relay.application("wiki"));
    let who = first.browser(&cookie, from).unwrap();
    let access::Credential::SignIn { id } = who.credential() else { panic!("{who:?}") };
    let visitor = first.browsers().visitor_cookie(*id, wiki);
    assert_eq!(second.visitor(&visitor, wiki, from).unwrap().name().as_str(), "alice");
}

/// A request of a browser for a page.
#[derive(Clone)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) body: &'a str,
    pub(super) cookie: Option<&'a str>,
    pub(super) headers: Vec<(&'a str, &'a str)>,
}

impl<'a> Ask<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        let (method, host) = (Method::GET, "relay.test:8443");
        Self { method, host, path, body: "", cookie: None, headers: Vec::new() }
    }

    /// By a form of the relay's own.
    pub(super) fn post(path: &'a str, body: &'a str) -> Self {
        let headers = vec![("sec-fetch-site", "same-origin")];
        Self { method: Method::POST, body, headers, ..Self::get(path) }
    }

    pub(super) fn with(self, cookie: &'a str) -> Self {
        Self { cookie: Some(cookie), ..self }
    }
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

impl Relay {
    /// With a web application that alice may open and people may ask for.
    pub(super) async fn with_wiki() -> Self {
        let relay = Self::new().await;
        let admin = relay.admin().await;
        let document = json!({
            "application": [{ "name": "wiki", "site": "hq", "kind": "web",
                "address": "wiki.corp:80", "requestable": true,
                "web": { "host_names": ["wiki.example"] } }],
            "grant": [{ "user": "alice", "application": "wiki.hq" }],
        });
        let body = json!({ "document": document });
        relay.post(&Who::Bearer(&admin), "/api/v1/apply", body).await.good();
        relay
    }

    pub(super) async fn page(&self, ask: Ask<'_>) -> Answer {
        let (parts, body) = self.sent(ask).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    async fn sent(&self, ask: Ask<'_>) -> axum::response::Response {
        let mut request = Request::builder().method(ask.method).uri(ask.path);
        request = request.header("host", ask.host).header("user-agent", "Lynx");
        if let Some(cookie) = ask.cookie {
            request = request.header("cookie", cookie.split("; Path").next().unwrap());
        }
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        let addr = std::net::SocketAddr::from(([192, 0, 2, 7], 50_000));
        let request = request.extension(Peer { addr, agent: None });
        let request = request.body(Body::from(ask.body.to_owned())).unwrap();
        let api = crate::api::router(self.state.clone());
        let router = crate::portal::router(self.state.clone(), api);
        router.oneshot(request).await.unwrap()
    }

    /// The head of an answer whose body is no text.
    pub(super) async fn head(&self, ask: Ask<'_>) -> axum::http::HeaderMap {
        self.sent(ask).await.headers().clone()
    }

    /// A code that `adit sign-in` would print.
    async fn code(&self, user: &str) -> String {
        let agent = self.agent(user).await;
        let path = "/api/v1/me/sign-in-codes";
        let code = self.call(&Who::Agent(&agent), Method::POST, path, None).await.good();
        assert_eq!(code["url"], "https://relay.test/sign-in");
        // What `require_active_session` asks for is then the browser alone.
        self.state.store.revoke_agent(agent.id).await.unwrap();
        self.state.policy.refresh().await;
        code["code"].as_str().unwrap().to_owned()
    }

    async fn sign_in(&self, code: &str) -> Answer {
        self.page(Ask::post("/sign-in", &format!("code={}", encoded(code)))).await
    }

    /// The cookie of a browser of a user who is new.
    async fn other(&self, user: &str) -> String {
        let admin = self.admin().await;
        let body = json!({ "name": user });
        self.post(&Who::Bearer(&admin), "/api/v1/users", body).await.good();
        self.signed_in(user).await
    }

    /// The cookie of a browser of this user.
    pub(super) async fn signed_in(&self, user: &str) -> String {
        let code = self.code(user).await;
        let answer = self.sign_in(&code).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
        answer.header("set-cookie").to_owned()
    }

    /// The cookie of a browser that may be away for so long.
    async fn away_after(&self, user: &str, idle: Duration) -> String {
        let text = format!("secret of {idle:?}");
        let new = NewSignIn {
            id: SignInId(Uuid::new_v4()),
            user: self.state.store.user(&user.parse().unwrap()).await.unwrap().unwrap().id,
            digest: access::sha256(text.as_bytes()),
            from: "192.0.2.7".parse().unwrap(),
            browser: "Lynx".to_owned(),
            provider: None,
            idle,
            expires: SystemTime::now() + Duration::from_secs(3600),
        };
        self.state.store.sign_in(new.clone(), SystemTime::now()).await.unwrap();
        self.state.policy.refresh().await;
        self.state.authn.browsers().opened(&new, SystemTime::now());
        format!("__Host-adit={text}")
    }

    /// Whom the API takes whoever shows this cookie for.
    pub(super) async fn user_at(&self, cookie: &str) -> Option<String> {
        let ask =
            Ask { headers: vec![("sec-fetch-site", "same-origin")], ..Ask::get("/api/v1/me") };
        let me: Value = serde_json::from_str(&self.page(ask.with(cookie)).await.text).ok()?;
        me["user"].as_str().map(str::to_owned)
    }

    pub(super) async fn id_of(&self, cookie: &str) -> SignInId {
        let digest = access::sha256(secret(cookie).as_bytes());
        let rows = self.state.store.sign_ins(SignInQuery::default()).await.unwrap();
        rows.iter().find(|row| row.digest == digest).unwrap().id
    }

    fn application(&self, name: &str) -> access::ApplicationId {
        let policy = self.state.policy.current();
        policy.labelled(&format!("{name}-hq")).unwrap().id
    }

    /// A session of whoever has this cookie, and how it ends.
    pub(super) async fn opened_by(&self, cookie: &str, application: &str) -> JoinHandle<EndReason> {
        let (from, now) = ("192.0.2.7".parse().unwrap(), SystemTime::now());
        let who = self.state.authn.browser(&secret(cookie).into(), from).unwrap();
        let policy = self.state.policy.current();
        let application = policy.find(application, &who).unwrap();
        let context = Context { from, login: None, database: None, keeps: Keeps::NOTHING };
        let grant = policy.authorize(&who, application, context, now).unwrap();
        let session = self.state.broker.open(grant, Door::Web, now).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
        tokio::spawn(async move {
            let reason = session.lease().ended().await;
            session.end(reason, access::Side::Relay);
            reason
        })
    }

    async fn end(&self, what: &str, cookie: &str, id: SignInId) {
        let admin = self.admin().await;
        let root = Who::Bearer(&admin);
        match what {
            "sign out" => drop(self.page(Ask::post("/sign-out", "which=this").with(cookie)).await),
            "sign out everywhere" => {
                let out = self.page(Ask::post("/sign-out", "which=all").with(cookie)).await;
                assert!(out.header("set-cookie").contains("Max-Age=0"), "{out:?}");
            }
            "end one's own" => {
                let agent = self.agent("alice").await;
                let path = format!("/api/v1/me/sign-ins/{id}");
                assert_eq!(self.delete(&Who::Agent(&agent), &path).await.good()["ended"], 1);
            }
            "an admin" => {
                let path = format!("/api/v1/sign-ins/{id}");
                assert_eq!(self.delete(&root, &path).await.good()["ended"], 1);
            }
            "disable" => {
                let path = "/api/v1/users/alice/disable";
                self.call(&root, Method::POST, path, None).await.good();
            }
            "away too long" => {}
            other => panic!("{other}"),
        }
    }

    pub(super) async fn sign_in_ended(&self, id: SignInId) -> Value {
        for _ in 0..300 {
            let rows = self.actions().await.into_iter();
            let mut ended = rows.filter(|(action, _)| action == "sign_in.ended");
            if let Some((_, event)) = ended.find(|(_, event)| event["sign_in"] == json!(id)) {
                return event;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{:?}", self.actions().await);
    }
}

/// A nonce, and the link that an application's host leads its browser to.
fn link(to: &str, path: &str) -> (SecretString, String) {
    let nonce = BASE64URL_NOPAD.encode(&[7; 32]);
    let state = BASE64URL_NOPAD.encode(&access::sha256(nonce.as_bytes()));
    (nonce.into(), format!("/go?to={}&state={state}&path={}", encoded(to), encoded(path)))
}

fn secret(cookie: &str) -> String {
    let pair = cookie.split(';').next().unwrap();
    pair.split_once('=').unwrap().1.to_owned()
}

pub(super) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
