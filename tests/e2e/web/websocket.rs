//! WebSockets over HTTP/2, on either side of the relay.

use std::process::Command;

use anyhow::{Context, Result};
use testkit::{Process, eventually, run};

use super::browser::Jar;
use super::http2;
use super::raw::Raw;
use super::stage::Stage;
use crate::support::SOON;

#[test]
fn a_client_of_http2_opens_websockets_at_an_origin_of_http1() -> Result<()> {
    let stage = Stage::start()?;
    let mut client = client(&stage, &stage.token()?, "talk")?;
    assert_eq!(run(&mut client, SOON)?.ok()?, "done\n");
    Ok(())
}

#[test]
fn websockets_pass_to_an_origin_of_http2_from_either_kind_of_client() -> Result<()> {
    let (stage, _origin) = http2::stage()?;
    let token = stage.token()?;
    let mut client = client(&stage, &token, "talk")?;
    assert_eq!(run(&mut client, SOON)?.ok()?, "done\n");
    Raw::new(&stage, &token)?.websocket()?;
    Ok(())
}

#[test]
fn a_websocket_over_http2_ends_with_its_session() -> Result<()> {
    let stage = Stage::start()?;
    let client = client(&stage, &stage.token()?, "hold")?;
    let mut client = Process::start("node", client, &stage.deployment.dir().join("ws2.log"))?;
    client.wait_for_log("open", SOON)?;
    let id = stage.deployment.sessions()?[0]["id"].as_str().context("a session")?.to_owned();
    stage.deployment.admin(&["session", "kill", &id])?.ok()?;
    client.wait_for_log("closed", SOON)?;
    let sessions = || stage.deployment.sessions().is_ok_and(|sessions| sessions.is_empty());
    eventually(SOON, "the session is over", sessions)
}

#[test]
fn a_browsers_cookie_opens_websockets_over_http2_for_the_applications_own_pages_only() -> Result<()>
{
    let stage = Stage::start()?;
    stage.deployment.login("alice")?;
    let jar = Jar::new(&stage, "alice");
    jar.sign_in()?;
    jar.enter(&stage.url("/landing"))?;
    let cookie = jar.cookie()?;
    let own = format!("https://{}", stage.host());
    let asked = |what: &str, origin: &str| -> Result<String> {
        let mut client = client(&stage, "", what)?;
        run(client.args([&cookie, origin]), SOON)?.ok()
    };
    assert_eq!(asked("talk", &own)?, "done\n");
    let sibling = format!("https://{}", stage.host_of("other"));
    for foreign in [sibling.as_str(), "https://elsewhere.test", ""] {
        assert_eq!(asked("status", foreign)?, "403\n", "{foreign:?}");
    }
    let (cookie, what) = ("__Host-adit-app=guessed", "status");
    let mut stranger = client(&stage, "", what)?;
    assert_eq!(run(stranger.args([cookie, own.as_str()]), SOON)?.ok()?, "401\n");
    Ok(())
}

/// `ws2.js`, which may be given a cookie and an `Origin` too.
pub(super) fn client(stage: &Stage, token: &str, what: &str) -> Result<Command> {
    let script = stage.deployment.dir().join("ws2.js");
    std::fs::write(&script, include_str!("ws2.js"))?;
    let mut node = Command::new("node");
    node.arg(script).arg(stage.host()).arg(stage.deployment.ca_file()).args([token, what]);
    Ok(node)
}
