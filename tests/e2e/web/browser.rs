//! Browsers at the web door: curl with a cookie jar for each rule, and Chromium as people use it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::{Output, Process, eventually, run};

use super::chromium::Chromium;
use super::stage::Stage;
use super::websocket;
use crate::support::{SOON, application, assert_says};

#[test]
fn a_person_signs_in_once_and_opens_everything_until_they_sign_out() -> Result<()> {
    let stage = Stage::start()?;
    stage.deployment.login("alice")?;
    let mut browser = Chromium::start(stage.deployment.dir(), "alice")?;
    browser.goto("a", &stage.url("/talking?x=1"))?;
    browser.until("a", "document.title.startsWith('Sign in')")?;
    let code = code(&stage)?;
    let form = "document.querySelector('form[data-code]')";
    let paste = format!(
        "document.querySelector('summary').click(), {form}.code.value = '{code}', \
         {form}.requestSubmit(), true"
    );
    browser.until("a", &paste)?;
    browser.until("a", "document.title == 'socket says hello'")?;
    let here = browser.until("a", "location.pathname + location.search")?;
    assert_eq!(here, "/talking?x=1", "landed where the way began");

    browser.goto("b", &stage.url_of("other", "/landing"))?;
    let text = browser
        .until("b", "document.body.innerText.startsWith('landed') && document.body.innerText")?;
    assert_eq!(text, "landed with no cookie\n", "the application sees none of the relay's cookies");
    assert_eq!(browser.until("b", "document.cookie == '' && 'none'")?, "none");
    let user = browser
        .until("b", "fetch('/echo').then(r => r.json()).then(e => e.headers['x-adit-user'])")?;
    assert_eq!(user, "alice");

    let relay = format!("https://{}:{}", stage.deployment.domain(), stage.deployment.doors().https);
    browser.goto("b", &format!("{relay}/"))?;
    let links = browser.until("b", "document.querySelectorAll('.tile a').length")?;
    assert_eq!(links, 2, "both applications");
    browser.goto("b", &stage.url_of("other", "/.adit/sign-out"))?;
    browser.until("b", "document.title.startsWith('Sign out')")?;
    let started = Instant::now();
    browser.until("b", "document.querySelector('main button').click(), true")?;
    browser.until("a", "document.title == 'socket closed'")?;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(2), "the socket ended after {took:?}");
    println!("the socket ended after {} ms", took.as_millis());
    eventually(SOON, "the socket is recorded as one over HTTP/2", || {
        let log = stage.deployment.admin_json(&["web", "log"]).unwrap_or_default();
        let is_it = |row: &Value| row["path"] == "/ws" && row["method"] == "CONNECT";
        log.as_array().is_some_and(|rows| rows.iter().any(is_it))
    })?;
    let refused = browser.until("a", "fetch('/echo').then(r => r.status)")?;
    assert_eq!(refused, 401, "what a page loads is told, not led away");
    browser.goto("a", &stage.url("/talking"))?;
    browser.until("a", "document.title.startsWith('Sign in')")?;
    assert_eq!(stage.deployment.audit("sign_in.ended")?.len(), 1);

    // The link that `adit sign-in` prints needs no pasting.
    browser.goto("a", &link(&stage)?)?;
    browser.until("a", "document.title.startsWith('Applications') && location.hash == ''")?;
    Ok(())
}

#[test]
fn a_browser_is_opened_and_signed_in_and_where_there_is_none_the_link_is_printed() -> Result<()> {
    let stage = Stage::start()?;
    stage.deployment.login("alice")?;
    let dir = stage.deployment.dir();
    let (script, shown) = (dir.join("browser"), dir.join("shown"));
    std::fs::write(&script, format!("#!/bin/sh\necho \"$@\" > {}\n", shown.display()))?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    let adit = |browser: &Path| {
        let mut adit = stage.deployment.adit("alice");
        adit.args(["sign-in", "--open"]).env("BROWSER", browser);
        adit
    };
    assert_eq!(run(&mut adit(&script), SOON)?.ok()?, "");
    let page = std::fs::read_to_string(&shown)?;
    assert!(!page.contains('#'), "everybody can read a program's arguments: {page}");
    let page = page.trim();
    assert_eq!(std::fs::metadata(page)?.permissions().mode() & 0o777, 0o600);
    let mut browser = Chromium::start(dir, "alice")?;
    browser.goto("a", &format!("file://{page}"))?;
    browser.until("a", "document.title.startsWith('Applications') && location.hash == ''")?;
    let printed = run(&mut adit(&dir.join("no-browser")), SOON)?.ok()?;
    assert!(printed.contains("/sign-in#"), "{printed}");
    Ok(())
}

