//! Tests that count or time what the machine as a whole does.

mod crowd;
mod disk;
mod rdp;
mod shortage;
mod web;
mod withdrawn;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testkit::{Deployment, Process, eventually, run, until};

use crate::support::{SOON, World, application};

#[test]
fn five_hundred_sessions_leave_nothing_behind() -> Result<()> {
    let mut world = World::start()?;
    world.deployment.login("alice")?;
    let (tunnel, port) = world.deployment.tunnel("alice", "echo")?;
    // Warm: what is opened once and kept is not a leak.
    open_and_close(port, 50)?;
    eventually(SOON, "all sessions have ended", || sessions(&world) == Some(0))?;
    let before = descriptors(&mut world, &tunnel)?;
    let open = connect(port, 500)?;
    assert_eq!(sessions(&world), Some(500));
    assert_eq!(world.echo.open(), 500);
    drop(open);
    eventually(SOON, "all sessions have ended", || sessions(&world) == Some(0))?;
    eventually(SOON, "the target's connections are closed", || world.echo.open() == 0)?;
    eventually(SOON, "no file descriptor is left", || {
        let after = descriptors(&mut world, &tunnel).unwrap_or_default();
        after.iter().zip(&before).all(|(after, before)| after <= &(before + 3))
    })?;
    let opened = ids(&world.deployment.audit("session.opened")?);
    let ended = ids(&world.deployment.audit("session.ended")?);
    assert_eq!(opened.len(), 550);
    assert_eq!(opened, ended, "each opened session has exactly one end");
    Ok(())
}

#[test]
fn a_killed_session_and_a_revoked_token_end_within_a_second() -> Result<()> {
    let world = World::start()?;
    let mut slowest = Duration::ZERO;
    for round in 0..20 {
        let token = world.token("web1")?;
        let mut ssh = world.ssh(&world.at("web1"), &token)?;
        ssh.arg("echo started; sleep 300");
        let log = world.deployment.dir().join(format!("client-{round}.log"));
        let mut client = Process::start("ssh", ssh, &log)?;
        client.wait_for_log("started", SOON)?;
        let session = world.deployment.sessions()?;
        let id = session[0]["id"].as_str().context("an id")?.to_owned();
        let started = Instant::now();
        let withdraw = match round % 2 {
            0 => world.deployment.admin(&["session", "kill", &id])?,
            _ => world.deployment.admin(&[
                "token",
                "revoke",
                "--user",
                "alice",
                "--application",
                "web1",
            ])?,
        };
        client.wait(SOON)?;
        slowest = slowest.max(started.elapsed());
        withdraw.ok()?;
    }
    assert!(slowest < Duration::from_secs(1), "the slowest took {slowest:?}");
    let reasons = world.deployment.audit("session.ended")?;
    let count =
        |reason: &str| reasons.iter().filter(|row| row.to_string().contains(reason)).count();
    assert_eq!((count("\"killed\""), count("\"revoked\"")), (10, 10));
    Ok(())
}

#[test]
fn a_relay_killed_at_any_moment_loses_nothing_it_acknowledged() -> Result<()> {
    let mut world = World::start()?;
    world.deployment.login("alice")?;
    let (_tunnel, port) = world.deployment.tunnel("alice", "echo")?;
    let mut acknowledged = Vec::new();
    let mut slowest = Duration::ZERO;
    for round in 0..20 {
        let (stop, written) = (AtomicBool::new(false), AtomicUsize::new(0));
        let names = std::thread::scope(|scope| -> Result<Vec<String>> {
            let (deployment, stop, written) = (&world.deployment, &stop, &written);
            let writers: Vec<_> = (0..3)
                .map(|n| scope.spawn(move || write_users(deployment, (round, n), stop, written)))
                .collect();
            scope.spawn(move || open_until(port, stop));
            std::thread::sleep(Duration::from_millis(150 + 17 * round));
            // However slow the machine is: a kill that hits no writer shows nothing.
            eventually(SOON, "a write is acknowledged", || written.load(Relaxed) > 0)?;
            // By its id: the deployment is lent to the writers.
            let relay = deployment.relay_id().to_string();
            run(std::process::Command::new("kill").args(["-KILL", &relay]), SOON)?.ok()?;
            stop.store(true, Relaxed);
            let names = writers.into_iter().map(|writer| writer.join().unwrap_or_default());
            Ok(names.flatten().collect())
        })?;
        acknowledged.extend(names);
        world.deployment.relay().wait(SOON)?;
        let started = Instant::now();
        world.deployment.start_relay()?;
        slowest = slowest.max(started.elapsed());
    }
    let listed = world.deployment.admin_json(&["user", "ls"])?;
    let listed: Vec<_> =
        listed.as_array().context("users")?.iter().map(|row| &row["name"]).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|name| !listed.contains(&&json!(name))).collect();
    assert!(lost.is_empty(), "lost {lost:?} of {}", acknowledged.len());
    assert!(acknowledged.len() >= 20, "only {} writes were under way", acknowledged.len());
    assert!(slowest < Duration::from_secs(2), "a start took {slowest:?}");
    eventually(SOON, "all sessions have ended", || sessions(&world) == Some(0))?;
    all_recorded(&world)?;
    let noted = world.deployment.admin(&["audit", "verify"])?.ok().context("the chain is whole")?;
    let ended = world.deployment.audit("session.ended")?;
    assert!(
        ended.iter().any(|row| row["event"]["reason"] == "abandoned"),
        "none was open at a kill"
    );
    // What was noted while it served is found again in the database itself.
    world.deployment.relay().stop(SOON)?;
    let offline = world.deployment.verify_offline(&["--expect", noted.trim()])?.ok()?;
    assert!(number(&offline) >= number(&noted), "{offline} after {noted}");
    Ok(())
}

