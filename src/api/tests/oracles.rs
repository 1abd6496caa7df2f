//! What an answer does not tell, by its bytes or by its time.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use access::{Explain, TokenKind, TokenText};
use axum::http::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use session::{Authn, AuthnError, Door};
use store::NewToken;
use tokio::time::Instant;

use super::{Answer, Relay, Who};

#[tokio::test]
async fn a_token_that_is_not_the_genuine_one_gets_one_answer_whatever_it_resembles() {
    let relay = Relay::new().await;
    let texts = lookalikes(&relay, TokenKind::Admin).await;
    let expected = bytes(&relay.get(&Who::Bearer(&texts[0].1), "/api/v1/me").await);
    assert!(expected.contains("authn.failed"), "{expected}");
    for (what, text) in &texts {
        let answer = relay.get(&Who::Bearer(text), "/api/v1/me").await;
        assert_eq!(bytes(&answer), expected, "{what}");
        let request = json!({ "csr_pem": "x", "device": "laptop" });
        relay.call(&Who::Bearer(text), Method::POST, "/api/v1/agents/login", Some(request)).await;
    }
    for (what, text) in lookalikes(&relay, TokenKind::Access).await {
        let words = at_ssh(&relay, &text, [198, 51, 100, 7].into()).await;
        assert_eq!(words, told(AuthnError::Unknown), "{what}");
    }
}

#[tokio::test]
async fn only_who_holds_a_genuine_token_is_told_that_it_is_of_the_wrong_kind() {
    let relay = Relay::new().await;
    let from = [198, 51, 100, 7].into();
    let expected = told(AuthnError::Unknown);
    for (what, text) in lookalikes(&relay, TokenKind::Admin).await {
        assert_eq!(at_ssh(&relay, &text, from).await, expected, "{what}");
    }
    let genuine = relay.token("root", TokenKind::Login).await;
    assert_eq!(at_ssh(&relay, &genuine, from).await, told(AuthnError::WrongKind));
    assert_eq!(relay.get(&Who::Bearer(&genuine), "/api/v1/me").await.status, 200, "not spent");
    for (what, text) in lookalikes(&relay, TokenKind::Access).await {
        let answer = relay.get(&Who::Bearer(&text), "/api/v1/me").await;
        assert_eq!(answer.problem(401), "authn.failed", "{what}");
    }
}

#[tokio::test]
async fn only_the_audit_log_tells_a_typing_error_from_a_wrong_token() {
    let relay = Relay::new().await;
    for (_, text) in lookalikes(&relay, TokenKind::Access).await {
        at_ssh(&relay, &text, [198, 51, 100, 7].into()).await;
    }
    // Rows of failures are written behind the answer.
    relay.delete(&Who::Bearer(&relay.admin().await), "/api/v1/sites/none").await;
    let failed = failures(&relay, 5).await;
    let codes: Vec<_> = failed.iter().map(|event| event["code"].clone()).collect();
    assert_eq!(codes, vec![json!("authn.failed"); 5]);
    let typos = failed.iter().filter(|event| event["detail"].to_string().contains("checksum"));
    assert_eq!(typos.count(), 1, "{failed:?}");
}

#[tokio::test]
async fn where_an_address_is_blocked_a_live_id_is_told_like_any_other() {
    let relay = Relay::new().await;
    let from = [198, 51, 100, 7].into();
    let guesses = (0..22u8).map(|n| TokenText::new(TokenKind::Access, [n; 7], [n; 20], None));
    let blocked: Vec<_> = guesses.map(|guess| guess.expose().to_owned()).collect();
    for text in blocked {
        at_ssh(&relay, &text, from).await;
    }
    for (what, text) in lookalikes(&relay, TokenKind::Access).await {
        if !what.contains("checksum") {
            assert_eq!(at_ssh(&relay, &text, from).await, told(AuthnError::Throttled), "{what}");
        }
    }
    let alice = relay.agent("alice").await;
    let asked = json!({ "application": "web1" });
    let issued = relay.post(&Who::Agent(&alice), "/api/v1/me/tokens", asked).await.good();
    let text = issued["token"].as_str().unwrap().to_owned().into();
    assert!(relay.state.authn.token(&text, Door::Ssh, from).await.is_ok(), "the genuine one");
}

