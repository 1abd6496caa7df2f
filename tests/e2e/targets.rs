//! Targets that misbehave: the user is told which way, in time, and nothing is left behind.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use testkit::{BlackHole, Output, Refusing, Resetting, Silent, run, run_with_input};

use crate::support::{SOON, World, application, assert_says, grant};

/// Registers an application at `address` and dials it as alice's agent.
fn dial(world: &World, name: &str, address: &str) -> Result<Output> {
    world.deployment.apply(&(application(name, "tcp", address) + &grant("alice", name)))?.ok()?;
    let mut proxy: Command = world.deployment.adit("alice");
    run_with_input(proxy.args(["proxy", name]), b"hello", SOON)
}

#[test]
fn each_way_to_fail_has_its_own_words() -> Result<()> {
    let world = World::start()?;
    world.deployment.login("alice")?;

    let refusing = Refusing::start()?;
    assert_says(&dial(&world, "refusing", &refusing.address()?)?, "dial.refused");

    let hole = BlackHole::start()?;
    let started = Instant::now();
    assert_says(&dial(&world, "hole", &hole.address()?)?, "dial.timeout");
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());

    assert_says(&dial(&world, "nowhere", "no-such-host.invalid:80")?, "dial.unresolved");
    // Loopback, but not what the connector's own list has.
    assert_says(&dial(&world, "loopback", "127.0.0.9:22")?, "dial.not_allowed");
    assert_says(&dial(&world, "metadata", "169.254.169.254:80")?, "dial.not_allowed");

    let resetting = Resetting::start()?;
    let output = dial(&world, "resetting", &resetting.address())?;
    assert!(!output.status.success(), "a reset is not an orderly end: {}", output.both());
    let ended = world.deployment.audit("session.ended")?;
    let last = ended.last().map(ToString::to_string).unwrap_or_default();
    assert!(last.contains("broken") && last.contains("target"), "{last}");
    assert_eq!(world.deployment.sessions()?.len(), 0);
    Ok(())
}

#[test]
fn an_ssh_user_is_told_too_and_not_left_waiting() -> Result<()> {
    let world = World::start()?;
    let refusing = Refusing::start()?;
    let silent = Silent::start()?;
    let cases = [
        ("refusing", refusing.address()?, "dial.refused"),
        ("silent", silent.address()?, "does not answer"),
        ("notssh", world.echo.address(), ""),
    ];
    for (name, address, said) in cases {
        let host = application(name, "ssh", &address);
        world.deployment.apply(&(host + &grant("alice", name)))?.ok()?;
        let token = world.token(name)?;
        let started = Instant::now();
        let output = run(world.ssh(&world.at(name), &token)?.arg("echo in"), SOON)?;
        assert!(started.elapsed() < Duration::from_secs(30), "{name}: {:?}", started.elapsed());
        assert_eq!(output.text(), "", "{name}");
        assert!(!output.status.success(), "{name}");
        if !said.is_empty() {
            assert_says(&output, said);
        }
    }
    Ok(())
}
