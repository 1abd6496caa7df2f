//! Connections that an agent's own vouch for: nothing is asked, and one application is reached.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use access::{ApplicationId, EndReason, Kind, Login, Side, Terms};
use session::AuditEvent;
use support::target::{Asks, FakeTarget};
use support::user::{Client, within};
use support::{World, managed};
use tokio::io::duplex;
use tokio::task::JoinSet;
use uuid::Uuid;

#[tokio::test]
async fn an_agents_connection_is_asked_nothing() {
    let (world, target, id) = world().await;
    let (mut client, _serving) = vouched(&world, id).await;
    assert!(client.handle.authenticate_none("anyone").await.unwrap().success());
    assert_eq!(client.run("status 7").await.status, Some(7));
    assert_eq!(target.passwords(), ["right"]);
    let opened = world.audit.all().into_iter().find_map(|event| match event {
        AuditEvent::SessionOpened { user, application, .. } => Some((user, application)),
        _ => None,
    });
    assert_eq!(opened, Some((support::name_of("alice"), support::name_of("web1"))));
}

#[tokio::test]
async fn what_is_typed_before_the_at_sign_reaches_nothing_else() {
    let (world, target, id) = world().await;
    world.add("web2", Kind::Ssh, "127.0.0.1:1", managed("ubuntu"), Terms::default());
    let (mut client, _serving) = vouched(&world, id).await;
    assert!(client.handle.authenticate_none("root+web2").await.unwrap().success());
    assert_eq!(client.run("status 0").await.status, Some(0));
    assert_eq!(target.connections(), 1);
}

#[tokio::test]
async fn an_agents_word_is_good_for_one_sign_in() {
    let (world, _target, id) = world().await;
    let stranger = world.add_forbidden("secret", Kind::Ssh, "127.0.0.1:1", managed("ubuntu"));
    for (application, text) in
        [(stranger, "access.denied"), (ApplicationId(Uuid::from_u128(9)), "access.denied")]
    {
        let (mut client, _serving) = vouched(&world, application).await;
        assert!(!client.handle.authenticate_none("x").await.unwrap().success());
        let again = client.handle.authenticate_none("x").await;
        assert!(!again.is_ok_and(|result| result.success()));
        let goodbye = client.goodbye().await.unwrap_or_default();
        assert!(goodbye.contains(text), "{goodbye:?}");
    }
    assert!(world.broker.live().is_empty());
    // The others' words still count.
    let (mut client, _serving) = vouched(&world, id).await;
    assert!(client.handle.authenticate_none("x").await.unwrap().success());
}

#[tokio::test]
async fn a_revoked_agent_ends_its_connections() {
    let (world, _target, id) = world().await;
    let (mut client, mut serving) = vouched(&world, id).await;
    assert!(client.handle.authenticate_none("x").await.unwrap().success());
    assert_eq!(client.run("status 0").await.status, Some(0));
    world.log_out();
    within(serving.join_next()).await.unwrap().unwrap();
    assert!(client.goodbye().await.is_some());
    let (reason, side) = support::end(&world).await;
    assert_eq!((reason, side), (EndReason::Revoked, Side::Relay));
}

/// A transparent application asks for its own login, which can't be typed here: at a terminal it can.
#[tokio::test]
async fn a_transparent_application_says_what_it_needs() {
    let world = World::start().await;
    let target = FakeTarget::start(Asks::Password).await;
    let id = world.add("own", Kind::Ssh, &target.address(), Login::Transparent, Terms::default());
    let (mut client, _serving) = vouched(&world, id).await;
    assert!(client.handle.authenticate_none("ubuntu").await.unwrap().success());
    let outcome = client.run("status 0").await;
    assert!(outcome.err.contains("target.no_credential"), "{outcome:?}");
    assert!(target.passwords().is_empty());
}

#[tokio::test]
async fn a_connection_whose_owner_is_dropped_leaves_no_session_and_no_target_behind() {
    let (world, _target, id) = world().await;
    let (mut client, mut serving) = vouched(&world, id).await;
    assert!(client.handle.authenticate_none("x").await.unwrap().success());
    assert_eq!(client.run("status 0").await.status, Some(0));
    assert_eq!(world.broker.live().len(), 1);
    serving.shutdown().await;
    let gone = async {
        while !world.broker.live().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(gone).await;
    support::end(&world).await;
}

async fn world() -> (World, FakeTarget, ApplicationId) {
    let world = World::start().await;
    let target = FakeTarget::start(Asks::Password).await;
    let account = managed("ubuntu");
    let id = world.add("web1", Kind::Ssh, &target.address(), account, Terms::default());
    world.store_password(id, "right");
    (world, target, id)
}

/// A client on a stream that alice's agent opened to this application.
async fn vouched(world: &World, application: ApplicationId) -> (Client, JoinSet<()>) {
    let (near, far) = duplex(64 * 1024);
    let (gateway, drain) = (world.gateway.clone(), world.drain.clone());
    let peer: SocketAddr = ([127, 0, 0, 1], 1).into();
    let who = world.agent(peer.ip());
    let mut serving = JoinSet::new();
    serving.spawn(async move { gateway.serve(far, peer, Some((who, application)), drain).await });
    (Client::over(near).await, serving)
}
