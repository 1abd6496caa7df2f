//! What runs on channels: programs, forwards, stalls and ends.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where its surroundings fail")]

mod support;

use std::time::{Duration, Instant};

use access::{Allowed, EndReason, Kind, Login, Side, SshTerms, Terms};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, Sig};
use support::target::{Asks, FakeTarget};
use support::user::{Client, outcome, within};
use support::{World, forwarding, managed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn what_a_client_asks_for_reaches_the_target() {
    let (world, target, client) = managed_client(Terms::default()).await;
    let mut channel = client.handle.channel_open_session().await.unwrap();
    channel.request_pty(true, "xterm", 80, 24, 0, 0, &[]).await.unwrap();
    channel.set_env(false, "LANG", "C").await.unwrap();
    channel.exec(true, "echo").await.unwrap();
    channel.window_change(100, 30, 0, 0).await.unwrap();
    channel.signal(Sig::INT).await.unwrap();
    channel.data_bytes(&b"hello"[..]).await.unwrap();
    channel.eof().await.unwrap();
    let outcome = outcome(&mut channel).await;
    assert_eq!((&outcome.out[..], outcome.status), (&b"hello"[..], Some(0)));
    let asked = ["pty xterm 80x24", "env LANG=C", "exec echo", "window 100x30", "signal INT"];
    assert_eq!(target.requests(), asked);
    assert!(world.audit.actions().contains(&"ssh.exec echo".to_owned()));
}

#[tokio::test]
async fn a_killed_program_ends_with_its_signal() {
    let (_world, _target, client) = managed_client(Terms::default()).await;
    let outcome = client.run("signal").await;
    assert_eq!((outcome.signal.as_deref(), outcome.status), (Some("TERM"), None));
}

#[tokio::test]
async fn a_subsystem_that_the_target_lacks_is_refused() {
    let (_world, _target, client) = managed_client(Terms::default()).await;
    let mut channel = client.handle.channel_open_session().await.unwrap();
    channel.request_subsystem(true, "nope").await.unwrap();
    let outcome = outcome(&mut channel).await;
    assert_eq!(outcome.status, Some(255));
    assert!(outcome.err.contains("refused to start"), "{}", outcome.err);
}

#[tokio::test]
async fn file_transfer_is_refused_where_the_grant_has_none_and_nothing_else_is() {
    let none = Terms { file_transfer: false, ..Terms::default() };
    let (world, target, client) = managed_client(none).await;
    for command in ["scp -t /tmp/x", "scp -f /etc/hosts", "sudo rsync --server -e.L . /srv"] {
        let refused = client.run(command).await;
        assert_eq!(refused.status, Some(255), "{command}");
        assert!(refused.err.contains("(access.file_transfer)"), "{}", refused.err);
        let noted = format!("ssh.refused ssh.exec {command}");
        assert!(world.audit.actions().contains(&noted), "{:?}", world.audit.actions());
    }
    let mut channel = client.handle.channel_open_session().await.unwrap();
    channel.request_subsystem(true, "sftp").await.unwrap();
    let refused = outcome(&mut channel).await;
    assert!(refused.err.contains("(access.file_transfer)"), "{}", refused.err);
    assert!(world.audit.actions().contains(&"ssh.refused ssh.sftp".to_owned()));
    assert!(target.requests().is_empty(), "{:?}", target.requests());
    assert_eq!(client.run("flood 10").await.out.len(), 10);
}

#[tokio::test]
async fn a_grant_of_commands_opens_those_and_nothing_else() {
    let exec = Allowed::from(vec!["status 7".to_owned(), "flood *".to_owned()]);
    let ssh = SshTerms { shell: false, exec, scp: Some(false), ..SshTerms::default() };
    let (world, target, client) = managed_client(Terms { ssh, ..Terms::default() }).await;
    assert_eq!(client.run("status 7").await.status, Some(7));
    assert_eq!(client.run("flood 10").await.out.len(), 10);
    for command in ["status 8", "status 7;id", "flood $(id)", "flood 1 2", "sh", ""] {
        let refused = client.run(command).await;
        assert!(refused.err.contains("(access.ssh)"), "{command}: {}", refused.err);
        let noted = format!("ssh.refused ssh.exec {command}");
        assert!(world.audit.actions().contains(&noted.trim_end().to_owned()), "{noted}");
    }
    let mut shell = client.handle.channel_open_session().await.unwrap();
    shell.request_shell(true).await.unwrap();
    let refused = outcome(&mut shell).await;
    assert!(refused.err.contains("allows no shell (access.ssh)"), "{}", refused.err);
    let mut subsystem = client.handle.channel_open_session().await.unwrap();
    subsystem.request_subsystem(true, "netconf").await.unwrap();
    let refused = outcome(&mut subsystem).await;
    assert!(refused.err.contains("(access.ssh)"), "{}", refused.err);
    for action in ["ssh.refused ssh.shell", "ssh.refused ssh.subsystem netconf"] {
        assert!(world.audit.actions().contains(&action.to_owned()), "{action}");
    }
    assert_eq!(target.requests(), ["exec status 7", "exec flood 10"]);
}

#[tokio::test]
async fn only_variables_that_may_pass_do() {
    let environment = Allowed::from(vec!["LC_*".to_owned()]);
    let ssh = SshTerms { environment, ..SshTerms::default() };
    let (world, target, client) = managed_client(Terms { ssh, ..Terms::default() }).await;
    let mut channel = client.handle.channel_open_session().await.unwrap();
    for (name, answer) in [("LC_ALL", true), ("LD_PRELOAD", false), ("LANG", false)] {
        channel.set_env(true, name, "x").await.unwrap();
        let told = within(channel.wait()).await;
        assert_eq!(matches!(told, Some(ChannelMsg::Success)), answer, "{name}: {told:?}");
    }
    channel.exec(true, "status 0").await.unwrap();
    assert_eq!(outcome(&mut channel).await.status, Some(0));
    assert_eq!(target.requests(), ["env LC_ALL=x", "exec status 0"]);
    let noted = "ssh.env_refused LD_PRELOAD LANG".to_owned();
    assert!(world.audit.actions().contains(&noted), "{:?}", world.audit.actions());
}

#[tokio::test]
async fn what_is_not_known_or_not_safe_is_refused() {
    let (world, target, client) = managed_client(forwarding()).await;
    let mut channel = client.handle.channel_open_session().await.unwrap();
    channel.request_x11(true, false, "MIT-MAGIC-COOKIE-1", "00", 0).await.unwrap();
    let answer = within(channel.wait()).await;
    assert!(matches!(answer, Some(ChannelMsg::Failure)), "{answer:?}");
    assert!(client.handle.streamlocal_forward("/tmp/x").await.is_err());
    assert!(client.handle.channel_open_direct_streamlocal("/tmp/x").await.is_err());
    assert!(client.handle.channel_open_x11("127.0.0.1", 1).await.is_err());
    assert!(target.requests().is_empty());
    let noted = world.audit.actions();
    assert_eq!(noted.iter().filter(|noted| **noted == "ssh.forward_refused /tmp/x").count(), 2);
}

/// One channel's target reads nothing: the other channels of the connection do not notice, what it
/// was sent is bounded, and all of it arrives once the target reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_upload_disturbs_no_other_channel_and_loses_nothing() {
    let (world, target, client) = managed_client(Terms::default()).await;
    let stalled = client.exec("sink").await;
    let (mut reader, writer) = stalled.split();
    let mut upload = tokio::task::JoinSet::new();
    upload.spawn(async move {
        for _ in 0..UPLOAD / CHUNK {
            writer.data_bytes(vec![0; CHUNK]).await.unwrap();
        }
        writer.eof().await.unwrap();
        writer
    });
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(upload.try_join_next().is_none(), "the stalled channel took everything");
    quick_answers(&client).await;
    assert_eq!(world.gateway.held(), 0, "the whole connection was held");
    target.shared.released.notify_one();
    let _writer = within(upload.join_next()).await.unwrap();
    let mut said = Vec::new();
    while let Some(message) = within(reader.wait()).await {
        if let ChannelMsg::Data { data } = message {
            said.extend_from_slice(&data);
        }
    }
    assert_eq!(String::from_utf8(said).unwrap(), UPLOAD.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_session_is_told_and_cut_within_a_second_even_when_stalled() {
    let (world, _target, client) = managed_client(Terms::default()).await;
    let sink = client.exec("sink").await;
    let mut shell = client.exec("echo").await;
    let (_reader, writer) = sink.split();
    let mut pumping = tokio::task::JoinSet::new();
    pumping.spawn(async move { while writer.data_bytes(vec![0; CHUNK]).await.is_ok() {} });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let started = Instant::now();
    world.kill(world.broker.live()[0].id, "maintenance\x1b[2J\nnow");
    let told = outcome(&mut shell).await;
    let words = "an administrator ended this session: maintenance\\u{1b}[2J\\nnow";
    assert!(told.err.contains(words), "{told:?}");
    let goodbye = client.goodbye().await.unwrap_or_default();
    assert!(goodbye.contains(words), "{goodbye:?}");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(support::end(&world).await, (EndReason::Killed, Side::Relay));
    assert!(world.broker.live().is_empty());
}

#[tokio::test]
async fn withdrawn_access_ends_the_session_in_the_users_own_words() {
    let (world, _target, client) = managed_client(Terms::default()).await;
    let mut shell = client.exec("echo").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.withdraw();
    assert!(outcome(&mut shell).await.err.contains("your access was withdrawn"));
    assert_eq!(support::end(&world).await, (EndReason::Revoked, Side::Relay));
}

#[tokio::test]
async fn a_session_that_needs_a_sign_in_ends_with_it_and_says_what_to_do() {
    let (world, target) = (World::start().await, FakeTarget::start(Asks::Password).await);
    let terms = Terms { require_active_session: true, ..Terms::default() };
    let id = world.add("web1", Kind::Ssh, &target.address(), managed("ubuntu"), terms);
    world.store_password(id, "right");
    drop(world.agent([127, 0, 0, 1].into()));
    let client = Client::signed_in(&world, "x", &world.token(Some(id), 1)).await;
    let mut shell = client.exec("echo").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    world.log_out();
    let told = outcome(&mut shell).await.err;
    assert!(told.contains("signed in nowhere") && told.contains("`adit login URL`"), "{told}");
    assert_eq!(support::end(&world).await, (EndReason::SignedOut, Side::Relay));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_stopping_relay_says_so() {
    let (world, _target, client) = managed_client(Terms::default()).await;
    let mut shell = client.exec("echo").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.drain.cancel();
    assert!(outcome(&mut shell).await.err.contains("the relay is stopping"));
    assert_eq!(support::end(&world).await, (EndReason::Drained, Side::Relay));
}

#[tokio::test]
async fn bytes_are_counted_and_the_end_is_recorded() {
    let (world, _target, client) = managed_client(Terms::default()).await;
    assert_eq!(client.run("flood 100000").await.out.len(), 100_000);
    assert_eq!(world.broker.live()[0].down, 100_000);
    let goodbye = client.handle.disconnect(russh::Disconnect::ByApplication, "", "");
    goodbye.await.unwrap();
    assert_eq!(support::end(&world).await, (EndReason::Closed, Side::Client));
}

#[tokio::test]
async fn channels_that_run_at_once_have_connections_of_their_own() {
    let (_world, target, client) = managed_client(Terms::default()).await;
    let first = client.exec("echo").await;
    let second = client.exec("echo").await;
    client.run("status 0").await;
    assert_eq!(target.connections(), 3);
    drop((first, second));
    client.run("status 0").await;
    assert_eq!(target.connections(), 3, "an idle connection was not used again");
}

#[tokio::test]
async fn a_forward_needs_leave_and_is_on_record_where_it_has_none() {
    let (world, _target, client) = managed_client(Terms::default()).await;
    let told = client.refused("127.0.0.1", 9).await;
    assert!(told.contains("does not allow this forward (access.forwarding)"), "{told}");
    assert_eq!(world.audit.refused(), ["ssh.forward_refused 127.0.0.1:9 (access.forwarding)"]);
    assert!(client.handle.channel_open_x11("127.0.0.1", 1).await.is_err());
    let last = world.audit.refused().pop().unwrap_or_default();
    assert!(
        last.starts_with("ssh.channel_refused ") && last.contains("ssh.channel_type"),
        "{last}"
    );
    assert!(world.audit.denied().is_empty(), "{:?}", world.audit.denied());
}

/// As `ssh -J` is, which names no application of its own.
#[tokio::test]
async fn what_a_connection_without_an_application_is_refused_is_on_record() {
    let (world, target, _) = managed_client(Terms::default()).await;
    world.add_forbidden("secret", Kind::Ssh, &target.address(), managed("ubuntu"));
    let client = Client::signed_in(&world, "alice", &world.token(None, 1)).await;
    let absent = client.refused("nothing", 22).await;
    assert!(
        absent.contains("no access to an application of that name (access.denied)"),
        "{absent}"
    );
    for forbidden in [("secret", 22), ("secret", 9), ("secret.hq", 9)] {
        assert_eq!(client.refused(forbidden.0, forbidden.1).await, absent, "{forbidden:?}");
    }
    assert!(client.handle.tcpip_forward("localhost", 8080).await.is_err());
    assert!(client.handle.streamlocal_forward("/tmp/x").await.is_err());
    assert!(client.handle.channel_open_direct_streamlocal("/tmp/y").await.is_err());
    let expected = [
        "access.denied nothing:22",
        "access.denied secret:22",
        "access.denied secret:9",
        "access.denied secret.hq:9",
        "ssh.no_application localhost:8080",
        "ssh.no_application /tmp/x",
        "ssh.no_application /tmp/y",
    ];
    assert_eq!(world.audit.denied(), expected);
}

#[tokio::test]
async fn who_asks_for_another_port_of_an_application_is_told_its_own() {
    let (world, target, bound) = managed_client(Terms::default()).await;
    world.add("db", Kind::Tcp, "10.0.0.7:5432", Login::Transparent, Terms::default());
    world.add_forbidden("db2", Kind::Tcp, "10.0.0.8:5432", Login::Transparent);
    let jump = Client::signed_in(&world, "alice", &world.token(None, 1)).await;
    let told = jump.refused("db", 5433).await;
    let own = "db.hq is at port 5432 (access.port); forward to db.hq:5432";
    assert!(told.contains(own), "{told}");
    // A token of one application says nothing of another.
    let told = bound.refused("db", 5433).await;
    assert!(told.contains("(access.forwarding)"), "{told}");
    let hidden = jump.refused("db2", 5433).await;
    assert!(hidden.contains("(access.denied)") && !hidden.contains("5432"), "{hidden}");
    let ssh = jump.refused("web1", 2).await;
    let port = target.address().rsplit_once(':').unwrap().1.to_owned();
    assert!(ssh.contains(&format!("web1.hq is at port {port}")), "{ssh}");
    let denied = ["access.port db:5433", "access.denied db2:5433", "access.port web1:2"];
    assert_eq!(world.audit.denied(), denied);
}

#[tokio::test]
async fn a_jump_reaches_an_application_under_a_session_of_its_own() {
    let (world, _target, _) = managed_client(Terms::default()).await;
    let echo = testkit::Echo::start(None).unwrap();
    world.add("db", Kind::Tcp, &echo.address(), Login::Transparent, Terms::default());
    // The jump itself names no application.
    let client = Client::signed_in(&world, "alice", &world.token(None, 1)).await;
    for host in ["db", "db.hq", "db-hq.relay.example", "db.adit"] {
        let port = u32::from(echo.port());
        let channel = client.handle.channel_open_direct_tcpip(host, port, "::1", 1).await.unwrap();
        assert_eq!(round_trip(channel).await, b"ping");
    }
    let forbidden = "nope";
    assert!(client.handle.channel_open_direct_tcpip(forbidden, 22, "::1", 1).await.is_err());
    within(async {
        while world.audit.ends().len() < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let orderly = |(reason, _): &(EndReason, Side)| *reason == EndReason::Closed;
    assert!(world.audit.ends().iter().all(orderly), "{:?}", world.audit.ends());
}

/// As `ssh -W` does, which waits for the other side to close.
#[tokio::test]
async fn a_forward_is_closed_once_both_sides_have_said_all() {
    let (world, _target, _) = managed_client(Terms::default()).await;
    let echo = testkit::Echo::start(None).unwrap();
    world.add("db", Kind::Tcp, &echo.address(), Login::Transparent, Terms::default());
    let client = Client::signed_in(&world, "alice", &world.token(None, 1)).await;
    let port = u32::from(echo.port());
    let mut channel = client.handle.channel_open_direct_tcpip("db", port, "::1", 1).await.unwrap();
    channel.data_bytes(&b"ping"[..]).await.unwrap();
    channel.eof().await.unwrap();
    let closed = async { while !matches!(channel.wait().await, Some(ChannelMsg::Close) | None) {} };
    tokio::time::timeout(Duration::from_secs(5), closed).await.unwrap();
}

#[tokio::test]
async fn a_password_can_be_typed_at_the_terminal() {
    let world = World::start().await;
    let target = FakeTarget::start(Asks::Password).await;
    let id = world.add("web1", Kind::Ssh, &target.address(), Login::Transparent, Terms::default());
    let token = world.token(Some(id), 1);
    let mut client = Client::connect(&world).await;
    client.ask("ubuntu").await;
    client.answer(&token).await;
    // No password now: it will be asked for on the terminal.
    client.answer(&token).await;
    let mut channel = client.handle.channel_open_session().await.unwrap();
    channel.request_pty(true, "xterm", 80, 24, 0, 0, &[]).await.unwrap();
    channel.request_shell(true).await.unwrap();
    read_until(&mut channel, "ubuntu@web1's password: ").await;
    channel.data_bytes(&b"rigx\x7fht\r"[..]).await.unwrap();
    channel.data_bytes(&b"hello"[..]).await.unwrap();
    let shown = read_until(&mut channel, "hello").await;
    assert!(!shown.contains("right"), "{shown}");
    assert_eq!(target.passwords(), ["right"]);
}

#[tokio::test]
async fn more_channels_than_there_are_places_are_refused_and_places_come_back() {
    let (world, _target, client) = managed_client(Terms::default()).await;
    let mut open = Vec::new();
    for _ in 0..256 {
        open.push(client.handle.channel_open_session().await.unwrap());
    }
    assert!(client.handle.channel_open_session().await.is_err());
    let told = client.refused("127.0.0.1", 9).await;
    assert!(told.contains("(ssh.too_many_channels)"), "{told}");
    let refused = world.audit.refused();
    assert!(refused[0].starts_with("ssh.channel_refused "), "{refused:?}");
    assert_eq!(refused[1], "ssh.forward_refused 127.0.0.1:9 (ssh.too_many_channels)");
    let last = open.pop().unwrap();
    last.close().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(client.handle.channel_open_session().await.is_ok());
}

const CHUNK: usize = 32 * 1024;
const UPLOAD: usize = 32 << 20;

async fn managed_client(terms: Terms) -> (World, FakeTarget, Client) {
    let world = World::start().await;
    let target = FakeTarget::start(Asks::Password).await;
    let id = world.add("web1", Kind::Ssh, &target.address(), managed("ubuntu"), terms);
    world.store_password(id, "right");
    let token = world.token(Some(id), 1);
    let client = Client::signed_in(&world, "x", &token).await;
    (world, target, client)
}

/// Keystrokes are echoed within 100 ms, as told by the median: the machine may be busy otherwise, but
/// a held connection answers none of them.
async fn quick_answers(client: &Client) {
    let mut shell = client.exec("echo").await;
    let mut times = Vec::new();
    for _ in 0..12 {
        let started = Instant::now();
        shell.data_bytes(&b"k"[..]).await.unwrap();
        read_until(&mut shell, "k").await;
        times.push(started.elapsed());
    }
    // The first waited for the program to start.
    let mut times = times.split_off(1);
    times.sort();
    assert!(times[times.len() / 2] < Duration::from_millis(100), "{times:?}");
    assert!(times[times.len() - 1] < Duration::from_secs(2), "{times:?}");
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
    within(reading).await;
    seen
}

async fn round_trip(channel: Channel<Msg>) -> Vec<u8> {
    let mut stream = channel.into_stream();
    stream.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    within(stream.read_exact(&mut back)).await.unwrap();
    back.to_vec()
}
