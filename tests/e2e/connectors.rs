//! Connectors and relays that go away and come back.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use testkit::{Deployment, Process, eventually, run};

use crate::support::{SOON, World};

/// The allow list of the first connector of a deployment.
fn loopback() -> Vec<String> {
    vec!["127.0.0.1/32:*".to_owned()]
}

#[test]
fn a_killed_connector_ends_its_sessions_and_serves_new_ones_once_it_is_back() -> Result<()> {
    let mut world = World::start()?;
    let token = world.token("web1")?;
    let mut ssh = world.ssh(&world.at("web1"), &token)?;
    ssh.arg("echo started; sleep 300");
    let log = world.deployment.dir().join("client.log");
    let mut client = Process::start("ssh", ssh, &log)?;
    client.wait_for_log("started", SOON)?;

    world.deployment.connectors()[0].process.kill();
    let ended = client.wait(Duration::from_secs(15))?;
    assert_eq!(ended.code(), Some(255), "{}", client.log());
    eventually(SOON, "the session is closed in the audit log", || {
        world.deployment.audit("session.ended").is_ok_and(|rows| rows.len() == 1)
    })?;
    world.deployment.start_connector(0)?;
    world.deployment.wait_for_connectors(1)?;
    assert_eq!(world.exec("web1", "echo again")?.ok()?, "again\n");
    Ok(())
}

#[test]
fn a_dial_uses_the_connector_that_is_left() -> Result<()> {
    let mut world = World::start()?;
    world.deployment.join(Deployment::SITE, "second", &loopback())?;
    world.deployment.connectors()[0].process.kill();
    // At once: the relay has not even noticed yet.
    let started = Instant::now();
    for _ in 0..4 {
        assert_eq!(world.exec("web1", "echo in")?.ok()?, "in\n");
    }
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    Ok(())
}

#[test]
fn a_drained_connector_keeps_its_sessions_until_they_end_and_the_other_takes_the_new() -> Result<()>
{
    let mut world = World::start()?;
    let (long, end) = until_told(&mut world, "long")?;
    world.deployment.join(Deployment::SITE, "second", &loopback())?;
    let mut drain = drain(&world, 0, "5m")?;
    drain.wait_for_log(" sessions go on", SOON)?;
    let opened = status(&world, 0)?["opened"].clone();
    for _ in 0..3 {
        assert_eq!(world.exec("web1", "echo new")?.ok()?, "new\n");
    }
    let status = status(&world, 0)?;
    assert_eq!((&status["state"], &status["opened"]), (&"draining".into(), &opened), "{status}");
    assert!(drain.is_running(), "{}", drain.log());
    let listed = world.deployment.admin_json(&["connector", "ls"])?;
    let listed = listed.as_array().context("a list")?;
    let draining: Vec<_> = listed.iter().filter(|row| row["draining"] == true).collect();
    assert_eq!(draining.len(), 1, "{listed:?}");
    assert_eq!(draining[0]["name"], world.deployment.connectors()[0].name, "{listed:?}");

    std::fs::write(&end, "")?;
    let mut long = long;
    assert!(long.wait(SOON)?.success(), "{}", long.log());
    assert!(long.log().contains("ended"), "{}", long.log());
    assert!(drain.wait(SOON)?.success(), "{}", drain.log());
    assert!(drain.log().contains("all sessions have ended"), "{}", drain.log());

    // It takes sessions again when it is told to, and there is no other.
    resume(&world, 0)?;
    world.deployment.connectors()[1].process.stop(SOON)?;
    assert_eq!(world.exec("web1", "echo back")?.ok()?, "back\n");
    let ended = world.deployment.connectors()[0].process.stop(SOON)?;
    assert!(ended.success(), "{ended:?}");
    Ok(())
}

#[test]
fn what_has_not_ended_within_the_limit_of_a_drain_is_cut_and_counted() -> Result<()> {
    let mut world = World::start()?;
    let (mut long, _end) = until_told(&mut world, "cut")?;
    let mut drain = drain(&world, 0, "2s")?;
    assert_eq!(drain.wait(SOON)?.code(), Some(3), "{}", drain.log());
    assert!(drain.log().contains(" sessions were cut"), "{}", drain.log());
    assert_eq!(long.wait(SOON)?.code(), Some(255), "{}", long.log());
    eventually(SOON, "the session ended at its target's side", || {
        let ended = world.deployment.audit("session.ended").unwrap_or_default();
        ended.len() == 1 && ended[0].to_string().contains("\"target\"")
    })
}

/// An ssh session that has begun, and ends when the file is there.
fn until_told(world: &mut World, name: &str) -> Result<(Process, std::path::PathBuf)> {
    let end = std::env::temp_dir().join(format!("adit-{name}-{}", std::process::id()));
    drop(std::fs::remove_file(&end));
    let token = world.token("web1")?;
    let mut ssh = world.ssh(&world.at("web1"), &token)?;
    let wait = format!("while [ ! -e {} ]; do sleep 0.1; done", end.display());
    ssh.arg(format!("echo started; {wait}; echo ended"));
    let log = world.deployment.dir().join(format!("{name}.log"));
    let mut client = Process::start("ssh", ssh, &log)?;
    client.wait_for_log("started", SOON)?;
    Ok((client, end))
}

