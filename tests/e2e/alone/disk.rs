//! The relay's disk is full, or fails, while sessions run.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::*;
use crate::recording;

#[test]
fn a_full_disk_refuses_new_work_keeps_sessions_and_heals_by_itself() -> Result<()> {
    let mut world = World::start()?;
    let disk = Disk::under(&mut world)?;
    let (_tunnel, port) = tunnel(&world)?;
    let mut live = connect(port, 5)?;
    let mut acknowledged = vec![];
    disk.fill()?;
    // Small writes may still fit into what the database has of its own.
    let full = Instant::now();
    let refusal = loop {
        let name = format!("u{}", acknowledged.len());
        let said = world.deployment.admin(&["user", "add", &name])?;
        if !said.status.success() {
            break said.both();
        }
        acknowledged.push(name);
        anyhow::ensure!(full.elapsed() < SOON, "the disk does not fill");
    };
    assert!(refusal.contains("store."), "a code that says what failed: {refusal}");
    refused_for_want_of_a_record(&world)?;
    for stream in &mut live {
        echoes(stream).context("a session that was open before")?;
    }
    assert_eq!(sessions(&world), Some(5), "an admin signs in and sees what is open");
    // Its record has to wait for room.
    drop(live.pop());
    eventually(SOON, "the session has ended", || sessions(&world) == Some(4))?;
    disk.make_room()?;
    eventually(SOON, "it takes new sessions by itself", || connect(port, 1).is_ok())?;
    drop(live);
    all_recorded(&world)?;
    all_there(&world, &acknowledged)
}

#[test]
fn a_disk_that_fails_refuses_new_work_keeps_sessions_and_heals_by_itself() -> Result<()> {
    let world = World::start()?;
    let (_tunnel, port) = tunnel(&world)?;
    let mut live = connect(port, 5)?;
    world.deployment.admin(&["user", "add", "before"])?.ok()?;
    let mut failing = fail_each_sync(&world)?;
    let refused = world.deployment.admin(&["user", "add", "meanwhile"])?;
    assert!(refused.both().contains("store.unavailable"), "{}", refused.both());
    refused_for_want_of_a_record(&world)?;
    for stream in &mut live {
        echoes(stream)?;
    }
    assert_eq!(sessions(&world), Some(5), "an admin signs in and sees what is open");
    failing.stop(SOON)?;
    eventually(SOON, "it takes changes by itself", || {
        world.deployment.admin(&["user", "add", "after"]).is_ok_and(|said| said.status.success())
    })?;
    connect(port, 1)?;
    drop(live);
    all_recorded(&world)?;
    all_there(&world, &["before", "after"].map(str::to_owned))
}

#[test]
fn on_a_full_disk_a_session_that_must_be_recorded_ends_and_says_why_and_others_go_on() -> Result<()>
{
    let mut world = recording::recorded()?;
    let disk = Disk::under(&mut world)?;
    let (_tunnel, port) = tunnel(&world)?;
    let mut live = connect(port, 1)?;
    let mut shell = recording::shell(&world, "while echo tick; do sleep 0.1; done")?;
    shell.wait_for_log("tick", SOON)?;
    disk.fill()?;
    shell.wait_for_log("has to be recorded", SOON)?;
    shell.wait(SOON)?;
    echoes(&mut live[0])?;
    disk.make_room()?;
    eventually(SOON, "it records again", || {
        world.exec("web1", "echo in").is_ok_and(|said| said.text() == "in\n")
    })?;
    drop(live);
    all_recorded(&world)?;
    let ended = world.deployment.audit("session.ended")?;
    assert!(ended.iter().any(|row| row["event"]["reason"] == "unrecorded"), "{ended:?}");
    Ok(())
}

/// Until it is stopped, nothing that the relay wants on the disk gets there for sure.
fn fail_each_sync(world: &World) -> Result<Process> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-p", &world.deployment.relay_id().to_string()]);
    strace.args(["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"]);
    let mut strace = Process::start("strace", strace, &world.deployment.dir().join("strace.log"))?;
    strace.wait_for_log("attached", SOON)?;
    Ok(strace)
}

/// A small disk of its own under the relay's data.
struct Disk {
    data: PathBuf,
}

impl Disk {
    /// Moves the data of a relay there.
    fn under(world: &mut World) -> Result<Self> {
        world.deployment.relay().stop(SOON)?;
        let data = world.deployment.dir().join("relay");
        let aside = world.deployment.dir().join("aside");
        run(Command::new("cp").arg("-a").args([&data, &aside]), SOON)?.ok()?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs"]).arg(&data);
        run(&mut mount, SOON)?.ok().context("mounting a small disk takes root")?;
        let disk = Self { data };
        run(Command::new("cp").arg("-a").arg(aside.join(".")).arg(&disk.data), SOON)?.ok()?;
        world.deployment.start_relay()?;
        world.deployment.wait_for_connectors(1)?;
        Ok(disk)
    }

    fn fill(&self) -> Result<()> {
        let filler = fs::write(self.filler(), vec![7; 8 << 20]);
        anyhow::ensure!(filler.is_err(), "eight mebibytes fit on the disk");
        Ok(())
    }

    fn make_room(&self) -> Result<()> {
        Ok(fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.data.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the relay may still be there.
        drop(run(Command::new("umount").arg("-l").arg(&self.data), SOON));
    }
}

fn tunnel(world: &World) -> Result<(Process, u16)> {
    world.deployment.login("alice")?;
    world.deployment.tunnel("alice", "echo")
}

/// A new session is refused, and the client is told why.
fn refused_for_want_of_a_record(world: &World) -> Result<()> {
    let mut said = String::new();
    eventually(SOON, "a new session is refused", || {
        let mut adit = world.deployment.adit("alice");
        let tried = run(adit.args(["proxy", "echo"]), SOON);
        said = tried.map_or_else(|error| error.to_string(), |said| said.both());
        ["audit.unavailable", "store.unavailable"].iter().any(|code| said.contains(code))
    })
    .with_context(|| said)
}

pub(super) fn echoes(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(b"y")?;
    Ok(stream.read_exact(&mut [0])?)
}

fn all_there(world: &World, acknowledged: &[String]) -> Result<()> {
    let listed = world.deployment.admin_json(&["user", "ls"])?;
    let listed: Vec<_> =
        listed.as_array().context("users")?.iter().map(|row| &row["name"]).collect();
    for name in acknowledged {
        assert!(listed.contains(&&json!(name)), "{name} was acknowledged and is lost");
    }
    Ok(())
}
