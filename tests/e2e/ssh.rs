//! The SSH door with OpenSSH's client: what a shell, a command and a forward promise.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use testkit::{Account, Process, SshdOptions, eventually, free_port, run, run_with_input};

use crate::support::{SOON, World, application, assert_says, grant, with_password};

#[test]
fn a_token_is_all_it_takes_at_the_prompt_and_as_a_password() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    for (method, prompt) in [("keyboard-interactive", "Access token:"), ("password", "assword")] {
        let mut sshpass = Command::new("sshpass");
        sshpass.env("SSHPASS", &token).args(["-e", "-P", prompt, "ssh", "-F", "none"]);
        sshpass.arg("-o").arg(format!("PreferredAuthentications={method}"));
        sshpass.arg("-o").arg(format!("UserKnownHostsFile={}", world.known_hosts()));
        sshpass.args(["-p", &world.ssh_port(), &format!("{}@127.0.0.1", world.at("web1"))]);
        sshpass.arg("echo out; echo err >&2; exit 7");
        let output = run(&mut sshpass, SOON)?;
        assert_eq!(output.text(), "out\n", "{method}: {}", output.stderr);
        assert!(output.stderr.ends_with("err\n"), "{method}: {}", output.stderr);
        assert_eq!(output.code(), Some(7), "{method}");
    }
    Ok(())
}

/// People look for their password first.
#[test]
fn a_targets_prompt_waits_for_longer_than_a_connection_is_quiet() -> Result<()> {
    let (world, account) = (World::start()?, Account::create()?);
    let (token, slow) = (world.token("web2")?, world.deployment.dir().join("slow"));
    let answers = "#!/bin/sh\ncase \"$1\" in *oken*) printf '%s\\n' \"$TOKEN\" ;; \
         *) sleep 35; printf '%s\\n' \"$PASSWORD\" ;; esac\n";
    fs::write(&slow, answers)?;
    fs::set_permissions(&slow, fs::Permissions::from_mode(0o755))?;
    let mut ssh = world.ssh(&format!("{}+web2", account.name()), &token)?;
    with_password(&mut ssh, &account);
    let output = run(ssh.env("SSH_ASKPASS", &slow).arg("echo in"), SOON * 2)?;
    assert_eq!(output.ok()?.trim(), "in");
    Ok(())
}

#[test]
fn a_token_for_one_application_needs_no_application_name() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let output = run(world.ssh(world.sshd.account(), &token)?.arg("echo in"), SOON)?;
    assert_eq!(output.ok()?, "in\n");
    Ok(())
}

#[test]
fn a_transparent_target_asks_its_own_password() -> Result<()> {
    for pam in [false, true] {
        let account = Account::create()?;
        let world = World::with_sshd(SshdOptions { pam, ..SshdOptions::default() })?;
        let token = world.token("web2")?;
        let login = format!("{}+web2", account.name());
        let mut ssh = world.ssh(&login, &token)?;
        with_password(&mut ssh, &account);
        assert_eq!(run(ssh.arg("id -un"), SOON)?.ok()?.trim(), account.name(), "pam: {pam}");
        let mut wrong = world.ssh(&login, &token)?;
        let output = run(wrong.env("PASSWORD", "not it").arg("id -un"), SOON)?;
        assert_eq!(output.code(), Some(255), "pam: {pam}: {}", output.both());
        assert_eq!(output.text(), "");
    }
    Ok(())
}

#[test]
fn a_forwarded_agent_opens_a_transparent_target_and_reaches_the_shell() -> Result<()> {
    let world = World::start()?;
    world.deployment.apply(&(grant("alice", "web2") + "forwarding = true\n"))?.ok()?;
    let token = world.token("web2")?;
    let ssh = world.ssh(&world.at("web2"), &token)?;
    let key = world.sshd.client_key();
    let mut command = Command::new("ssh-agent");
    command.args([
        "sh",
        "-c",
        "ssh-add -q \"$KEY\" && exec \"$@\" 'ssh-add -l'",
        "sh",
        "ssh",
        "-A",
    ]);
    command.args(ssh.get_args()).env("KEY", key);
    for (name, value) in ssh.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let listed = run(&mut command, SOON)?.ok()?;
    assert!(listed.contains("ED25519"), "{listed}");
    Ok(())
}

