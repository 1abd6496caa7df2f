//! Records on their way to other places, from a relay that is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use chain::{Line, Verifier};
use serde_json::Value;
use testkit::{Deployment, Process, eventually, free_port, run};

use crate::support::{SOON, certificates};

#[test]
fn a_relay_killed_while_it_delivers_sends_every_record_in_order() -> Result<()> {
    let mut world = Deployment::start()?;
    let receiver = Rsyslog::start(world.dir())?;
    let file = world.dir().join("delivered.jsonl");
    users(&world, 0)?;
    let relay_toml = world.dir().join("relay/relay.toml");
    let text = fs::read_to_string(&relay_toml)? + &destinations(&file, &receiver);
    fs::write(&relay_toml, text)?;
    hang_up(&world)?;
    eventually(SOON, "the destinations are there", || at(&world).is_ok_and(|at| at.len() == 2))?;
    let mut cut = 0;
    for round in 1..=5 {
        users(&world, round)?;
        sleep(Duration::from_millis(120 * round));
        let relay = world.relay_id().to_string();
        run(Command::new("kill").args(["-KILL", &relay]), SOON)?.ok()?;
        world.relay().wait(SOON)?;
        cut += u32::from(behind(&world)?);
        world.start_relay()?;
    }
    assert!(cut > 0, "it was never killed while it delivered");
    let arrived = || at(&world).is_ok_and(|at| at.iter().all(|one| one["lag"] == 0));
    eventually(SOON, "everything has arrived", arrived)
        .with_context(|| format!("{:?}", at(&world)))?;
    let noted = world.admin(&["audit", "verify"])?.ok()?;
    for place in [&file, &receiver.received] {
        let said = || verified(&fs::read_to_string(place)?);
        // A receiver of syslog has what was sent before it has written it.
        let whole = || said().is_ok_and(|said| said == noted.trim());
        eventually(SOON, &format!("{} is whole", place.display()), whole)
            .with_context(|| format!("{:?}", said()))?;
    }
    let raw = fs::read_to_string(&receiver.received)?;
    assert!(raw.contains("[adit@32473 seq=\"2\" action=\"admin.changed\" user=\"admin\" hash="));
    Ok(())
}

#[test]
fn a_full_disk_is_sent_every_record_when_there_is_room_again() -> Result<()> {
    let world = Deployment::start()?;
    let disk = SmallDisk::mount(&world.dir().join("small"))?;
    let file = disk.0.join("audit.jsonl");
    let lines =
        format!("\n[[audit.destination]]\nname = \"archive\"\nkind = \"file\"\npath = {file:?}\n");
    let relay_toml = world.dir().join("relay/relay.toml");
    fs::write(&relay_toml, fs::read_to_string(&relay_toml)? + &lines)?;
    hang_up(&world)?;
    users(&world, 0)?;
    let full = || {
        let at = at(&world).unwrap_or_default();
        at.first().is_some_and(|one| one["error"].to_string().contains("No space left"))
    };
    eventually(SOON, "the disk is full", full).with_context(|| format!("{:?}", at(&world)))?;
    // Nobody else minds, and what is there are whole lines.
    world.admin(&["user", "add", "meanwhile"])?.ok()?;
    let text = fs::read_to_string(&file)?;
    assert!(text.is_empty() || text.ends_with('\n'), "{text}");
    run(Command::new("mount").args(["-o", "remount,size=8m"]).arg(&disk.0), SOON)?.ok()?;
    let arrived = || at(&world).is_ok_and(|at| at.iter().all(|one| one["lag"] == 0));
    eventually(SOON, "everything has arrived", arrived)
        .with_context(|| format!("{:?}", at(&world)))?;
    let noted = world.admin(&["audit", "verify"])?.ok()?;
    assert_eq!(verified(&fs::read_to_string(&file)?)?, noted.trim());
    Ok(())
}

/// A disk of 128 KiB.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Result<Self> {
        fs::create_dir(at)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=128k,mode=0700", "tmpfs"]).arg(at);
        run(&mut mount, SOON)?.ok().context("mounting a small disk takes root")?;
        Ok(Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(run(Command::new("umount").arg("-l").arg(&self.0), SOON));
    }
}

