//! Passkeys: made by their owners, alone or besides a password, and gone when they are taken away.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::http::{Method, StatusCode};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::browsers::{Ask, encoded};
use super::{Answer, Relay, Who};

const OWN: &str = "a text of my own";
const HERE: &str = "https://relay.test:8443";
const KNOWS: u8 = 0x05;
const TOUCHED: u8 = 0x01;

#[tokio::test]
async fn a_passkey_signs_its_owner_in_once_for_each_question_and_nobody_else() {
    let relay = Relay::new().await;
    let (here, there) = (relay.signed_in("alice").await, relay.signed_in("alice").await);
    let key = relay.has_passkey(&here, 1).await;
    assert!(relay.signed_in_as(&here).await && !relay.signed_in_as(&there).await);
    let again = relay.make(&here, &key).await;
    assert_eq!(again.problem(409), "passkey.exists");

    let question = relay.question("/sign-in", "").await;
    let form = key.answers(&question, HERE, KNOWS, 1);
    let done =
        relay.page(Ask::post("/sign-in/passkey", &(form.clone() + "&next=/go%3Fto%3Da"))).await;
    assert_eq!(done.header("location"), "/signed-in?next=/go%3Fto%3Da", "{done:?}");
    assert_eq!(relay.user_at(done.header("set-cookie")).await.as_deref(), Some("alice"));
    relay.is_refused(&form, "an answer counts once").await;

    let refused: [(&str, &Key, &str, u8, u32); 5] = [
        ("a page of an application asked", &key, "https://evil-hq.relay.test:8443", KNOWS, 2),
        ("it does not say that it knows its user", &key, HERE, TOUCHED, 2),
        ("its count goes back", &key, HERE, KNOWS, 1),
        ("another key of the same id", &Key { id: key.id, pair: pair() }, HERE, KNOWS, 3),
        ("nobody has registered it", &Key { id: 9, pair: pair() }, HERE, KNOWS, 3),
    ];
    for (why, key, origin, flags, count) in refused {
        let question = relay.question("/sign-in", "").await;
        relay.is_refused(&key.answers(&question, origin, flags, count), why).await;
    }
    let made_up = key.answers(&BASE64URL_NOPAD.encode(&[7; 56]), HERE, KNOWS, 4);
    relay.is_refused(&made_up, "a question that nobody asked").await;
    let rows = relay.actions().await;
    let opened: Vec<_> = rows.iter().filter(|(action, _)| action == "sign_in.opened").collect();
    assert_eq!(opened.last().unwrap().1["how"], "passkey");
    assert!(
        rows.iter()
            .any(|(action, event)| action == "authn.failed" && event["code"] == "authn.passkey")
    );
}

#[tokio::test]
async fn a_passkey_is_asked_for_besides_the_password_and_a_users_only() {
    let relay = Relay::new().await;
    relay.has_password("alice", OWN).await;
    relay.has_password("bob", OWN).await;
    let (alice, bob) = (relay.signed_in("alice").await, relay.signed_in("bob").await);
    let own = relay.has_passkey(&alice, 1).await;
    let other = relay.has_passkey(&bob, 2).await;

    let step = relay.by_password("alice", OWN, "").await;
    assert_eq!(step.header("location"), "/sign-in/step");
    let begun = step.header("set-cookie").to_owned();
    let page = relay.page(Ask::get("/sign-in/step").with(&begun)).await;
    assert!(page.text.contains(&own.named()) && !page.text.contains(&other.named()), "{page:?}");
    assert!(!page.text.contains("name=\"code\""), "there is no app to show a code of: {page:?}");
    let show =
        async |form: String| relay.page(Ask::post("/sign-in/step", &form).with(&begun)).await;
    let question = relay.question("/sign-in/step", &begun).await;
    let strange = show(other.answers(&question, HERE, KNOWS, 1)).await;
    assert_eq!(strange.status, StatusCode::UNAUTHORIZED);
    let question = relay.question("/sign-in", "").await;
    let other_question = show(own.answers(&question, HERE, TOUCHED, 1)).await;
    assert_eq!(other_question.status, StatusCode::UNAUTHORIZED, "it was asked for something else");
    let question = relay.question("/sign-in/step", &begun).await;
    let done = show(own.answers(&question, HERE, TOUCHED, 1)).await;
    assert_eq!(done.header("location"), "/", "{done:?}");
    let rows = relay.actions().await;
    let last = rows.iter().rfind(|(action, _)| action == "sign_in.opened").unwrap();
    assert_eq!((&last.1["how"], &last.1["second"]), (&json!("password"), &json!("passkey")));
}

#[tokio::test]
async fn a_passkey_that_is_taken_away_and_a_disabled_users_sign_nobody_in() {
    let relay = Relay::new().await;
    let admin = relay.admin().await;
    let root = Who::Bearer(&admin);
    let (alice, bob) = (relay.signed_in("alice").await, relay.signed_in("bob").await);
    let first = relay.has_passkey(&alice, 1).await;
    let theirs = relay.has_passkey(&bob, 2).await;
    let path = format!("me/passkeys/{}", theirs.named());
    let foreign = relay.portal(Method::DELETE, &path, None, &alice).await;
    assert_eq!(foreign.problem(404), "passkey.not_found");
    let path = format!("me/passkeys/{}", first.named());
    relay.portal(Method::DELETE, &path, None, &alice).await.good();
    let question = relay.question("/sign-in", "").await;
    relay.is_refused(&first.answers(&question, HERE, KNOWS, 1), "it is removed").await;

    relay.call(&root, Method::POST, "/api/v1/users/bob/disable", None).await.good();
    let question = relay.question("/sign-in", "").await;
    let form = theirs.answers(&question, HERE, KNOWS, 1);
    let disabled = relay.page(Ask::post("/sign-in/passkey", &form)).await;
    assert!(disabled.text.contains("access.user_disabled"), "{disabled:?}");
    let methods = relay.get(&root, "/api/v1/users/bob/sign-in-methods").await.good();
    assert_eq!(methods["passkeys"][0]["name"], "key 2");
    let gone = relay.delete(&root, "/api/v1/users/bob/second-factor").await.good();
    assert_eq!(gone["count"], 1);
    let methods = relay.get(&root, "/api/v1/users/bob/sign-in-methods").await.good();
    assert_eq!(methods["passkeys"], Value::Null);
}

