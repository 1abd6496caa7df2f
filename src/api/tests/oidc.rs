//! Signing in by an OpenID provider.

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::browsers::Ask;
use super::{Answer, Relay, Who};
use crate::config::OidcProvider;
use crate::oidc::Providers;
use crate::oidc::fake::{Fake, Signer};

#[tokio::test]
async fn a_provider_signs_its_user_in_and_puts_them_in_their_groups() {
    let (mut relay, fake, _folder) = staged().await;
    relay.with(&fake, |config| {
        config.provision = true;
        config.groups = vec![("eng".into(), name("dba")), ("ops".into(), name("oncall"))];
    });
    let admin = relay.admin().await;
    for group in ["dba", "oncall", "others"] {
        let group = json!({ "name": group });
        relay.post(&Who::Bearer(&admin), "/api/v1/groups", group).await.good();
    }
    let page = relay.page(Ask::get("/sign-in?next=/go%3Fto%3Da")).await;
    let button = "href=\"/sign-in/with/corp?next=/go%3Fto%3Da\">Sign in with Corp</a>";
    assert!(page.text.contains(button), "{page:?}");
    fake.now().claims = json!({ "sub": "s-9", "preferred_username": "Carol@corp.example",
        "groups": ["eng", "others"] });
    let (answer, link) = relay.by_provider(&fake, "?next=/go%3Fto%3Da").await;
    assert_eq!(answer.header("location"), "/signed-in?next=/go%3Fto%3Da", "{answer:?}");
    for part in ["response_type=code", "client_id=adit", "code_challenge_method=S256"] {
        assert!(link.contains(part), "{part}: {link}");
    }
    let back = "redirect_uri=https%3A%2F%2Frelay.test%3A8443%2Fsign-in%2Ffrom%2Fcorp";
    assert!(link.contains(back), "{link}");
    let cookie = session(&answer);
    assert_eq!(relay.user_at(&cookie).await.as_deref(), Some("carol"));
    let user = relay.get(&Who::Bearer(&admin), "/api/v1/users/carol").await.good();
    assert_eq!(user["groups"], json!(["dba"]), "of the groups that are mapped");
    let exchanged = fake.now().exchanged[0].clone();
    let verifier = exchanged.split("code_verifier=").nth(1).unwrap().split('&').next().unwrap();
    let challenge = data_encoding::BASE64URL_NOPAD.encode(&access::sha256(verifier.as_bytes()));
    assert!(link.contains(&format!("code_challenge={challenge}")), "{verifier}: {link}");

    // At the next sign-in they are somebody else by name, and the same by id; and in other groups.
    fake.now().claims = json!({ "sub": "s-9", "preferred_username": "root", "groups": "ops" });
    let (answer, _) = relay.by_provider(&fake, "").await;
    assert_eq!(relay.user_at(&session(&answer)).await.as_deref(), Some("carol"));
    let user = relay.get(&Who::Bearer(&admin), "/api/v1/users/carol").await.good();
    assert_eq!(user["groups"], json!(["oncall"]));
    let rows = relay.actions().await;
    let opened = rows.iter().find(|(action, _)| action == "sign_in.opened").unwrap();
    assert_eq!((&opened.1["how"], &opened.1["provider"]), (&json!("provider"), &json!("corp")));
    let made = rows.iter().find(|(_, event)| event["object"] == "user carol").unwrap();
    assert_eq!(made.1["actor"], "provider corp");

    let out = relay.page(Ask::post("/sign-out", "which=this").with(&session(&answer))).await;
    assert!(out.text.contains(&format!("{}/end?client_id=adit", fake.issuer)), "{out:?}");
    assert!(out.header("set-cookie").contains("Max-Age=0"));
}

#[tokio::test]
async fn an_answer_counts_once_in_the_browser_that_asked_and_from_whom_it_asked() {
    let (mut relay, fake, _folder) = staged().await;
    relay.with(&fake, |config| config.link_users = true);
    let (begun, state) = relay.begun(&fake, "").await;
    let path = |state: &str, more: &str| format!("/sign-in/from/corp?code=c&state={state}{more}");
    let nobody = relay.page(Ask::get(&path(&state, ""))).await;
    assert!(nobody.text.contains("sign_in.not_completed"), "{nobody:?}");
    let other = relay.page(Ask::get(&path("other", "")).with(&begun)).await;
    assert!(other.text.contains("sign_in.not_completed"), "{other:?}");
    let again = relay.page(Ask::get(&path(&state, "")).with(&begun)).await;
    assert!(again.text.contains("sign_in.not_completed"), "it is gone with the first try");
    let (begun, state) = relay.begun(&fake, "").await;
    let mixed = path(&state, "&iss=https%3A%2F%2Fevil.example");
    let mixed = relay.page(Ask::get(&mixed).with(&begun)).await;
    assert!(mixed.text.contains("sign_in.not_completed"), "{mixed:?}");
    let (begun, state) = relay.begun(&fake, "").await;
    let denied =
        format!("/sign-in/from/corp?error=access_denied&error_description=%3Cb%3E&state={state}");
    let denied = relay.page(Ask::get(&denied).with(&begun)).await;
    assert!(denied.text.contains("oidc.refused") && !denied.text.contains("<b>"), "{denied:?}");
    let absent = relay.page(Ask::get("/sign-in/with/none")).await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
    assert!(fake.now().exchanged.is_empty(), "no code went out for any of these");

    let (begun, state) = relay.begun(&fake, "").await;
    fake.now().nonce = "another".to_owned();
    let replayed = relay.page(Ask::get(&path(&state, "")).with(&begun)).await;
    assert!(replayed.text.contains("oidc.statement"), "{replayed:?}");
    let (good, _) = relay.by_provider(&fake, "?next=https://evil.example/").await;
    assert_eq!(good.header("location"), "/", "no open redirect");
    assert_eq!(relay.user_at(&session(&good)).await.as_deref(), Some("alice"));
}