#[test]
fn a_thousand_silent_strangers_shut_no_door() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let quiet = honest_login(&world, &token)?;
    let doors = world.deployment.doors();
    for port in [doors.ssh, doors.https] {
        let silent: Vec<_> =
            (0..1000).map_while(|_| TcpStream::connect(("127.0.0.1", port)).ok()).collect();
        assert_eq!(silent.len(), 1000, "port {port}");
        let busy = honest_login(&world, &token)?;
        let limit = (quiet * 2).max(Duration::from_secs(1));
        assert!(busy <= limit, "port {port}: {busy:?} instead of {quiet:?}");
        world.deployment.sessions().with_context(|| format!("the API with port {port} crowded"))?;
        drop(silent);
    }
    Ok(())
}

/// Adds users until told to stop; returns those the relay acknowledged.
fn write_users(
    deployment: &Deployment,
    (round, n): (u64, u64),
    stop: &AtomicBool,
    written: &AtomicUsize,
) -> Vec<String> {
    let names = (0..).map(|count| format!("u{round}-{n}-{count}"));
    let names = names.take_while(|_| !stop.load(Relaxed));
    let acknowledged = |name: &String| {
        let said = deployment.admin(&["user", "add", name]);
        let taken = said.is_ok_and(|said| said.status.success());
        written.fetch_add(usize::from(taken), Relaxed);
        taken
    };
    names.filter(acknowledged).collect()
}

/// Opens sessions until told to stop, and keeps some of them open. While the tunnel has lost the
/// relay there are none.
fn open_until(port: u16, stop: &AtomicBool) {
    let mut open = Vec::new();
    while !stop.load(Relaxed) {
        open.extend(TcpStream::connect(("127.0.0.1", port)));
        if open.len() > 8 {
            open.clear();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// From another address than the strangers', as an honest user's would be.
fn honest_login(world: &World, token: &str) -> Result<Duration> {
    let mut ssh = world.ssh(&world.at("web1"), token)?;
    ssh.args(["-b", "127.0.0.7", "echo in"]);
    let started = Instant::now();
    assert_eq!(run(&mut ssh, SOON)?.ok()?, "in\n");
    Ok(started.elapsed())
}

fn open_and_close(port: u16, count: usize) -> Result<()> {
    connect(port, count).map(drop)
}

/// Connections that each have carried a byte to the target and back.
fn connect(port: u16, count: usize) -> Result<Vec<TcpStream>> {
    let one = |_| {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(SOON))?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
        Ok(stream)
    };
    (0..count).map(one).collect()
}

/// The number of a record noted as `SEQ:HASH`.
fn number(noted: &str) -> Option<u64> {
    noted.split(':').next()?.parse().ok()
}

fn sessions(world: &World) -> Option<usize> {
    world.deployment.sessions().ok().map(|sessions| sessions.len())
}

fn descriptors(world: &mut World, tunnel: &Process) -> Result<[usize; 3]> {
    let relay = world.deployment.relay().descriptors()?;
    let connector = world.deployment.connectors()[0].process.descriptors()?;
    Ok([relay, connector, tunnel.descriptors()?])
}

fn all_recorded(world: &World) -> Result<()> {
    let pairs = || -> Result<_> {
        let opened = ids(&world.deployment.audit("session.opened")?);
        Ok((opened, ids(&world.deployment.audit("session.ended")?)))
    };
    eventually(SOON, "each opened session has exactly one end", || {
        pairs().is_ok_and(|(opened, ended)| opened == ended)
    })
    .with_context(|| format!("{:?}", pairs()))
}

fn ids(rows: &[Value]) -> Vec<String> {
    let id = |row: &Value| row["session"].as_str().map(str::to_owned);
    let mut ids: Vec<_> = rows.iter().filter_map(id).collect();
    ids.sort_unstable();
    ids
}
