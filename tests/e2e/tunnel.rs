//! `adit tunnel` and `adit proxy`: any application on a local port.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use testkit::{Postgres, Process, eventually, run, run_with_input, until};

use crate::support::{SOON, World, application, assert_says, grant};

#[test]
fn psql_and_pgbench_work_as_without_us() -> Result<()> {
    let world = World::start()?;
    let postgres = Postgres::start()?;
    let document = application("orders-db", "postgres", &postgres.address());
    world.deployment.apply(&(document + &grant("alice", "orders-db")))?.ok()?;
    world.deployment.login("alice")?;
    let (tunnel, port) = world.deployment.tunnel("alice", "orders-db")?;

    let sum = postgres.psql(port, "select sum(cents) from orders")?.ok()?;
    assert_eq!(sum.trim(), "631250");
    let mut initialise = postgres.client("pgbench", port);
    run(initialise.args(["-i", "-q", "-s", "1", Postgres::DATABASE]), SOON)?.ok()?;
    let mut bench = postgres.client("pgbench", port);
    bench.args(["-c", "8", "-j", "2", "-T", "3", "-n", Postgres::DATABASE]);
    let report = run(&mut bench, SOON)?.ok()?;
    assert!(report.contains("number of failed transactions: 0"), "{report}");
    drop(tunnel);
    Ok(())
}

#[test]
fn many_connections_at_once_each_get_their_own_bytes_back() -> Result<()> {
    let world = World::start()?;
    world.deployment.login("alice")?;
    let (_tunnel, port) = world.deployment.tunnel("alice", "echo")?;
    let clients: Vec<_> = (0..32u8).map(|n| thread::spawn(move || round_trips(port, n))).collect();
    for client in clients {
        client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
    }
    Ok(())
}

#[test]
fn a_side_that_has_said_all_still_hears_the_answer() -> Result<()> {
    let world = World::start()?;
    world.deployment.login("alice")?;
    let input: Vec<u8> = (0..5_000_000u32).map(|n| (n % 249) as u8).collect();
    let mut proxy = world.deployment.adit("alice");
    let output = run_with_input(proxy.args(["proxy", "echo"]), &input, SOON)?;
    assert!(output.stdout == input, "{} bytes: {}", output.stdout.len(), output.stderr);
    assert!(output.status.success(), "{}", output.stderr);
    Ok(())
}