#[tokio::test]
async fn a_passkey_is_taken_only_as_it_was_asked_for() {
    let relay = Relay::new().await;
    let (alice, bob) = (relay.signed_in("alice").await, relay.signed_in("bob").await);
    let offer = relay.portal(Method::POST, "me/passkey-offers", None, &alice).await.good();
    assert_eq!(
        (&offer["host"], &offer["algorithms"]),
        (&json!("relay.test"), &json!([-8, -7, -257]))
    );
    let key = Key { id: 1, pair: pair() };
    let challenge = offer["challenge"].as_str().unwrap();
    let made = key.made(challenge, HERE);
    let foreign = relay.portal(Method::POST, "me/passkeys", Some(made.clone()), &bob).await;
    assert_eq!(foreign.problem(422), "passkey.refused", "it was alice who was asked");
    let elsewhere = key.made(challenge, "https://evil-hq.relay.test");
    let elsewhere = relay.portal(Method::POST, "me/passkeys", Some(elsewhere), &alice).await;
    assert_eq!(elsewhere.problem(422), "passkey.refused");
    let mut kind = made.clone();
    kind["algorithm"] = json!(-36);
    let kind = relay.portal(Method::POST, "me/passkeys", Some(kind), &alice).await;
    assert_eq!(kind.problem(422), "passkey.refused");
    let row = relay.portal(Method::POST, "me/passkeys", Some(made.clone()), &alice).await.good();
    assert_eq!((&row["id"], &row["name"]), (&json!(key.named()), &json!("key 1")));
    let twice = relay.portal(Method::POST, "me/passkeys", Some(made), &alice).await;
    assert_eq!(twice.problem(422), "passkey.refused", "a question is answered once");
}

/// An authenticator with one key.
struct Key {
    id: u8,
    pair: EcdsaKeyPair,
}

fn pair() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()
}

impl Key {
    fn named(&self) -> String {
        BASE64URL_NOPAD.encode(&[self.id; 16])
    }

    /// The body that registers it.
    fn made(&self, challenge: &str, origin: &str) -> Value {
        let id = [&[0; 16][..], &[0, 16], &[self.id; 16], &[0xa5]].concat();
        let spki = self.pair.public_key().as_der().unwrap();
        json!({
            "name": format!("key {}", self.id),
            "algorithm": -7,
            "public_key": BASE64URL_NOPAD.encode(spki.as_ref()),
            "client_data": BASE64URL_NOPAD.encode(client("create", challenge, origin).as_bytes()),
            "authenticator_data": BASE64URL_NOPAD.encode(&data(0x45, 0, &id)),
        })
    }

    /// The form that answers a question.
    fn answers(&self, challenge: &str, origin: &str, flags: u8, count: u32) -> String {
        let (client, data) = (client("get", challenge, origin), data(flags, count, &[]));
        let signed = [&data, digest(&SHA256, client.as_bytes()).as_ref()].concat();
        let signature = self.pair.sign(&SystemRandom::new(), &signed).unwrap();
        let text = |bytes: &[u8]| encoded(&BASE64URL_NOPAD.encode(bytes));
        format!(
            "id={}&client_data={}&authenticator_data={}&signature={}",
            self.named(),
            text(client.as_bytes()),
            text(&data),
            text(signature.as_ref())
        )
    }
}

fn client(kind: &str, challenge: &str, origin: &str) -> String {
    json!({ "type": format!("webauthn.{kind}"), "challenge": challenge, "origin": origin })
        .to_string()
}

fn data(flags: u8, count: u32, rest: &[u8]) -> Vec<u8> {
    let host = digest(&SHA256, b"relay.test");
    [host.as_ref(), &[flags], &count.to_be_bytes(), rest].concat()
}

impl Relay {
    async fn has_passkey(&self, cookie: &str, id: u8) -> Key {
        let key = Key { id, pair: pair() };
        self.make(cookie, &key).await.good();
        key
    }

    async fn make(&self, cookie: &str, key: &Key) -> Answer {
        let offer = self.portal(Method::POST, "me/passkey-offers", None, cookie).await.good();
        let made = key.made(offer["challenge"].as_str().unwrap(), HERE);
        self.portal(Method::POST, "me/passkeys", Some(made), cookie).await
    }

    /// What a page asks an authenticator.
    async fn question(&self, path: &str, cookie: &str) -> String {
        let page = self.page(Ask::get(path).with(cookie)).await;
        let asked = page.text.split("data-passkey=\"").nth(1).unwrap();
        asked.split('"').next().unwrap().to_owned()
    }

    async fn is_refused(&self, form: &str, why: &str) {
        let answer = self.page(Ask::post("/sign-in/passkey", form)).await;
        assert!(answer.text.contains("authn.passkey"), "{why}: {answer:?}");
        assert!(!answer.headers.contains_key("set-cookie"), "{why}");
    }
}
