//! Connectors and relays that go away and come back.

use std::time::{Duration, Instant};

use anyhow::Result;
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