#[test]
fn what_is_open_ends_with_the_last_of_the_sign_in_hours() -> Result<()> {
    let mut stage = Stage::start()?;
    stage.deployment.login("alice")?;
    let jar = Jar::new(&stage, "alice");
    jar.sign_in()?;
    jar.enter(&stage.url("/landing"))?;
    let cookie = jar.cookie()?;
    // Nobody waits for hours here: all but the last seconds of them are over at once.
    stage.deployment.relay().stop(SOON)?;
    let end = UNIX_EPOCH + Duration::from_secs(UNIX_EPOCH.elapsed()?.as_secs() + 20);
    stage.sign_ins_end(end)?;
    stage.deployment.start_relay()?;
    stage.deployment.wait_for_connectors(1)?;
    let own = format!("https://{}", stage.host());
    let mut socket = websocket::client(&stage, "", "hold")?;
    socket.args([&cookie, &own]);
    let dir = stage.deployment.dir().to_owned();
    let mut socket = Process::start("node", socket, &dir.join("held.log"))?;
    socket.wait_for_log("open", SOON)?;
    let mut open = Vec::from([socket]);
    for version in ["--http1.1", "--http2"] {
        let mut curl = stage.curl("/endless");
        curl.args([version, "-o", "/dev/null", "-H", &format!("Cookie: {cookie}")]);
        curl.args(["-H", "Sec-Fetch-Site: same-origin"]);
        open.push(Process::start("curl", curl, &dir.join(format!("curl{version}.log")))?);
    }
    eventually(SOON, "bytes flow", || stage.bytes_down() > 1 << 20)?;
    assert!(open.iter_mut().all(Process::is_running), "open to the end");
    assert!(SystemTime::now() < end, "all of it was open in time");
    for client in &mut open {
        client.wait(SOON)?;
    }
    let late = SystemTime::now().duration_since(end).context("it ended too early")?;
    println!("the last of it ended after {} ms", late.as_millis());
    assert!(late < Duration::from_secs(1), "{late:?}");
    eventually(SOON, "its end is recorded", || {
        let ended = stage.deployment.audit("sign_in.ended").unwrap_or_default();
        ended.iter().any(|row| row["event"]["reason"] == "expired")
    })
}

#[test]
fn a_hostile_application_beside_it_acts_on_nothing_and_sets_no_cookie() -> Result<()> {
    let stage = Stage::start()?;
    stage.deployment.login("alice")?;
    let mut browser = Chromium::start(stage.deployment.dir(), "alice")?;
    browser.goto("a", &link(&stage)?)?;
    browser.until("a", "document.title.startsWith('Applications')")?;
    browser.goto("a", &stage.url("/talking"))?;
    browser.until("a", "document.title == 'socket says hello'")?;
    let own = browser.until("a", "fetch('/act', { method: 'POST' }).then(r => r.text())")?;
    assert_eq!(own, "acted 1", "its own page acts");

    let relay = format!("{}:{}", stage.deployment.domain(), stage.deployment.doors().https);
    let page = format!("/hostile?to={}&relay={relay}", stage.host());
    browser.goto("b", &stage.url_of("other", &page))?;
    let said = browser.until("b", "document.title.startsWith('done') && document.title")?;
    println!("{said}");
    for attack in ["read", "json", "socket", "relay"] {
        let failed = format!("{attack}=failed");
        assert!(said.as_str().context("words")?.contains(&failed), "{attack}: {said}");
    }
    let acts = browser.until("a", "fetch('/acts').then(r => r.text())")?;
    assert_eq!(acts, "acts 1", "forms, images and frames of the other page changed nothing");
    // What it set for all hosts below the domain is not taken for ours.
    browser.goto("a", &stage.url("/landing"))?;
    let text = browser
        .until("a", "document.body.innerText.startsWith('landed') && document.body.innerText")?;
    assert!(!text.as_str().context("words")?.contains("__Host"), "{text}");
    let user = browser
        .until("a", "fetch('/echo').then(r => r.json()).then(e => e.headers['x-adit-user'])")?;
    assert_eq!(user, "alice");
    // A link is no attack.
    browser.goto("b", &stage.url_of("other", "/linking"))?;
    let host = stage.host();
    let click = format!(
        "(document.links[0].href = 'https://{host}/landing', document.links[0].click(), true)"
    );
    browser.until("b", &click)?;
    browser.until("b", "document.body.innerText.startsWith('landed')")?;
    Ok(())
}