#[test]
fn a_target_that_trusts_the_relay_needs_no_stored_secret() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let ca = dir.path().join("adit_ca.pub");
    let extra = vec![format!("TrustedUserCAKeys {}", ca.display())];
    let world = World::with_sshd(SshdOptions { extra, ..SshdOptions::default() })?;
    let account = world.sshd.account();
    let certified = application("web3", "ssh", &world.sshd.address()) + "certificate = true\n";
    let terms = grant("alice", "web3") + &format!("logins = [{account:?}]\n");
    world.deployment.apply(&(certified + &terms))?.ok()?;
    // Nothing of it is in the target's `authorized_keys`.
    std::fs::write(&ca, "")?;
    let untrusted = world.exec("web3", "id -un")?;
    assert_says(&untrusted, "the application refused the login");
    std::fs::write(&ca, world.deployment.admin(&["ssh-ca"])?.ok()?)?;
    assert_eq!(world.exec("web3", "id -un")?.ok()?.trim(), account);
    let opened = world.deployment.audit("session.opened")?;
    let session = opened.last().and_then(|event| event["session"].as_str()).context("a session")?;
    let told = format!("ID adit/alice/web3-hq/{session}");
    assert!(world.sshd.log().contains(&told), "{told}\n{}", world.sshd.log());
    let other = run(world.ssh("nobody+web3", &world.token("web3")?)?.arg("id -un"), SOON)?;
    assert_eq!(other.code(), Some(255), "{}", other.both());
    Ok(())
}

#[test]
fn a_registered_key_signs_in_without_a_token() -> Result<()> {
    let world = World::start()?;
    let key = registered(&world)?;
    let mut ssh = by_key(&world, &key, &world.at("web1"));
    assert_eq!(run(ssh.arg("echo in"), SOON)?.ok()?, "in\n");
    Ok(())
}

#[test]
fn a_grant_can_ask_for_a_key_and_then_for_a_token() -> Result<()> {
    let world = World::start()?;
    let key = registered(&world)?;
    let ways = "[grant.ssh]\nauthentication = [\"publickey,token\"]\n";
    world.deployment.apply(&(grant("alice", "web1") + ways))?.ok()?;
    let (login, token) = (world.at("web1"), world.token("web1")?);
    let both = |token: &str| -> Result<Command> {
        let mut ssh = Command::new("ssh");
        ssh.args(["-v", "-F", "none", "-o", "IdentitiesOnly=yes", "-i"]).arg(&key);
        ssh.arg("-o").arg(format!("UserKnownHostsFile={}", world.known_hosts()));
        ssh.args(["-o", "NumberOfPasswordPrompts=1", "-p", &world.ssh_port()]);
        ssh.args([&format!("{login}@127.0.0.1"), "echo in"]).env("TOKEN", token);
        ssh.env("SSH_ASKPASS", world.askpass()?).env("SSH_ASKPASS_REQUIRE", "force");
        ssh.env_remove("SSH_AUTH_SOCK");
        Ok(ssh)
    };
    let output = run(&mut both(&token)?, SOON)?;
    assert_eq!(output.text(), "in\n", "{}", output.stderr);
    assert_says(&output, "using \"publickey\" with partial success");
    let alone = run(by_key(&world, &key, &login).arg("echo in"), SOON)?;
    assert_eq!((alone.text().as_str(), alone.code()), ("", Some(255)), "{}", alone.stderr);
    let token_alone = run(world.ssh(&login, &token)?.arg("echo in"), SOON)?;
    assert_eq!(token_alone.text(), "", "{}", token_alone.stderr);
    let wrong = run(&mut both("nonsense")?, SOON)?;
    assert_eq!(wrong.text(), "", "{}", wrong.stderr);
    let opened = world.deployment.audit("session.opened")?;
    let opened = &opened.last().context("a session")?["event"];
    assert_eq!(opened["credential"], "token", "{opened}");
    assert_eq!(opened["after"], serde_json::json!(["ssh-key"]), "{opened}");
    assert!(!world.deployment.audit("access.denied")?.is_empty());
    Ok(())
}

