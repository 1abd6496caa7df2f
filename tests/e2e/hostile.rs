//! SSH targets that mean harm, at a relay as it is shipped: each costs its own session and little
//! memory, and a session to another target beside it never notices.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use testkit::{Deployment, Process, eventually, peak, run};

use crate::support::{SOON, World, application, grant};

/// What a target does, and what its user is told; nothing: the session only has to end.
const HARMS: &[(&str, &str)] = &[
    ("lines", "target.handshake"),
    ("compressed", "target.handshake"),
    ("banners", ""),
    ("prompts", "target.broken"),
    ("no-channel", "target.timeout"),
    ("data", ""),
    ("errors", ""),
    ("requests", ""),
    ("global-requests", ""),
    ("channels", ""),
    ("ignored", ""),
];

#[test]
fn a_target_that_means_harm_costs_one_session_and_little_memory() -> Result<()> {
    let world = World::start()?;
    let harms: Vec<&str> = HARMS.iter().map(|(harm, _)| *harm).collect();
    let targets = Targets::start(&world.deployment, "hostile_target.py", &[], &harms)?;
    let (password, token) = (world.deployment.dir().join("hostile-password"), world.token("web1")?);
    fs::write(&password, "any")?;
    let mut honest = world.ssh(&world.at("web1"), &token)?;
    honest.arg("while date +%s%N; do sleep 0.1; done");
    let honest_log = world.deployment.dir().join("honest.log");
    let mut honest = Process::start("honest", honest, &honest_log)?;
    let mut costs = Vec::new();
    for (harm, told) in HARMS {
        let address = targets.address(harm)?;
        let managed = format!("account = \"ubuntu\"\npassword_file = {password:?}\n");
        let document = application(harm, "ssh", &address) + &managed + &grant("alice", harm);
        world.deployment.apply(&document)?.ok()?;
        let mut ssh = world.ssh(&format!("ubuntu+{harm}"), &world.token(harm)?)?;
        let before = forget_peak(world.deployment.relay_id())?;
        let started = Instant::now();
        let output = run(ssh.arg("anything"), LONG)?;
        let cost = (peak(world.deployment.relay_id())? << 10).saturating_sub(before);
        costs.push((*harm, cost >> 20, started.elapsed()));
        assert!(output.both().contains(told), "{harm}: {}", output.both());
        assert!(cost < MOST, "{costs:?}");
        eventually(SOON, "its session is over", || {
            world.deployment.sessions().is_ok_and(|open| open.len() == 1)
        })?;
        assert!(honest.is_running(), "{harm}: {}", honest.log());
    }
    eprintln!("MiB and time of each: {costs:?}");
    let ticks: Vec<u64> = honest.log().lines().filter_map(|line| line.parse().ok()).collect();
    let gap = ticks.windows(2).map(|two| two[1] - two[0]).max().context("ticks")?;
    assert!(gap < 10_000_000_000, "the session beside stood still for {gap} ns");
    Ok(())
}

/// Servers of a script beside this one that mean harm, one for each word.
pub(crate) struct Targets(Process);

impl Targets {
    /// The script is told `first`, and then the words.
    pub(crate) fn start(
        deployment: &Deployment,
        script: &str,
        first: &[PathBuf],
        harms: &[&str],
    ) -> Result<Self> {
        let mut python = Command::new("/usr/bin/python3");
        python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e").join(script));
        python.args(first).args(harms);
        let mut targets = Process::start("hostile", python, &deployment.dir().join("hostile.log"))?;
        let last = harms.last().context("harms")?;
        targets.wait_for_log(&format!("{last} "), SOON)?;
        Ok(Self(targets))
    }

    pub(crate) fn address(&self, harm: &str) -> Result<String> {
        let (begins, said) = (format!("{harm} "), self.0.log());
        let port = said.lines().find_map(|line| line.strip_prefix(&begins));
        Ok(format!("127.0.0.1:{}", port.context("a port")?))
    }
}

/// Has the kernel forget how much memory a process once had; how much it has now, in bytes.
fn forget_peak(process: u32) -> Result<u64> {
    fs::write(format!("/proc/{process}/clear_refs"), "5")?;
    Ok(peak(process)? << 10)
}

const MOST: u64 = 64 << 20;
const LONG: Duration = Duration::from_secs(120);
