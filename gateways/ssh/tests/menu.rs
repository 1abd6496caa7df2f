//! Picking an application at a terminal, where the user name says none or one that several sites
//! have, and what is told where there is no terminal.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where its surroundings fail")]

mod support;

use std::time::Duration;

use access::{EndReason, Kind, Login, Terms};
use gateway_ssh::Texts;
use russh::client::Msg;
use russh::{Channel, ChannelMsg};
use support::target::{Asks, FakeTarget};
use support::user::{Client, within};
use support::{World, managed};

#[tokio::test]
async fn it_lists_what_can_be_reached_and_takes_a_number() {
    let (world, target) = world(&["web1"]).await;
    world.add_forbidden("hidden", Kind::Ssh, &target.address(), managed("ubuntu"));
    world.add("db", Kind::Postgres, "127.0.0.1:9", Login::Transparent, Terms::default());
    let mut channel = shell(&signed_in(&world, "x").await).await;
    let menu = read_until(&mut channel, HINT).await;
    assert!(menu.contains("1  web1.hq"), "{menu}");
    assert!(!menu.contains("hidden") && !menu.contains("db.hq"), "{menu}");
    type_in(&channel, "9\r").await;
    read_until(&mut channel, "is not in the list").await;
    type_in(&channel, "1\rtyped early").await;
    read_until(&mut channel, "typed early").await;
    assert_eq!(target.requests(), ["pty xterm 80x24", "shell"]);
}

#[tokio::test]
async fn what_is_typed_searches_and_the_arrows_pick() {
    let (world, target) = world(&["alpha", "beta1", "beta2"]).await;
    let mut channel = shell(&signed_in(&world, "x").await).await;
    read_until(&mut channel, HINT).await;
    type_in(&channel, "bet").await;
    let found = read_until(&mut channel, "2 of 3").await;
    let last = found.rsplit("Application: bet").next().unwrap();
    assert!(!last.contains("alpha") && last.contains("beta1.hq"), "{last:?}");
    type_in(&channel, "\x1b[B\r").await;
    read_until(&mut channel, "Application: beta2.hq\r\n").await;
    type_in(&channel, "hello").await;
    read_until(&mut channel, "hello").await;
    assert_eq!(world.opened(), ["beta2"]);
    assert_eq!(target.connections(), 1);
}

