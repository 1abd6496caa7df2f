//! Origins that speak HTTP/2: one connection for many requests, and its end.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use testkit::{Process, eventually, free_port, run};

use super::stage::Stage;
use crate::support::{SOON, application, assert_says};

#[test]
fn requests_of_a_session_share_connections_as_far_as_the_origin_lets_them() -> Result<()> {
    let (stage, _origin) = stage()?;
    let key = format!("X-Adit-Key: {}", stage.token()?);
    let mut curl = stage.curl("/echo?n=1");
    curl.args(["--http1.1", "-H", &key, "-H", "TE: gzip, trailers"]);
    curl.args(["-H", "Connection: x-hop", "-H", "x-hop: 1"]);
    let said: Value = serde_json::from_str(&run(&mut curl, SOON)?.ok()?)?;
    let headers = &said["headers"];
    assert_eq!(headers[":authority"], "wiki.corp:81");
    assert_eq!((&headers[":path"], &headers[":scheme"]), (&"/echo?n=1".into(), &"http".into()));
    assert_eq!((&headers["te"], &headers["x-adit-user"]), (&"trailers".into(), &"alice".into()));
    for absent in ["host", "x-hop", "connection", "x-adit-key"] {
        assert!(headers[absent].is_null(), "{headers}");
    }
    let mut curl = stage.curl("/hold?[1-40]");
    curl.args(["-Z", "--parallel-immediate", "--parallel-max", "40", "-H", &key]);
    let answers = run(&mut curl, SOON)?.ok()?;
    let answers: Vec<Value> =
        serde_json::Deserializer::from_str(&answers).into_iter().collect::<Result<_, _>>()?;
    assert_eq!(answers.len(), 40);
    assert!(answers.iter().all(|said| said["most"].as_u64().is_some_and(|most| most <= 10)));
    // Ten at a time on each.
    let used = answers.iter().filter_map(|said| said["session"].as_u64()).max();
    assert!(used.is_some_and(|used| (2..=6).contains(&used)), "{used:?}");
    Ok(())
}

#[test]
fn what_an_origin_has_not_looked_at_is_sent_again() -> Result<()> {
    let (stage, _origin) = stage()?;
    let key = format!("X-Adit-Key: {}", stage.token()?);
    let ask = |path: &str, args: &[&str]| -> Result<Value> {
        let said = run(stage.curl(path).args(["-H", &key]).args(args), SOON)?.ok()?;
        serde_json::from_str(&said).with_context(|| said)
    };
    for (case, method) in [("get", "GET"), ("delete", "DELETE")] {
        let said = ask("/refuse", &["-X", method, "-H", &format!("X-Case: {case}")])?;
        assert_eq!(said["session"], 1, "{method}");
    }
    assert_eq!(ask("/goaway", &[])?["session"], 1);
    eventually(SOON, "a new connection is used", || {
        ask("/echo", &[]).is_ok_and(|said| said["session"] == 2)
    })
}

#[test]
fn bodies_trailers_and_leaving_pass_to_an_http2_origin() -> Result<()> {
    let (stage, _origin) = stage()?;
    let key = format!("X-Adit-Key: {}", stage.token()?);
    let body = stage.deployment.dir().join("body");
    std::fs::write(&body, vec![b'x'; 20_000_000])?;
    for version in ["--http1.1", "--http2"] {
        let mut curl = stage.curl("/echo");
        curl.args([version, "-H", &key, "--data-binary"]).arg(format!("@{}", body.display()));
        let said: Value = serde_json::from_str(&run(&mut curl, SOON)?.ok()?)?;
        assert_eq!(said["bytes"], 20_000_000);
        let mut curl = stage.curl("/hang");
        curl.args([version, "-H", &key]);
        let log = stage.deployment.dir().join("hang.log");
        let client = Process::start("curl", curl, &log)?;
        let open = |count: u64| {
            let said = run(stage.curl("/open").args(["-H", &key]), SOON).ok()?.ok().ok()?;
            let said: Value = serde_json::from_str(&said).ok()?;
            (said["open"] == count).then(|| said["reset"].clone())
        };
        eventually(SOON, "the request is there", || open(1).is_some())?;
        drop(client);
        // CANCEL
        eventually(SOON, "the request is gone", || open(0) == Some(8.into()))?;
    }
    let mut curl = stage.curl("/trailers");
    curl.args(["--http2", "-v", "-H", &key]);
    let said = run(&mut curl, SOON)?;
    assert_says(&said, "x-sum: 42");
    Ok(())
}

#[test]
fn a_killed_session_ends_what_its_connections_carry() -> Result<()> {
    let (stage, _origin) = stage()?;
    let key = format!("X-Adit-Key: {}", stage.token()?);
    let mut curl = stage.curl("/endless");
    curl.args(["--http2", "-H", &key, "-o", "/dev/null"]);
    let mut client = Process::start("curl", curl, &stage.deployment.dir().join("endless.log"))?;
    eventually(SOON, "bytes flow", || stage.bytes_down() > 100_000)?;
    let id = stage.deployment.sessions()?[0]["id"].as_str().context("a session")?.to_owned();
    stage.deployment.admin(&["session", "kill", &id])?.ok()?;
    eventually(SOON, "the client is told", || !client.is_running())?;
    eventually(SOON, "it is closed", || {
        stage.deployment.audit("session.ended").is_ok_and(|ended| ended.len() == 1)
    })?;
    let told = stage.deployment.audit("session.ended")?;
    assert_eq!(told[0]["event"]["reason"], "killed", "{told:?}");
    Ok(())
}

/// A stage whose `app` speaks HTTP/2 without TLS.
pub(super) fn stage() -> Result<(Stage, Process)> {
    let stage = Stage::start()?;
    let (port, script) = (free_port()?, stage.deployment.dir().join("app2.js"));
    std::fs::write(&script, include_str!("app2.js"))?;
    let mut command = Command::new("node");
    command.arg(script).arg(port.to_string());
    let mut node = Process::start("node", command, &stage.deployment.dir().join("node2.log"))?;
    node.wait_for_log("listening", SOON)?;
    let document = application("app", "web", &format!("127.0.0.1:{port}"))
        + "allow_api = true\n[application.web]\nhttp = \"2\"\nhost = \"wiki.corp:81\"\n";
    stage.deployment.apply(&document)?.ok()?;
    Ok((stage, node))
}
