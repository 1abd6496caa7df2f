//! Desktops in Chromium, as people use them: FreeRDP's server behind a connector. Each journey is a
//! script in `portal/ui/e2e`, driven by Playwright.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testkit::{
    Deployment, RdpSecurity, RdpTarget, Screen, XrdpTarget, bin_dir, eventually, free_port, run,
    self_signed,
};

use crate::hostile::Targets;
use crate::support::{SOON, application, grant};

#[test]
fn a_person_signs_in_at_a_desktop_sees_it_types_into_it_and_is_told_of_its_end() -> Result<()> {
    Stage::start()?.walk("desktop.mjs")
}

#[test]
fn the_relay_signs_in_and_the_browser_never_has_the_password() -> Result<()> {
    let stage = Stage::start()?;
    stage.walk("desktop-managed.mjs")?;
    let events = stage.deployment.admin(&["audit", "ls", "--limit", "200"])?.ok()?;
    assert!(!events.contains(RdpTarget::PASSWORD), "{events}");
    Ok(())
}

#[test]
fn a_desktop_comes_back_after_the_network_was_cut() -> Result<()> {
    Stage::start()?.walk("desktop-network.mjs")
}

#[test]
fn a_ticket_opens_one_line_of_the_browser_that_asked_for_it() -> Result<()> {
    Stage::start()?.walk("desktop-ticket.mjs")
}

#[test]
fn a_target_that_shows_another_certificate_gets_nothing() -> Result<()> {
    Stage::start()?.walk("desktop-certificate.mjs")
}

#[test]
fn a_recorded_desktop_is_watched_ended_and_played_again() -> Result<()> {
    let stage = Stage::start()?;
    stage.walk("desktop-recorded.mjs")?;
    let recorded = stage.deployment.audit("session.recorded")?;
    let session = recorded.last().context("a recording")?["session"].to_string();
    let session = session.trim_matches('"');
    let lines = stage.deployment.admin(&["session", "recording", session])?.ok()?;
    assert!(lines.contains("\"what\":\"screen\""), "{session}");
    // On a terminal there is nothing to see, and it is said what there is.
    let played = stage.deployment.admin(&["session", "play", session])?;
    assert_ne!(played.code(), Some(0));
    assert!(played.both().contains("/desktop#recording="), "{}", played.both());
    Ok(())
}

#[test]
fn a_person_works_at_xrdp_and_its_clipboard_carries_the_way_it_may() -> Result<()> {
    Stage::with_xrdp()?.walk_at_xrdp("desktop-xrdp.mjs")
}

/// In a Chromium with a screen, whose keys are those of a German and of a French keyboard.
#[test]
fn keys_mean_what_they_do_on_the_persons_own_keyboard_and_text_needs_none() -> Result<()> {
    let mut stage = Stage::with_xrdp()?;
    stage.screen = Some(Screen::start()?);
    stage.walk_at_xrdp("desktop-keys.mjs")?;
    // Whatever the target makes of them, these are the characters that it was sent.
    let recorded = stage.deployment.audit("session.recorded")?;
    let mut units = Vec::new();
    for row in &recorded {
        let session = row["session"].as_str().context("a session")?;
        let lines = stage.deployment.admin(&["session", "recording", session])?.ok()?;
        for line in lines.lines() {
            let key: Value = serde_json::from_str(line)?;
            let unit = key["unit"].as_u64().filter(|_| key["pressed"] == true);
            units.extend(unit.and_then(|unit| u16::try_from(unit).ok()));
        }
    }
    let text = String::from_utf16(&units)?;
    assert!(text.contains("zyä@éß中😀"), "{text:?}");
    Ok(())
}

#[test]
fn a_desktop_follows_its_window_and_is_the_same_after_a_break() -> Result<()> {
    Stage::with_xrdp()?.walk_at_xrdp("desktop-window.mjs")
}

