//! Secrets that are easy to recognise go through everything the programs do, and must come out
//! nowhere but where they belong.

mod collector;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use testkit::{Deployment, Process, eventually, free_port, run};

use collector::Collector;

use crate::support::{SOON, World, application, assert_says, grant};

#[test]
fn no_secret_comes_out_of_anything() -> Result<()> {
    let mut world = World::start()?;
    let mut seen = Seen::default();
    let collector = Collector::start()?;
    let admin = talkative(&mut world, &collector)?;
    let canaries = plant(&world)?;
    let (tunnel, _) = walk(&world, &canaries, &mut seen)?;
    answers(&world, &mut seen)?;
    seen.note("/metrics", &metrics(admin)?);
    processes(&mut world, &tunnel, &mut seen)?;
    eventually(SOON, "traces arrive", || collector.text().contains("\"session\""))?;
    seen.note("traces", &collector.text());
    assert!(collector.text().contains("\"login\"") && collector.text().contains("\"dial\""));
    files(world.deployment.dir(), &mut seen)?;
    // Everything is at rest before what is stored is read.
    world.deployment.relay().stop(SOON)?;
    files(world.deployment.dir(), &mut seen)?;
    assert!(seen.outputs.len() > 30, "only {} outputs were looked at", seen.outputs.len());
    let found = seen.find(&canaries);
    assert!(found.is_empty(), "{found:#?}");
    Ok(())
}

/// A secret, and the files it may be in.
struct Canary {
    what: &'static str,
    text: String,
    home: fn(&Path) -> bool,
}

/// Whatever could carry a secret away, by where it was seen.
#[derive(Default)]
struct Seen {
    outputs: Vec<(String, Vec<u8>)>,
}

impl Seen {
    fn note(&mut self, place: &str, text: &str) {
        self.outputs.push((place.to_owned(), text.as_bytes().to_vec()));
    }

    fn find(&self, canaries: &[Canary]) -> Vec<String> {
        let leaks = canaries.iter().flat_map(|canary| {
            let at_home = |place: &str| (canary.home)(Path::new(place));
            let holds = |bytes: &[u8]| contains(bytes, canary.text.as_bytes());
            let out =
                self.outputs.iter().filter(move |(place, bytes)| !at_home(place) && holds(bytes));
            out.map(|(place, _)| format!("{} in {place}", canary.what))
        });
        leaks.collect()
    }
}

/// Everything is logged, and the admin listener and traces are on. The admin listener's port.
fn talkative(world: &mut World, collector: &Collector) -> Result<u16> {
    let file = world.deployment.dir().join("relay/relay.toml");
    let text = fs::read_to_string(&file)?;
    let admin = free_port()?;
    let listen = format!("[listen]\nadmin = \"127.0.0.1:{admin}\"\n");
    let text = text.replacen("[listen]\n", &listen, 1);
    let text = text.replacen("level = \"info\"", "level = \"trace\"", 1);
    let more = format!("\n[telemetry]\notlp = \"http://127.0.0.1:{}\"\n", collector.port);
    let hook = world.deployment.dir().join("given-hook-secret");
    fs::write(&hook, HOOK_SECRET)?;
    // Nobody listens there, so that it is complained about too.
    let url = format!("http://127.0.0.1:{}/audit?key={HOOK_KEY}", free_port()?);
    let hook = format!(
        "[[audit.destination]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"{url}\"\n\
         secret_file = {hook:?}\n"
    );
    fs::write(&file, text + &more + &hook)?;
    world.deployment.relay().stop(SOON)?;
    world.deployment.start_relay()?;
    world.deployment.connectors()[0].process.stop(SOON)?;
    let state = world.deployment.connectors()[0].state.clone();
    let mut command = Command::new(testkit::bin_dir()?.join("adit-connector"));
    command.arg("run").arg("--state").arg(state).env("ADIT_LOG", "trace");
    let log = world.deployment.dir().join("connector-trace.log");
    world.deployment.connectors()[0].process = Process::start("connector", command, &log)?;
    world.deployment.wait_for_connectors(1)?;
    Ok(admin)
}

const HOOK_SECRET: &str = "canary-hook-secret-4Tq9w";
const HOOK_KEY: &str = "canary-hook-key-7Lm2z";

