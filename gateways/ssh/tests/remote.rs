//! `ssh -R`: ports that the target listens on for the user.

mod support;

use access::{EndReason, Kind, Login, Side, Terms};
use support::target::{Asks, FakeTarget, REFUSED, TAKEN};
use support::user::{Client, within};
use support::{World, forwarding, managed};

#[tokio::test]
async fn a_connection_to_a_port_of_the_target_reaches_the_user() {
    let (world, target, client) = client(forwarding()).await;
    client.handle.tcpip_forward("localhost", 8080).await.unwrap();
    assert_eq!(client.run("arrive 8080").await.status, Some(0));
    assert_eq!(client.arrived(), ["192.0.2.7:7 at localhost:8080"]);
    assert_eq!(target.requests()[0], "listen localhost:8080");
    let noted = world.audit.actions();
    for action in ["ssh.listen localhost:8080", "ssh.forwarded 192.0.2.7:7 at localhost:8080"] {
        assert!(noted.iter().any(|noted| noted == action), "{action} is not in {noted:?}");
    }
}

/// Somebody connects before the user has heard which port it is.
#[tokio::test]
async fn the_target_may_choose_the_port_and_is_told_nothing_late() {
    let (_world, _target, client) = client(forwarding()).await;
    let taken = client.handle.tcpip_forward("localhost", 0).await.unwrap();
    assert_eq!(taken, TAKEN);
    let early = async {
        while client.arrived().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within(early).await;
    assert_eq!(client.run(&format!("arrive {TAKEN}")).await.status, Some(0));
}

#[tokio::test]
async fn a_cancelled_port_is_closed_and_takes_nothing_more() {
    let (world, target, client) = client(forwarding()).await;
    client.handle.tcpip_forward("localhost", 8080).await.unwrap();
    client.handle.cancel_tcpip_forward("localhost", 8080).await.unwrap();
    assert!(client.handle.cancel_tcpip_forward("localhost", 8080).await.is_err());
    assert_eq!(target.requests(), ["listen localhost:8080", "cancel localhost:8080"]);
    assert_eq!(client.run("arrive 8080").await.status, Some(1));
    assert!(client.arrived().is_empty());
    assert!(world.audit.actions().contains(&"ssh.listen_ended localhost:8080".to_owned()));
}

#[tokio::test]
async fn where_forwarding_is_not_allowed_the_target_is_not_even_asked() {
    let (world, target, client) = client(Terms::default()).await;
    assert!(client.handle.tcpip_forward("localhost", 8080).await.is_err());
    assert!(client.handle.cancel_tcpip_forward("localhost", 8080).await.is_err());
    assert!(target.requests().is_empty());
    let noted = world.audit.actions();
    assert!(noted.contains(&"ssh.forward_refused localhost:8080".to_owned()), "{noted:?}");
}

#[tokio::test]
async fn what_a_target_opens_unasked_or_refused_to_listen_on_reaches_nobody() {
    let (_world, _target, client) = client(forwarding()).await;
    assert_eq!(client.run("arrive 8080").await.status, Some(1));
    assert!(client.handle.tcpip_forward("localhost", REFUSED).await.is_err());
    assert_eq!(client.run(&format!("arrive {REFUSED}")).await.status, Some(1));
    assert!(client.arrived().is_empty());
}

#[tokio::test]
async fn one_session_listens_on_sixty_four_ports_at_most() {
    let (_world, target, client) = client(forwarding()).await;
    for port in 0..64 {
        client.handle.tcpip_forward("localhost", 9000 + port).await.unwrap();
    }
    assert!(client.handle.tcpip_forward("localhost", 9064).await.is_err());
    assert!(client.handle.tcpip_forward("localhost", 9000).await.is_err());
    assert_eq!(target.requests().len(), 64);
    client.handle.cancel_tcpip_forward("localhost", 9000).await.unwrap();
    client.handle.tcpip_forward("localhost", 9064).await.unwrap();
}

/// Otherwise a client that only listens would wait for ever, and look well.
#[tokio::test]
async fn ports_that_are_lost_with_the_target_end_the_connection() {
    let (world, target, client) = client(forwarding()).await;
    client.handle.tcpip_forward("localhost", 8080).await.unwrap();
    target.shared.leaving.notify_waiters();
    let goodbye = client.goodbye().await.unwrap_or_default();
    assert!(goodbye.contains("the connection to the application broke"), "{goodbye:?}");
    assert_eq!(support::end(&world).await, (EndReason::Broken, Side::Target));
}

/// The request is answered between two packets: the user can't be asked for a password meanwhile.
#[tokio::test]
async fn a_target_that_wants_a_login_first_is_not_listened_on_and_not_spoilt() {
    let world = World::start().await;
    let target = FakeTarget::start(Asks::Password).await;
    let login = Login::Transparent;
    let id = world.add("own", Kind::Ssh, &target.address(), login, forwarding());
    let mut client = Client::connect(&world).await;
    client.ask("ubuntu").await;
    let token = world.token(Some(id), 1);
    client.answer(&token).await;
    client.answer(&token).await;
    assert!(client.handle.tcpip_forward("localhost", 8080).await.is_err());
    assert!(target.requests().is_empty());
    let mut channel = client.handle.channel_open_session().await.unwrap();
    channel.request_pty(false, "xterm", 80, 24, 0, 0, &[]).await.unwrap();
    channel.exec(true, "status 5").await.unwrap();
    channel.data_bytes(&b"right\r"[..]).await.unwrap();
    assert_eq!(support::user::outcome(&mut channel).await.status, Some(5));
    client.handle.tcpip_forward("localhost", 8080).await.unwrap();
}

async fn client(terms: Terms) -> (World, FakeTarget, Client) {
    let world = World::start().await;
    let target = FakeTarget::start(Asks::Password).await;
    let id = world.add("web1", Kind::Ssh, &target.address(), managed("ubuntu"), terms);
    world.store_password(id, "right");
    let client = Client::signed_in(&world, "x", &world.token(Some(id), 1)).await;
    (world, target, client)
}