#[test]
fn lines_are_opened_by_pages_of_the_portal_only() -> Result<()> {
    let stage = Stage::start()?;
    let deployment = &stage.deployment;
    let (host, port) = (deployment.domain(), deployment.doors().https);
    let jar = deployment.dir().join("alice.jar");
    let link = stage.link("alice")?;
    let code = link.rsplit('#').next().context("a code")?.to_owned();
    let curl = |path: &str| -> Command {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}", "--http1.1"]);
        curl.arg("--cacert").arg(deployment.ca_file()).arg("-c").arg(&jar).arg("-b").arg(&jar);
        curl.arg(format!("https://{host}:{port}{path}"));
        curl
    };
    let own = format!("Origin: https://{host}:{port}");
    let socket = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
    let asked = |headers: &[&str]| -> Result<String> {
        let mut curl = curl("/api/v1/me/desktop");
        for header in headers.iter().chain(&["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]) {
            curl.args(["-H", header]);
        }
        Ok(run(&mut curl, SOON)?.text().chars().take(3).collect())
    };
    let full = [socket.as_slice(), &[own.as_str()]].concat();
    assert_eq!(asked(&full)?, "401", "nobody is signed in");
    let mut sign_in = curl("/sign-in");
    sign_in.args(["-H", "Sec-Fetch-Site: same-origin", "--data-urlencode"]);
    sign_in.arg(format!("code={code}"));
    assert_eq!(run(&mut sign_in, SOON)?.text(), "303");
    assert_eq!(asked(&full)?, "101");
    let sibling = format!("Origin: https://desk1-hq.{host}:{port}");
    for origin in [None, Some(sibling.as_str()), Some("Origin: null")] {
        let mut headers = socket.to_vec();
        headers.extend(origin);
        assert_eq!(asked(&headers)?, "403", "{origin:?}");
    }
    Ok(())
}

/// What a target does, what its user is told, and whether a desktop has opened before that.
const HARMS: &[&[(&str, &str, bool)]] = &[
    &[("zeroes", "target.handshake", false)],
    &[("lines", "target.handshake", false)],
    &[("huge", "target.handshake", false)],
    &[("unoffered", "target.handshake", false)],
    &[("handshake", "target.tls", false)],
    &[("frames", "protocol.violation", true)],
    &[("frames-cut", "protocol.violation", true)],
    &[("login-long", "target.handshake", false)],
    &[("login-deep", "target.login_refused", false)],
    &[("login-again", "target.login_refused", false)],
    &[("silent", "target.timeout", false), ("no-handshake", "target.timeout", false)],
];

#[test]
fn a_target_that_means_harm_costs_its_own_desktop_and_little_memory() -> Result<()> {
    let deployment = Deployment::start()?;
    let [certificate, key] = ["hostile.crt", "hostile.key"].map(|name| deployment.dir().join(name));
    let mut openssl = self_signed(&certificate, &key);
    run(openssl.args(["-subj", "/CN=desk"]), SOON)?.ok()?;
    let harms: Vec<&str> = HARMS.iter().copied().flatten().map(|(harm, ..)| *harm).collect();
    let targets = Targets::start(&deployment, "hostile_desktop.py", &[certificate, key], &harms)?;
    let password = deployment.dir().join("hostile.password");
    fs::write(&password, "any")?;
    let mut document = "[[user]]\nname = \"alice\"\n".to_owned();
    for harm in harms {
        let managed = format!("account = \"alice\"\npassword_file = {password:?}\n");
        document +=
            &(application(harm, "rdp", &targets.address(harm)?) + &managed + &grant("alice", harm));
    }
    deployment.apply(&document)?.ok()?;
    let told = json!({
        "url": deployment.url(),
        "domain": deployment.domain(),
        "links": { "alice": link(&deployment, "alice")? },
        "harms": HARMS,
        "relay": deployment.relay_id(),
        "shots": shots()?,
    });
    walk("desktop-hostile.mjs", &told)?;
    eventually(SOON, "all of their sessions are over", || {
        deployment.sessions().is_ok_and(|open| open.is_empty())
    })
}

/// Two desktops: one that asks for NLA, and one that does not. Each is an application where people sign
/// in, and one where the relay does.
struct Stage {
    deployment: Deployment,
    nla: RdpTarget,
    tls: RdpTarget,
    xrdp: Option<XrdpTarget>,
    /// Where Chromium shows itself, and keys can be pressed.
    screen: Option<Screen>,
    /// Where a script leads to one of them.
    swapped: u16,
}

impl Stage {
    fn start() -> Result<Self> {
        let (nla, tls) = (RdpTarget::start(RdpSecurity::Nla)?, RdpTarget::start(RdpSecurity::Tls)?);
        let (deployment, swapped) = (Deployment::start()?, free_port()?);
        let stage = Self { deployment, nla, tls, xrdp: None, screen: None, swapped };
        fs::write(stage.deployment.dir().join("desktop.password"), RdpTarget::PASSWORD)?;
        stage.deployment.apply(&stage.document())?.ok()?;
        Ok(stage)
    }

    fn with_xrdp() -> Result<Self> {
        let mut stage = Self::start()?;
        stage.xrdp = Some(XrdpTarget::start()?);
        fs::write(stage.deployment.dir().join("xrdp.password"), XrdpTarget::PASSWORD)?;
        stage.deployment.apply(&stage.document())?.ok()?;
        Ok(stage)
    }

