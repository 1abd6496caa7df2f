//! Real clients through the door to a real sshd.
#![expect(clippy::unwrap_used, reason = "a test ends where its surroundings fail")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use access::{Allowed, Kind, Login, Sftp, SshTerms, Terms};
use russh::keys::{HashAlg, PublicKey};
use support::{World, forwarding, managed};
use tempfile::TempDir;
use testkit::{Output, Sshd};
use tokio::runtime::Runtime;

#[test]
fn openssh_carries_output_errors_and_exit_status() {
    let bench = Bench::start();
    let output = bench.ssh(&[], "echo out; echo err >&2; exit 3");
    assert_eq!(output.code(), Some(3), "{}", output.both());
    assert_eq!(output.text(), "out\n");
    assert!(output.stderr.contains("err"), "{}", output.stderr);
    let terminal = bench.ssh(&["-tt"], "tty; stty size");
    assert!(terminal.text().contains("/dev/pts/"), "{}", terminal.both());
}

#[test]
fn sftp_that_may_only_read_reads_everything_and_changes_nothing() {
    let bench = Bench::of(SshTerms { sftp: Some(Sftp::Read), ..SshTerms::default() });
    let (there, here) = (bench.path("there"), bench.path("here"));
    let bytes: Vec<u8> =
        (0..20u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(&there, &bytes).unwrap();
    let (dir, there, here) =
        (bench.dir.path().display().to_string(), there.display().to_string(), here.display());
    let read = bench.sftp(&format!("cd {dir}\nls -l\nget {there} {here}\ndf\nls -l {there}\n"));
    assert!(read.code() == Some(0) && read.text().contains("batch"), "{}", read.both());
    assert!(std::fs::read(bench.path("here")).unwrap() == bytes, "what arrived is another");
    for (line, noted) in [
        (format!("put {here} {dir}/new"), format!("open {dir}/new")),
        (format!("put {here} {there}"), format!("open {there}")),
        (format!("rm {there}"), format!("remove {there}")),
        (format!("mkdir {dir}/new"), format!("mkdir {dir}/new")),
        (format!("rename {there} {dir}/new"), "extended posix-rename@openssh.com".to_owned()),
        (format!("ln {there} {dir}/new"), "extended hardlink@openssh.com".to_owned()),
        (format!("ln -s {there} {dir}/new"), format!("symlink {there}")),
        (format!("chmod 600 {there}"), format!("setstat {there}")),
    ] {
        let refused = bench.sftp(&format!("{line}\n"));
        assert_ne!(refused.code(), Some(0), "{line}");
        assert!(refused.both().contains("ermission denied"), "{line}: {}", refused.both());
        bench.noted(&format!("ssh.sftp_refused {noted}"));
    }
    assert!(!bench.path("new").exists() && std::fs::read(&there).unwrap() == bytes);
    // One that is refused does not end what else goes on.
    let both = bench.sftp(&format!("-mkdir {dir}/new\nget {there} {here}2\n"));
    assert_eq!(both.code(), Some(0), "{}", both.both());
    for refused in
        [vec!["-O", &there, "x+web1@127.0.0.1:/tmp/x"], vec![&there, "x+web1@127.0.0.1:/tmp/x"]]
    {
        let mut scp = Command::new("scp");
        scp.args(bench.with_config(&refused.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()));
        assert_ne!(testkit::run(&mut scp, SOON).unwrap().code(), Some(0), "{refused:?}");
    }
}

#[test]
fn a_grant_may_be_for_copies_and_for_no_other_command() {
    let ssh = SshTerms { shell: false, exec: Allowed::none(), ..SshTerms::default() };
    let bench = Bench::of(SshTerms { scp: Some(true), sftp: Some(Sftp::Off), ..ssh });
    let (original, copy) = (bench.path("original"), bench.path("copy"));
    std::fs::write(&original, "content").unwrap();
    let there = format!("x+web1@127.0.0.1:{}", copy.display());
    let rsh = format!("ssh -F {}", bench.path("config").display());
    let original = original.display().to_string();
    for (tool, arguments) in [
        ("scp", bench.with_config(&["-O".into(), original.clone(), there.clone()])),
        ("rsync", vec!["-a".into(), "-e".into(), rsh, original, there]),
    ] {
        let output = testkit::run(Command::new(tool).args(arguments), SOON).unwrap();
        assert_eq!(output.code(), Some(0), "{tool}: {}", output.both());
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), "content");
        std::fs::remove_file(&copy).unwrap();
    }
    for command in ["id", "scp -t /tmp/x; id", "rsync --server --daemon ."] {
        let refused = bench.ssh(&[], command);
        assert!(refused.stderr.contains("(access.ssh)"), "{command}: {}", refused.both());
    }
}

