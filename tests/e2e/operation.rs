//! What an operator does to a relay that runs.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use anyhow::Result;
use testkit::{Deployment, Process, bin_dir, free_port, run};

use crate::support::SOON;

#[test]
fn a_hangup_says_what_changed_and_refuses_a_bad_file() -> Result<()> {
    let mut deployment = Deployment::start()?;
    let file = deployment.dir().join("relay/relay.toml");
    let good = fs::read_to_string(&file)?;
    let port = free_port()?;
    let changed = good.replacen("level = \"info\"", "level = \"debug\"", 1).replacen(
        "[listen]",
        &format!("[listen]\nadmin = \"127.0.0.1:{port}\""),
        1,
    );
    hang_up(&mut deployment, &changed, "applied=\"log.level\" restart=\"listen.admin\"")?;
    hang_up(&mut deployment, "domain = 7\n[lisen]\n", "the old one stays in force")?;
    let log = deployment.relay().log();
    for mistake in ["relay.toml:1: `domain`", "`lisen` is not known here"] {
        assert!(log.contains(mistake), "{mistake}\n{log}");
    }
    // It works as before, with the new level, and the next good file is taken.
    deployment.admin(&["user", "add", "after"])?.ok()?;
    assert!(deployment.relay().log().contains("DEBUG"));
    hang_up(&mut deployment, &good, "applied=\"log.level\"")?;
    deployment.admin(&["user", "ls"])?.ok().map(drop)
}

#[test]
fn a_running_relay_answers_its_probes_and_changes_its_log_level() -> Result<()> {
    let mut deployment = Deployment::start()?;
    let file = deployment.dir().join("relay/relay.toml");
    let port = free_port()?;
    let listen = format!("[listen]\nadmin = \"127.0.0.1:{port}\"");
    fs::write(&file, fs::read_to_string(&file)?.replacen("[listen]", &listen, 1))?;
    deployment.relay().stop(SOON)?;
    deployment.start_relay()?;
    assert_eq!(ask(port, "healthz", &[])?, "ok\n");
    assert!(ask(port, "readyz", &[])?.contains("\"ready\":true"));
    assert!(ask(port, "metrics", &[])?.contains("adit_sessions_open{door=\"ssh\"} 0"));
    ask(port, "log-level", &["--data", "debug"])?;
    assert_eq!(ask(port, "log-level", &[])?, "debug\n");
    deployment.admin(&["user", "ls"])?.ok()?;
    deployment.relay().wait_for_log("DEBUG", SOON)
}

/// What systemd sees with `Type=notify` and `WatchdogSec=`.
#[test]
fn a_service_manager_is_told_that_the_relay_is_up_and_lives_and_stops() -> Result<()> {
    let mut deployment = Deployment::start()?;
    deployment.relay().stop(SOON)?;
    let socket = deployment.dir().join("notify");
    let manager = UnixDatagram::bind(&socket)?;
    manager.set_read_timeout(Some(SOON))?;
    let hear = || -> Result<String> {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).trim().to_owned())
    };
    let mut serve = Command::new(bin_dir()?.join("adit-relay"));
    serve.args(["serve", "--config"]).arg(deployment.dir().join("relay/relay.toml"));
    serve.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "300000");
    let log = deployment.dir().join("managed.log");
    let mut relay = Process::start("the managed relay", serve, &log)?;
    let mut told = Vec::new();
    while told.iter().filter(|word| *word == "WATCHDOG=1").count() < 3 {
        told.push(hear()?);
    }
    assert_eq!(told.iter().filter(|word| *word == "READY=1").count(), 1, "{told:?}");
    relay.terminate();
    while hear()? != "STOPPING=1" {}
    relay.wait(SOON).map(drop)
}

/// Writes the file, sends the signal a service manager's reload sends, and waits for the answer.
fn hang_up(deployment: &mut Deployment, text: &str, answer: &str) -> Result<()> {
    let before = deployment.relay().log().matches(answer).count();
    fs::write(deployment.dir().join("relay/relay.toml"), text)?;
    let id = deployment.relay_id().to_string();
    run(Command::new("kill").args(["-HUP", &id]), SOON)?.ok()?;
    let what = format!("the relay answers {answer:?}");
    testkit::eventually(SOON, &what, || deployment.relay().log().matches(answer).count() > before)
}

fn ask(port: u16, path: &str, more: &[&str]) -> Result<String> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error"]).args(more);
    run(curl.arg(format!("http://127.0.0.1:{port}/{path}")), SOON)?.ok()
}