#[tokio::test]
async fn nobody_is_signed_in_whom_the_relay_does_not_know_or_want() {
    let (mut relay, fake, _folder) = staged().await;
    relay.with(&fake, |_| {});
    let (unlinked, _) = relay.by_provider(&fake, "").await;
    assert_eq!(unlinked.status, StatusCode::FORBIDDEN);
    assert!(unlinked.text.contains("oidc.no_user"), "a name alone links nobody: {unlinked:?}");
    fake.now().claims = json!({ "preferred_username": "mallory" });
    let (absent, _) = relay.by_provider(&fake, "").await;
    assert!(absent.text.contains("oidc.no_user"), "{absent:?}");
    relay.with(&fake, |config| config.link_users = true);
    fake.now().claims = json!({});
    assert_eq!(relay.by_provider(&fake, "").await.0.status, StatusCode::SEE_OTHER);
    fake.now().claims = json!({ "sub": "s-2" });
    let (second, _) = relay.by_provider(&fake, "").await;
    assert!(second.text.contains("oidc.no_user"), "alice is s-1 for good: {second:?}");
    let admin = relay.admin().await;
    let path = "/api/v1/users/alice/disable";
    relay.call(&Who::Bearer(&admin), Method::POST, path, None).await.good();
    fake.now().claims = json!({});
    let (disabled, _) = relay.by_provider(&fake, "").await;
    assert!(disabled.text.contains("access.user_disabled"), "{disabled:?}");
    let failed = relay.failures(4).await;
    let codes: Vec<&Value> = failed.iter().map(|event| &event["code"]).collect();
    assert_eq!(codes, ["oidc.no_user", "oidc.no_user", "oidc.no_user", "access.user_disabled"]);
}

#[tokio::test]
async fn a_provider_changes_its_keys_and_cannot_be_made_to_be_asked_for_them_without_end() {
    let (mut relay, fake, _folder) = staged().await;
    relay.with(&fake, |config| config.link_users = true);
    assert_eq!(relay.by_provider(&fake, "").await.0.status, StatusCode::SEE_OTHER);
    assert_eq!(fake.now().asked_for_keys, 1);
    fake.now().signer = Signer::new("unpublished");
    for _ in 0..3 {
        let (forged, _) = relay.by_provider(&fake, "").await;
        assert!(forged.text.contains("oidc.statement"), "{forged:?}");
    }
    assert_eq!(fake.now().asked_for_keys, 1, "it was asked a moment ago");
    relay.state.oidc.asked_long_ago().await;
    let second = Signer::new("second");
    {
        let mut told = fake.now();
        told.keys.push(second.public());
        told.signer = second;
    }
    assert_eq!(relay.by_provider(&fake, "").await.0.status, StatusCode::SEE_OTHER);
    assert_eq!(fake.now().asked_for_keys, 2);
}

async fn staged() -> (Relay, Fake, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start(folder.path()).await;
    (Relay::new().await, fake, folder)
}

impl Relay {
    fn with(&mut self, fake: &Fake, more: impl FnOnce(&mut OidcProvider)) {
        self.state.oidc = Arc::new(Providers::new(&[fake.config(more)]));
    }

    /// Begins a sign-in: the browser's cookie, and the state that it was sent away with.
    async fn begun(&self, fake: &Fake, query: &str) -> (String, String) {
        let (begun, _, state) = self.sent_away(fake, query).await;
        (begun, state)
    }

    async fn sent_away(&self, fake: &Fake, query: &str) -> (String, String, String) {
        let answer = self.page(Ask::get(&format!("/sign-in/with/corp{query}"))).await;
        let link = answer.header("location").to_owned();
        assert!(link.starts_with(&format!("{}/authorize?", fake.issuer)), "{answer:?}");
        let part = |name: &str| {
            let value = link.split(&format!("&{name}=")).nth(1).unwrap();
            value.split('&').next().unwrap().to_owned()
        };
        fake.now().nonce = part("nonce");
        (answer.header("set-cookie").to_owned(), link.clone(), part("state"))
    }

    /// Goes through the provider, and says where it was sent.
    async fn by_provider(&self, fake: &Fake, query: &str) -> (Answer, String) {
        let (begun, link, state) = self.sent_away(fake, query).await;
        let path = format!("/sign-in/from/corp?code=c&state={state}");
        (self.page(Ask::get(&path).with(&begun)).await, link)
    }
}

/// The cookie of the sign-in.
fn session(answer: &Answer) -> String {
    let cookies = answer.headers.get_all("set-cookie").iter();
    let mut cookies = cookies.map(|value| value.to_str().unwrap());
    cookies.find(|cookie| cookie.starts_with("__Host-adit=")).unwrap().to_owned()
}

fn name(text: &str) -> access::Name {
    text.parse().unwrap()
}