#[test]
fn a_hand_over_is_for_one_browser_one_application_and_one_time() -> Result<()> {
    let stage = Stage::start()?;
    stage.deployment.login("alice")?;
    let (attacker, victim) = (Jar::new(&stage, "attacker"), Jar::new(&stage, "victim"));
    attacker.sign_in()?;
    victim.sign_in()?;
    let go = attacker.location(&stage.url("/landing"))?;
    let enter = attacker.location(&go)?;
    assert!(enter.starts_with(&stage.url("/.adit/enter?code=")), "{enter}");
    // Somebody else's way in, opened in a browser that has one of its own.
    victim.location(&stage.url("/landing"))?;
    assert_says(&victim.get(&enter)?, "sign_in.handover");
    assert_says(&attacker.get(&enter)?, "sign_in.handover");

    let enter = attacker.location(&attacker.location(&stage.url("/landing"))?)?;
    attacker.location(&stage.url_of("other", "/landing"))?;
    let elsewhere = enter.replace(&stage.host(), &stage.host_of("other"));
    assert_says(&attacker.get(&elsewhere)?, "sign_in.handover");

    let enter = attacker.location(&attacker.location(&stage.url("/landing?a=b"))?)?;
    assert_eq!(attacker.location(&enter)?, stage.url("/landing?a=b"));
    assert_says(&attacker.get(&enter)?, "sign_in.handover");
    assert_says(&attacker.get(&stage.url("/landing"))?, "landed with no cookie");
    // The cookie of one application at another.
    let mut curl = stage.anything(&stage.url_of("other", "/echo"));
    curl.args(["-i", "-H", &format!("Cookie: {}", attacker.cookie()?)]);
    assert_says(&run(&mut curl, SOON)?, "authn.required");
    Ok(())
}

#[test]
fn with_a_cookie_only_the_applications_own_pages_are_served() -> Result<()> {
    let stage = Stage::start()?;
    stage.deployment.login("alice")?;
    let jar = Jar::new(&stage, "alice");
    jar.sign_in()?;
    jar.enter(&stage.url("/landing"))?;
    let own = format!("Origin: https://{}", stage.host());
    let sibling = format!("Origin: https://{}", stage.host_of("other"));
    let cases: [(&str, Vec<&str>, bool); 9] = [
        ("POST", vec![own.as_str()], true),
        ("POST", vec!["Sec-Fetch-Site: same-origin"], true),
        ("POST", vec![], false),
        ("POST", vec![sibling.as_str()], false),
        ("POST", vec!["Sec-Fetch-Site: same-site", own.as_str()], false),
        ("GET", vec!["Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors"], false),
        ("GET", vec!["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"], true),
        ("OPTIONS", vec![sibling.as_str()], false),
        ("GET", vec![sibling.as_str()], false),
    ];
    for version in ["--http1.1", "--http2"] {
        for (method, headers, served) in &cases {
            let mut curl = jar.curl(&stage.url("/echo"));
            curl.args([version, "-i", "-X", method]);
            for header in headers {
                curl.args(["-H", header]);
            }
            let text = run(&mut curl, SOON)?;
            let expected = if *served { "\"x-adit-user\":\"alice\"" } else { "web.cross_origin" };
            assert_says(&text, expected);
            assert!(!text.text().contains("__Host-adit"), "{}", text.text());
        }
    }
    let session = stage.deployment.sessions()?;
    assert_eq!(session.len(), 1, "one session for all of it: {session:?}");
    let opened = stage.deployment.audit("session.opened")?;
    let (opened, by) = (&opened[0]["event"], stage.deployment.audit("sign_in.opened")?);
    assert_eq!(opened["credential"], "sign-in");
    assert_eq!(opened["sign_in"], by[0]["event"]["sign_in"]);
    Ok(())
}

