//! gRPC, with the library that Python programs use on both sides.

use std::process::Command;

use anyhow::Result;
use testkit::{Process, free_port, run};

use super::stage::Stage;
use crate::support::{SOON, application, assert_says, grant};

#[test]
fn calls_of_all_four_kinds_pass_and_refusals_are_understood() -> Result<()> {
    let (stage, _server) = stage()?;
    let (token, other) =
        (stage.token()?, stage.deployment.token("alice", "dead", &["--kind", "api"])?);
    let dead = stage.host_of("dead");
    let said = run(&mut client(&stage, &["calls", &token, &other, &dead]), SOON)?.ok()?;
    assert_eq!(said, "done\n");
    Ok(())
}

#[test]
fn a_call_under_way_is_told_when_its_token_is_revoked() -> Result<()> {
    let (stage, _server) = stage()?;
    let token = stage.token()?;
    let log = stage.deployment.dir().join("stream.log");
    let mut client = Process::start("python", client(&stage, &["stream", &token]), &log)?;
    client.wait_for_log("streaming", SOON)?;
    // It takes the place of the first.
    stage.token()?;
    client.wait_for_log("StatusCode.UNAUTHENTICATED: your access was withdrawn", SOON)?;
    Ok(())
}

#[test]
fn calls_to_one_service_of_several_pass_beside_the_others() -> Result<()> {
    let (stage, _server) = stage_of(|stage, address| {
        let service = format!(
            "[[application.web.service]]\naddress = {address:?}\npath = \"/test.Bytes\"\n\
             http = \"2\"\n"
        );
        application("app", "web", &stage.address()) + "allow_api = true\n" + &service
    })?;
    let (token, other) =
        (stage.token()?, stage.deployment.token("alice", "dead", &["--kind", "api"])?);
    let dead = stage.host_of("dead");
    let said = run(&mut client(&stage, &["calls", &token, &other, &dead]), SOON)?.ok()?;
    assert_eq!(said, "done\n");
    // What is no service's goes to the application's own origin, which speaks HTTP/1.1.
    for version in ["--http1.1", "--http2"] {
        let mut curl = stage.curl("/echo");
        curl.args([version, "-H", &format!("X-Adit-Key: {token}")]);
        assert_says(&run(&mut curl, SOON)?, "\"x-adit-user\":\"alice\"");
    }
    let sessions = stage.deployment.sessions()?;
    let of_app = sessions.iter().filter(|session| session["application"] == "app");
    assert_eq!(of_app.count(), 1, "one session for both: {sessions:?}");
    Ok(())
}

/// A stage with a gRPC server as `app`, and nobody at all as `dead`.
fn stage() -> Result<(Stage, Process)> {
    stage_of(|_, address| application("app", "web", address) + HTTP_2)
}

/// The same, where `app` stands as `described` says for the server's address.
fn stage_of(described: impl FnOnce(&Stage, &str) -> String) -> Result<(Stage, Process)> {
    let stage = Stage::start()?;
    let port = free_port()?;
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-u", "-c", include_str!("grpc_server.py"), &port.to_string()]);
    let log = stage.deployment.dir().join("grpc.log");
    let mut server = Process::start("grpc", python, &log)?;
    server.wait_for_log("listening", SOON)?;
    let document = [
        described(&stage, &format!("127.0.0.1:{port}")),
        application("dead", "web", "127.0.0.1:1") + HTTP_2,
        grant("alice", "dead"),
    ];
    stage.deployment.apply(&document.concat())?.ok()?;
    Ok((stage, server))
}

fn client(stage: &Stage, args: &[&str]) -> Command {
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-u", "-c", include_str!("grpc_client.py")]);
    python.arg(stage.host()).arg(stage.deployment.ca_file()).args(args);
    python
}

const HTTP_2: &str = "allow_api = true\n[application.web]\nhttp = \"2\"\n";
