//! A relay that stands by for another one of the same database: it takes over, and connectors are with
//! it before people notice.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use testkit::{Postgres, Process, eventually, free_port, free_udp_port, run, until};

use crate::support::{SOON, World};

#[test]
fn a_relay_that_stands_by_has_the_sites_when_the_other_is_killed() -> Result<()> {
    let (mut world, postgres) = (World::start()?, Postgres::start()?);
    let token = world.token("web1")?;
    postgres.admin("postgres", "CREATE DATABASE adit ENCODING 'UTF8' TEMPLATE template0")?;
    move_to(&mut world, &postgres.url("adit"))?;
    world.deployment.start_relay()?;

    let standby = Standby::of(&world)?;
    let also = also(standby.https, standby.quic);
    world.deployment.reconfigure(0, |text| text.to_owned() + &also)?;
    world.deployment.wait_for_connectors(1)?;
    assert_eq!(world.exec("web1", "echo before")?.ok()?, "before\n");
    let refused = run(&mut standby.serve()?, SOON)?;
    assert!(refused.both().contains("store.in_use"), "{}", refused.both());

    // As a service manager has it: again and again, until the other one is gone.
    let mut waiting = Command::new("sh");
    let again = format!(
        "while :; do {} serve --config {}; sleep 0.2; done",
        testkit::bin_dir()?.join("adit-relay").display(),
        standby.config.display()
    );
    waiting.args(["-c", &again]);
    let log = world.deployment.dir().join("standby.log");
    let _waiting = Process::start("standby", waiting, &log)?;
    std::thread::sleep(Duration::from_secs(2));
    world.deployment.relay().kill();
    let killed = Instant::now();
    let mut tries = 0;
    let answered = until(SOON, "a session by the relay that stood by", || {
        tries += 1;
        let mut ssh = world.openssh("ssh", &token).ok()?;
        ssh.args(["-p", &standby.ssh.to_string(), &format!("{}@127.0.0.1", world.at("web1"))]);
        let output = run(ssh.arg("echo after"), SOON).ok()?;
        (output.text() == "after\n").then(|| killed.elapsed())
    });
    let took = answered.with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
    println!("a session by the other relay after {took:?}, {tries} tries");
    // That a peer is dead is noticed within ten seconds at the latest.
    assert!(took < Duration::from_secs(10), "{took:?}, {tries} tries");
    eventually(SOON, "what the killed relay left open is closed", || {
        fs::read_to_string(&log).is_ok_and(|log| log.contains("Connector"))
    })
}

/// Has a connector keep a connection to the relay at these ports too.
pub(crate) fn also(https: u16, quic: u16) -> String {
    format!("\n[[also]]\nrelay = \"https://localhost:{https}\"\nquic = \"localhost:{quic}\"\n")
}

/// Ends the relay and moves what it has to a server's database.
pub(crate) fn move_to(world: &mut World, url: &str) -> Result<()> {
    world.deployment.relay().stop(SOON)?;
    let config = world.deployment.dir().join("relay/relay.toml");
    let mut migrate = Command::new(testkit::bin_dir()?.join("adit-relay"));
    let (account, rest) = url.split_once('@').context("a URL with an account")?;
    migrate.args(["migrate", "--write", "--to"]);
    match account.rsplit_once(':').filter(|(scheme, _)| scheme.contains("//")) {
        Some((account, password)) => {
            let password_file = world.deployment.dir().join("database-password");
            fs::write(&password_file, password)?;
            migrate.arg(format!("{account}@{rest}")).arg("--password-file").arg(password_file);
        }
        None => drop(migrate.arg(url)),
    }
    migrate.arg("--config").arg(&config);
    run(&mut migrate, SOON)?.ok().map(drop)
}

/// The second relay: the same data, other ports.
pub(crate) struct Standby {
    pub(crate) config: std::path::PathBuf,
    pub(crate) https: u16,
    pub(crate) quic: u16,
    pub(crate) ssh: u16,
}

impl Standby {
    pub(crate) fn of(world: &World) -> Result<Self> {
        let folder = world.deployment.dir().join("standby");
        fs::create_dir(&folder)?;
        let from = world.deployment.dir().join("relay");
        for file in ["relay.toml", "master.key"] {
            fs::copy(from.join(file), folder.join(file))?;
        }
        let (https, quic, ssh) = (free_udp_port()?, free_udp_port()?, free_port()?);
        let config = folder.join("relay.toml");
        let doors = world.deployment.doors();
        // It has the same host keys.
        let known = fs::read_to_string(world.known_hosts())?;
        let also = known.replace(&format!(":{}", doors.ssh), &format!(":{ssh}"));
        fs::write(world.known_hosts(), known + &also)?;
        let mut text = fs::read_to_string(&config)?;
        for (old, new) in [(doors.https, https), (doors.quic, quic), (doors.ssh, ssh)] {
            text = text.replace(&format!("127.0.0.1:{old}\""), &format!("127.0.0.1:{new}\""));
        }
        let (old, new) = (from.display().to_string(), folder.display().to_string());
        fs::write(&config, text.replace(&format!("\"{old}\""), &format!("\"{new}\"")))?;
        Ok(Self { config, https, quic, ssh })
    }

    pub(crate) fn serve(&self) -> Result<Command> {
        let mut serve = Command::new(testkit::bin_dir()?.join("adit-relay"));
        serve.arg("serve").arg("--config").arg(&self.config);
        Ok(serve)
    }
}
