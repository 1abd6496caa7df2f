//! What people and programs do at two relays at the same time.

use std::net::IpAddr;

use access::SignInId;
use axum::body::Body;
use axum::http::Request;
use futures_util::future::join_all;
use serde_json::{Value, json};
use store::{AuditQuery, SignInQuery};
use tower::ServiceExt;
use tunnel::https::{Call, Method};

use super::*;
use crate::Peer;

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_used_as_often_as_it_says_however_many_try_at_both_relays_at_once() {
    let mut pair = Pair::with(([127, 0, 0, 1], 9).into()).await;
    let (uses, tries) = (5, 24);
    let token = issue(TokenKind::Access, pair.one.state.ca.pin());
    let user = pair.one.state.store.user(&"admin".parse().unwrap()).await.unwrap().unwrap();
    let application = pair.one.state.policy.current().applications().next().unwrap().id;
    let new = NewToken {
        user: Some(user.id),
        application: Some(application),
        uses: Some(uses),
        ..NewToken::default()
    };
    pair.one.state.store.issue_token(&token, new, SystemTime::now()).await.unwrap();
    pair.one.state.policy.refresh().await;
    pair.two.until_policy(&pair.one).await;
    let secret = SecretString::from(token.expose());
    let all = (0..tries).map(|number| {
        let relay = if number % 2 == 0 { &pair.one } else { &pair.two };
        // Each from somewhere else, so that nobody is told to wait.
        let from = IpAddr::from([198, 51, 100, number]);
        relay.state.authn.token(&secret, Door::Ssh, from)
    });
    let mut refused = 0;
    for answer in join_all(all).await {
        match answer {
            Ok(who) => assert_eq!(who.name().as_str(), "admin"),
            Err(error) => {
                assert_eq!(error, AuthnError::UsedUp);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, u32::from(tries) - uses);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_at_two_relays_who_change_the_same_lose_nothing_of_each_others() {
    let mut pair = Box::pin(Pair::start()).await;
    let people: Vec<String> = (0..8).map(|number| format!("person{number}")).collect();
    let users: String = people.iter().map(|name| format!("[[user]]\nname = '{name}'\n")).collect();
    pair.one.apply(&format!("{users}[[group]]\nname = 'crew'\nmembers = []\n")).await;
    let token = pair.one.token(TokenKind::Admin).await;
    pair.two.until_policy(&pair.one).await;

    // Of those who have seen the same, one changes it.
    let (_, tag) = crew(&pair.one, &token).await;
    let spec = json!({ "name": "crew", "members": [] });
    let other = json!({ "name": "crew", "members": [people[0]] });
    let both = tokio::join!(
        put_crew(&pair.one, &token, &other, &tag),
        put_crew(&pair.two, &token, &other, &tag)
    );
    let stale = [both.0, both.1].into_iter().filter(|answer| *answer == Err(412)).count();
    assert_eq!(stale, 1, "{both:?}");
    let (_, tag) = crew(&pair.two, &token).await;
    put_crew(&pair.two, &token, &spec, &tag).await.unwrap();

    // Each adds people, one by one, to what is there.
    let add = async |relay: &Running, own: &[String]| {
        for name in own {
            loop {
                let (mut spec, tag) = crew(relay, &token).await;
                spec["members"].as_array_mut().unwrap().push(json!(name));
                match put_crew(relay, &token, &spec, &tag).await {
                    Ok(()) => break,
                    Err(412) => {}
                    Err(status) => panic!("{status}"),
                }
            }
        }
    };
    let (here, there) = people.split_at(4);
    timeout(SOON, async { tokio::join!(add(&pair.one, here), add(&pair.two, there)) })
        .await
        .unwrap();
    for relay in [&pair.one, &pair.two] {
        let (spec, _) = crew(relay, &token).await;
        let mut members: Vec<_> =
            spec["members"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        members.sort_unstable();
        assert_eq!(members, people);
    }
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_one_relay_signed_in_is_good_at_the_other_and_signed_out_at_both() {
    let mut pair = Pair::with(([127, 0, 0, 1], 9).into()).await;
    let (cookie, id) = signed_in(&pair.one).await;
    pair.two.until_policy(&pair.one).await;
    let met = async {
        while who(&pair.two, &cookie).await.as_deref() != Some("admin") {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(1), met).await.expect("the other relay knows it within a second");
    // What it has open at either ends with it.
    let mut open = JoinSet::new();
    for relay in [&pair.one, &pair.two] {
        let session = opened_by(relay, &cookie).await;
        open.spawn(async move {
            let reason = session.lease().ended().await;
            session.end(reason, access::Side::Relay);
            reason
        });
    }
    let began = Instant::now();
    let ask = Request::post("/sign-out").body(Body::from("which=this")).unwrap();
    assert_eq!(asked(&pair.two, ask, &cookie).await.0, 303);
    for reason in timeout(SOON, open.join_all()).await.unwrap() {
        assert_eq!(reason, EndReason::SignedOut);
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    for relay in [&pair.one, &pair.two] {
        assert_eq!(who(relay, &cookie).await, None);
    }
    let rows = pair.one.state.store.sign_ins(SignInQuery::default()).await.unwrap();
    assert!(rows.iter().find(|row| row.id == id).unwrap().ended.is_some(), "{rows:?}");
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_relay_does_for_all_another_one_does_when_that_has_died() {
    let mut pair = Pair::with(([127, 0, 0, 1], 9).into()).await;
    pair.one.apply(&GRANTED.replace("kind =", "allow_api = true\nkind =")).await;
    pair.two.until_policy(&pair.one).await;
    assert!(pair.one.state.leads() && !pair.two.state.leads());
    let first = over_soon(&pair.one).await;
    until_ended(&pair.two, &first).await;
    // Killed: it says nothing to anybody.
    pair.one.task.abort_all();
    while pair.one.task.join_next().await.is_some() {}
    let second = over_soon(&pair.two).await;
    assert!(!pair.two.state.leads(), "that it is dead is not known yet");
    until_ended(&pair.two, &second).await;
    assert!(pair.two.state.leads());
    for token in [first, second] {
        assert_eq!(ends(&pair.two, &token).await, 1, "{token}");
    }
    pair.two.stop().await;
}

/// An API token of the admin's that another one replaces a moment later: somebody has to end it.
async fn over_soon(relay: &Running) -> String {
    let store = &relay.state.store;
    let user = store.user(&"admin".parse().unwrap()).await.unwrap().unwrap().id;
    let application = relay.state.policy.current().applications().next().unwrap().id;
    let new = NewToken {
        user: Some(user),
        application: Some(application),
        overlap: Some(SystemTime::now() + Duration::from_secs(1)),
        ..NewToken::default()
    };
    let mut issued = Vec::new();
    for _ in 0..2 {
        let token = issue(TokenKind::Api, relay.state.ca.pin());
        let row = store.issue_token(&token, new, SystemTime::now()).await.unwrap();
        issued.push(row.id.to_string());
    }
    relay.state.policy.refresh().await;
    issued.remove(0)
}

async fn until_ended(relay: &Running, token: &str) {
    let ended = async {
        while ends(relay, token).await == 0 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), ended).await.expect("nobody ended what was over");
}

/// How often the audit log says that the relay ended it.
async fn ends(relay: &Running, token: &str) -> usize {
    let query = AuditQuery { limit: 1000, ..AuditQuery::default() };
    let rows = relay.state.store.audit_events(query).await.unwrap();
    let object = format!("token {token}");
    let own = rows.iter().filter(|row| row.action == "admin.changed");
    own.filter(|row| row.event["actor"] == "the relay" && row.event["object"] == *object).count()
}

/// The group `crew`, and its tag.
async fn crew(relay: &Running, token: &SecretString) -> (Value, String) {
    let (method, path) = (Method::GET, "/api/v1/groups/crew");
    let call = Call::<()> { method, path, body: None, headers: Vec::new() };
    let answer = relay.client(None).send(&call, Some(token)).await.unwrap();
    (answer.value, answer.etag.unwrap())
}

/// The status where it was not taken.
async fn put_crew(
    relay: &Running,
    token: &SecretString,
    spec: &Value,
    tag: &str,
) -> Result<(), u16> {
    let headers = vec![(axum::http::header::IF_MATCH, tag.to_owned())];
    let (method, path) = (Method::PUT, "/api/v1/groups/crew");
    let call = Call { method, path, body: Some(spec), headers };
    match relay.client(None).send::<Value>(&call, Some(token)).await {
        Ok(_) => Ok(()),
        Err(tunnel::https::CallError::Refused(refused)) => Err(refused.status),
        Err(error) => panic!("{error}"),
    }
}

/// A browser of the admin's that a code signed in: its cookie.
async fn signed_in(relay: &Running) -> (String, SignInId) {
    let (_, _, identity) = relay.agent_with_key("admin").await;
    let client = relay.client(Some(&identity));
    let code: Value = client.post("/api/v1/me/sign-in-codes", None, &json!({})).await.unwrap();
    let form = format!("code={}", code["code"].as_str().unwrap());
    let ask = Request::post("/sign-in").body(Body::from(form)).unwrap();
    let (status, cookie, text) = asked(relay, ask, "").await;
    assert_eq!(status, 303, "{text}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let rows = relay.state.store.sign_ins(SignInQuery::default()).await.unwrap();
    (cookie, rows[0].id)
}

/// Whom a relay takes whoever shows this cookie for.
async fn who(relay: &Running, cookie: &str) -> Option<String> {
    let ask = Request::get("/api/v1/me").body(Body::empty()).unwrap();
    let (_, _, text) = asked(relay, ask, cookie).await;
    let me: Value = serde_json::from_str(&text).ok()?;
    me["user"].as_str().map(str::to_owned)
}

/// Status, `Set-Cookie` and body of what a page of the relay's own asks for.
async fn asked(relay: &Running, ask: Request<Body>, cookie: &str) -> (u16, String, String) {
    let (mut head, body) = ask.into_parts();
    for (name, value) in [
        ("host", "relay.test"),
        ("sec-fetch-site", "same-origin"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("cookie", cookie),
    ] {
        head.headers.insert(name, value.parse().unwrap());
    }
    head.extensions.insert(Peer { addr: (PEER, 50_000).into(), agent: None });
    let api = crate::api::router(relay.state.clone());
    let router = crate::portal::router(relay.state.clone(), api);
    let answer = router.oneshot(Request::from_parts(head, body)).await.unwrap();
    let status = answer.status().as_u16();
    let cookie = answer.headers().get("set-cookie");
    let cookie = cookie.map(|cookie| cookie.to_str().unwrap().to_owned()).unwrap_or_default();
    let text = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, cookie, String::from_utf8(text.to_vec()).unwrap())
}

/// A session of whoever has this cookie.
async fn opened_by(relay: &Running, cookie: &str) -> Session {
    let (_, secret) = cookie.split_once('=').unwrap();
    let who = relay.state.authn.browser(&secret.to_owned().into(), PEER.into()).unwrap();
    relay.opened(&who, "echo", Door::Web).await
}
