//! Grants that say which proofs are asked for, and in which order.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where its surroundings fail")]

mod support;

use std::sync::Arc;

use access::{EndReason, Kind, SshTerms, Terms};
use russh::MethodKind::{self, KeyboardInteractive, Password, PublicKey};
use russh::client::{AuthResult, KeyboardInteractiveAuthResponse as Reply};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use session::AuditEvent;
use support::target::{Asks, FakeTarget};
use support::user::{Client, prompts};
use support::{World, end, key, managed};

#[tokio::test]
async fn a_key_and_then_a_token_are_asked_for_and_both_are_needed() {
    let Stage { world, target, key } = stage(&["publickey,token"]).await;
    let mut client = Client::connect(&world).await;
    let shown = show(&mut client, &key).await;
    assert_eq!(shown, partial(&[KeyboardInteractive, Password]));
    assert_eq!(target.connections(), 0);
    // The key again, or another one, is not what is asked for now.
    assert_eq!(show(&mut client, &key).await, refused(&[KeyboardInteractive, Password]));
    assert_eq!(client.ask("x+web1").await, ["Access token:"]);
    assert!(matches!(client.answer(&world.token(None, 1)).await, Reply::Success));
    works(&client).await;
    let opened = world.audit.all().into_iter().find_map(|event| match event {
        AuditEvent::SessionOpened { credential, after, .. } => Some((credential, after)),
        _ => None,
    });
    assert_eq!(opened, Some(("token", vec!["ssh-key"])));
}

#[tokio::test]
async fn a_token_and_then_a_key_is_another_order() {
    let Stage { world, key, target: _target } = stage(&["token,publickey"]).await;
    let mut client = Client::connect(&world).await;
    // A client that begins with its key is let go on with what comes first.
    let AuthResult::Failure { partial_success: false, .. } = show(&mut client, &key).await else {
        panic!("out of order")
    };
    client.ask("x+web1").await;
    let Reply::Failure { remaining_methods, partial_success: true } =
        client.answer(&world.token(None, 1)).await
    else {
        panic!("no partial success")
    };
    assert_eq!(remaining_methods.to_vec(), [PublicKey]);
    assert_eq!(show(&mut client, &key).await, AuthResult::Success);
    works(&client).await;
}

#[tokio::test]
async fn any_of_several_ways_will_do_and_one_that_is_not_listed_will_not() {
    let Stage { world, key, target: _target } = stage(&["token", "certificate"]).await;
    works(&Client::signed_in(&world, "x+web1", &world.token(None, 1)).await).await;
    let mut client = Client::connect(&world).await;
    assert!(!show(&mut client, &key).await.success());
    drop(client);
    assert_eq!(denials(&world).await, ["web1"]);
}

