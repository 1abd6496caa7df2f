//! The relay's disk is full, or can not be written, while sessions run.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::*;

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
fn a_disk_that_can_not_be_written_refuses_new_work_and_heals_by_itself() -> Result<()> {
    let mut world = World::start()?;
    let disk = Disk::under(&mut world)?;
    let (_tunnel, port) = tunnel(&world)?;
    let mut live = connect(port, 5)?;
    world.deployment.admin(&["user", "add", "before"])?.ok()?;
    disk.limit_to_what_is_there()?;
    refused_for_want_of_a_record(&world)?;
    for stream in &mut live {
        echoes(stream)?;
    }
    disk.make_room()?;
    eventually(SOON, "it takes new sessions by itself", || connect(port, 1).is_ok())?;
    drop(live);
    // A relay that starts on it finds everything.
    all_recorded(&world)?;
    world.deployment.relay().kill();
    world.deployment.start_relay()?;
    all_there(&world, &["before".to_owned()])?;
    all_recorded(&world)
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

    fn limit_to_what_is_there(&self) -> Result<()> {
        self.fill()?;
        self.remount("size=1m")
    }

    fn make_room(&self) -> Result<()> {
        drop(fs::remove_file(self.filler()));
        self.remount("size=16m")
    }

    fn remount(&self, options: &str) -> Result<()> {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{options}")]).arg(&self.data);
        // Less than is in use is refused by some kernels: then it is full, which is enough.
        drop(run(&mut mount, SOON)?);
        Ok(())
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

fn echoes(stream: &mut TcpStream) -> Result<()> {
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
