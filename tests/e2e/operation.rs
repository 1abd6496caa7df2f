//! What an operator does to a relay that runs.

use std::fs;
use std::process::Command;

use anyhow::Result;
use testkit::{Deployment, free_port, run};

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