/// OpenSSH's client on a terminal of its own, as a person sees it.
#[test]
fn who_names_no_application_picks_one_at_the_terminal() -> Result<()> {
    let world = World::start()?;
    let key = registered(&world)?;
    let mut ssh = by_key(&world, &key, world.sshd.account());
    ssh.args(["-tt"]).env("TERM", "xterm");
    let output = run_with_input(&mut ssh, b"web1\recho seen-$((40+2)); exit 4\r", SOON)?;
    assert_says(&output, "Applications you can reach");
    assert_says(&output, "Application: web1.hq");
    assert_says(&output, "seen-42");
    assert_eq!(output.code(), Some(4), "{}", output.both());
    let output = run(by_key(&world, &key, world.sshd.account()).arg("id"), SOON)?;
    assert_eq!((output.text().as_str(), output.code()), ("", Some(255)), "{}", output.stderr);
    assert_says(&output, "you can reach web1.hq, web2.hq");
    Ok(())
}

/// A key of alice's.
fn registered(world: &World) -> Result<std::path::PathBuf> {
    let key = world.deployment.dir().join("alice_key");
    let mut keygen = Command::new("ssh-keygen");
    run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key), SOON)?.ok()?;
    let public = std::fs::read_to_string(key.with_extension("pub"))?;
    let user = format!("[[user]]\nname = \"alice\"\nssh_keys = [{:?}]\n", public.trim());
    world.deployment.apply(&user)?.ok()?;
    Ok(key)
}

/// OpenSSH's client with nothing but this key.
fn by_key(world: &World, key: &std::path::Path, login: &str) -> Command {
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-i"]).arg(key);
    ssh.arg("-o").arg(format!("UserKnownHostsFile={}", world.known_hosts()));
    ssh.args(["-p", &world.ssh_port(), &format!("{login}@127.0.0.1")]);
    ssh.env_remove("SSH_AUTH_SOCK");
    ssh
}

#[test]
fn a_terminal_has_its_size_its_name_and_its_environment() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let mut ssh = world.ssh(&world.at("web1"), &token)?;
    ssh.args(["-tt", "-o", "SendEnv=ADIT_TEST"]).env("ADIT_TEST", "sent").env("TERM", "vt220");
    let output = run(ssh.arg("tty; echo $TERM $ADIT_TEST; exit 3"), SOON)?;
    assert_says(&output, "/dev/pts/");
    assert_says(&output, "vt220 sent");
    assert_eq!(output.code(), Some(3));
    Ok(())
}

#[test]
fn a_program_that_dies_of_a_signal_says_so() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let mut ssh = world.ssh(&world.at("web1"), &token)?;
    let output = run(ssh.arg("-v").arg("kill -TERM $$"), SOON)?;
    assert_eq!(output.code(), Some(255));
    assert_says(&output, "exit-signal");
    Ok(())
}

#[test]
fn input_reaches_the_program_and_its_end_too() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let input: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let mut ssh = world.ssh(&world.at("web1"), &token)?;
    let output = run_with_input(ssh.arg("cat"), &input, SOON)?;
    assert!(output.status.success(), "{}", output.stderr);
    assert!(output.stdout == input, "{} bytes came back of {}", output.stdout.len(), input.len());
    Ok(())
}

#[test]
fn a_forward_works_where_the_rule_allows_it_and_only_there() -> Result<()> {
    let world = World::start()?;
    let echo = world.echo.address();
    let (allowed, refused) = (world.token("web1")?, world.token("web2")?);

    let mut ssh = world.ssh(&world.at("web1"), &allowed)?;
    let output = run_with_input(ssh.args(["-W", &echo]), b"through -W", SOON)?;
    assert_eq!(output.ok()?, "through -W");

    let port = free_port()?;
    let mut ssh = world.ssh(&world.at("web1"), &allowed)?;
    ssh.args(["-N", "-L", &format!("127.0.0.1:{port}:{echo}")]);
    let forward = Process::start("ssh -L", ssh, &world.deployment.dir().join("forward.log"))?;
    let mut stream = None;
    eventually(SOON, "ssh listens", || {
        stream = TcpStream::connect(("127.0.0.1", port)).ok();
        stream.is_some()
    })?;
    let mut stream = stream.context("connected")?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(b"through -L")?;
    let mut back = [0; 10];
    stream.read_exact(&mut back)?;
    assert_eq!(&back, b"through -L");
    drop(forward);

    let mut ssh = world.ssh(&world.at("web2"), &refused)?;
    let output = run_with_input(ssh.args(["-W", &echo]), b"nothing", SOON)?;
    assert!(!output.status.success(), "{}", output.both());
    assert_eq!(output.text(), "");
    Ok(())
}

