//! Certificates of agents with OpenSSH's own client: no token, no question, and no way in once the
//! agent or its user is gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use testkit::{Output, Process, run};

use crate::support::{SOON, World, assert_says};

#[test]
fn stock_ssh_signs_in_by_a_certificate_that_it_has_renewed_by_itself() -> Result<()> {
    let world = World::start()?;
    let home = Home::of(&world)?;
    let output = run(home.ssh(&world).args(["-v", "echo in"]), SOON)?;
    assert_eq!(output.text(), "in\n", "{}", output.stderr);
    assert_says(&output, "server->client cipher: aes128-gcm@openssh.com");
    let opened = world.deployment.audit("session.opened")?;
    let opened = &opened.last().context("a session")?["event"];
    assert_eq!(opened["credential"], "certificate", "{opened}");
    let serial = &opened["certificate"]["serial"];
    assert!(serial.is_u64(), "{opened}");
    // The same one is taken as long as it is good, and another where it is not.
    run(home.ssh(&world).arg("echo again"), SOON)?.ok()?;
    let memory = home.state.join("ssh_cert.json");
    let known: serde_json::Value = serde_json::from_str(&fs::read_to_string(&memory)?)?;
    assert_eq!(&known["serial"], serial);
    let mut ended = known.clone();
    ended["expires"] = 1.into();
    fs::write(&memory, ended.to_string())?;
    run(home.ssh(&world).arg("echo again"), SOON)?.ok()?;
    let renewed: serde_json::Value = serde_json::from_str(&fs::read_to_string(&memory)?)?;
    assert_ne!(renewed["serial"], known["serial"]);
    let signed = world.deployment.audit("admin.changed")?;
    let signed = signed.iter().filter(|event| event["event"]["change"] == "sign").count();
    assert_eq!(signed, 2);
    // Through the agent there is nothing to renew.
    let mut ssh = home.command();
    ssh.arg(format!("{}@web1.adit", world.sshd.account()));
    let output = run(ssh.args(["-v", "echo in"]), SOON)?;
    assert_eq!(output.text(), "in\n", "{}", output.stderr);
    assert_says(&output, "server->client cipher: aes128-gcm@openssh.com");
    Ok(())
}

#[test]
fn a_certificate_of_another_ca_and_one_for_other_networks_sign_nobody_in() -> Result<()> {
    let world = World::start()?;
    let home = Home::of(&world)?;
    run(home.adit(&world).arg("ssh-cert"), SOON)?.ok()?;
    let own = fs::read_to_string(home.state.join("ssh_key-cert.pub"))?;
    let ca = world.deployment.dir().join("ca");
    keygen(&["-t", "ed25519", "-N", "", "-f", &ca.display().to_string()])?;
    let agents: Vec<serde_json::Value> =
        serde_json::from_value(world.deployment.admin_json(&["agents", "ls", "--user", "alice"])?)?;
    let agent = agents[0]["id"].as_str().context("an agent")?;
    let (id, key) = (format!("adit/alice/{agent}"), home.state.join("ssh_key.pub"));
    let (ca, key) = (ca.display().to_string(), key.display().to_string());
    keygen(&["-s", &ca, "-I", &id, "-n", "alice", "-V", "+1h", &key])?;
    refused(&home.stock(&world)?)?;
    run(home.adit(&world).args(["ssh-cert", "--from", "192.0.2.0/24"]), SOON)?.ok()?;
    refused(&home.stock(&world)?)?;
    let failed = world.deployment.audit("authn.failed")?;
    let details: Vec<_> =
        failed.iter().filter_map(|event| event["event"]["detail"].as_str()).collect();
    for why in ["not signed by this relay's user CA", "not good from this address"] {
        assert!(details.iter().any(|detail| detail.contains(why)), "{why}: {details:?}");
    }
    fs::write(home.state.join("ssh_key-cert.pub"), own)?;
    assert_eq!(home.stock(&world)?.ok()?, "in\n");
    Ok(())
}

#[test]
fn what_a_certificate_opened_ends_with_its_agent_and_with_its_user() -> Result<()> {
    let world = World::start()?;
    let home = Home::of(&world)?;
    let agents = world.deployment.admin_json(&["agents", "ls", "--user", "alice"])?;
    let agent = agents[0]["id"].as_str().context("an agent")?.to_owned();
    for end in [vec!["agents", "rm", &agent], vec!["user", "disable", "alice"]] {
        if end[0] == "user" {
            world.deployment.login("alice")?;
        }
        let log = world.deployment.dir().join(format!("{}.log", end[0]));
        let mut ssh = home.ssh(&world);
        ssh.arg("echo begun; sleep 600");
        let mut session = Process::start("ssh", ssh, &log)?;
        session.wait_for_log("begun", SOON)?;
        world.deployment.admin(&end)?.ok()?;
        let told = session
            .wait(Duration::from_secs(5))
            .with_context(|| format!("{end:?} {:?}", world.deployment.sessions()))?;
        assert_eq!(told.code(), Some(255), "{end:?}: {}", session.log());
        assert!(session.log().contains("your access was withdrawn"), "{}", session.log());
        refused(&home.stock(&world)?)?;
    }
    let again = run(home.adit(&world).args(["ssh-cert", "--renew"]), SOON)?;
    assert_says(&again, "access.user_disabled");
    Ok(())
}