#[tokio::test]
async fn a_wrong_second_proof_is_worth_nothing_and_of_another_user_neither() {
    let Stage { world, key, target } = stage(&["publickey,token"]).await;
    let mut client = Client::connect(&world).await;
    assert_eq!(show(&mut client, &key).await, partial(&[KeyboardInteractive, Password]));
    for wrong in ["nonsense".to_owned(), world.bobs_token()] {
        client.ask("x+web1").await;
        let Reply::Failure { remaining_methods, partial_success: false } =
            client.answer(&wrong).await
        else {
            panic!("{wrong}")
        };
        assert_eq!(remaining_methods.to_vec(), [KeyboardInteractive, Password]);
    }
    assert_eq!(world.refused(), ["what was shown second is of another user"]);
    drop(client);
    // Whoever leaves with a part of it is on record.
    assert_eq!(denials(&world).await, ["web1"]);
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn another_user_name_does_not_inherit_what_was_shown() {
    let Stage { world, key, target } = stage(&["publickey,token"]).await;
    let mut client = Client::connect(&world).await;
    show(&mut client, &key).await;
    let cut = client.handle.authenticate_password("y+web1", world.token(None, 1)).await;
    assert!(cut.is_err() || !cut.unwrap().success());
    drop(client);
    assert_eq!(denials(&world).await, ["web1"], "what was shown counted for nothing");
    assert!(world.opened().is_empty() && target.connections() == 0);
}

#[tokio::test]
async fn nobody_learns_what_is_asked_for_without_a_right_first_proof() {
    let Stage { world, target: _target, .. } = stage(&["publickey,token"]).await;
    let mut answers = Vec::new();
    for user in ["x+web1", "x+nothing", "x"] {
        let mut client = Client::connect(&world).await;
        let wrong = show_as(&mut client, user, &key()).await;
        let typed = client.handle.authenticate_password(user, "nonsense").await.unwrap();
        answers.push((wrong, typed));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    assert_eq!(answers[0].0, refused(&[PublicKey, Password, KeyboardInteractive]));
}

#[tokio::test]
async fn a_session_ends_with_either_of_its_proofs() {
    for first in [true, false] {
        let Stage { world, key, target: _target } = stage(&["publickey,token"]).await;
        let mut client = Client::connect(&world).await;
        show(&mut client, &key).await;
        client.ask("x+web1").await;
        assert!(matches!(client.answer(&world.token(None, 1)).await, Reply::Success));
        let mut channel = client.exec("echo").await;
        channel.data_bytes(&b"x"[..]).await.unwrap();
        while !matches!(channel.wait().await.unwrap(), russh::ChannelMsg::Data { .. }) {}
        match first {
            true => world.forget(&fingerprint(&key)),
            false => world.revoke(),
        }
        assert_eq!(end(&world).await.0, EndReason::Revoked, "the first one: {first}");
    }
}

#[tokio::test]
async fn who_picks_from_the_menu_is_told_to_name_what_asks_for_more() {
    let Stage { world, key, target } = stage(&["publickey,token"]).await;
    let mut client = Client::connect(&world).await;
    assert_eq!(show_as(&mut client, "x", &key).await, AuthResult::Success);
    let channel = client.handle.channel_open_session().await.unwrap();
    channel.request_pty(true, "xterm", 80, 24, 0, 0, &[]).await.unwrap();
    channel.request_shell(true).await.unwrap();
    channel.data_bytes(&b"\r"[..]).await.unwrap();
    let outcome = support::user::outcome(&mut { channel }).await;
    assert!(outcome.err.contains("access.authentication"), "{}", outcome.err);
    assert!(outcome.err.contains("login+app"), "{}", outcome.err);
    assert_eq!(target.connections(), 0);
}

async fn works(client: &Client) {
    let outcome = client.run("status 7").await;
    assert_eq!((outcome.status, outcome.err.as_str()), (Some(7), ""));
}

struct Stage {
    world: World,
    target: FakeTarget,
    key: Arc<PrivateKey>,
}

/// `web1`, to which these ways of signing in lead, and a key of alice's.
async fn stage(ways: &[&str]) -> Stage {
    let (world, key) = (World::start().await, Arc::new(key()));
    let target = FakeTarget::start(Asks::Password).await;
    let authentication = Some(ways.iter().map(|way| way.parse().unwrap()).collect());
    let ssh = SshTerms { authentication, ..SshTerms::default() };
    let terms = Terms { ssh, ..Terms::default() };
    let id = world.add("web1", Kind::Ssh, &target.address(), managed("ubuntu"), terms);
    world.store_password(id, "right");
    world.register(&fingerprint(&key));
    Stage { world, target, key }
}

fn fingerprint(key: &PrivateKey) -> String {
    key.public_key().fingerprint(HashAlg::Sha256).to_string()
}

async fn show(client: &mut Client, key: &Arc<PrivateKey>) -> AuthResult {
    show_as(client, "x+web1", key).await
}

async fn show_as(client: &mut Client, user: &str, key: &PrivateKey) -> AuthResult {
    let key = PrivateKeyWithHashAlg::new(Arc::new(key.clone()), None);
    client.handle.authenticate_publickey(user, key).await.unwrap()
}

fn partial(methods: &[MethodKind]) -> AuthResult {
    AuthResult::Failure { remaining_methods: methods.into(), partial_success: true }
}

fn refused(methods: &[MethodKind]) -> AuthResult {
    AuthResult::Failure { remaining_methods: methods.into(), partial_success: false }
}

/// The applications that somebody was denied, once there is one.
async fn denials(world: &World) -> Vec<String> {
    for _ in 0..500 {
        let denied = |event: AuditEvent| match event {
            AuditEvent::AccessDenied { application, .. } => Some(application),
            _ => None,
        };
        let denied: Vec<_> = world.audit.all().into_iter().filter_map(denied).collect();
        if !denied.is_empty() {
            return denied;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("nobody was denied")
}

/// The prompts are as ever.
#[tokio::test]
async fn the_second_prompt_says_why_there_is_one() {
    let Stage { world, key, target: _target } = stage(&["publickey,token"]).await;
    let mut client = Client::connect(&world).await;
    show(&mut client, &key).await;
    let asked = client.handle.authenticate_keyboard_interactive_start("x+web1", None).await;
    let asked = asked.unwrap();
    let Reply::InfoRequest { instructions, .. } = &asked else { panic!("{asked:?}") };
    assert!(instructions.contains("asks for a token too"), "{instructions}");
    assert_eq!(prompts(asked), ["Access token:"]);
}