#[test]
fn the_door_is_a_jump_host_to_the_application() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let proxy = format!(
        "ProxyCommand=ssh -F none -o UserKnownHostsFile={} -p {} -W %h:%p {}@127.0.0.1",
        world.known_hosts(),
        world.ssh_port(),
        world.at("web1"),
    );
    let hosts = world.deployment.dir().join("target_hosts");
    let port = world.sshd.port();
    std::fs::write(&hosts, format!("[127.0.0.1]:{port} {}\n", world.sshd.host_key()?))?;
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-o", &proxy, "-o", "IdentitiesOnly=yes", "-i"]);
    ssh.arg(world.sshd.client_key());
    ssh.arg("-o").arg(format!("UserKnownHostsFile={}", hosts.display()));
    ssh.args(["-p", &port.to_string(), &format!("{}@127.0.0.1", world.sshd.account()), "echo in"]);
    ssh.env("SSH_ASKPASS", world.askpass()?).env("SSH_ASKPASS_REQUIRE", "force");
    ssh.env("TOKEN", &token).env_remove("SSH_AUTH_SOCK");
    assert_eq!(run(&mut ssh, SOON)?.ok()?, "in\n");
    Ok(())
}

#[test]
fn a_changed_host_key_blocks_with_both_fingerprints() -> Result<()> {
    let mut world = World::start()?;
    assert_eq!(world.exec("web1", "echo in")?.ok()?, "in\n");
    let known = fingerprint(&world.sshd.host_key()?)?;
    world.sshd.change_host_key()?;
    let presented = fingerprint(&world.sshd.host_key()?)?;
    let output = world.exec("web1", "echo in")?;
    assert_eq!(output.text(), "");
    assert_says(&output, &known);
    assert_says(&output, &presented);
    Ok(())
}

/// A channel nobody reads must not hold up the others of its connection.
#[test]
fn a_stalled_copy_does_not_stall_a_shell_of_the_same_connection() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let socket = world.deployment.dir().join("mux");
    let control = format!("ControlPath={}", socket.display());
    let mut master = world.ssh(&world.at("web1"), &token)?;
    master.args(["-M", "-N", "-o", &control]);
    let _master = Process::start("ssh -M", master, &world.deployment.dir().join("master.log"))?;
    eventually(SOON, "the master connection is up", || socket.exists())?;

    let over = |command: &str| {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-S"]).arg(&socket).args(["-o", "ControlMaster=no", "127.0.0.1"]);
        ssh.arg(command).stdin(Stdio::piped()).stdout(Stdio::piped());
        ssh
    };
    // Its output goes to a pipe that nobody empties.
    let mut stalled = over("cat /dev/zero").spawn()?;
    let mut shell = over("cat").spawn()?;
    let mut input = shell.stdin.take().context("input")?;
    let mut lines = BufReader::new(shell.stdout.take().context("output")?).lines();
    let mut say = |line: &str| -> Result<Duration> {
        let started = Instant::now();
        writeln!(input, "{line}")?;
        assert_eq!(lines.next().context("an answer")??, line);
        Ok(started.elapsed())
    };
    say("ready")?;
    std::thread::sleep(Duration::from_secs(3));
    let mut slowest = Duration::ZERO;
    for number in 0..20 {
        slowest = slowest.max(say(&number.to_string())?);
        std::thread::sleep(Duration::from_millis(20));
    }
    stalled.kill()?;
    stalled.wait()?;
    shell.kill()?;
    shell.wait()?;
    assert!(slowest < Duration::from_millis(100), "an answer took {slowest:?}");
    Ok(())
}

#[test]
fn a_session_ends_when_its_user_hangs_up() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let mut ssh = world.ssh(&world.at("web1"), &token)?;
    ssh.arg("sleep 300");
    let client = Process::start("ssh", ssh, &world.deployment.dir().join("client.log"))?;
    let count = || world.deployment.sessions().map(|sessions| sessions.len()).ok();
    eventually(SOON, "the session is listed", || count() == Some(1))?;
    drop(client);
    eventually(Duration::from_secs(10), "the session has ended", || count() == Some(0))?;
    let ended = world.deployment.audit("session.ended")?;
    assert_eq!(ended.len(), 1, "{ended:?}");
    Ok(())
}

fn fingerprint(key: &str) -> Result<String> {
    let line = run_with_input(Command::new("ssh-keygen").args(["-lf", "-"]), key.as_bytes(), SOON)?;
    let line = line.ok()?;
    Ok(line.split(' ').nth(1).context("a fingerprint")?.to_owned())
}