#[test]
fn who_knows_the_host_ca_knows_the_relay_after_its_keys_were_changed() -> Result<()> {
    let mut world = World::start()?;
    let home = Home::of(&world)?;
    let ca = world.deployment.admin_json(&["ssh-ca"])?;
    let (by_ca, by_key) = (home.dir.join("by_ca"), home.dir.join("by_key"));
    fs::write(&by_ca, format!("{}\n", ca["known_hosts"].as_str().context("a line")?))?;
    run(home.adit(&world).arg("ssh-cert"), SOON)?.ok()?;
    let known = |world: &World, file: &Path, check: &str| {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i"]);
        ssh.arg(home.state.join("ssh_key")).env_remove("SSH_AUTH_SOCK");
        ssh.arg("-o").arg(format!("UserKnownHostsFile={}", file.display()));
        ssh.arg("-o").arg(format!("StrictHostKeyChecking={check}"));
        ssh.args(["-o", "HostName=127.0.0.1", "-o"]);
        ssh.arg(format!("HostKeyAlias={}", world.deployment.domain()));
        ssh.args(["-p", &world.ssh_port()]);
        ssh.arg(format!("{}@{}", world.at("web1"), world.deployment.domain()));
        run(ssh.arg("echo in"), SOON)
    };
    assert_eq!(known(&world, &by_ca, "yes")?.ok()?, "in\n");
    assert_eq!(known(&world, &by_key, "accept-new")?.ok()?, "in\n");
    let through_agent = |home: &Home, world: &World| {
        let mut ssh = home.command();
        ssh.arg(format!("{}@web1.adit", world.sshd.account()));
        run(ssh.arg("echo in"), SOON)
    };
    assert_eq!(through_agent(&home, &world)?.ok()?, "in\n");
    world.deployment.relay().stop(SOON)?;
    let told = world.deployment.rotate_host_key(&[])?;
    assert_eq!(told.code(), Some(0), "{}", told.both());
    assert_says(&told, "SHA256:");
    world.deployment.start_relay()?;
    world.deployment.wait_for_connectors(1)?;
    assert_eq!(known(&world, &by_ca, "yes")?.ok()?, "in\n");
    let refused = known(&world, &by_key, "yes")?;
    assert_says(&refused, "HOST IDENTIFICATION HAS CHANGED");
    assert_eq!(through_agent(&home, &world)?.ok()?, "in\n");
    assert_eq!(run(home.ssh(&world).arg("echo in"), SOON)?.ok()?, "in\n");
    let recorded = world.deployment.audit("admin.changed")?;
    assert!(recorded.iter().any(|event| event["event"]["change"] == "rotate"));
    Ok(())
}

/// A home folder with alice's login and the SSH configuration that `adit` has installed.
struct Home {
    dir: PathBuf,
    state: PathBuf,
}

impl Home {
    fn of(world: &World) -> Result<Self> {
        let dir = world.deployment.dir().join("home");
        fs::create_dir_all(dir.join(".ssh"))?;
        let home = Self { dir, state: world.deployment.home("alice") };
        world.deployment.login("alice")?;
        run(home.adit(world).args(["ssh-config", "--install"]), SOON)?.ok()?;
        Ok(home)
    }

    fn adit(&self, world: &World) -> Command {
        let mut adit = world.deployment.adit("alice");
        adit.env("HOME", &self.dir);
        adit
    }

    /// `ssh` with the installed configuration and nobody to answer a question.
    fn command(&self) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(self.dir.join(".ssh/config"));
        ssh.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=20"]);
        ssh.env_remove("SSH_AUTH_SOCK").stdin(Stdio::null());
        ssh
    }

    fn ssh(&self, world: &World) -> Command {
        let mut ssh = self.command();
        // Not every resolver knows names below `localhost`.
        ssh.args(["-o", "HostName=127.0.0.1"]);
        ssh.arg(format!("{}@{}", world.at("web1"), world.deployment.domain()));
        ssh
    }

    /// `ssh` with key and certificate as they are, which nothing renews.
    fn stock(&self, world: &World) -> Result<Output> {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i"]);
        ssh.arg(self.state.join("ssh_key")).env_remove("SSH_AUTH_SOCK");
        ssh.arg("-o").arg(format!("UserKnownHostsFile={}", world.known_hosts()));
        ssh.args(["-p", &world.ssh_port(), &format!("{}@127.0.0.1", world.at("web1"))]);
        run(ssh.arg("echo in"), SOON)
    }
}

fn refused(output: &Output) -> Result<()> {
    assert_eq!(output.code(), Some(255), "{}", output.both());
    assert_says(output, "Permission denied");
    Ok(())
}

fn keygen(words: &[&str]) -> Result<()> {
    run(Command::new("ssh-keygen").arg("-q").args(words), SOON)?.ok().map(drop)
}
