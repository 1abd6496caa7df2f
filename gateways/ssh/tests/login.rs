//! Signing in: to the relay, and through it to the target.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use access::{EndReason, Kind, Login, Recording, Side, Terms};
use russh::MethodKind;
use russh::client::{AuthResult, KeyboardInteractiveAuthResponse as Reply};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg};
use session::AuditEvent;
use support::target::{Asks, FakeTarget};
use support::user::{Client, prompts};
use support::{World, key, managed};

#[tokio::test]
async fn a_token_at_the_prompt_opens_a_managed_application() {
    let (world, _target, token) = managed_world().await;
    let mut client = Client::connect(&world).await;
    assert_eq!(client.ask("anyone").await, ["Access token:"]);
    assert!(matches!(client.answer(&token).await, Reply::Success));
    assert_eq!(client.run("status 7").await.status, Some(7));
}

#[tokio::test]
async fn a_token_as_password_opens_a_managed_application_in_one_step() {
    let (world, target, token) = managed_world().await;
    let client = Client::signed_in(&world, "anyone", &token).await;
    let outcome = client.run("both").await;
    assert_eq!((&outcome.out[..], outcome.err.as_str()), (&b"out"[..], "err"));
    assert_eq!(target.passwords(), ["right"]);
}

#[tokio::test]
async fn the_targets_password_is_asked_for_while_signing_in() {
    let (world, target, token) = transparent_world(Asks::Password).await;
    let mut client = Client::connect(&world).await;
    client.ask("ubuntu").await;
    assert_eq!(prompts(client.answer(&token).await), ["ubuntu@web1's password: "]);
    assert_eq!(prompts(client.answer("wrong").await), ["ubuntu@web1's password: "]);
    assert!(matches!(client.answer("right").await, Reply::Success));
    assert_eq!(client.run("status 0").await.status, Some(0));
    assert_eq!(target.passwords(), ["wrong", "right"]);
}

#[tokio::test]
async fn all_questions_of_the_target_are_passed_on_as_it_words_them() {
    let (world, _target, token) = transparent_world(Asks::TwoQuestions).await;
    let mut client = Client::connect(&world).await;
    client.ask("ubuntu").await;
    assert_eq!(prompts(client.answer(&token).await), ["First:"]);
    assert_eq!(prompts(client.answer("one").await), ["Second:"]);
    assert!(matches!(client.answer("two").await, Reply::Success));
    assert_eq!(client.run("status 0").await.status, Some(0));
}

#[tokio::test]
async fn a_password_client_shows_the_token_first_and_then_the_targets_password() {
    let (world, target, token) = transparent_world(Asks::Password).await;
    let mut client = Client::connect(&world).await;
    let first = client.handle.authenticate_password("ubuntu", &token).await.unwrap();
    let AuthResult::Failure { remaining_methods, partial_success: true } = first else {
        panic!("no partial success: {first:?}");
    };
    assert!(remaining_methods.contains(&MethodKind::Password), "{remaining_methods:?}");
    let second = client.handle.authenticate_password("ubuntu", "right").await.unwrap();
    assert_eq!(second, AuthResult::Success);
    assert_eq!(client.run("status 0").await.status, Some(0));
    assert_eq!(target.passwords(), ["right"]);
}

#[tokio::test]
async fn a_one_time_token_is_used_up_once_however_often_the_target_asks() {
    let (world, _target, token) = transparent_world(Asks::Password).await;
    let mut client = Client::connect(&world).await;
    for text in [token.as_str(), "wrong"] {
        assert!(!client.handle.authenticate_password("ubuntu", text).await.unwrap().success());
    }
    // Another way goes on where the last one was.
    assert_eq!(client.ask("ubuntu").await, ["ubuntu@web1's password: "]);
    assert!(matches!(client.answer("right").await, Reply::Success));
    // And on another connection it is worth nothing.
    let mut other = Client::connect(&world).await;
    other.ask("ubuntu").await;
    assert!(matches!(other.answer(&token).await, Reply::Failure { .. }));
}

#[tokio::test]
async fn no_target_is_ever_shown_a_token() {
    let (world, target, token) = transparent_world(Asks::Password).await;
    let mut client = Client::connect(&world).await;
    client.ask("ubuntu").await;
    client.answer(&token).await;
    assert!(matches!(client.answer(&token).await, Reply::Success));
    let outcome = client.run("status 0").await;
    assert_eq!(outcome.status, Some(255));
    assert!(outcome.err.contains("target.no_credential"), "{}", outcome.err);
    assert!(target.passwords().is_empty());
}

#[tokio::test]
async fn wrong_credentials_all_take_the_same_time_and_end_the_connection() {
    let (world, _target, token) = managed_world().await;
    let used_up = world.token(None, 0);
    let mut typo = token.clone();
    typo.replace_range(20..21, "z");
    let mut client = Client::connect(&world).await;
    let mut times = Vec::new();
    for wrong in ["", "x", &typo, &used_up, "adit_access_", "y"] {
        let started = Instant::now();
        let shown = client.handle.authenticate_password("ubuntu", wrong).await.unwrap();
        assert!(!shown.success());
        times.push(started.elapsed());
    }
    let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(*least >= Duration::from_millis(300), "{times:?}");
    assert!(*most < Duration::from_millis(600), "{times:?}");
    let goodbye = client.goodbye().await.unwrap();
    assert!(goodbye.contains("too many failed sign-ins"), "{goodbye}");
}