fn connector(world: &World, index: usize, command: &str) -> Result<std::process::Command> {
    let state = match index {
        0 => world.deployment.dir().join(format!("connector-{}-1", Deployment::SITE)),
        _ => world.deployment.dir().join("connector-second"),
    };
    let mut program = std::process::Command::new(testkit::bin_dir()?.join("adit-connector"));
    program.arg(command).arg("--state").arg(state);
    Ok(program)
}

fn drain(world: &World, index: usize, within: &str) -> Result<Process> {
    let mut drain = connector(world, index, "drain")?;
    drain.args(["--within", within]);
    Process::start("drain", drain, &world.deployment.dir().join("drain.log"))
}

fn resume(world: &World, index: usize) -> Result<()> {
    let mut resume = connector(world, index, "drain")?;
    run(resume.arg("--resume"), SOON)?.ok().map(drop)
}

fn status(world: &World, index: usize) -> Result<serde_json::Value> {
    let mut status = connector(world, index, "status")?;
    let shown: serde_json::Value =
        serde_json::from_slice(&run(status.arg("--json"), SOON)?.stdout)?;
    Ok(shown["status"].clone())
}

#[test]
fn a_connector_that_vanished_without_a_word_is_missed_within_ten_seconds() -> Result<()> {
    let mut world = World::start()?;
    world.deployment.connectors()[0].process.freeze();
    let offline = || {
        let listed = world.deployment.admin_json(&["connector", "ls"]).unwrap_or_default();
        listed[0]["online"] == false
    };
    eventually(Duration::from_secs(12), "it is listed as offline", offline)?;
    world.deployment.connectors()[0].process.resume();
    world.deployment.wait_for_connectors(1)
}

#[test]
fn a_restarted_relay_gets_its_connector_back_by_itself() -> Result<()> {
    let mut world = World::start()?;
    assert_eq!(world.exec("web1", "echo before")?.ok()?, "before\n");
    world.deployment.relay().stop(SOON)?;
    world.deployment.start_relay()?;
    world.deployment.wait_for_connectors(1)?;
    assert_eq!(world.exec("web1", "echo after")?.ok()?, "after\n");
    Ok(())
}

#[test]
fn a_relay_that_was_killed_closes_its_books_at_the_next_start() -> Result<()> {
    let mut world = World::start()?;
    let token = world.token("web1")?;
    let mut ssh = world.ssh(&world.at("web1"), &token)?;
    ssh.arg("echo started; sleep 300");
    let log = world.deployment.dir().join("client.log");
    let mut client = Process::start("ssh", ssh, &log)?;
    client.wait_for_log("started", SOON)?;
    world.deployment.relay().kill();
    client.wait(SOON)?;
    world.deployment.start_relay()?;
    let ended = world.deployment.audit("session.ended")?;
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert!(ended[0].to_string().contains("abandoned"), "{ended:?}");
    Ok(())
}

#[test]
fn a_stopped_relay_drains_and_ends_well() -> Result<()> {
    let mut world = World::start()?;
    let status = world.deployment.relay().stop(SOON)?;
    assert!(status.success(), "{}", world.deployment.relay().tail());
    assert!(!world.deployment.relay().log().contains("panicked"));
    Ok(())
}

#[test]
fn a_removed_connector_does_not_come_back() -> Result<()> {
    let mut world = World::start()?;
    let listed = world.deployment.admin_json(&["connector", "ls"])?;
    let id = listed[0]["id"].as_str().unwrap_or_default().to_owned();
    world.deployment.admin(&["connector", "rm", &id])?.ok()?;
    eventually(SOON, "the connector is gone", || {
        world
            .deployment
            .admin_json(&["connector", "ls"])
            .is_ok_and(|listed| listed == serde_json::json!([]))
    })?;
    let output = world.exec("web1", "echo in")?;
    assert_eq!(output.text(), "", "{}", output.stderr);
    world.deployment.connectors()[0].process.kill();
    world.deployment.start_connector(0)?;
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(world.deployment.admin_json(&["connector", "ls"])?, serde_json::json!([]));
    Ok(())
}

#[test]
fn a_join_token_enrols_one_connector() -> Result<()> {
    let world = World::start()?;
    let token = world.deployment.admin(&["site", "join-token", Deployment::SITE])?.ok()?;
    let join = |state: &str| {
        let mut join = std::process::Command::new(testkit::bin_dir()?.join("adit-connector"));
        join.args(["join", &world.deployment.url(), "--token-env", "JOIN", "--state"]);
        join.arg(world.deployment.dir().join(state)).env("JOIN", token.trim());
        run(&mut join, SOON)
    };
    join("one")?.ok()?;
    let second = join("two")?;
    assert!(!second.status.success(), "{}", second.both());
    assert!(second.both().contains("used up"), "{}", second.both());
    Ok(())
}
