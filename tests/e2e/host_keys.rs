//! The SSH door's own keys as OpenSSH's client comes to know them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use testkit::{Output, run};

use crate::support::{SOON, World, assert_says};

#[test]
fn who_was_told_of_the_next_host_keys_notices_no_rotation() -> Result<()> {
    let mut world = World::start()?;
    let dir = tempfile::tempdir()?;
    let (told, untold) = (dir.path().join("told"), dir.path().join("untold"));
    // Only of a host that it knew before does the client learn more.
    for file in [&told, &untold] {
        connect(&world, file, ["accept-new", "no"])?.ok()?;
        assert_eq!(lines(file)?.len(), 1);
    }
    connect(&world, &told, ["yes", "yes"])?.ok()?;
    let mut before = lines(&told)?;
    assert_eq!(before.len(), 6, "current and next ones: {before:?}");
    for turn in 0..2 {
        rotate(&mut world, &[])?;
        let output = connect(&world, &told, ["yes", "yes"])?;
        assert_eq!(output.text(), "in\n", "turn {turn}");
        // What stands above the prompt is nothing of the host key.
        let said: Vec<_> = output.stderr.lines().filter(|line| !line.contains(ABOVE)).collect();
        assert_eq!(said, [""; 0], "turn {turn}");
        let after = lines(&told)?;
        let kept = after.iter().filter(|line| before.contains(line)).count();
        assert_eq!(
            (after.len(), kept),
            (6, 3),
            "those that were next stay, turn {turn}: {after:?}"
        );
        before = after;
    }
    assert_says(&connect(&world, &untold, ["yes", "no"])?, CHANGED);
    // What was announced is no longer to be trusted, so nobody may take it.
    let said = rotate(&mut world, &["--anew"])?;
    assert_says(&said, "others have to be told");
    assert_says(&connect(&world, &told, ["yes", "yes"])?, CHANGED);
    Ok(())
}

/// Stops the relay, rotates, and starts it again.
fn rotate(world: &mut World, words: &[&str]) -> Result<Output> {
    world.deployment.relay().stop(SOON)?;
    let said = world.deployment.rotate_host_key(words)?;
    assert_eq!(said.code(), Some(0), "{}", said.both());
    world.deployment.start_relay()?;
    world.deployment.wait_for_connectors(1)?;
    Ok(said)
}

/// OpenSSH's client with these known hosts; whether it takes unknown ones, and is told of others.
fn connect(world: &World, known_hosts: &Path, [check, update]: [&str; 2]) -> Result<Output> {
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-o", "ConnectTimeout=20", "-p", &world.ssh_port()]);
    ssh.arg("-o").arg(format!("UserKnownHostsFile={}", known_hosts.display()));
    ssh.arg("-o").arg(format!("StrictHostKeyChecking={check}"));
    ssh.arg("-o").arg(format!("UpdateHostKeys={update}"));
    ssh.arg(format!("{}@127.0.0.1", world.at("web1"))).arg("echo in");
    ssh.env("SSH_ASKPASS", world.askpass()?).env("SSH_ASKPASS_REQUIRE", "force");
    ssh.env("TOKEN", world.token("web1")?).env_remove("SSH_AUTH_SOCK");
    run(&mut ssh, SOON)
}

fn lines(known_hosts: &Path) -> Result<Vec<String>> {
    Ok(fs::read_to_string(known_hosts)?.lines().map(ToOwned::to_owned).collect())
}

const CHANGED: &str = "HOST IDENTIFICATION HAS CHANGED";

const ABOVE: &str = "Leave it empty";