#[test]
fn forwards_lead_where_the_grant_says_and_ssh_in_them_is_recorded() {
    let bench = Bench::start();
    let address = bench.sshd.address();
    drop(bench);
    let port = address.rsplit_once(':').unwrap().1.to_owned();
    let bench = Bench::of(SshTerms {
        local: Some(Allowed::from(vec![format!("*:{port}")])),
        ..SshTerms::default()
    });
    // The list names the port of a server that is gone: what is asked elsewhere is refused.
    let open = bench.sshd.address();
    let refused = bench.ssh(&["-W", &open], "");
    assert!(refused.code() != Some(0), "{}", refused.both());
    bench.noted(&format!("ssh.forward_refused {open}"));
    let agent = bench.ssh(&["-A"], "echo ${SSH_AUTH_SOCK:-none}");
    assert_eq!(agent.text(), "none\n");
    drop(bench);
    let any = SshTerms { local: Some(Allowed::All), ..SshTerms::default() };
    let bench = Bench::of(any);
    let open = bench.sshd.address();
    let through = testkit::run(bench.command(&["-W", &open], "").stdin(Stdio::null()), SOON);
    assert!(through.unwrap().text().starts_with("SSH-2.0-"));
    bench.noted(&format!("ssh.forward {open}"));
    bench.noted(&format!("ssh.forward_carries_ssh {open}"));
    let listen = bench.ssh(&["-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:0:x:1"], "true");
    assert_ne!(listen.code(), Some(0), "only -L is allowed");
    bench.noted("ssh.forward_refused 127.0.0.1:0");
}

#[test]
fn sockets_are_forwarded_both_ways_where_they_may() {
    let bench = Bench::of(SshTerms { streamlocal: true, ..SshTerms::default() });
    let (end, near) = (bench.path("end"), bench.path("near"));
    let served = UnixListener::bind(&end).unwrap();
    let _serving = std::thread::spawn(move || {
        for mut socket in served.incoming().flatten() {
            socket.write_all(b"hello\n").unwrap();
        }
    });
    for (way, action) in [("-L", "ssh.forward"), ("-R", "ssh.listen")] {
        let leads = format!("{}:{}", near.display(), end.display());
        let options = [way, leads.as_str(), "-N", "-o", "ExitOnForwardFailure=yes"];
        let _ssh = bench.spawn(&options, "");
        testkit::eventually(SOON, "the socket is there", || near.exists()).unwrap();
        let mut said = String::new();
        BufReader::new(UnixStream::connect(&near).unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "hello\n", "{way}");
        let what = if way == "-L" { &end } else { &near };
        bench.noted(&format!("{action} {}", what.display()));
        std::fs::remove_file(&near).unwrap();
    }
}

#[test]
fn windows_reach_the_users_display_where_they_may() {
    // The client looks at the cookie and passes on nothing; that it was asked is what counts.
    let served = TcpListener::bind("127.0.0.1:0").unwrap();
    let display = format!("127.0.0.1:{}", served.local_addr().unwrap().port() - 6000);
    let script = "echo $DISPLAY; port=$((6000 + $(echo $DISPLAY | cut -d: -f2 | cut -d. -f1))); \
                  exec 3<>/dev/tcp/127.0.0.1/$port; printf 'l\\0\\013\\0\\0\\0\\0\\0\\0\\0\\0\\0' >&3; cat <&3";
    let command = format!("bash -c \"{}\"", script.replace('$', "\\$"));
    let asks = |bench: &Bench| {
        let mut ssh = bench.command(&["-Y", "-o", "LogLevel=INFO"], &command);
        testkit::run(ssh.env("DISPLAY", &display), SOON).unwrap()
    };
    let bench = Bench::of(SshTerms { x11: true, ..SshTerms::default() });
    let shown = asks(&bench);
    assert!(shown.text().starts_with("localhost:"), "{}", shown.both());
    assert!(shown.stderr.contains("wrong authentication"), "{}", shown.both());
    bench.noted("ssh.x11");
    let bench = Bench::of(SshTerms::default());
    let refused = asks(&bench);
    assert_eq!(refused.text().trim(), "", "{}", refused.both());
    bench.noted("ssh.x11_refused");
}

