//! What an operator does to a relay that runs.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};

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
fn an_init_whose_token_nobody_gets_fails_and_can_be_run_again() -> Result<()> {
    let parent = tempfile::tempdir()?;
    let data = parent.path().join("relay");
    let init = |stdout: Stdio| -> Result<(Option<i32>, String)> {
        let mut init = Command::new(bin_dir()?.join("adit-relay"));
        init.args(["init", "--domain", "relay.test", "--data"]).arg(&data);
        let output = init.stdout(stdout).output()?;
        Ok((output.status.code(), String::from_utf8(output.stderr)?))
    };
    let full = fs::OpenOptions::new().write(true).open("/dev/full")?;
    let (reader, left) = std::io::pipe()?;
    drop(reader);
    for stdout in [Stdio::from(full), Stdio::from(left)] {
        let (code, said) = init(stdout)?;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("the setup token could not be written"), "{said}");
        assert!(!data.exists());
    }
    assert_eq!(init(Stdio::piped())?.0, Some(0));
    Ok(())
}

#[test]
fn a_running_relay_answers_its_probes_and_changes_its_log_level() -> Result<()> {
    let mut deployment = Deployment::start()?;
    let port = free_port()?;
    deployment.add_listen(&format!("admin = \"127.0.0.1:{port}\""))?;
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

#[test]
fn a_service_manager_is_told_that_the_relay_is_up_and_lives_and_stops() -> Result<()> {
    let mut deployment = Deployment::start()?;
    deployment.relay().stop(SOON)?;
    let mut serve = Command::new(bin_dir()?.join("adit-relay"));
    serve.args(["serve", "--config"]).arg(deployment.dir().join("relay/relay.toml"));
    tells_its_manager(serve, deployment.dir())
}

#[test]
fn a_service_manager_is_told_that_the_connector_is_up_and_lives_and_stops() -> Result<()> {
    let mut deployment = Deployment::start()?;
    let state = deployment.connectors()[0].state.clone();
    deployment.connectors()[0].process.stop(SOON)?;
    let mut run = Command::new(bin_dir()?.join("adit-connector"));
    run.args(["run", "--state"]).arg(state);
    tells_its_manager(run, deployment.dir())
}

/// What systemd does with `adit-relay.socket`: it binds, and passes what it bound.
#[test]
fn a_relay_listens_at_the_sockets_that_its_service_manager_bound() -> Result<()> {
    let mut deployment = Deployment::start()?;
    let port = free_port()?;
    deployment.add_listen(&format!("admin = \"127.0.0.1:{port}\""))?;
    deployment.relay().stop(SOON)?;
    let (doors, program) = (deployment.doors(), bin_dir()?.join("adit-relay"));
    let mut serve = Command::new("python3");
    serve.args(["-c", PASS]).args([doors.https, doors.quic, port].map(|port| port.to_string()));
    serve.arg(program).args(["serve", "--config"]);
    serve.arg(deployment.dir().join("relay/relay.toml"));
    let log = deployment.dir().join("passed.log");
    let mut relay = Process::start("the relay with sockets", serve, &log)?;
    testkit::eventually(SOON, "the relay answers at a socket of the manager's", || {
        ask(port, "readyz", &[]).is_ok_and(|answer| answer.contains("\"ready\":true"))
    })?;
    // The connector finds it by UDP, and the agent by TCP.
    deployment.wait_for_connectors(1)?;
    deployment.admin(&["user", "ls"])?.ok()?;
    assert!(!relay.log().contains("no door listens"), "{}", relay.log());
    relay.stop(SOON).map(drop)
}

/// Binds a port of TCP, one of UDP and one more of TCP, keeps them past `exec`, and becomes the program.
const PASS: &str = r#"
import os, socket, sys
def bind(kind, port):
    bound = socket.socket(socket.AF_INET, kind)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", int(port)))
    if kind == socket.SOCK_STREAM:
        bound.listen(128)
    return bound.detach()
https, quic, admin, *program = sys.argv[1:]
kinds = [(socket.SOCK_STREAM, https), (socket.SOCK_DGRAM, quic), (socket.SOCK_STREAM, admin)]
fds = [os.dup2(fd, 20 + n) for n, fd in enumerate(bind(*kind) for kind in kinds)]
for n, fd in enumerate(fds):
    os.dup2(fd, 3 + n)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)))
os.execv(program[0], program)
"#;

/// Runs a program as systemd does with `Type=notify` and `WatchdogSec=`, and listens.
fn tells_its_manager(mut program: Command, directory: &Path) -> Result<()> {
    let socket = directory.join("notify");
    let manager = UnixDatagram::bind(&socket)?;
    manager.set_read_timeout(Some(SOON))?;
    let hear = || -> Result<String> {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).trim().to_owned())
    };
    program.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "300000");
    let mut managed =
        Process::start("the managed program", program, &directory.join("managed.log"))?;
    let mut told = Vec::new();
    while told.iter().filter(|word| *word == "WATCHDOG=1").count() < 3 {
        told.push(hear()?);
    }
    assert_eq!(told.iter().filter(|word| *word == "READY=1").count(), 1, "{told:?}");
    managed.terminate();
    while hear()? != "STOPPING=1" {}
    managed.wait(SOON).map(drop)
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
