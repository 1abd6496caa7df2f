//! The RD Gateway door, with FreeRDP on both ends.

mod attacks;
mod managed;
pub(crate) mod raw;
mod recorded;
mod refused;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::{Deployment, Process, RdpSecurity, RdpTarget, Screen, eventually, run, xfreerdp};

use crate::support::{SOON, application, assert_says, grant};

/// A deployment with a desktop behind it, `desk`, that alice may open, and another that bob may.
pub(crate) struct Stage {
    pub(crate) deployment: Deployment,
    pub(crate) target: RdpTarget,
}

impl Stage {
    pub(crate) fn start(security: RdpSecurity) -> Result<Self> {
        let stage = Self { deployment: Deployment::start()?, target: RdpTarget::start(security)? };
        stage.apply("")?;
        Ok(stage)
    }

    /// The document; `terms` are of alice's grant.
    fn apply(&self, terms: &str) -> Result<()> {
        let address = self.target.address();
        let document = [
            "[[user]]\nname = \"alice\"\n[[user]]\nname = \"bob\"\n".to_owned(),
            application("desk", "rdp", &address),
            application("other", "rdp", &address),
            application("raw", "tcp", &address),
            grant("alice", "desk") + terms,
            grant("alice", "raw"),
            grant("bob", "other"),
        ];
        self.deployment.apply(&document.concat())?.ok().map(drop)
    }

    /// A token for this many uses.
    pub(crate) fn token(&self, user: &str, application: &str, uses: u32) -> Result<String> {
        self.deployment.token(user, application, &["--uses", &uses.to_string()])
    }

    /// FreeRDP's client, which shows this token at the door and asks for `target`.
    fn client(&self, screen: &Screen, way: &str, token: &str, target: &str) -> Command {
        let mut client = xfreerdp(screen);
        let port = self.deployment.doors().https;
        client.args([&format!("/g:localhost:{port}"), &format!("/gt:{way}")]);
        client.args([&format!("/gat:{token}"), &format!("/v:{target}")]);
        client
    }

    /// The exit code of a client that only signs in.
    fn signs_in(&self, screen: &Screen, way: &str, token: &str, target: &str) -> Result<bool> {
        let mut client = self.client(screen, way, token, target);
        Ok(run(client.arg("+auth-only"), SOON)?.code() == Some(0))
    }

    /// Starts a client, and waits until that share of its pixels is as at the desktop.
    fn show(&self, screen: &Screen, client: Command, share: f64) -> Result<Process> {
        let client = Process::start("xfreerdp", client, &screen.dir().join("client.log"))?;
        eventually(SOON, "the client shows the desktop", || {
            let pictures = (self.target.picture(), screen.picture());
            matches!(pictures, (Ok(one), Ok(other)) if one.likeness(&other) >= share)
        })
        .with_context(|| client.tail())?;
        Ok(client)
    }

    fn types_into(&self, screen: &Screen, word: &str) -> Result<()> {
        screen.type_line(&format!("echo {word} > there"))?;
        let file = self.target.dir().join("there");
        let typed = || fs::read_to_string(&file).is_ok_and(|text| text.trim() == word);
        eventually(SOON, "the desktop's shell has run a command", typed)
    }

    pub(crate) fn no_session_is_open(&self) -> Result<()> {
        eventually(SOON, "no session is open", || {
            self.deployment.sessions().is_ok_and(|open| open.is_empty())
        })
    }

    fn ended(&self) -> Result<Value> {
        self.no_session_is_open()?;
        let mut ended = self.deployment.audit("session.ended")?;
        Ok(ended.pop().context("a session has ended")?["event"].take())
    }
}

/// A WebSocket; two requests of plain HTTP.
const WAYS: [&str; 2] = ["http", "http,no-websockets"];
/// Where no codec for pictures is used.
const EXACT: f64 = 0.999;
/// Where one is, as FreeRDP has it with a file: letters in colour come out with other edges.
const SEEN: f64 = 0.99;
const DESK: &str = "desk-hq.localhost";