#[tokio::test]
async fn escape_and_control_c_leave_and_nothing_is_left_on_the_screen() {
    let (world, target) = world(&["web1"]).await;
    for key in ["\x1b", "\x03", "web\x04"] {
        let mut channel = shell(&signed_in(&world, "x").await).await;
        read_until(&mut channel, HINT).await;
        type_in(&channel, key).await;
        let (last, status) = rest(&mut channel).await;
        assert!(last.ends_with("\r\x1b[1A\x1b[J"), "{key:?}: {last:?}");
        assert_eq!(status, Some(255));
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn the_terminals_size_is_followed_and_told_to_the_application() {
    let (world, target) = world(&["web1", "web2"]).await;
    let mut channel = shell(&signed_in(&world, "x").await).await;
    read_until(&mut channel, HINT).await;
    channel.window_change(15, 5, 0, 0).await.unwrap();
    let narrow = read_until(&mut channel, "> 1  web1.hq\x1b[0m").await;
    assert!(!narrow.rsplit("\x1b[J").next().unwrap().contains("Applications"), "{narrow:?}");
    type_in(&channel, "\rhello").await;
    read_until(&mut channel, "hello").await;
    assert_eq!(target.requests(), ["pty xterm 15x5", "shell"]);
}

#[tokio::test]
async fn a_terminal_that_moves_no_cursor_is_asked_for_a_line() {
    let (world, _target) = world(&["web1", "web2"]).await;
    let client = signed_in(&world, "x").await;
    let mut channel = client.handle.channel_open_session().await.unwrap();
    channel.request_pty(true, "dumb", 80, 24, 0, 0, &[]).await.unwrap();
    channel.request_shell(true).await.unwrap();
    let list = read_until(&mut channel, "Number or name: ").await;
    assert!(list.contains("2  web2.hq") && !list.contains('\x1b'), "{list:?}");
    type_in(&channel, "7\rweb2\rhello").await;
    read_until(&mut channel, "hello").await;
    assert_eq!(world.opened(), ["web2"]);
}

#[tokio::test]
async fn who_names_no_account_is_asked_for_one() {
    let world = World::start().await;
    let target = FakeTarget::start(Asks::Password).await;
    world.add("web1", Kind::Ssh, &target.address(), Login::Transparent, Terms::default());
    let mut channel = shell(&signed_in(&world, "").await).await;
    read_until(&mut channel, HINT).await;
    type_in(&channel, "\r\rubuntu\r").await;
    read_until(&mut channel, "ubuntu@web1's password: ").await;
    type_in(&channel, "right\rhello").await;
    read_until(&mut channel, "hello").await;
}

#[tokio::test]
async fn a_name_that_several_sites_have_is_asked_about() {
    let (world, target) = world(&["web1", "web2"]).await;
    world.add_at("lab", "web1", &target.address(), managed("ubuntu"));
    let client = signed_in(&world, "x+web1").await;
    let mut channel = shell(&client).await;
    let menu = read_until(&mut channel, HINT).await;
    assert!(menu.contains("web1.hq") && menu.contains("web1.lab"), "{menu}");
    assert!(!menu.contains("web2") && menu.contains("2 of 3"), "{menu}");
    type_in(&channel, ".lab\r").await;
    read_until(&mut channel, "Application: web1.lab\r\n").await;

    let outcome = signed_in(&world, "x+web1").await.run("id").await;
    assert_eq!(outcome.status, Some(255));
    assert!(outcome.err.contains("several sites have an application web1"), "{}", outcome.err);
    assert!(outcome.err.contains("you can reach web1.hq, web1.lab\r\n"), "{}", outcome.err);
}

#[tokio::test]
async fn without_a_terminal_it_is_told_how_to_name_one_and_which_there_are() {
    let (world, target) = world(&["web1", "web2"]).await;
    world.add_forbidden("hidden", Kind::Ssh, &target.address(), managed("ubuntu"));
    let client = signed_in(&world, "x").await;
    let exec = client.run("id").await;
    let sftp = client.handle.channel_open_session().await.unwrap();
    sftp.request_subsystem(true, "sftp").await.unwrap();
    let (sftp, _) = rest(&mut { sftp }).await;
    for said in [&exec.err, &sftp] {
        assert!(said.contains("ssh ubuntu+web1.hq@relay.example"), "{said}");
        assert!(said.contains("you can reach web1.hq, web2.hq"), "{said}");
        assert!(!said.contains("hidden"), "{said}");
    }
    assert_eq!(exec.status, Some(255));
    assert_eq!(target.connections(), 0);
}

/// Nobody would watch the lease of a second application.
#[tokio::test]
async fn two_menus_on_one_connection_open_one_application() {
    let (world, _target) = world(&["web1", "web2"]).await;
    let client = signed_in(&world, "x").await;
    let mut menus = [shell(&client).await, shell(&client).await];
    for menu in &mut menus {
        read_until(menu, HINT).await;
    }
    type_in(&menus[0], "web1\rhello").await;
    read_until(&mut menus[0], "hello").await;
    type_in(&menus[1], "web2\r").await;
    read_until(&mut menus[1], "has an application already").await;
    assert_eq!(world.audit.ends().iter().filter(|(r, _)| *r == EndReason::Failed).count(), 1);
}

#[tokio::test]
async fn what_was_withdrawn_while_the_menu_stood_is_not_opened() {
    let (world, target) = world(&["web1"]).await;
    let mut channel = shell(&signed_in(&world, "x").await).await;
    read_until(&mut channel, HINT).await;
    world.withdraw();
    type_in(&channel, "\r").await;
    read_until(&mut channel, "access.denied").await;
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn an_admin_words_what_users_read() {
    let (world, _target) = world(&["web1"]).await;
    world.gateway.show(Texts {
        banner: Texts::lines("For staff only.\nAll is recorded."),
        token_prompt: "Token from the portal:".to_owned(),
        menu_title: "Pick a host".to_owned(),
        help: Some("ask #infra".to_owned()),
        browser: true,
    });
    let mut client = Client::connect(&world).await;
    assert_eq!(client.ask("x+nothing").await, ["Token from the portal:"]);
    client.answer(&world.token(None, 1)).await;
    let goodbye = client.goodbye().await.unwrap();
    assert!(goodbye.ends_with("; ask #infra"), "{goodbye}");
    assert_eq!(client.banner(), "For staff only.\nAll is recorded.\n");
    let client = signed_in(&world, "x").await;
    read_until(&mut shell(&client).await, "Pick a host\r\n").await;
    let outcome = client.run("id").await;
    assert!(outcome.err.contains("; ask #infra"), "{}", outcome.err);
}

/// The end of what the menu draws.
const HINT: &str = "Esc leaves";

async fn world(names: &[&str]) -> (World, FakeTarget) {
    let world = World::start().await;
    let target = FakeTarget::start(Asks::Password).await;
    for name in names {
        let terms = Terms::default();
        let id = world.add(name, Kind::Ssh, &target.address(), managed("ubuntu"), terms);
        world.store_password(id, "right");
    }
    (world, target)
}

/// With a token that opens whatever alice may reach.
async fn signed_in(world: &World, user: &str) -> Client {
    Client::signed_in(world, user, &world.token(None, 1)).await
}

async fn shell(client: &Client) -> Channel<Msg> {
    let channel = client.handle.channel_open_session().await.unwrap();
    channel.request_pty(true, "xterm", 80, 24, 0, 0, &[]).await.unwrap();
    channel.request_shell(true).await.unwrap();
    channel
}

async fn type_in(channel: &Channel<Msg>, keys: &str) {
    channel.data_bytes(keys.as_bytes().to_vec()).await.unwrap();
}

async fn read_until(channel: &mut Channel<Msg>, text: &str) -> String {
    let mut seen = String::new();
    let reading = async {
        while !seen.contains(text) {
            match channel.wait().await.expect("the channel ended") {
                ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. } => {
                    seen.push_str(&String::from_utf8_lossy(&data));
                }
                ChannelMsg::Close => panic!("closed after {seen:?}"),
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("took too long");
    seen
}

/// All that still comes, and the exit status.
async fn rest(channel: &mut Channel<Msg>) -> (String, Option<u32>) {
    let (mut seen, mut status) = (String::new(), None);
    let reading = async {
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. } => {
                    seen.push_str(&String::from_utf8_lossy(&data));
                }
                ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
                ChannelMsg::Close => break,
                _ => {}
            }
        }
    };
    within(reading).await;
    (seen, status)
}
