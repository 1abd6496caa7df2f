//! Native clients of a desktop where the relay signs in: they have a login that is good once.

use std::io::{BufRead as _, Read as _, Seek as _, SeekFrom};

use super::*;

/// A desktop where the relay signs in; `terms` are of alice's grant.
pub(super) fn managed(security: RdpSecurity, terms: &str) -> Result<Stage> {
    let stage = Stage { deployment: Deployment::start()?, target: RdpTarget::start(security)? };
    let password = stage.deployment.dir().join("desktop.password");
    fs::write(&password, RdpTarget::PASSWORD)?;
    let account = format!("account = {:?}\npassword_file = {password:?}\n", RdpTarget::USER);
    let document = [
        "[[user]]\nname = \"alice\"\n[[user]]\nname = \"bob\"\n".to_owned(),
        application("desk", "rdp", &stage.target.address()) + &account,
        application("own", "rdp", &stage.target.address()),
        grant("alice", "desk") + terms,
        grant("alice", "own"),
        grant("bob", "desk"),
    ];
    stage.deployment.apply(&document.concat())?.ok()?;
    stage.deployment.login("alice")?;
    Ok(stage)
}

impl Stage {
    /// A file of the relay's, and what its client signs in with.
    pub(super) fn file(&self) -> Result<(std::path::PathBuf, Value)> {
        let mut adit = self.deployment.adit("alice");
        let made = run(adit.args(["--json", "rdp", "desk"]), SOON)?.ok()?;
        let made: Value = serde_json::from_str(&made)?;
        let file = self.deployment.dir().join("desk.rdp");
        fs::write(&file, made["text"].as_str().context("a file")?)?;
        Ok((file, made["login"].clone()))
    }

    /// The exit code of a client with this file that only signs in with this password.
    fn is_let_in(&self, screen: &Screen, file: &std::path::Path, password: &str) -> Result<bool> {
        let mut client = screen.program("xfreerdp");
        client.arg(file).arg(format!("/p:{password}"));
        client.args(["/f", "/cert:ignore", "/network:lan", "/bpp:32", "+auth-only"]);
        Ok(run(&mut client, SOON)?.code() == Some(0))
    }
}

/// By the gateway and through the agent, to a target with NLA and to one without; the password stays at
/// the relay.
#[test]
fn a_client_shows_the_desktop_and_never_has_its_password() -> Result<()> {
    for security in [RdpSecurity::Nla, RdpSecurity::Tls] {
        let stage = managed(security, "")?;
        for (flags, door) in [(&[][..], "rdp"), (&["--tunnel"], "agent")] {
            let screen = Screen::start()?;
            let mut adit = stage.deployment.adit("alice");
            adit.env("DISPLAY", screen.display()).env("HOME", screen.dir());
            adit.args(["rdp", "desk"]).args(flags);
            adit.args(["--", "/f", "/network:lan", "/bpp:32"]);
            let client = stage.show(&screen, adit, SEEN)?;
            assert_eq!(stage.deployment.sessions()?[0]["door"], door);
            stage.types_into(&screen, door)?;
            let (theirs, ours) = holds(client.id())?;
            assert!(ours, "the login that is good once is found where it is");
            assert!(!theirs, "{security:?} {door}: the client has the desktop's password");
            let opened = stage.deployment.sessions()?;
            assert_eq!(opened[0]["login"], RdpTarget::USER, "{opened:?}");
            drop(client);
            stage.no_session_is_open()?;
        }
    }
    Ok(())
}

#[test]
fn a_login_is_good_once_and_for_its_own_desktop() -> Result<()> {
    let mut stage = managed(RdpSecurity::Nla, "")?;
    let screen = Screen::start()?;
    let (file, login) = stage.file()?;
    let text = fs::read_to_string(&file)?;
    let user = login["user"].as_str().context("a name")?.to_owned();
    assert!(text.contains(&format!("username:s:{user}")), "{text}");
    let password = login["password"].as_str().context("a password")?.to_owned();
    assert!(!text.contains(&password) && !text.contains(RdpTarget::PASSWORD));
    assert!(stage.is_let_in(&screen, &file, &password)?, "it is good");
    // The token is for another connection each time, and the login is not.
    let (again, other) = stage.file()?;
    let second = fs::read_to_string(&again)?.replace(other["user"].as_str().unwrap_or(""), &user);
    fs::write(&again, second)?;
    assert!(!stage.is_let_in(&screen, &again, &password)?, "it was used");
    let (file, _) = stage.file()?;
    assert!(!stage.is_let_in(&screen, &file, RdpTarget::PASSWORD)?, "the desktop's own is none");
    stage.no_session_is_open()?;
    let log = stage.deployment.relay().log();
    assert!(!log.contains(&password) && !log.contains(RdpTarget::PASSWORD));
    let mut adit = stage.deployment.adit("alice");
    let own = run(adit.args(["--json", "rdp", "own"]), SOON)?.ok()?;
    assert!(serde_json::from_str::<Value>(&own)?["login"].is_null(), "there people sign in");
    Ok(())
}