#[test]
fn only_what_a_person_looks_at_leads_to_the_sign_in() -> Result<()> {
    let stage = Stage::start()?;
    let program = run(stage.curl("/echo").arg("-i"), SOON)?;
    assert_says(&program, " 401 ");
    assert_says(&program, "application/problem+json");
    let mut preflight = stage.curl("/echo");
    preflight.args(["-i", "-X", "OPTIONS", "-H", "Origin: https://x.test", "-H", HTML]);
    assert_says(&run(&mut preflight, SOON)?, "authn.required");
    let nobody = Jar::new(&stage, "nobody");
    let go = nobody.location(&stage.url("/x?y=/z&w"))?;
    let relay = format!("https://{}:{}", stage.deployment.domain(), stage.deployment.doors().https);
    assert!(go.starts_with(&format!("{relay}/go?to=app-hq.")), "{go}");
    assert!(nobody.location(&go)?.starts_with("/sign-in?next=/go%3Fto%3D"));
    for own in ["/.adit", "/.adit/x", "/.adit/enter"] {
        let mut curl = nobody.curl(&stage.url(own));
        let answer = run(curl.arg("-i"), SOON)?;
        ensure!(!answer.text().contains("no such page\n"), "{own} reached the application");
    }
    Ok(())
}

#[test]
fn an_application_can_neither_set_nor_clear_nor_see_the_relays_cookies() -> Result<()> {
    let stage = Stage::start()?;
    stage.deployment.login("alice")?;
    let jar = Jar::new(&stage, "alice");
    jar.sign_in()?;
    jar.enter(&stage.url("/landing"))?;
    let mut curl = jar.curl(&stage.url("/takeover"));
    let answer = run(curl.arg("-i"), SOON)?;
    let heads = answer.text().to_ascii_lowercase();
    assert!(!heads.contains("__host-adit"), "{heads}");
    assert!(heads.contains("clear-site-data: \"storage\""), "{heads}");
    assert!(heads.contains("set-cookie: theirs=1"), "{heads}");
    assert_says(&jar.get(&stage.url("/landing"))?, "landed with theirs=1\n");
    Ok(())
}

#[test]
fn pages_are_readable_in_light_and_dark_and_on_a_phone() -> Result<()> {
    let stage = Stage::start()?;
    stage.deployment.login("alice")?;
    let hidden = application("hidden", "web", &stage.address()) + "requestable = true\n";
    stage.deployment.apply(&hidden)?.ok()?;
    let mut browser = Chromium::start(stage.deployment.dir(), "alice")?;
    let relay = format!("https://{}:{}", stage.deployment.domain(), stage.deployment.doors().https);
    let shots = std::env::var_os("ADIT_SHOTS").map(PathBuf::from);
    let shots = shots.unwrap_or_else(|| stage.deployment.dir().to_owned());
    browser.goto("a", &format!("{relay}/sign-in"))?;
    browser.until("a", "document.title.startsWith('Sign in')")?;
    look(&mut browser, &shots, "sign-in")?;
    browser.goto("a", &link(&stage)?)?;
    browser.until("a", "document.title.startsWith('Applications')")?;
    look(&mut browser, &shots, "home")?;
    for (name, url, shown) in [
        ("denied", stage.url_of("hidden", "/"), "Ask for access to hidden.hq"),
        ("absent", stage.url_of("nothing", "/"), "access.denied"),
        ("sign-out", format!("{relay}/sign-out"), "Sign out?"),
        ("stray", stage.url("/.adit/enter?code=x"), "sign_in.handover"),
    ] {
        browser.goto("a", &url)?;
        browser.until("a", &format!("document.body.innerText.includes('{shown}')"))?;
        look(&mut browser, &shots, name)?;
    }
    Ok(())
}