#[test]
fn what_the_admin_who_ends_a_session_has_to_say_is_told_behind_tunnel_proxy_and_db() -> Result<()> {
    let world = World::start()?;
    let postgres = Postgres::start()?;
    let document = application("orders-db", "postgres", &postgres.address());
    world.deployment.apply(&(document + &grant("alice", "orders-db")))?.ok()?;
    world.deployment.login("alice")?;
    let end_it = |words: &str| -> Result<()> {
        let open = until(SOON, "a session is open", || {
            Some(world.deployment.sessions().ok()?.first()?["id"].as_str()?.to_owned())
        })?;
        world.deployment.admin(&["session", "kill", &open, "--message", words])?.ok()?;
        Ok(())
    };
    let told = |words: &str| format!("an administrator ended this session: {words}");

    let (mut tunnel, port) = world.deployment.tunnel("alice", "echo")?;
    let mut client = TcpStream::connect(("127.0.0.1", port))?;
    client.write_all(b"ping")?;
    client.read_exact(&mut [0; 4])?;
    end_it("back at five")?;
    tunnel.wait_for_log(&told("back at five"), SOON)?;
    drop((client, tunnel));

    let mut proxy = world.deployment.adit("alice");
    proxy.args(["proxy", "echo"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let proxy = proxy.stderr(Stdio::piped()).spawn()?;
    end_it("back at six")?;
    // It ends by itself, and at the latest when its input does.
    let proxy = proxy.wait_with_output()?;
    let said = String::from_utf8_lossy(&proxy.stderr);
    assert!(!proxy.status.success() && said.contains(&told("back at six")), "{said}");

    // A client that waits for an answer is gone as soon as it hears of the end.
    let mut db = world.deployment.adit("alice");
    db.args(["db", "orders-db", "-u", Postgres::USER, "-d", Postgres::DATABASE, "--"]);
    let path = std::env::join_paths([postgres.bin(), "/usr/bin".as_ref()])?;
    db.args(["-c", "select pg_sleep(60)"]).env("PGPASSWORD", postgres.password());
    db.env("PATH", path);
    let mut db = Process::start("adit db", db, &world.deployment.dir().join("db.log"))?;
    end_it("back at seven")?;
    assert!(!db.wait(SOON)?.success());
    assert!(db.log().contains(&told("back at seven")), "{}", db.tail());
    Ok(())
}

#[test]
fn the_agent_runs_the_systems_ssh_in_both_modes() -> Result<()> {
    let world = World::start()?;
    world.deployment.login("alice")?;
    let account = world.sshd.account();
    let mut managed = world.deployment.adit("alice");
    managed.args(["ssh", &format!("{account}@web1"), "--", "echo managed; exit 4"]);
    let output = run(&mut managed, SOON)?;
    assert_eq!(
        (output.text().as_str(), output.code()),
        ("managed\n", Some(4)),
        "{}",
        output.stderr
    );
    let mut transparent = world.deployment.adit("alice");
    transparent.args(["ssh", &format!("{account}@web2"), "--", "-i"]);
    transparent.arg(world.sshd.client_key()).args(["-o", "IdentitiesOnly=yes", "echo transparent"]);
    assert_eq!(run(&mut transparent, SOON)?.ok()?, "transparent\n");
    Ok(())
}

#[test]
fn an_agent_lists_what_its_user_can_reach_and_nothing_else() -> Result<()> {
    let world = World::start()?;
    for (user, expected) in [("alice", ["echo", "web1", "web2"].as_slice()), ("bob", &[])] {
        world.deployment.login(user)?;
        let listed = run(world.deployment.adit(user).args(["ls", "--json"]), SOON)?.ok()?;
        let listed: serde_json::Value = serde_json::from_str(&listed)?;
        let names = listed.as_array().context("a list")?.iter();
        let mut names: Vec<_> = names.filter_map(|row| row["name"].as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{user}");
    }
    Ok(())
}

#[test]
fn a_tunnel_says_in_one_line_what_is_wrong_and_survives_it() -> Result<()> {
    let mut world = World::start()?;
    world.deployment.login("alice")?;
    let (tunnel, port) = world.deployment.tunnel("alice", "echo")?;
    round_trips(port, 1)?;
    world.deployment.connectors()[0].process.kill();
    eventually(SOON, "the tunnel says that the site is offline", || {
        drop(round_trips(port, 2));
        tunnel.log().contains("connector.offline")
    })?;
    world.deployment.start_connector(0)?;
    eventually(SOON, "new connections work again", || round_trips(port, 3).is_ok())
}

#[test]
fn a_token_alone_is_enough_for_its_application() -> Result<()> {
    let world = World::start()?;
    let token = world.deployment.token("alice", "echo", &["--uses", "2"])?;
    let (mut tunnel, port) = world.deployment.tunnel_by(by_token(&world, &token), "echo")?;
    round_trips(port, 1)?;

    let other = run(by_token(&world, &token).args(["proxy", "web2"]), SOON)?;
    assert_eq!(other.code(), Some(3), "{}", other.both());
    assert_says(&other, "access.denied");
    let more = run(by_token(&world, &token).args(["proxy", "echo"]), SOON)?;
    assert_eq!(more.code(), Some(3), "{}", more.both());
    assert_says(&more, "token.used_up");

    let mut open = TcpStream::connect(("127.0.0.1", port))?;
    open.write_all(b"in")?;
    open.read_exact(&mut [0; 2])?;
    open.set_read_timeout(Some(Duration::from_secs(15)))?;
    world
        .deployment
        .admin(&["token", "revoke", "--user", "alice", "--application", "echo"])?
        .ok()?;
    let revoked = Instant::now();
    let left = open.read(&mut [0; 1]).unwrap_or(0);
    assert_eq!(left, 0, "nothing comes any more");
    assert!(revoked.elapsed() < Duration::from_secs(1), "{:?}", revoked.elapsed());
    eventually(SOON, "the tunnel ends", || !tunnel.is_running())?;
    assert!(tunnel.log().contains("token.revoked"), "{}", tunnel.log());
    Ok(())
}

#[test]
fn a_token_alone_is_enough_for_ssh_too() -> Result<()> {
    let world = World::start()?;
    let token = world.deployment.token("alice", "web1", &[])?;
    let mut ssh = by_token(&world, &token);
    ssh.args(["ssh", &format!("{}@web1", world.sshd.account()), "--", "echo in"]);
    assert_eq!(run(&mut ssh, SOON)?.ok()?, "in\n");
    Ok(())
}

/// The agent of somebody who holds this token and nothing else: no login, no CA certificate.
fn by_token(world: &World, token: &str) -> Command {
    let mut command = world.deployment.adit("nobody");
    command.env("ADIT_TOKEN", token).env_remove("ADIT_CA");
    command
}

#[test]
fn a_signed_out_agent_is_a_stranger() -> Result<()> {
    let world = World::start()?;
    world.deployment.login("alice")?;
    run(world.deployment.adit("alice").arg("logout"), SOON)?.ok()?;
    let output = run(world.deployment.adit("alice").args(["proxy", "echo"]), SOON)?;
    assert_eq!(output.code(), Some(3), "{}", output.both());
    assert_says(&output, "adit login");
    Ok(())
}

/// Sends and gets back a few megabytes that only client `n` sends.
fn round_trips(port: u16, n: u8) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(15)))?;
    let block = vec![n; 64 * 1024];
    let mut back = vec![0; block.len()];
    for _ in 0..16 {
        stream.write_all(&block)?;
        stream.read_exact(&mut back)?;
        anyhow::ensure!(back == block, "another's bytes");
    }
    Ok(())
}
