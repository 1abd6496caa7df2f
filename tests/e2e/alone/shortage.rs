//! The relay has no file descriptors left, or is close to its limit of memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

#[test]
fn without_file_descriptors_sessions_go_on_and_an_admin_comes_in() -> Result<()> {
    let mut world = World::start()?;
    let token = world.token("web1")?;
    world.deployment.login("alice")?;
    let (_tunnel, port) = world.deployment.tunnel("alice", "echo")?;
    let mut live = connect(port, 5)?;
    let open = world.deployment.relay().descriptors()?;
    limit_descriptors(&world, open)?;
    let at_the_ssh_door = TcpStream::connect(("127.0.0.1", world.deployment.doors().ssh))?;
    world.deployment.relay().wait_for_log("Too many open files", SOON)?;
    for _ in 0..5 {
        assert_eq!(sessions(&world), Some(5), "an admin signs in and sees what is open");
    }
    let https = world.deployment.doors().https;
    let silent: Vec<_> =
        (0..30).map_while(|_| TcpStream::connect(("127.0.0.1", https)).ok()).collect();
    assert_eq!(silent.len(), 30);
    assert_eq!(sessions(&world), Some(5), "an admin comes in past thirty strangers");
    for stream in &mut live {
        disk::echoes(stream)?;
    }
    drop((silent, at_the_ssh_door));
    limit_descriptors(&world, 10_000)?;
    honest_login(&world, &token)?;
    drop(live);
    all_recorded(&world)
}

#[test]
fn close_to_its_limit_of_memory_sessions_go_on_and_none_opens() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    world.deployment.login("alice")?;
    let (_tunnel, port) = world.deployment.tunnel("alice", "echo")?;
    let mut live = connect(port, 5)?;
    let group = Group::of(world.deployment.relay_id())?;
    // Less than is always kept for what runs.
    group.limit(15 << 20)?;
    let mut said = String::new();
    eventually(SOON, "a new session is refused", || {
        let mut adit = world.deployment.adit("alice");
        let tried = run(adit.args(["proxy", "echo"]), SOON);
        said = tried.map_or_else(|error| error.to_string(), |said| said.both());
        said.contains("relay.memory")
    })
    .with_context(|| said)?;
    // A client that writes while it is refused may lose the words on their way.
    eventually(SOON, "a client at the SSH door is told why", || {
        let ssh = world.ssh(&world.at("web1"), &token);
        let refused = ssh.and_then(|mut ssh| run(ssh.arg("echo in"), SOON));
        refused.is_ok_and(|said| said.both().contains("short of memory"))
    })?;
    assert_eq!(sessions(&world), Some(5), "an admin signs in and sees what is open");
    for stream in &mut live {
        disk::echoes(stream)?;
    }
    group.limit(1 << 30)?;
    eventually(SOON, "it takes new sessions by itself", || connect(port, 1).is_ok())?;
    drop(live);
    all_recorded(&world)
}

fn limit_descriptors(world: &World, most: usize) -> Result<()> {
    let mut prlimit = Command::new("prlimit");
    prlimit.arg(format!("--pid={}", world.deployment.relay_id()));
    // The hard limit stays, so that this can be taken back.
    run(prlimit.arg(format!("--nofile={most}:")), SOON)?.ok().map(drop)
}

/// A control group of its own around one process, of whichever version this machine has.
struct Group {
    path: PathBuf,
    limit: &'static str,
}

impl Group {
    fn of(process: u32) -> Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let (top, limit) = match root.join("cgroup.controllers").exists() {
            true => (root.to_owned(), "memory.max"),
            false => (root.join("memory"), "memory.limit_in_bytes"),
        };
        let path = top.join(format!("adit-test-{process}"));
        fs::create_dir(&path).context("making a control group takes root")?;
        let group = Self { path, limit };
        fs::write(group.path.join("cgroup.procs"), process.to_string())?;
        Ok(group)
    }

    fn limit(&self, bytes: u64) -> Result<()> {
        Ok(fs::write(self.path.join(self.limit), bytes.to_string())?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group can be removed once nothing is in it.
        let parent = self.path.parent().unwrap_or(&self.path).join("cgroup.procs");
        for process in
            fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default().lines()
        {
            drop(fs::write(&parent, process));
        }
        drop(fs::remove_dir(&self.path));
    }
}