/// Makes one of each kind of secret, known to its owner and to the relay.
fn plant(world: &World) -> Result<Vec<Canary>> {
    let (deployment, dir) = (&world.deployment, world.deployment.dir());
    let password = "canary-target-password-8Zq1";
    fs::write(dir.join("given-password"), password)?;
    let managed =
        format!("account = \"nobody\"\npassword_file = {:?}\n", dir.join("given-password"));
    let key = dir.join("given-user-key");
    let mut keygen = Command::new("ssh-keygen");
    run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key), SOON)?.ok()?;
    let public = fs::read_to_string(key.with_extension("pub"))?;
    let document = [
        format!("[[user]]\nname = \"alice\"\nssh_keys = [{:?}]\n", public.trim()),
        application("locked", "ssh", &world.sshd.address()) + &managed,
        grant("alice", "locked"),
    ];
    deployment.apply(&document.concat())?.ok()?;
    let issue = |terms: &[&str]| -> Result<String> {
        let args = [&["token", "issue", "--user", "alice"], terms].concat();
        Ok(deployment.admin(&args)?.ok()?.trim().to_owned())
    };
    let join = deployment.admin(&["site", "join-token", Deployment::SITE])?.ok()?;
    let tokens = [
        ("an access token", issue(&["--application", "web1", "--uses", "100"])?),
        ("an api token", issue(&["--application", "echo", "--kind", "api"])?),
        ("a token for locked", issue(&["--application", "locked", "--uses", "100"])?),
        ("a login token", issue(&["--kind", "login"])?),
        ("a join token", join.trim().to_owned()),
        ("the admin token", deployment.admin_token().to_owned()),
    ];
    let given = |path: &Path| name(path).starts_with("given-");
    let mut canaries: Vec<_> = tokens
        .into_iter()
        .map(|(what, text)| {
            fs::write(dir.join(format!("given-{}", what.replace(' ', "-"))), &text)?;
            Ok(Canary { what, text: secret(&text), home: given })
        })
        .collect::<Result<_>>()?;
    let master = fs::read_to_string(dir.join("relay/master.key"))?;
    let target_key = fs::read_to_string(world.sshd.client_key())?;
    canaries.extend([
        Canary { what: "a webhook's secret", text: HOOK_SECRET.to_owned(), home: given },
        Canary {
            what: "a webhook's key",
            text: HOOK_KEY.to_owned(),
            home: |path| name(path) == "relay.toml",
        },
        Canary { what: "a target's password", text: password.to_owned(), home: given },
        Canary { what: "a target's private key", text: body(&target_key)?, home: |_| false },
        Canary {
            what: "a user's private key",
            text: body(&fs::read_to_string(&key)?)?,
            home: given,
        },
        Canary {
            what: "the master key",
            text: master.trim().trim_end_matches('=').to_owned(),
            home: |path| name(path) == "master.key",
        },
    ]);
    Ok(canaries)
}

/// Ways that succeed and ways that fail, with all a client could say about it.
fn walk(world: &World, canaries: &[Canary], seen: &mut Seen) -> Result<(Process, u16)> {
    let (deployment, dir) = (&world.deployment, world.deployment.dir());
    let token =
        |what: &str| fs::read_to_string(dir.join(format!("given-{}", what.replace(' ', "-"))));
    let (access, api) = (token("an access token")?, token("an api token")?);
    let mut wrong = access.clone();
    wrong.replace_range(wrong.len() - 8..wrong.len() - 7, "0");
    assert_eq!(secret(&access), canaries[0].text);
    for (answer, login) in [
        (&access, "web1"),
        (&wrong, "web1"),
        (&token("a token for locked")?, "locked"),
        (&api, "web1"),
    ] {
        let mut ssh = world.ssh(&world.at(login), answer)?;
        let said = run(ssh.args(["-v", "echo in"]), SOON)?;
        seen.note(&format!("ssh to {login}"), &said.both());
        assert_eq!(said.status.success(), answer == &access, "{}", said.both());
    }
    let mut by_key = Command::new("ssh");
    by_key.args(["-F", "none", "-v", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-i"]);
    by_key
        .arg(dir.join("given-user-key"))
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", world.known_hosts()));
    by_key
        .arg("-p")
        .arg(world.ssh_port())
        .arg(format!("{}@127.0.0.1", world.at("web1")))
        .arg("echo by key");
    let said = run(by_key.env_remove("SSH_AUTH_SOCK"), SOON)?;
    assert_says(&said, "by key");
    seen.note("ssh by key", &said.both());
    sign_in(world, seen)?;
    let mut adit = deployment.adit("nobody");
    adit.env("ADIT_TOKEN", &api).env("ADIT_LOG", "trace");
    let (tunnel, port) = deployment.tunnel_by(adit, "echo")?;
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0])?;
    Ok((tunnel, port))
}

