//! The programs people put on top of SSH, and implementations besides OpenSSH's, through the door.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testkit::{Account, Process, eventually, free_port, python_with, run, run_with_input};

use crate::support::{SOON, World, application, assert_says, grant};

const LONG: Duration = Duration::from_secs(180);

#[test]
fn dropbears_client_runs_a_command_and_copies_a_file() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let mut client = Command::new("dbclient");
    // It keeps the host keys it knows in the home folder.
    client.env("HOME", world.deployment.dir()).env("DROPBEAR_PASSWORD", &token);
    client.args(["-y", "-p", &world.ssh_port(), &format!("{}@127.0.0.1", world.at("web1"))]);
    let input: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let output = run_with_input(client.arg("cat; echo err >&2; exit 5"), &input, SOON)?;
    assert_eq!(output.code(), Some(5), "{}", output.stderr);
    assert!(output.stdout == input, "{} bytes: {}", output.stdout.len(), output.stderr);
    assert_says(&output, "err");
    Ok(())
}

#[test]
fn a_dropbear_is_a_target_like_another() -> Result<()> {
    let world = World::start()?;
    let account = Account::create()?;
    let dropbear = Dropbear::start(&world)?;
    let (address, key) = (format!("127.0.0.1:{}", dropbear.port), &dropbear.host_key);
    let password = world.deployment.dir().join("dropbear-password");
    fs::write(&password, account.password())?;
    let document = application("box", "ssh", &address)
        + &format!("account = {:?}\npassword_file = {password:?}\n", account.name())
        + &format!("host_key = {key:?}\n")
        + &grant("alice", "box");
    world.deployment.apply(&document)?.ok()?;
    let login = format!("{}+box", account.name());
    let token = world.token("box")?;
    let mut ssh = world.ssh(&login, &token)?;
    assert_eq!(run(ssh.arg("id -un; exit 6"), SOON)?.text().trim(), account.name());
    let mut ssh = world.ssh(&login, &token)?;
    let output = run(ssh.args(["-tt", "test -t 0 && echo terminal; exit 6"]), SOON)?;
    assert_says(&output, "terminal");
    assert_eq!(output.code(), Some(6), "{}", output.both());
    let input = vec![7; 5_000_000];
    let mut ssh = world.ssh(&login, &token)?;
    let output = run_with_input(ssh.arg("cat"), &input, SOON)?;
    assert!(output.stdout == input, "{} bytes: {}", output.stdout.len(), output.stderr);
    Ok(())
}

#[test]
fn libssh_runs_commands_and_copies_a_file() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let dir = tempfile::tempdir()?;
    let mut python = Command::new(python_with("ansible-pylibssh==1.4.0")?.join("python"));
    python.args(["-c", LIBSSH]).env("PORT", world.ssh_port()).env("TOKEN", token);
    python.env("LOGIN", world.at("web1")).env("DIR", dir.path()).env("HOME", dir.path());
    assert_eq!(run(&mut python, LONG)?.ok()?.trim(), "done");
    Ok(())
}

const LIBSSH: &str = r#"
import os
from pylibsshext.session import Session
port, user, token, dir = [os.environ[k] for k in ("PORT", "LOGIN", "TOKEN", "DIR")]
session = Session()
session.connect(host="127.0.0.1", port=int(port), user=user, password=token, host_key_checking=False,
                look_for_keys=False)
for n in range(3):
    channel = session.new_channel()
    result = channel.exec_command(f"echo out {n}; echo err >&2; exit {n}")
    assert (result.stdout, result.stderr, result.returncode) == (b"out %d\n" % n, b"err\n", n), result
    channel.close()
data = os.urandom(1_000_000)
with open(dir + "/here", "wb") as f:
    f.write(data)
sftp = session.sftp()
sftp.put(dir + "/here", dir + "/there")
sftp.get(dir + "/there", dir + "/back")
sftp.close()
assert open(dir + "/back", "rb").read() == data
session.close()
print("done")
"#;

#[test]
fn ansible_runs_a_playbook_and_finds_nothing_to_change_the_second_time() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let dir = tempfile::tempdir()?;
    let at = |name: &str| dir.path().join(name);
    let inventory = format!(
        "web1 ansible_host=127.0.0.1 ansible_port={} ansible_user={} ansible_sshpass_prompt=token \
         ansible_python_interpreter=/usr/bin/python3 \
         ansible_ssh_common_args='-F none -o UserKnownHostsFile={}'\n",
        world.ssh_port(),
        world.at("web1"),
        world.known_hosts(),
    );
    fs::write(at("hosts"), inventory)?;
    fs::write(at("play.yml"), PLAYBOOK.replace("DIR", &dir.path().display().to_string()))?;
    fs::write(at("page.j2"), "{{ greeting }} from {{ inventory_hostname }}\n")?;
    let bin = python_with("ansible-core==2.19.14")?;
    let play = || {
        let mut play = Command::new(bin.join("ansible-playbook"));
        play.current_dir(dir.path()).args(["-i", "hosts", "play.yml"]);
        // By a variable of the environment: an argument would show the token to the machine.
        play.args(["-e", "ansible_password={{ lookup('env','TOKEN') }}"]).env("TOKEN", &token);
        play.env("HOME", dir.path()).env("LC_ALL", "C.UTF-8").env_remove("SSH_AUTH_SOCK");
        run(&mut play, LONG)?.ok()
    };
    let first = play()?;
    ensure!(first.contains("failed=0") && first.contains("changed=2"), "{first}");
    assert_eq!(fs::read_to_string(at("page"))?, "hello from web1\n");
    let second = play()?;
    ensure!(second.contains("failed=0") && second.contains("changed=0"), "{second}");
    Ok(())
}