/// Told before anything is looked up, whatever is shown: it says nothing of who is there.
#[tokio::test]
async fn a_user_name_that_is_none_is_told_so_by_every_way_of_signing_in() {
    let (world, _target, token) = managed_world().await;
    let too_long = format!("{}+web1", "x".repeat(500));
    let known = Arc::new(key());
    world.register(&known.public_key().fingerprint(HashAlg::Sha256).to_string());
    for way in ["none", "password", "interactive", "key"] {
        let mut client = Client::connect(&world).await;
        let user = too_long.as_str();
        let handle = &mut client.handle;
        let let_in = match way {
            "none" => handle.authenticate_none(user).await.is_ok_and(|it| it.success()),
            "password" => {
                handle.authenticate_password(user, &token).await.is_ok_and(|it| it.success())
            }
            "key" => {
                let shown = PrivateKeyWithHashAlg::new(known.clone(), None);
                handle.authenticate_publickey(user, shown).await.is_ok_and(|it| it.success())
            }
            _ => {
                let asked = handle.authenticate_keyboard_interactive_start(user, None).await;
                matches!(asked, Ok(Reply::Success))
            }
        };
        assert!(!let_in, "{way}");
        let told = client.goodbye().await.unwrap_or_default();
        let expected = "a user name has at most 255 bytes (ssh.user_name); it is login+app";
        assert!(told.contains(expected), "{way}: {told:?}");
    }
    let mut client = Client::connect(&world).await;
    drop(client.handle.authenticate_none("x\x1b[2J").await);
    let told = client.goodbye().await.unwrap_or_default();
    assert!(told.contains("no control characters (ssh.user_name)"), "{told:?}");
}