/// What the relay sees it holds clients to, so there such rules open.
#[test]
fn rules_about_what_is_shared_open_where_the_relay_speaks_the_protocol() -> Result<()> {
    for terms in
        ["clipboard = \"to-target\"\nprinter = false\naudio = false\n", "file_transfer = false\n"]
    {
        let stage = managed(RdpSecurity::Tls, terms)?;
        let screen = Screen::start()?;
        let (file, login) = stage.file()?;
        let text = fs::read_to_string(&file)?;
        let drives = text.contains("drivestoredirect:s:\r\n");
        assert_eq!(drives, terms.contains("file_transfer"), "{text}");
        let share = stage.deployment.dir().join("share");
        fs::create_dir_all(&share)?;
        let mut client = screen.program("xfreerdp");
        client.arg(&file).arg(format!("/p:{}", login["password"].as_str().unwrap_or("")));
        client.args(["/f", "/cert:ignore", "/network:lan", "/bpp:32", "/sound", "/printer"]);
        client.args(["+clipboard", &format!("/drive:share,{}", share.display())]);
        let client = stage.show(&screen, client, SEEN).with_context(|| terms.to_owned())?;
        drop(client);
        stage.no_session_is_open()?;
    }
    Ok(())
}

/// By the names that the host itself reads in its client's settings. Which devices of the one channel for
/// all of them it is told of, tests of `gateways/rdp` say.
#[test]
fn a_host_has_the_channels_that_a_rule_shares_and_no_other() -> Result<()> {
    let (deployment, target, screen) =
        (Deployment::start()?, testkit::XrdpTarget::start()?, Screen::start()?);
    let password = deployment.dir().join("xrdp.password");
    fs::write(&password, testkit::XrdpTarget::PASSWORD)?;
    let login =
        format!("account = {:?}\npassword_file = {password:?}\n", testkit::XrdpTarget::USER);
    let cases = [
        ("all", "", [true, true, true]),
        ("devices", "file_transfer = false\nprinter = false\n", [false, true, true]),
        ("audio", "audio = false\n", [true, false, true]),
        ("clipboard", "clipboard = \"off\"\n", [true, true, false]),
    ];
    let desks = cases.map(|(name, terms, _)| {
        application(name, "rdp", &target.address()) + &login + &grant("alice", name) + terms
    });
    deployment.apply(&("[[user]]\nname = \"alice\"\n".to_owned() + &desks.concat()))?.ok()?;
    deployment.login("alice")?;
    let seen = |text: &str| target.log().matches(text).count();
    for (name, _, wanted) in cases {
        let mut adit = deployment.adit("alice");
        let made = run(adit.args(["--json", "rdp", name]), SOON)?.ok()?;
        let made: Value = serde_json::from_str(&made)?;
        let file = deployment.dir().join("shared.rdp");
        fs::write(&file, made["text"].as_str().context("a file")?)?;
        let mut client = screen.program("xfreerdp");
        client.arg(&file).arg(format!("/p:{}", made["login"]["password"].as_str().unwrap_or("")));
        // Whatever the file advises.
        client.args(["/cert:ignore", "/size:640x480", "/sound", "/drive:share,/tmp"]);
        client.args(["/printer:paper,driver", "+clipboard"]);
        let channels =
            ["rdpdr", "rdpsnd", "cliprdr"].map(|name| format!("Adding channel: name {name},"));
        let before = channels.each_ref().map(|name| seen(name));
        let ready = seen("login successful for user");
        let client = Process::start("xfreerdp", client, &screen.dir().join("shared.log"))?;
        // Only then it knows all of them.
        eventually(SOON, "the host lets its client in", || {
            seen("login successful for user") > ready
        })
        .with_context(|| format!("{name}\n{}\n{}", client.tail(), target.log()))?;
        let after = channels.each_ref().map(|name| seen(name));
        let has = std::array::from_fn(|nth| after[nth] > before[nth]);
        assert_eq!(has, wanted, "{name}: {}", target.log());
        drop(client);
    }
    Ok(())
}

/// Whether the desktop's password stands in the memory of a program or of those that it has started, and
/// whether what it signed in with does.
fn holds(id: u32) -> Result<(bool, bool)> {
    let (mut theirs, mut ours) = (false, false);
    for id in family(id)? {
        let maps = fs::read_to_string(format!("/proc/{id}/maps"))?;
        let mut memory = fs::File::open(format!("/proc/{id}/mem"))?;
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let (range, _) = line.split_once(' ').context("a range")?;
            let (from, to) = range.split_once('-').context("a range")?;
            let (from, to) = (u64::from_str_radix(from, 16)?, u64::from_str_radix(to, 16)?);
            let mut bytes = vec![0; usize::try_from(to - from)?];
            memory.seek(SeekFrom::Start(from))?;
            if memory.read_exact(&mut bytes).is_err() {
                continue;
            }
            theirs |= says(&bytes, RdpTarget::PASSWORD);
            ours |= says(&bytes, "adit-");
        }
    }
    Ok((theirs, ours))
}

/// In bytes, or in units of UTF-16 as Windows has them.
fn says(memory: &[u8], text: &str) -> bool {
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    [text.as_bytes(), &wide].iter().any(|text| {
        let mut rest = memory;
        // Quick without optimisation too, and there is much memory.
        while rest.skip_until(text[0]).is_ok_and(|skipped| skipped > 0) {
            if rest.starts_with(&text[1..]) {
                return true;
            }
        }
        false
    })
}

/// A process and its children.
fn family(id: u32) -> Result<Vec<u32>> {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
    let mut all = vec![id];
    for child in children.split_whitespace() {
        all.extend(family(child.parse()?)?);
    }
    Ok(all)
}
