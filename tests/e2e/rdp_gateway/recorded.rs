//! Native clients whose rule wants a recording: the page that plays recordings shows what they saw.

use serde_json::json;

use super::managed::managed;
use super::*;
use crate::desktop::{link, shots, walk};

/// What a client says of itself that could not be shown again: graphics on a channel of their own, codecs,
/// orders with caches, compression, and other colours.
const GREEDY: [&str; 12] = [
    "/gfx",
    "/rfx",
    "/nsc",
    "/jpeg",
    "/bpp:16",
    "+compression",
    "/compression-level:2",
    "+bitmap-cache",
    "+offscreen-cache",
    "+glyph-cache",
    "+multitransport",
    "/network:lan",
];

impl Stage {
    /// Has an admin look at a recording, which is of a session that goes on or is over.
    fn is_watched(&self, session: &str, screen: &std::path::Path, live: bool) -> Result<()> {
        is_watched(&self.deployment, session, screen, live)
    }
}

fn is_watched(
    deployment: &Deployment,
    session: &str,
    screen: &std::path::Path,
    live: bool,
) -> Result<()> {
    let told = json!({
        "url": deployment.url(),
        "links": { "admin": link(deployment, "admin")? },
        "recording": session,
        "screen": screen.join("Xvfb_screen0"),
        "live": live,
        "shots": shots()?,
    });
    walk("desktop-native.mjs", &told)
}

/// Scrolls, and leaves colours at the top: the terminal is larger than the screen.
const SHOW: &str = r"seq 200; printf '\033[H\033[J'; seq 9; printf '\033[41m red \033[42m green \033[0m\n'; touch there
";

/// The session that is open.
fn open_session(deployment: &Deployment) -> Result<String> {
    let open = deployment.sessions()?;
    Ok(open[0]["id"].as_str().context("an id")?.to_owned())
}

fn events(deployment: &Deployment, session: &str) -> Result<Vec<Value>> {
    let lines = deployment.admin(&["session", "recording", session])?.ok()?;
    lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// By the gateway, to a host with NLA: watched while it goes on, ended with a word, and played again.
#[test]
fn a_native_client_is_recorded_watched_ended_and_played_again() -> Result<()> {
    let stage = managed(RdpSecurity::Nla, "recording = \"with-input\"\n")?;
    let screen = Screen::start()?;
    let (file, login) = stage.file()?;
    let mut client = screen.program("xfreerdp");
    client.arg(&file).arg(format!("/p:{}", login["password"].as_str().context("a password")?));
    client.args(["/f", "/cert:ignore"]).args(GREEDY);
    let mut client = stage.show(&screen, client, SEEN)?;
    let session = open_session(&stage.deployment)?;
    stage.types_into(&screen, "first")?;
    screen.type_line("for n in 1 2 3 4 5 6; do od -x -N 3000 /dev/urandom; done")?;
    stage.types_into(&screen, "second")?;
    eventually(SOON, "the client shows what the desktop does", || {
        let pictures = (stage.target.picture(), screen.picture());
        matches!(pictures, (Ok(one), Ok(other)) if one.likeness(&other) >= SEEN)
    })?;
    stage.is_watched(&session, stage.target.dir(), true)?;
    client.wait(SOON)?;
    let said = client.log();
    ensure!(said.contains("until six") && said.contains("session.killed"), "{said}");
    let ended = stage.ended()?;
    assert_eq!((&ended["reason"], &ended["side"]), (&"killed".into(), &"relay".into()));
    stage.is_watched(&session, stage.target.dir(), false)?;
    let events = events(&stage.deployment, &session)?;
    let kept = |what: &str| events.iter().filter(|event| event["what"] == what).count();
    assert!(kept("screen") > 3, "{events:?}");
    // `e`, as it went down.
    let keys = events.iter().filter(|event| event["code"] == 0x12 && event["pressed"] == true);
    assert!(keys.count() >= 4, "{events:?}");
    Ok(())
}

/// Through the agent, to xrdp, which draws by orders and caches where a client has them.
#[test]
fn what_a_native_client_is_shown_by_xrdp_is_played_as_it_was() -> Result<()> {
    let (deployment, target, screen) =
        (Deployment::start()?, testkit::XrdpTarget::start()?, Screen::start()?);
    let password = deployment.dir().join("xrdp.password");
    fs::write(&password, testkit::XrdpTarget::PASSWORD)?;
    let login =
        format!("account = {:?}\npassword_file = {password:?}\n", testkit::XrdpTarget::USER);
    let document = [
        "[[user]]\nname = \"alice\"\n".to_owned(),
        application("desk", "rdp", &target.address()) + &login,
        grant("alice", "desk") + "recording = \"required\"\n",
    ];
    deployment.apply(&document.concat())?.ok()?;
    deployment.login("alice")?;
    let mut adit = deployment.adit("alice");
    adit.env("DISPLAY", screen.display()).env("HOME", screen.dir());
    adit.args(["rdp", "desk", "--tunnel", "--", "/f"]).args(GREEDY);
    let client = Process::start("adit rdp", adit, &screen.dir().join("client.log"))?;
    let file = target.dir().join("there");
    fs::write(target.dir().join("show"), SHOW)?;
    // What comes before the terminal is there is lost.
    eventually(SOON + SOON, "the desktop's shell has run a command", || {
        let _ = screen.type_line("sh show");
        std::thread::sleep(std::time::Duration::from_secs(1));
        file.exists()
    })
    .with_context(|| format!("{}\n{}", client.tail(), target.log()))?;
    let session = open_session(&deployment)?;
    eventually(SOON, "colours are seen", || {
        screen.picture().is_ok_and(|picture| picture.has([205, 0, 0]) && picture.has([0, 205, 0]))
    })
    .with_context(|| client.tail())?;
    // Until what was drawn last is on the disk.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let kept = screen.dir().join("kept");
    fs::create_dir_all(&kept)?;
    fs::copy(screen.dir().join("Xvfb_screen0"), kept.join("Xvfb_screen0"))?;
    drop(client);
    eventually(SOON, "no session is open", || {
        deployment.sessions().is_ok_and(|open| open.is_empty())
    })?;
    is_watched(&deployment, &session, &kept, false).with_context(|| target.log())
}
