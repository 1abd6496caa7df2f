//! Connections that begin within the relay, for browsers: the same door.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use access::{EndReason, Kind, Login, Side, SshTerms, Terms};
use gateway_ssh::{Door, Ending, Reader, Said, Visitor, Within};
use session::{AuditEvent, Screen};
use support::target::{Asks, FakeTarget};
use support::user::within;
use support::{World, managed};

#[tokio::test]
async fn a_browsers_shell_is_a_session_like_any_other() {
    let (world, target) = world(Terms::default()).await;
    let (inside, mut door) = enter(&world, "web1", "").await.unwrap();
    let (mut reader, writer) = inside.shell(&screen()).await.unwrap();
    writer.write("hello".into()).await.unwrap();
    assert_eq!(says(&mut reader, "hello").await, "hello");
    writer.resize(120, 50).await.unwrap();
    within(async {
        while !target.requests().contains(&"window 120x50".to_owned()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let asked = target.requests();
    assert_eq!(asked[..3], ["pty xterm-256color 80x24", "env LANG=C.UTF-8", "shell"], "{asked:?}");
    let opened = world.audit.all().into_iter().find_map(|event| match event {
        AuditEvent::SessionOpened { session, credential, .. } => Some((session, credential)),
        _ => None,
    });
    assert_eq!(opened, Some((inside.session(), "sign-in")));
    inside.leave().await;
    let ending = within(door.ended()).await;
    assert_eq!((ending.reason, ending.side), (EndReason::Closed, Side::Client));
    assert_eq!(support::end(&world).await, (EndReason::Closed, Side::Client));
}

#[tokio::test]
async fn absent_and_forbidden_are_told_alike_and_reach_nothing() {
    let (world, target) = world(Terms::default()).await;
    world.add_forbidden("secret", Kind::Ssh, &target.address(), managed("ubuntu"));
    let mut told = Vec::new();
    for application in ["secret", "nothing-there"] {
        let ending = enter(&world, application, "ubuntu").await.err().unwrap();
        assert_eq!(ending.reason, EndReason::Failed);
        assert!(ending.told().contains("access.denied"), "{}", ending.told());
        told.push(ending.told());
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(target.connections(), 0);
    assert!(world.broker.live().is_empty());
}

#[tokio::test]
async fn withdrawn_access_ends_it_with_last_words() {
    let (world, _target) = world(Terms::default()).await;
    let (inside, mut door) = enter(&world, "web1", "").await.unwrap();
    let (mut reader, writer) = inside.shell(&screen()).await.unwrap();
    writer.write("x".into()).await.unwrap();
    says(&mut reader, "x").await;
    world.kill(inside.session(), "back at five");
    let shown = says(&mut reader, "back at five").await;
    assert!(shown.contains("an administrator ended this session"), "{shown}");
    let ending = within(door.ended()).await;
    assert_eq!((ending.reason, ending.side), (EndReason::Killed, Side::Relay));
    assert!(ending.told().contains("back at five"), "{}", ending.told());
}

#[tokio::test]
async fn whoever_comes_back_is_judged_anew() {
    let (world, _target) = world(Terms::default()).await;
    let (inside, _door) = enter(&world, "web1", "").await.unwrap();
    let here = world.browser([127, 0, 0, 1].into());
    assert!(inside.still(&here).is_ok());
    world.withdraw();
    let ending = inside.still(&here).unwrap_err();
    assert_eq!(ending.reason, EndReason::Revoked);
}

#[tokio::test]
async fn a_grant_that_lists_proofs_lets_browsers_in_where_it_names_them() {
    for (ways, lets_in) in [(&["publickey"][..], false), (&["publickey", "browser"], true)] {
        let authentication = Some(ways.iter().map(|way| way.parse().unwrap()).collect());
        let ssh = SshTerms { authentication, ..SshTerms::default() };
        let (world, _target) = world(Terms { ssh, ..Terms::default() }).await;
        let entered = enter(&world, "web1", "").await;
        assert_eq!(entered.is_ok(), lets_in, "{ways:?}");
        if let Err(ending) = entered {
            assert!(ending.told().contains("access.authentication"), "{}", ending.told());
        }
    }
}

#[tokio::test]
async fn a_target_asks_for_its_own_login_in_the_terminal() {
    let (world, target) = world(Terms::default()).await;
    world.add("own", Kind::Ssh, &target.address(), Login::Transparent, Terms::default());
    let unnamed = enter(&world, "own", "").await.err().unwrap();
    assert!(unnamed.told().contains("name the account"), "{}", unnamed.told());
    let (inside, _door) = enter(&world, "own", "ubuntu").await.unwrap();
    let (mut reader, writer) = inside.shell(&screen()).await.unwrap();
    says(&mut reader, "ubuntu@own's password: ").await;
    writer.write("right\r".into()).await.unwrap();
    writer.write("hello".into()).await.unwrap();
    says(&mut reader, "hello").await;
    assert_eq!(target.passwords(), ["right"]);
}

#[tokio::test]
async fn files_are_the_grants_to_allow() {
    let (world, target) = world(Terms { file_transfer: false, ..Terms::default() }).await;
    let (inside, _door) = enter(&world, "web1", "").await.unwrap();
    let (mut reader, _writer) = inside.sftp().await.unwrap();
    let told = says(&mut reader, "access.file_transfer").await;
    assert!(told.contains("file"), "{told}");
    assert!(!target.requests().contains(&"subsystem sftp".to_owned()));
}

#[tokio::test]
async fn a_dropped_door_leaves_no_session_behind() {
    let (world, _target) = world(Terms::default()).await;
    let (_inside, door) = enter(&world, "web1", "").await.unwrap();
    assert_eq!(world.broker.live().len(), 1);
    drop(door);
    support::end(&world).await;
    assert!(world.broker.live().is_empty());
}

async fn world(terms: Terms) -> (World, FakeTarget) {
    let world = World::start().await;
    let target = FakeTarget::start(Asks::Password).await;
    let id = world.add("web1", Kind::Ssh, &target.address(), managed("ubuntu"), terms);
    world.store_password(id, "right");
    (world, target)
}

async fn enter(world: &World, application: &str, login: &str) -> Result<(Within, Door), Ending> {
    let peer: SocketAddr = ([127, 0, 0, 1], 1).into();
    let who = world.browser(peer.ip());
    let (application, login) = (application.to_owned(), login.to_owned());
    let visitor = Visitor { who, application, login, peer };
    within(world.gateway.enter(visitor, world.drain.clone())).await
}

fn screen() -> Screen {
    Screen { term: "xterm-256color".to_owned(), columns: 80, rows: 24 }
}

/// What was said until `wanted` was.
async fn says(reader: &mut Reader, wanted: &str) -> String {
    let mut said = String::new();
    let all = async {
        while !said.contains(wanted) {
            match reader.next().await {
                Some(Said::Output(bytes) | Said::Error(bytes)) => {
                    said.push_str(&String::from_utf8_lossy(&bytes));
                }
                Some(Said::Status(_)) => {}
                None => break,
            }
        }
    };
    within(all).await;
    assert!(said.contains(wanted), "{said:?}");
    said
}