/// WCAG 2.1: every text has enough contrast to what is behind it, everything is reached by a name,
/// and nothing is wider than the screen.
fn look(browser: &mut Chromium, shots: &Path, name: &str) -> Result<()> {
    for (dark, width) in [(false, 1000), (true, 1000), (false, 360), (true, 360)] {
        let theme = if dark { "dark" } else { "light" };
        browser.shot("a", &shots.join(format!("{name}-{theme}-{width}.png")), dark, width)?;
        let faults = browser.until("a", LOOK)?;
        assert_eq!(faults, "good", "{name} {theme} {width}");
    }
    Ok(())
}

const LOOK: &str = include_str!("look.js");

/// curl, with the cookies of one browser.
pub(super) struct Jar<'a> {
    stage: &'a Stage,
    file: PathBuf,
}

impl<'a> Jar<'a> {
    pub(super) fn new(stage: &'a Stage, name: &str) -> Self {
        Self { stage, file: stage.deployment.dir().join(format!("{name}.jar")) }
    }

    fn curl(&self, url: &str) -> Command {
        let mut curl = self.stage.anything(url);
        curl.arg("-b").arg(&self.file).arg("-c").arg(&self.file);
        curl
    }

    /// As whoever follows a link or types an address.
    fn get(&self, url: &str) -> Result<Output> {
        run(self.curl(url).args(["-i", "-H", HTML]), SOON)
    }

    fn location(&self, url: &str) -> Result<String> {
        let answer = self.get(url)?;
        let text = answer.text();
        let mut lines = text.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(name, _)| name.eq_ignore_ascii_case("location"));
        Ok(found.with_context(|| format!("no redirect from {url}: {text}"))?.1.trim().to_owned())
    }

    pub(super) fn sign_in(&self) -> Result<()> {
        let (url, code) = (self.relay("/sign-in"), code(self.stage)?);
        let mut curl = self.curl(&url);
        curl.args(["-i", "-H", "Sec-Fetch-Site: same-origin"]);
        curl.arg("--data-urlencode").arg(format!("code={code}"));
        assert_says(&run(&mut curl, SOON)?, " 303 ");
        Ok(())
    }

    /// Lets this browser in to an application.
    pub(super) fn enter(&self, url: &str) -> Result<()> {
        let go = self.location(url)?;
        assert_eq!(self.location(&self.location(&go)?)?, url);
        Ok(())
    }

    /// The cookie of the application it has entered, as it is sent.
    pub(super) fn cookie(&self) -> Result<String> {
        let jar = std::fs::read_to_string(&self.file)?;
        let app = jar.lines().find(|line| line.contains("__Host-adit-app")).context("a cookie")?;
        let value = app.split_whitespace().last().context("its value")?;
        Ok(format!("__Host-adit-app={value}"))
    }

    fn relay(&self, path: &str) -> String {
        let deployment = &self.stage.deployment;
        format!("https://{}:{}{path}", deployment.domain(), deployment.doors().https)
    }
}

impl Stage {
    /// Has all sign-ins end then. The relay must not run.
    fn sign_ins_end(&self, at: SystemTime) -> Result<()> {
        let file = self.deployment.dir().join("relay").join("adit.db");
        let seconds = at.duration_since(UNIX_EPOCH)?.as_secs().to_string();
        let mut python = Command::new("/usr/bin/python3");
        run(python.args(["-c", SIGN_INS_END]).arg(file).arg(seconds), SOON)?.ok().map(drop)
    }
}

const SIGN_INS_END: &str = "import sqlite3, sys\n\
    with sqlite3.connect(sys.argv[1]) as db: db.execute('UPDATE sign_ins SET expires = ?', [int(sys.argv[2])])";

fn link(stage: &Stage) -> Result<String> {
    Ok(run(stage.deployment.adit("alice").arg("sign-in"), SOON)?.ok()?.trim().to_owned())
}

fn code(stage: &Stage) -> Result<String> {
    let mut adit = stage.deployment.adit("alice");
    let said: Value = serde_json::from_str(&run(adit.args(["sign-in", "--json"]), SOON)?.ok()?)?;
    Ok(said["code"].as_str().context("a code")?.to_owned())
}

const HTML: &str = "Accept: text/html,*/*;q=0.8";