/// A shared connection's client closes its channel once both outputs have ended.
#[test]
fn a_program_that_closes_its_output_early_still_tells_its_status() {
    let bench = Bench::start();
    let control = format!("ControlPath={}", bench.path("control").display());
    let _master = bench.spawn(&["-M", "-N", "-o", &control], "");
    testkit::eventually(SOON, "the master is up", || bench.path("control").exists()).unwrap();
    for options in [&["-n"][..], &["-n", "-o", &control]] {
        let output = bench.ssh(options, "exec >/dev/null 2>&1; sleep 1; exit 44");
        assert_eq!(output.code(), Some(44), "{options:?}: {}", output.both());
    }
}

/// Nothing else would tell a reader behind a pipe that there is no more.
#[test]
fn an_output_that_is_closed_early_ends_while_input_goes_on() {
    let bench = Bench::start();
    let mut ssh = bench.spawn(&[], "echo all; exec >/dev/null 2>&1; cat; exit 5");
    let mut output = BufReader::new(ssh.0.stdout.take().unwrap());
    let mut said = String::new();
    output.read_to_string(&mut said).unwrap();
    assert_eq!(said, "all\n");
    assert!(ssh.0.try_wait().unwrap().is_none(), "the program still reads");
}

#[test]
fn openssh_asks_for_the_token_at_its_prompt() {
    let bench = Bench::start();
    let asked = bench.path("asked");
    let ask = bench.path("ask");
    let script = format!("#!/bin/sh\necho \"$1\" >> {}\necho {}\n", asked.display(), bench.token);
    std::fs::write(&ask, script).unwrap();
    std::fs::set_permissions(&ask, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut ssh = Command::new("ssh");
    ssh.args([
        "-F",
        "none",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
    ])
    .args(["-o", "PreferredAuthentications=keyboard-interactive", "-p", &bench.port()])
    .args(["anyone@127.0.0.1", "echo in"])
    .env("SSH_ASKPASS", &ask)
    .env("SSH_ASKPASS_REQUIRE", "force");
    assert_eq!(testkit::run(&mut ssh, SOON).unwrap().ok().unwrap(), "in\n");
    assert!(std::fs::read_to_string(asked).unwrap().trim_end().ends_with("Access token:"));
}

#[test]
fn files_arrive_unchanged_with_every_tool() {
    let bench = Bench::start();
    let original = bench.path("original");
    let bytes: Vec<u8> =
        (0..20u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(&original, &bytes).unwrap();
    let (copy, here) = (bench.path("copy"), bench.path("here"));
    let there = format!("x+web1@127.0.0.1:{}", copy.display());
    let rsh = format!("ssh -F {}", bench.path("config").display());
    let batch = bench.path("batch");
    let lines = format!(
        "put {} {}\nget {} {}\n",
        original.display(),
        copy.display(),
        copy.display(),
        here.display()
    );
    std::fs::write(&batch, lines).unwrap();
    let tools: [(&str, Vec<Vec<String>>); 4] = [
        (
            "scp",
            vec![
                bench.with_config(&[original.display().to_string(), there.clone()]),
                bench.with_config(&[there.clone(), here.display().to_string()]),
            ],
        ),
        (
            "scp",
            vec![
                bench.with_config(&["-O".into(), original.display().to_string(), there.clone()]),
                bench.with_config(&["-O".into(), there.clone(), here.display().to_string()]),
            ],
        ),
        (
            "rsync",
            vec![
                vec!["-e".into(), rsh.clone(), original.display().to_string(), there.clone()],
                vec!["-e".into(), rsh, there, here.display().to_string()],
            ],
        ),
        (
            "sftp",
            vec![bench.with_config(&[
                "-b".into(),
                batch.display().to_string(),
                "x+web1@127.0.0.1".into(),
            ])],
        ),
    ];
    for (tool, runs) in tools {
        for arguments in runs {
            testkit::run(Command::new(tool).args(&arguments), SOON).unwrap().ok().unwrap();
        }
        assert!(
            std::fs::read(&here).unwrap() == bytes,
            "{tool} {} changed the file",
            here.display()
        );
        std::fs::remove_file(&here).unwrap();
        std::fs::remove_file(&copy).unwrap();
    }
}

#[test]
fn putty_and_paramiko_take_the_token_as_password() {
    let bench = Bench::start();
    let port = bench.port();
    let mut plink = Command::new("plink");
    plink
        .args(["-batch", "-ssh", "-P", &port, "-hostkey", &bench.world.fingerprint])
        .args(["-pw", &bench.token, "x@127.0.0.1", "echo in; exit 4"])
        .env("HOME", bench.dir.path());
    let output = testkit::run(&mut plink, SOON).unwrap();
    assert_eq!((output.text().as_str(), output.code()), ("in\n", Some(4)), "{}", output.both());
    let script = format!(
        "import paramiko\nc=paramiko.SSHClient()\n\
         c.set_missing_host_key_policy(paramiko.AutoAddPolicy())\n\
         c.connect('127.0.0.1',{port},'x',password='{}',allow_agent=False,look_for_keys=False)\n\
         i,o,e=c.exec_command('echo in')\nprint(o.read().decode().strip())\nc.close()\n",
        bench.token,
    );
    let output =
        testkit::run(Command::new("/usr/bin/python3").args(["-c", &script]), SOON).unwrap();
    assert_eq!(output.ok().unwrap(), "in\n");
}

#[test]
fn ports_jumps_and_agents_are_forwarded_where_the_terms_allow() {
    let bench = Bench::start();
    let address = bench.sshd.address();
    // -W and -J: straight to an application, which shows its own host key and takes its own key.
    let jump =
        format!("ProxyCommand=ssh -F {} -W web1:22 jump@127.0.0.1", bench.path("config").display());
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-o", &jump, "-o", "StrictHostKeyChecking=no"])
        .args(["-o", "UserKnownHostsFile=/dev/null", "-i"])
        .arg(bench.sshd.client_key())
        .args([&format!("{}@web1", bench.sshd.account()), "echo jumped"]);
    assert_eq!(testkit::run(&mut ssh, SOON).unwrap().ok().unwrap(), "jumped\n");
    // Through the target: the sshd's own greeting.
    let mut through = Command::new("ssh");
    through.args(bench.with_config(&["-W".into(), address, "x+web1@127.0.0.1".into()]));
    let output = testkit::run(&mut through, SOON).unwrap();
    assert!(output.text().starts_with("SSH-2.0-OpenSSH"), "{}", output.both());
    // The agent is there at the target, and logs in to a transparent one.
    let agent = bench.path("agent");
    let script = format!(
        "eval $(ssh-agent -a {agent}) >/dev/null; ssh-add -q {key}; \
         ssh -A -F {config} x+web1@127.0.0.1 ssh-add -l; ssh -A -F {config} {account}+own@127.0.0.1 echo in; ssh-agent -k >/dev/null",
        agent = agent.display(),
        key = bench.sshd.client_key().display(),
        config = bench.path("config").display(),
        account = bench.sshd.account(),
    );
    let output = testkit::run(Command::new("sh").args(["-c", &script]), SOON).unwrap();
    assert!(
        output.text().contains("ED25519") && output.text().ends_with("in\n"),
        "{}",
        output.both()
    );
}

#[test]
fn a_port_of_the_target_is_forwarded_to_openssh_and_asyncssh() {
    let bench = Bench::start();
    let address = bench.sshd.address();
    let script = format!(
        "ssh -F {config} -o ExitOnForwardFailure=yes -R 127.0.0.1:0:{address} x+web1@127.0.0.1 \
         'sleep 3' 2>&1 | sed -un 's/Allocated port \\([0-9]*\\).*/\\1/p' | \
         while read port; do ssh-keyscan -p $port 127.0.0.1 2>&1; done",
        config = bench.path("config").display(),
    );
    let script = script.replace("ssh -F", "ssh -o LogLevel=INFO -F");
    let output = testkit::run(Command::new("sh").args(["-c", &script]), SOON).unwrap();
    let key = bench.sshd.host_key().unwrap();
    let key = key.split(' ').nth(1).unwrap();
    assert!(output.text().contains(key), "{}", output.both());

    let mut python = Command::new("/usr/bin/python3");
    let (host, port) = address.rsplit_once(':').unwrap();
    python.args(["-c", ASYNCSSH, &bench.port(), &bench.token, host, port]);
    let output = testkit::run(&mut python, SOON).unwrap();
    assert!(output.text().starts_with("SSH-2.0-OpenSSH"), "{}", output.both());
}

const ASYNCSSH: &str = r#"
import asyncio, asyncssh, sys
door, token, host, port = sys.argv[1:]
async def main():
    async with asyncssh.connect("127.0.0.1", int(door), username="x", password=token, config=None,
                                known_hosts=None, client_keys=None, agent_path=None) as conn:
        for cancelled in (False, True):
            listener = await conn.forward_remote_port("127.0.0.1", 0, host, int(port))
            there = listener.get_port()
            ask = f"import socket; print(socket.create_connection(('127.0.0.1', {there})).recv(80).decode())"
            said = await conn.run(f'/usr/bin/python3 -c "{ask}"')
            print(said.stdout.strip(), flush=True)
            assert said.exit_status == 0, said
            listener.close()
            await listener.wait_closed()
            said = await conn.run(f'/usr/bin/python3 -c "{ask}"')
            assert said.exit_status != 0, said
asyncio.run(main())
"#;

/// A target that shouts before the login and then claims to have 2^31 - 1 questions.
#[test]
fn a_target_that_floods_its_login_is_refused_and_costs_no_memory() {
    let bench = Bench::start();
    let port = testkit::free_port().unwrap();
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", FLOODING_TARGET, &port.to_string()]).stdout(Stdio::piped());
    let mut target = Running(python.spawn().unwrap());
    let mut ready = String::new();
    BufReader::new(target.0.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
    let address = format!("127.0.0.1:{port}");
    let world = &bench.world.world;
    let application = world.add("bad", Kind::Ssh, &address, managed("ubuntu"), forwarding());
    world.store_password(application, "right");
    let before = support::memory();
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(bench.path("config")).args(["x+bad@127.0.0.1", "true"]);
    let output = testkit::run(&mut ssh, SOON).unwrap();
    assert_eq!(output.code(), Some(255), "{}", output.both());
    assert!(output.stderr.contains("target."), "{}", output.both());
    let grown = support::memory().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
    assert_eq!(bench.ssh(&[], "echo in").text(), "in\n");
}

const FLOODING_TARGET: &str = r#"
import paramiko, socket, sys
from paramiko.common import cMSG_USERAUTH_INFO_REQUEST, cMSG_USERAUTH_BANNER
from paramiko.message import Message
def message(kind, *fields):
    m = Message()
    m.add_byte(kind)
    for field in fields:
        m.add_int(field) if isinstance(field, int) else m.add_string(field)
    return m
def flood(self, query):
    for _ in range(2000):
        self.transport._send_message(message(cMSG_USERAUTH_BANNER, "x" * 20000, ""))
    self.transport._send_message(message(cMSG_USERAUTH_INFO_REQUEST, "", "", "", 2**31 - 1))
paramiko.auth_handler.AuthHandler._interactive_query = flood
class Target(paramiko.ServerInterface):
    def get_allowed_auths(self, user):
        return "keyboard-interactive"
    def check_auth_interactive(self, user, methods):
        return paramiko.InteractiveQuery()
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
key = paramiko.ECDSAKey.generate()
print("ready", flush=True)
while True:
    transport = paramiko.Transport(listener.accept()[0])
    transport.add_server_key(key)
    transport.start_server(server=Target())
"#;

/// One connection, one channel stalled in each direction, and a shell that answers as if alone.
#[test]
fn a_shell_answers_beside_stalled_copies_on_one_connection() {
    let bench = Bench::start();
    let control = format!("ControlPath={}", bench.path("control").display());
    let master = bench.spawn(&["-M", "-N", "-o", &control], "");
    testkit::eventually(SOON, "the master is up", || bench.path("control").exists()).unwrap();
    // Nobody reads what this writes.
    let download = bench.spawn(&["-o", &control], "head -c 200000000 /dev/zero");
    // The target does not read what this sends.
    let mut upload = bench.spawn(&["-o", &control], "sleep 6; wc -c");
    let mut input = upload.0.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || {
        let chunk = vec![0; 1 << 20];
        for _ in 0..64 {
            input.write_all(&chunk).unwrap();
        }
    });
    std::thread::sleep(Duration::from_secs(2));
    assert!(!feeding.is_finished(), "the upload was not stalled");
    let times = bench.answers(&control);
    // The machine may be busy otherwise; a held connection answers nothing.
    assert!(times[times.len() / 2] < Duration::from_millis(100), "{times:?}");
    assert!(times[times.len() - 1] < Duration::from_secs(2), "{times:?}");
    assert_eq!(bench.world.world.gateway.held(), 1, "only the download's own connection is held");
    feeding.join().unwrap();
    let mut count = String::new();
    BufReader::new(upload.0.stdout.take().unwrap()).read_line(&mut count).unwrap();
    assert_eq!(count.trim(), (64 << 20).to_string());
    drop((download, upload, master));
}

struct Bench {
    world: Fakes,
    sshd: Sshd,
    token: String,
    dir: TempDir,
}

struct Fakes {
    world: World,
    fingerprint: String,
    _runtime: Runtime,
}

/// Ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Bench {
    /// A door to one sshd: `web1` managed, `own` transparent; a registered key in the configuration.
    fn start() -> Self {
        Self::with(&forwarding())
    }

    /// The same under these terms.
    fn with(terms: &Terms) -> Self {
        let runtime = Runtime::new().unwrap();
        let sshd = Sshd::start().unwrap();
        let world = runtime.block_on(World::start());
        let account = managed(sshd.account());
        let id = world.add("web1", Kind::Ssh, &sshd.address(), account, terms.clone());
        world.store_key(id, &std::fs::read_to_string(sshd.client_key()).unwrap());
        world.add("own", Kind::Ssh, &sshd.address(), Login::Transparent, terms.clone());
        let token = world.token(Some(id), 100);
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
        testkit::run(&mut keygen, SOON).unwrap().ok().unwrap();
        let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        let public = PublicKey::from_openssh(&public).unwrap();
        world.register(&public.fingerprint(HashAlg::Sha256).to_string());
        let fingerprint = world.host_fingerprint.clone();
        let config = format!(
            "Host 127.0.0.1\n  Port {port}\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  \
             IdentitiesOnly yes\n  IdentityFile {key}\n  LogLevel ERROR\n",
            port = world.address.port(),
            key = key.display(),
        );
        std::fs::write(dir.path().join("config"), config).unwrap();
        Self { world: Fakes { world, fingerprint, _runtime: runtime }, sshd, token, dir }
    }

    /// A door whose grant has this section.
    fn of(ssh: SshTerms) -> Self {
        Self::with(&Terms { ssh, ..Terms::default() })
    }

    fn noted(&self, action: &str) {
        let noted =
            || self.world.world.audit.actions().iter().any(|noted| noted.trim_end() == action);
        testkit::eventually(SOON, action, noted).unwrap();
    }

    fn sftp(&self, lines: &str) -> Output {
        std::fs::write(self.path("batch"), lines).unwrap();
        let mut sftp = Command::new("sftp");
        let batch = self.path("batch").display().to_string();
        sftp.args(self.with_config(&["-b".into(), batch, "x+web1@127.0.0.1".into()]));
        testkit::run(&mut sftp, SOON).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn port(&self) -> String {
        self.world.world.address.port().to_string()
    }

    fn with_config(&self, arguments: &[String]) -> Vec<String> {
        let mut all = vec!["-F".to_owned(), self.path("config").display().to_string()];
        all.extend_from_slice(arguments);
        all
    }

    fn ssh(&self, options: &[&str], command: &str) -> Output {
        testkit::run(&mut self.command(options, command), SOON).unwrap()
    }

    fn spawn(&self, options: &[&str], command: &str) -> Running {
        let mut ssh = self.command(options, command);
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        Running(ssh.spawn().unwrap())
    }

    fn command(&self, options: &[&str], command: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(self.path("config")).args(options).arg("x+web1@127.0.0.1");
        if !command.is_empty() {
            ssh.arg(command);
        }
        ssh
    }

    /// How long some keystrokes take there and back, sorted.
    fn answers(&self, control: &str) -> Vec<Duration> {
        let mut cat = self.spawn(&["-o", control], "cat");
        let mut input = cat.0.stdin.take().unwrap();
        let mut output = BufReader::new(cat.0.stdout.take().unwrap());
        let mut answer = || {
            let started = Instant::now();
            input.write_all(b"k\n").unwrap();
            output.read_line(&mut String::new()).unwrap();
            started.elapsed()
        };
        // The first waits for the program to start.
        answer();
        let mut times: Vec<_> = (0..20).map(|_| answer()).collect();
        times.sort();
        times
    }
}

const SOON: Duration = Duration::from_secs(30);