#[tokio::test]
async fn unknown_and_forbidden_applications_get_the_same_answer() {
    let (world, target, _) = managed_world().await;
    world.add_forbidden("secret", Kind::Ssh, &target.address(), managed("ubuntu"));
    let mut answers = Vec::new();
    for user in ["x+nothing", "x+secret", "x+secret.hq"] {
        let token = world.token(None, 1);
        let mut client = Client::connect(&world).await;
        assert!(!client.handle.authenticate_password(user, &token).await.unwrap().success());
        answers.push(client.goodbye().await.unwrap());
    }
    assert!(answers[0].contains("access.denied"), "{answers:?}");
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    let denied = |event: &AuditEvent| matches!(event, AuditEvent::AccessDenied { .. });
    assert_eq!(world.audit.all().iter().filter(|event| denied(event)).count(), 3);
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn an_application_that_wants_a_login_is_hidden_from_who_has_no_access() {
    let world = World::start().await;
    world.add_forbidden("secret", Kind::Ssh, "127.0.0.1:9", Login::Transparent);
    world.add("open", Kind::Ssh, "127.0.0.1:9", Login::Transparent, Terms::default());
    let mut answers = Vec::new();
    for user in ["+nothing", "+secret", "+open"] {
        let token = world.token(None, 1);
        let mut client = Client::connect(&world).await;
        assert!(!client.handle.authenticate_password(user, &token).await.unwrap().success());
        answers.push(client.goodbye().await.unwrap());
    }
    assert!(answers[0].contains("access.denied"), "{answers:?}");
    assert_eq!(answers[0], answers[1]);
    assert!(answers[2].contains("ubuntu+open"), "{answers:?}");
}

#[tokio::test]
async fn a_bound_token_opens_no_other_application() {
    let (world, target, token) = managed_world().await;
    world.add("web2", Kind::Ssh, &target.address(), managed("ubuntu"), Terms::default());
    let mut client = Client::connect(&world).await;
    assert!(!client.handle.authenticate_password("x+web2", &token).await.unwrap().success());
    assert!(client.goodbye().await.unwrap().contains("access.denied"));
}

#[tokio::test]
async fn only_a_verified_signature_by_a_registered_key_counts() {
    let (world, _target, _) = managed_world().await;
    let (known, unknown) = (Arc::new(key()), Arc::new(key()));
    world.register(&known.public_key().fingerprint(HashAlg::Sha256).to_string());
    let mut client = Client::connect(&world).await;
    let shown = PrivateKeyWithHashAlg::new(unknown, None);
    let result = client.handle.authenticate_publickey("x+web1", shown).await.unwrap();
    assert!(!result.success());
    let shown = PrivateKeyWithHashAlg::new(known, None);
    let result = client.handle.authenticate_publickey("x+web1", shown).await.unwrap();
    assert!(result.success());
    assert_eq!(client.run("status 3").await.status, Some(3));
}

#[tokio::test]
async fn what_was_proven_for_one_user_name_does_not_count_for_another() {
    let (world, target, token) = transparent_world(Asks::Password).await;
    let mut client = Client::connect(&world).await;
    let first = client.handle.authenticate_password("ubuntu", &token).await.unwrap();
    assert!(matches!(first, AuthResult::Failure { partial_success: true, .. }), "{first:?}");
    let second = client.handle.authenticate_password("root", "right").await;
    assert!(!second.is_ok_and(|result| result.success()));
    assert!(target.passwords().is_empty());
}

#[tokio::test]
async fn a_changed_host_key_blocks_and_tells_both_fingerprints() {
    let (world, target, token) = managed_world().await;
    let other = key();
    let application = world.broker.policy().reachable(&alice())[0].id;
    world.pin(application, other.public_key().to_openssh().unwrap().trim());
    let client = Client::signed_in(&world, "x", &token).await;
    let outcome = client.run("status 0").await;
    assert_eq!(outcome.status, Some(255));
    let known = other.public_key().fingerprint(HashAlg::Sha256).to_string();
    let line = russh::keys::PublicKey::from_openssh(&target.host_key).unwrap();
    let presented = line.fingerprint(HashAlg::Sha256).to_string();
    for part in ["target.host_key_changed", &known, &presented] {
        assert!(outcome.err.contains(part), "{part} is not in {}", outcome.err);
    }
    let noted = world.audit.actions().concat();
    assert!(noted.contains("target.host_key_changed"), "{noted}");
    assert!(target.passwords().is_empty(), "a credential was shown to an unknown host");
}

#[tokio::test]
async fn without_an_application_there_is_a_clear_refusal() {
    let (world, _target, _) = managed_world().await;
    let client = Client::signed_in(&world, "ubuntu", &world.token(None, 1)).await;
    let outcome = client.run("status 0").await;
    assert_eq!(outcome.status, Some(255));
    assert!(outcome.err.contains("login+app"), "{}", outcome.err);
}

#[tokio::test]
async fn an_unreachable_target_is_told_and_recorded() {
    let world = World::start().await;
    let id = world.add("web1", Kind::Ssh, "127.0.0.1:1", managed("ubuntu"), Terms::default());
    world.store_password(id, "right");
    let client = Client::signed_in(&world, "x", &world.token(Some(id), 1)).await;
    let outcome = client.run("status 0").await;
    assert!(outcome.err.contains("dial.refused"), "{}", outcome.err);
    drop(client);
    assert_eq!(support::end(&world).await, (EndReason::Failed, Side::Target));
}

#[tokio::test]
async fn a_login_that_the_terms_do_not_list_is_denied() {
    let world = World::start().await;
    let target = FakeTarget::start(Asks::Password).await;
    let terms = Terms { logins: Some(vec!["ubuntu".to_owned()]), ..Terms::default() };
    world.add("web1", Kind::Ssh, &target.address(), Login::Transparent, terms);
    let mut client = Client::connect(&world).await;
    let token = world.token(None, 1);
    assert!(!client.handle.authenticate_password("root+web1", &token).await.unwrap().success());
    assert!(client.goodbye().await.unwrap().contains("access.denied"));
    assert_eq!(target.connections(), 0);
}

/// What would help is told to whom nothing else is missing.
#[tokio::test]
async fn a_sign_in_or_a_recording_that_is_missing_is_told() {
    let signed_in = Terms { require_active_session: true, ..Terms::default() };
    let recorded = Terms { recording: Recording::Required, ..Terms::default() };
    let elsewhere = Terms { logins: Some(vec!["ubuntu".to_owned()]), ..signed_in.clone() };
    let cases = [
        (signed_in, "(session.required); sign in with `adit login URL`"),
        (recorded, "(recording.unavailable)"),
        (elsewhere, "(access.denied)"),
    ];
    for (terms, expected) in cases {
        let world = World::start().await;
        let target = FakeTarget::start(Asks::Password).await;
        world.add("web1", Kind::Ssh, &target.address(), Login::Transparent, terms);
        let mut client = Client::connect(&world).await;
        let token = world.token(None, 1);
        let signed_in = client.handle.authenticate_password("root+web1", &token).await.unwrap();
        assert!(!signed_in.success());
        let told = client.goodbye().await.unwrap();
        assert!(told.contains(expected), "{told}");
        assert_eq!(target.connections(), 0);
    }
}

async fn managed_world() -> (World, FakeTarget, String) {
    let world = World::start().await;
    let target = FakeTarget::start(Asks::Password).await;
    let login = managed("ubuntu");
    let id = world.add("web1", Kind::Ssh, &target.address(), login, Terms::default());
    world.store_password(id, "right");
    let token = world.token(Some(id), 1);
    (world, target, token)
}

async fn transparent_world(asks: Asks) -> (World, FakeTarget, String) {
    let world = World::start().await;
    let target = FakeTarget::start(asks).await;
    let login = Login::Transparent;
    let id = world.add("web1", Kind::Ssh, &target.address(), login, Terms::default());
    let token = world.token(Some(id), 1);
    (world, target, token)
}

fn alice() -> access::Authenticated {
    let credential = access::Credential::SshKey { fingerprint: String::new() };
    support::alice(credential, [127, 0, 0, 1].into())
}