const PLAYBOOK: &str = "
- hosts: web1
  gather_facts: true
  vars: { greeting: hello }
  tasks:
    - ansible.builtin.file: { path: DIR/folder, state: directory }
    - ansible.builtin.template: { src: page.j2, dest: DIR/page }
    - ansible.builtin.command: cat DIR/page
      register: page
      changed_when: false
    - ansible.builtin.assert: { that: \"page.stdout == 'hello from web1'\" }
";

#[test]
fn git_clones_and_pushes() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let dir = tempfile::tempdir()?;
    let (there, here) = (dir.path().join("there.git"), dir.path().join("here"));
    let shell = format!("ssh -F none -o UserKnownHostsFile={}", world.known_hosts());
    let askpass = world.askpass()?;
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=Alice", "-c", "user.email=alice@example.com"]);
        git.args(["-c", "init.defaultBranch=main", "-c", "safe.directory=*"]).args(arguments);
        git.env("GIT_SSH_COMMAND", &shell).env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", dir.path());
        git.env("SSH_ASKPASS", &askpass).env("SSH_ASKPASS_REQUIRE", "force");
        git.env("TOKEN", &token).env_remove("SSH_AUTH_SOCK");
        run(&mut git, SOON)?.ok()
    };
    let (at_there, at_here) = (there.display().to_string(), here.display().to_string());
    git(&["init", "--quiet", "--bare", &at_there])?;
    let port = world.ssh_port();
    let url = format!("ssh://{}@127.0.0.1:{port}{at_there}", world.at("web1"));
    git(&["clone", "--quiet", &url, &at_here])?;
    let content = vec![b'x'; 2_000_000];
    fs::write(here.join("file"), &content)?;
    git(&["-C", &at_here, "add", "file"])?;
    git(&["-C", &at_here, "commit", "--quiet", "-m", "Add a file"])?;
    git(&["-C", &at_here, "push", "--quiet", "origin", "main"])?;
    let kept = git(&["-C", &at_there, "log", "--oneline", "main"])?;
    ensure!(kept.contains("Add a file"), "{kept}");
    git(&["clone", "--quiet", &url, &format!("{at_here}-again")])?;
    assert_eq!(fs::read(dir.path().join("here-again/file"))?, content);
    Ok(())
}

/// How editors that work on another machine use SSH: one connection; a program fed through its
/// input for as long as it lasts, a SOCKS proxy, and more commands beside them.
#[test]
fn one_connection_carries_a_server_a_proxy_and_commands() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let (socket, socks) = (world.deployment.dir().join("control"), free_port()?);
    let control = format!("ControlPath={}", socket.display());
    let mut master = world.ssh(&world.at("web1"), &token)?;
    master.args(["-M", "-o", &control, "-D", &format!("127.0.0.1:{socks}"), "sh"]);
    let log = fs::File::create(world.deployment.dir().join("server.log"))?;
    master.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
    let mut master = master.spawn()?;
    let outcome = beside(&world, (&mut master, &token), &control, socks);
    drop(master.stdin.take());
    let ended = master.wait()?;
    outcome?;
    ensure!(ended.success(), "{ended}");
    let said = fs::read_to_string(world.deployment.dir().join("server.log"))?;
    ensure!(said.contains("listening\n") && said.ends_with("goodbye\n"), "{said}");
    Ok(())
}

fn beside(
    world: &World,
    (master, token): (&mut std::process::Child, &str),
    control: &str,
    socks: u16,
) -> Result<()> {
    let log = world.deployment.dir().join("server.log");
    let said = |text: &str| fs::read_to_string(&log).is_ok_and(|log| log.contains(text));
    let input = master.stdin.as_mut().context("the server's input")?;
    input.write_all(b"echo listening\n")?;
    eventually(SOON, "the server answers", || said("listening"))?;
    for number in 1..=12 {
        let mut ssh = world.ssh(&world.at("web1"), token)?;
        ssh.args(["-o", control, "-o", "ControlMaster=no", &format!("exit {number}")]);
        assert_eq!(run(&mut ssh, SOON)?.code(), Some(number));
    }
    eventually(SOON, "the proxy listens", || TcpStream::connect(("127.0.0.1", socks)).is_ok())?;
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--max-time", "20", "--socks5-hostname", &format!("127.0.0.1:{socks}")]);
    let echo = format!("telnet://{}", world.echo.address());
    let output = run_with_input(curl.arg(echo), b"through the proxy", SOON)?;
    assert_eq!(output.text(), "through the proxy", "{}", output.stderr);
    input.write_all(b"echo goodbye\n")?;
    eventually(SOON, "the server still answers", || said("goodbye"))
}