/// The end of the chain that the lines form, each at least once. What a cut connection has left of
/// a message is none.
fn verified(text: &str) -> Result<String> {
    let mut verifier = Verifier::whole();
    for line in text.lines() {
        let json = line.find('{').map_or("", |start| &line[start..]);
        let Ok(line) = Line::parse(json) else { continue };
        if line.seq > verifier.at().seq {
            let damage = line.with_record(|record| verifier.take(record, line.hash))?;
            anyhow::ensure!(damage.is_none(), "{damage:?} after {}", verifier.at());
        }
    }
    Ok(verifier.at().to_string())
}

/// Adds users by the hundred: each is a record.
fn users(world: &Deployment, round: u64) -> Result<()> {
    let user = |n: u64| format!("[[user]]\nname = \"user-{round}-{n}\"\n");
    world.apply(&(0..1200).map(user).collect::<String>())?.ok().map(drop)
}

fn at(world: &Deployment) -> Result<Vec<Value>> {
    let listed = world.admin_json(&["audit", "destinations"])?;
    listed.as_array().cloned().context("a list of destinations")
}

/// Whether a destination lacks records, as the database has it.
fn behind(world: &Deployment) -> Result<bool> {
    let program = "import sqlite3, sys\nbase = sqlite3.connect(sys.argv[1], timeout=20)\n\
                   query = 'SELECT (SELECT MIN(seq) FROM deliveries), (SELECT MAX(seq) FROM audit)'\n\
                   print(*base.execute(query).fetchone())";
    let mut python = Command::new("python3");
    python.args(["-c", program]).arg(world.dir().join("relay/adit.db"));
    let said = run(&mut python, SOON)?.ok()?;
    let (delivered, end) = said.trim().split_once(' ').context("two numbers")?;
    Ok(delivered.parse::<u64>()? < end.parse()?)
}

fn destinations(file: &Path, receiver: &Rsyslog) -> String {
    format!(
        "\n[[audit.destination]]\nname = \"archive\"\nkind = \"file\"\npath = {file:?}\n\
         \n[[audit.destination]]\nname = \"siem\"\nkind = \"syslog\"\n\
         url = \"tls://localhost:{}\"\nca_file = {:?}\n",
        receiver.port, receiver.ca
    )
}

fn hang_up(world: &Deployment) -> Result<()> {
    let relay = world.relay_id().to_string();
    run(Command::new("kill").args(["-HUP", &relay]), SOON)?.ok().map(drop)
}

/// Debian's rsyslog, which takes messages over TLS.
struct Rsyslog {
    port: u16,
    ca: PathBuf,
    received: PathBuf,
    _process: Process,
}

impl Rsyslog {
    fn start(dir: &Path) -> Result<Self> {
        let dir = dir.join("rsyslog");
        fs::create_dir(&dir)?;
        certificates(&dir)?;
        let (port, received) = (free_port()?, dir.join("received"));
        let at = |name: &str| dir.join(name).display().to_string();
        let configuration = format!(
            r#"global(workDirectory="{}" maxMessageSize="64k" defaultNetstreamDriver="gtls"
                defaultNetstreamDriverCAFile="{}" defaultNetstreamDriverCertFile="{}"
                defaultNetstreamDriverKeyFile="{}")
            module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1"
                streamDriver.authMode="anon")
            template(name="line" type="string" string="%structured-data% %msg%\n")
            input(type="imtcp" address="127.0.0.1" port="{port}")
            action(type="omfile" file="{}" template="line")
            "#,
            dir.display(),
            at("ca.pem"),
            at("cert.pem"),
            at("key.pem"),
            received.display()
        );
        fs::write(dir.join("rsyslog.conf"), configuration)?;
        let mut command = Command::new("/usr/sbin/rsyslogd");
        command.args(["-n", "-f", &at("rsyslog.conf"), "-i", &at("pid")]);
        let mut process = Process::start("rsyslogd", command, &dir.join("log"))?;
        eventually(SOON, "rsyslog listens", || {
            testkit::is_listening(port) || !process.is_running()
        })?;
        anyhow::ensure!(process.is_running(), "rsyslogd ended\n{}", process.tail());
        Ok(Self { port, ca: dir.join("ca.pem"), received, _process: process })
    }
}