    fn walk_at_xrdp(&self, script: &str) -> Result<()> {
        let log = || self.xrdp.as_ref().map(XrdpTarget::log).unwrap_or_default();
        self.walk(script).with_context(log)
    }

    fn document(&self) -> String {
        let managed = format!(
            "account = {:?}\npassword_file = {:?}\n",
            RdpTarget::USER,
            self.deployment.dir().join("desktop.password"),
        );
        let desk = |name, address: &str| application(name, "rdp", address);
        [
            "[[user]]\nname = \"alice\"\n[[user]]\nname = \"bob\"\n".to_owned(),
            desk("desk1", &self.nla.address()),
            desk("desk2", &self.nla.address()) + &managed,
            desk("desk3", &self.tls.address()) + &managed,
            desk("desk4", &self.tls.address()),
            desk("desk6", &self.nla.address()) + &managed,
            desk("desk5", &format!("127.0.0.1:{}", self.swapped)) + &managed,
            grant("alice", "desk1"),
            grant("alice", "desk2"),
            grant("alice", "desk3") + "clipboard = \"off\"\nfile_transfer = false\n",
            grant("alice", "desk4") + "clipboard = \"to-target\"\n",
            grant("alice", "desk5"),
            grant("alice", "desk6") + "recording = \"with-input\"\n",
            grant("bob", "desk3"),
            self.xrdp.as_ref().map(|target| self.of_xrdp(target)).unwrap_or_default(),
        ]
        .concat()
    }

    fn of_xrdp(&self, target: &XrdpTarget) -> String {
        let managed = format!(
            "account = {:?}\npassword_file = {:?}\n",
            XrdpTarget::USER,
            self.deployment.dir().join("xrdp.password"),
        );
        let desk = |name| application(name, "rdp", &target.address());
        [
            desk("desk7"),
            desk("desk8") + &managed,
            desk("desk9") + &managed,
            desk("desk10") + &managed,
            desk("desk11") + &managed,
            grant("alice", "desk7"),
            grant("alice", "desk8") + "clipboard = \"to-target\"\n",
            grant("alice", "desk9") + "clipboard = \"from-target\"\n",
            grant("alice", "desk10"),
            grant("alice", "desk11") + "recording = \"with-input\"\n",
        ]
        .concat()
    }

    fn link(&self, user: &str) -> Result<String> {
        link(&self.deployment, user)
    }

    fn walk(&self, script: &str) -> Result<()> {
        walk(script, &self.told()?)
    }

    fn told(&self) -> Result<Value> {
        let deployment = &self.deployment;
        let target = |target: &RdpTarget| {
            json!({ "screen": target.dir().join("Xvfb_screen0"), "dir": target.dir(),
                "port": target.port() })
        };
        Ok(json!({
            "url": deployment.url(),
            "domain": deployment.domain(),
            "links": { "alice": self.link("alice")?, "bob": self.link("bob")?,
                "admin": self.link("admin")? },
            "user": RdpTarget::USER,
            "password": RdpTarget::PASSWORD,
            "nla": target(&self.nla),
            "tls": target(&self.tls),
            "xrdp": self.xrdp.as_ref().map(|target| json!({ "dir": target.dir(),
                "user": XrdpTarget::USER, "password": XrdpTarget::PASSWORD })),
            "display": self.screen.as_ref().map(Screen::display),
            "swapped": self.swapped,
            "dir": deployment.dir(),
            "shots": shots()?,
        }))
    }
}

/// Runs a journey; it fails with what it says.
pub(crate) fn walk(script: &str, told: &Value) -> Result<()> {
    let portal = Path::new(env!("CARGO_MANIFEST_DIR")).join("portal/ui/e2e");
    let mut node = Command::new("node");
    node.arg(portal.join(script)).env("ADIT_E2E", told.to_string());
    run(&mut node, JOURNEY)?.ok().context(script.to_owned()).map(drop)
}

pub(crate) fn link(deployment: &Deployment, user: &str) -> Result<String> {
    let printed = deployment.admin(&["user", "sign-in-link", user])?.ok()?;
    let line = printed.lines().find(|line| line.starts_with("https://"));
    Ok(line.context("a link")?.to_owned())
}

/// Where pictures are left to be looked at.
pub(crate) fn shots() -> Result<PathBuf> {
    let shots = bin_dir()?.join("desktop-shots");
    fs::create_dir_all(&shots)?;
    Ok(shots)
}

const JOURNEY: Duration = Duration::from_secs(230);