#[test]
fn freerdp_shows_the_desktop_and_types_into_it_by_each_way() -> Result<()> {
    let stage = Stage::start(RdpSecurity::Nla)?;
    for (way, word) in WAYS.into_iter().zip(["socket", "pair"]) {
        let (screen, token) = (Screen::start()?, stage.token("alice", "desk", 1)?);
        let client = stage.show(&screen, stage.client(&screen, way, &token, DESK), EXACT)?;
        stage.types_into(&screen, word)?;
        let open = stage.deployment.sessions()?;
        assert_eq!(
            (&open[0]["door"], &open[0]["kind"]),
            (&"rdp".into(), &"rdp".into()),
            "{open:?}"
        );
        drop(client);
        let ended = stage.ended()?;
        // It was killed, so it may have said nothing.
        assert_eq!(ended["side"], "client", "{way}: {ended}");
        assert!(ended["down"].as_u64() > Some(5_000), "{ended}");
    }
    Ok(())
}

#[test]
fn a_file_of_the_relays_opens_the_desktop_once() -> Result<()> {
    let stage = Stage::start(RdpSecurity::Nla)?;
    stage.deployment.login("alice")?;
    let (screen, file) = (Screen::start()?, stage.deployment.dir().join("desk.rdp"));
    let mut adit = stage.deployment.adit("alice");
    adit.args(["rdp", "desk", "--user", RdpTarget::USER, "--file"]).arg(&file);
    assert_says(&run(&mut adit, SOON)?, "good for one connection");
    assert_eq!(fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    let open = || {
        let mut client = screen.program("xfreerdp");
        client.arg(&file).arg(format!("/p:{}", RdpTarget::PASSWORD));
        client.args(["/f", "/cert:ignore", "/network:lan", "/bpp:32"]);
        client
    };
    let client = stage.show(&screen, open(), SEEN)?;
    drop(client);
    stage.no_session_is_open()?;
    assert_ne!(run(open().arg("+auth-only"), SOON)?.code(), Some(0));
    Ok(())
}

#[test]
fn adit_rdp_starts_a_client_by_the_gateway_and_by_a_tunnel() -> Result<()> {
    let stage = Stage::start(RdpSecurity::Nla)?;
    stage.deployment.login("alice")?;
    for (flags, door) in [(&[][..], "rdp"), (&["--tunnel"], "agent")] {
        let screen = Screen::start()?;
        let mut adit = stage.deployment.adit("alice");
        adit.env("DISPLAY", screen.display()).env("HOME", screen.dir());
        adit.args(["rdp", "desk", "--user", RdpTarget::USER]).args(flags).arg("--");
        adit.arg(format!("/p:{}", RdpTarget::PASSWORD));
        adit.args(["/f", "/cert:ignore", "/network:lan", "/bpp:32"]);
        let client = stage.show(&screen, adit, SEEN)?;
        assert_eq!(stage.deployment.sessions()?[0]["door"], door);
        drop(client);
        stage.no_session_is_open()?;
    }
    Ok(())
}

#[test]
fn who_is_ended_by_an_admin_reads_why() -> Result<()> {
    let stage = Stage::start(RdpSecurity::Tls)?;
    for way in WAYS {
        let (screen, token) = (Screen::start()?, stage.token("alice", "desk", 1)?);
        let mut client = stage.show(&screen, stage.client(&screen, way, &token, DESK), EXACT)?;
        let open = stage.deployment.sessions()?;
        let id = open[0]["id"].as_str().context("an id")?;
        stage.deployment.admin(&["session", "kill", id, "--message", "until five"])?.ok()?;
        client.wait(SOON)?;
        let said = client.log();
        ensure!(said.contains("until five") && said.contains("session.killed"), "{way}: {said}");
        let ended = stage.ended()?;
        assert_eq!(
            (&ended["reason"], &ended["side"]),
            (&"killed".into(), &"relay".into()),
            "{way}"
        );
    }
    Ok(())
}