#[test]
fn a_folder_of_the_target_is_mounted() -> Result<()> {
    // Without the device no sshfs mounts anything, through Adit or not.
    if !Path::new("/dev/fuse").exists() {
        eprintln!("This machine has no /dev/fuse: nothing can be mounted, so sshfs was not tried.");
        return Ok(());
    }
    let world = World::start()?;
    let token = world.token("web1")?;
    let dir = tempfile::tempdir()?;
    let (there, mount) = (dir.path().join("there"), dir.path().join("mount"));
    fs::create_dir(&there)?;
    fs::create_dir(&mount)?;
    let mut sshfs = Command::new("sshfs");
    sshfs.arg(format!("{}@127.0.0.1:{}", world.at("web1"), there.display())).arg(&mount);
    sshfs.args(["-f", "-p", &world.ssh_port(), "-F", "none"]);
    sshfs.arg("-o").arg(format!("UserKnownHostsFile={}", world.known_hosts()));
    sshfs.env("SSH_ASKPASS", world.askpass()?).env("SSH_ASKPASS_REQUIRE", "force");
    sshfs.env("TOKEN", &token).env_remove("SSH_AUTH_SOCK");
    let process = Process::start("sshfs", sshfs, &world.deployment.dir().join("sshfs.log"))?;
    let outcome = mounted(&there, &mount);
    let unmounted = run(Command::new("umount").arg(&mount), SOON)?;
    outcome.with_context(|| process.log())?;
    unmounted.ok().map(drop)
}

fn mounted(there: &Path, mount: &Path) -> Result<()> {
    let is_mounted = || {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        mounts.contains(&format!(" {} ", mount.display()))
    };
    eventually(SOON, "the folder is mounted", is_mounted)?;
    let content: Vec<u8> = (0..3_000_000u32).map(|n| (n % 241) as u8).collect();
    fs::write(mount.join("file"), &content)?;
    fs::rename(mount.join("file"), mount.join("moved"))?;
    assert!(fs::read(there.join("moved"))? == content);
    assert!(fs::read(mount.join("moved"))? == content);
    fs::remove_file(mount.join("moved"))?;
    assert_eq!(fs::read_dir(there)?.count(), 0);
    Ok(())
}

#[test]
fn mosh_is_told_what_to_use_instead() -> Result<()> {
    let world = World::start()?;
    let token = world.token("web1")?;
    let shell = format!(
        "ssh -F none -o UserKnownHostsFile={} -p {}",
        world.known_hosts(),
        world.ssh_port()
    );
    let mut mosh = Command::new("mosh");
    mosh.args(["--experimental-remote-ip=remote", "--ssh", &shell]);
    mosh.arg(format!("{}@127.0.0.1", world.at("web1"))).env("LC_ALL", "C.UTF-8");
    mosh.env("SSH_ASKPASS", world.askpass()?).env("SSH_ASKPASS_REQUIRE", "force");
    mosh.env("TOKEN", &token).env("TERM", "xterm").env_remove("SSH_AUTH_SOCK");
    let output = run(&mut mosh, SOON)?;
    ensure!(!output.status.success(), "{}", output.both());
    assert_says(&output, "ssh.mosh");
    Ok(())
}

/// A Dropbear server, on a port and with a host key of its own.
struct Dropbear {
    port: u16,
    host_key: String,
    _process: Process,
}

impl Dropbear {
    fn start(world: &World) -> Result<Self> {
        let (dir, port) = (world.deployment.dir(), free_port()?);
        let key = dir.join("dropbear-key").display().to_string();
        let made = run(Command::new("dropbearkey").args(["-t", "ed25519", "-f", &key]), SOON)?;
        let made = made.ok()?;
        let line = made.lines().find(|line| line.starts_with("ssh-ed25519 "));
        let words: Vec<_> = line.context("a public key")?.split(' ').take(2).collect();
        let mut server = Command::new("dropbear");
        server.args(["-F", "-E", "-r", &key, "-p", &format!("127.0.0.1:{port}")]);
        let process = Process::start("dropbear", server, &dir.join("dropbear.log"))?;
        eventually(SOON, "dropbear listens", || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
        Ok(Self { port, host_key: words.join(" "), _process: process })
    }
}