/// With a login token twice: the second time it is used up.
fn sign_in(world: &World, seen: &mut Seen) -> Result<()> {
    let (deployment, dir) = (&world.deployment, world.deployment.dir());
    for succeeds in [true, false] {
        let mut login = deployment.adit(if succeeds { "alice" } else { "late" });
        login.env("ADIT_LOG", "trace").args(["login", &deployment.url(), "--token-file"]);
        let said = run(login.arg(dir.join("given-a-login-token")), SOON)?;
        assert_eq!(said.status.success(), succeeds, "{}", said.both());
        seen.note("adit login", &said.both());
    }
    for words in [&["ls"][..], &["status"], &["token", "ls"]] {
        let said = run(deployment.adit("alice").env("ADIT_LOG", "trace").args(words), SOON)?;
        seen.note(&format!("adit {}", words.join(" ")), &said.both());
    }
    Ok(())
}

/// What the relay tells an admin.
fn answers(world: &World, seen: &mut Seen) -> Result<()> {
    let deployment = &world.deployment;
    let commands = [
        "site ls",
        "connector ls",
        "app ls",
        "user ls",
        "group ls",
        "grant ls",
        "token ls",
        "session ls",
        "audit export",
        "export",
        "why alice web1",
        "token revoke --user bob",
        "user disable bob",
        "app rm absent",
    ];
    for command in commands {
        let words: Vec<_> = command.split(' ').collect();
        for words in [words.clone(), [&words[..], &["--json"]].concat()] {
            seen.note(
                &format!("adit admin {}", words.join(" ")),
                &deployment.admin(&words)?.both(),
            );
        }
    }
    let paths = [
        "info",
        "me",
        "me/applications",
        "me/tokens",
        "sites",
        "connectors",
        "applications",
        "users",
        "groups",
        "grants",
        "tokens",
        "sessions",
        "audit",
        "export",
        "settings",
        "requests",
        "why?user=alice&application=web1",
        "nothing",
    ];
    for path in paths {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--include", "--cacert"]).arg(deployment.ca_file());
        curl.args(["--config", "-", &format!("{}/api/v1/{path}", deployment.url())]);
        let header = format!("header = \"Authorization: Bearer {}\"\n", deployment.admin_token());
        let said = testkit::run_with_input(&mut curl, header.as_bytes(), SOON)?;
        seen.note(&format!("GET {path}"), &said.both());
    }
    Ok(())
}

fn metrics(port: u16) -> Result<String> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(SOON))?;
    socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    assert!(text.contains("adit_sessions_open"), "{text}");
    Ok(text)
}

/// What other users of the machine can see of the programs, and what their children inherit.
fn processes(world: &mut World, tunnel: &Process, seen: &mut Seen) -> Result<()> {
    let relay = world.deployment.relay_id();
    let connector = world.deployment.connectors()[0].process.id();
    for (id, file) in [
        (relay, "cmdline"),
        (relay, "environ"),
        (connector, "cmdline"),
        (connector, "environ"),
        // Its token is in its environment, where its user has put it.
        (tunnel.id(), "cmdline"),
    ] {
        let path = format!("/proc/{id}/{file}");
        seen.outputs.push((path.clone(), fs::read(&path)?));
    }
    Ok(())
}

fn files(dir: &Path, seen: &mut Seen) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, seen)?;
        } else if path.is_file() {
            seen.outputs.push((path.display().to_string(), fs::read(&path)?));
        }
    }
    Ok(())
}

/// The part of a token that nobody may see: what stands before it is public, and so is the pin of
/// the relay's CA that may follow.
fn secret(token: &str) -> String {
    let body = token.rsplit('_').next().unwrap_or_default();
    body.chars().skip(10).take(27).collect()
}

/// A line of a key that no other key has.
fn body(pem: &str) -> Result<String> {
    let lines: Vec<_> = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    lines.iter().rev().nth(1).map(|line| (*line).to_owned()).context("a key of several lines")
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