#[tokio::test]
async fn absent_and_forbidden_applications_are_told_alike() {
    let relay = Relay::new().await;
    let alice = relay.agent("alice").await;
    let mut answers = Vec::new();
    for text in ["absent", "vault", "vault.hq", "vault-hq"] {
        let asked = json!({ "application": text });
        let answer = relay.post(&Who::Agent(&alice), "/api/v1/me/tokens", asked).await;
        answers.push(bytes(&answer));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let who = relay.state.authn.agent(&alice, [192, 0, 2, 7].into()).unwrap();
    let mut words = Vec::new();
    for text in ["absent", "vault", "vault.hq"] {
        let (broker, now) = (&relay.state.broker, SystemTime::now());
        let mut client = splice::FromIo::new(tokio::io::duplex(1).0);
        let refused = gateway_tcp::open(broker, &who, text, (Door::Agent, now), &mut client).await;
        let refused = refused.err().unwrap();
        words.push((refused.code(), refused.public(), refused.hint()));
    }
    words.dedup();
    assert_eq!(words.len(), 1, "{words:?}");
}

#[tokio::test]
async fn whether_a_user_exists_is_told_to_admins_only() {
    let relay = Relay::new().await;
    let alice = relay.agent("alice").await;
    let ask = async |path: &str| bytes(&relay.delete(&Who::Agent(&alice), path).await);
    assert_eq!(ask("/api/v1/users/bob").await, ask("/api/v1/users/nobody").await);
    let ask = async |path: &str| bytes(&relay.get(&Who::Agent(&alice), path).await);
    let why = async |user: &str| ask(&format!("/api/v1/why?user={user}&application=web1")).await;
    assert_eq!(why("bob").await, why("nobody").await);
    let tokens = async |user: &str| ask(&format!("/api/v1/tokens?user={user}")).await;
    assert_eq!(tokens("bob").await, tokens("nobody").await);
}

#[tokio::test]
async fn refusals_of_tokens_take_the_same_time() {
    let relay = Relay::new().await;
    let mut texts = lookalikes(&relay, TokenKind::Access).await;
    texts.push(("of another door", relay.token("root", TokenKind::Admin).await));
    let mut taken = vec![Vec::new(); texts.len()];
    for round in 0..40u8 {
        // All at once, so that what else the machine does falls on each of them.
        let tries = texts.iter().map(|(_, text)| {
            let (relay, from) = (&relay, IpAddr::from([198, 51, round, 7]));
            async move {
                let started = Instant::now();
                at_ssh(relay, text, from).await;
                started.elapsed()
            }
        });
        let round = futures_util::future::join_all(tries).await;
        taken.iter_mut().zip(round).for_each(|(all, one)| all.push(one));
    }
    alike(&texts, taken);
}

#[tokio::test]
async fn refusals_of_applications_take_the_same_time() {
    let relay = Relay::new().await;
    let alice = relay.agent("alice").await;
    let names = [("absent", "absent".to_owned()), ("forbidden", "vault".to_owned())];
    let mut taken = vec![Vec::new(); names.len()];
    for _ in 0..40 {
        let tries = names.iter().map(|(_, name)| {
            let (relay, alice) = (&relay, &alice);
            async move {
                let (asked, started) = (json!({ "application": name }), Instant::now());
                relay.post(&Who::Agent(alice), "/api/v1/me/tokens", asked).await.problem(403);
                started.elapsed()
            }
        });
        let round = futures_util::future::join_all(tries).await;
        taken.iter_mut().zip(round).for_each(|(all, one)| all.push(one));
    }
    alike(&names, taken);
}

/// Medians within a quarter of each other; what takes microseconds more or less is far below that
/// only because refusals leave at even moments.
#[track_caller]
fn alike(what: &[(&str, String)], taken: Vec<Vec<Duration>>) {
    let median = |mut all: Vec<Duration>| {
        all.sort_unstable();
        all[all.len() / 2]
    };
    let medians: Vec<_> = taken.into_iter().map(median).collect();
    let (least, most) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
    let told = || what.iter().map(|(what, _)| *what).zip(&medians).collect::<Vec<_>>();
    assert!(most.as_secs_f64() / least.as_secs_f64() < 1.25, "{:?}", told());
}

/// Texts that are no live token, from those that are nothing to those that nearly are one.
async fn lookalikes(relay: &Relay, kind: TokenKind) -> Vec<(&'static str, String)> {
    let root = relay.state.store.user(&"root".parse().unwrap()).await.unwrap().unwrap();
    let application = relay.state.store.application("orders").await.unwrap().unwrap();
    let new = NewToken {
        user: Some(root.id),
        application: kind.opens().then_some(application.id),
        ..NewToken::default()
    };
    let now = SystemTime::now();
    let first = if kind.opens() { 101 } else { 201 };
    let token = |n: u8, secret: u8| TokenText::new(kind, [first + n; 7], [secret; 20], None);
    let spent = NewToken { expires: Some(now - Duration::from_secs(60)), ..new };
    for (id, new) in [(0, new), (1, new), (2, spent)] {
        relay.state.store.issue_token(&token(id, 1), new, now).await.unwrap();
    }
    relay.state.store.revoke_token(token(1, 1).id(), None, now).await.unwrap();
    relay.state.policy.refresh().await;
    let mut typo = token(0, 1).expose().to_owned();
    let last = typo.pop().unwrap();
    typo.push(if last == 'x' { 'y' } else { 'x' });
    vec![
        ("an unknown id", token(3, 1).expose().to_owned()),
        ("a live id, another secret", token(0, 2).expose().to_owned()),
        ("a revoked id, another secret", token(1, 2).expose().to_owned()),
        ("an expired id, another secret", token(2, 2).expose().to_owned()),
        ("a wrong checksum", typo),
    ]
}

/// All a client of the SSH door is told.
async fn at_ssh(relay: &Relay, text: &str, from: IpAddr) -> (String, String, Option<String>) {
    let text = SecretString::from(text);
    told(relay.state.authn.token(&text, Door::Ssh, from).await.unwrap_err())
}

fn told(error: AuthnError) -> (String, String, Option<String>) {
    let hint = error.hint().map(std::borrow::Cow::into_owned);
    (error.code().to_string(), error.public().into_owned(), hint)
}

/// All of an answer but its request's id.
fn bytes(answer: &Answer) -> String {
    let id = answer.headers["x-request-id"].to_str().unwrap();
    let mut headers = answer.headers.clone();
    headers.remove("x-request-id");
    format!("{} {headers:?} {}", answer.status, answer.text.replace(id, "ID"))
}

pub(super) async fn failures(relay: &Relay, count: usize) -> Vec<Value> {
    for _ in 0..200 {
        let rows = relay.actions().await;
        let failed = rows.into_iter().filter(|(action, _)| action == "authn.failed");
        let failed: Vec<_> = failed.map(|(_, event)| event).collect();
        if failed.len() == count {
            return failed;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not {count} rows");
}
