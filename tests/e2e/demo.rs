//! The first thing a newcomer runs.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::{Process, free_port, run, until};

#[test]
fn every_command_the_demo_prints_works_as_printed_and_nothing_is_left() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let ready_file = dir.path().join("ready.json");
    let base = free_port()?;
    let mut command = Command::new(testkit::bin_dir()?.join("xtask"));
    command.args(["demo", "--port-base", &base.to_string(), "--ready-file"]).arg(&ready_file);
    let mut demo = Process::start("demo", command, &dir.path().join("log"))?;
    let ready = until(Duration::from_secs(180), "the demo is up", || {
        std::fs::read(&ready_file).ok().or_else(|| (!demo.is_running()).then(Vec::new))
    })?;
    let ready: Value = serde_json::from_slice(&ready).with_context(|| demo.tail())?;

    for key in ["relay", "ca_file", "domain", "admin_token", "doors", "connectors"] {
        assert!(!ready[key].is_null(), "{key} in {ready}");
    }
    let applications = ready["applications"].as_array().context("applications")?;
    let askpass = askpass(dir.path())?;
    for application in applications.iter().filter(|one| one["name"] != "this-host") {
        let word = |key: &str| application[key].as_str().unwrap_or_default().to_owned();
        let shown = word("command");
        // The one thing we add to an interactive ssh is something to do.
        let line = if word("kind") == "ssh" { format!("{shown} echo in") } else { shown };
        let mut shell = Command::new("bash");
        shell.args(["-c", &line]).env("SSH_ASKPASS", &askpass).env("TOKEN", word("token"));
        shell.env("SSH_ASKPASS_REQUIRE", "force").env_remove("SSH_AUTH_SOCK");
        let output = run(&mut shell, Duration::from_secs(60))?;
        let expected = match word("kind").as_str() {
            "ssh" => "in\n",
            "tcp" => "hello\n",
            "web" => "Ada Lovelace",
            _ => "customer 1",
        };
        assert!(output.text().contains(expected), "{line}\n{}\n{}", output.both(), demo.tail());
    }
    assert!(applications.len() >= 4, "{ready}");

    let home = ready["ca_file"].as_str().context("ca_file")?.to_owned();
    demo.interrupt();
    let status = demo.wait(Duration::from_secs(30))?;
    assert!(status.success(), "{}", demo.tail());
    assert!(!ready_file.exists() && !std::path::Path::new(&home).exists());
    Ok(())
}

#[test]
fn the_relays_own_demo_prints_a_command_that_works_with_nothing_but_its_token() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut command = Command::new(testkit::bin_dir()?.join("adit-relay"));
    command.arg("demo").env("TMPDIR", dir.path());
    let mut demo = Process::start("demo", command, &dir.path().join("log"))?;
    demo.wait_for_log("Ctrl-C ends it", Duration::from_secs(60))?;
    let log = demo.log();
    let line = log.lines().find(|line| line.contains("proxy echo")).context("no command")?;
    let mut shell = Command::new("bash");
    shell.args(["-c", line]).env("ADIT_HOME", dir.path().join("home")).env_remove("ADIT_CA");
    let output = run(&mut shell, Duration::from_secs(60))?;
    assert_eq!(output.text(), "hello\n", "{}\n{}", output.both(), demo.tail());

    demo.interrupt();
    let status = demo.wait(Duration::from_secs(30))?;
    assert!(status.success(), "{}", demo.tail());
    let left = std::fs::read_dir(dir.path())?.filter_map(Result::ok);
    let left: Vec<_> = left.map(|entry| entry.file_name()).filter(|name| name != "log").collect();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

fn askpass(dir: &std::path::Path) -> Result<std::path::PathBuf> {
    let file = dir.join("askpass");
    std::fs::write(&file, "#!/bin/sh\nprintf '%s\\n' \"$TOKEN\"\n")?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
    Ok(file)
}
