//! Real clients through the door to a real sshd.
#![expect(clippy::unwrap_used, reason = "a test ends where its surroundings fail")]

mod bench;
mod channel_policy;
mod seen;
#[path = "../support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use access::Kind;
use bench::{Bench, Running, SOON};
use support::{forwarding, managed};

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

/// OpenSSH puts ChaCha20-Poly1305 before AES-GCM, which takes a third of its CPU.
#[test]
fn what_is_long_goes_on_under_aes_gcm_where_the_client_has_it() {
    let bench = Bench::start();
    let ciphers = |options: &[&str], bytes: usize, command: &str| {
        let options = [&["-v"], options].concat();
        let output = testkit::run_with_input(
            &mut bench.command(&options, command),
            &vec![b'x'; bytes],
            SOON,
        );
        let output = output.unwrap();
        let told =
            output.stderr.lines().filter_map(|line| line.split("server->client cipher: ").nth(1));
        let ciphers: Vec<_> =
            told.filter_map(|told| told.split(' ').next().map(str::to_owned)).collect();
        (output.text(), ciphers)
    };
    let (chacha, gcm) = ("chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com");
    let long = 40 << 20;
    let (counted, seen) = ciphers(&[], long, "wc -c");
    assert_eq!(
        (counted.trim(), seen),
        (&*long.to_string(), vec![chacha.to_owned(), gcm.to_owned()])
    );
    let (given, seen) = ciphers(&[], 0, "head -c 41943040 /dev/zero | tr '\\0' x");
    assert_eq!((given.len(), seen), (long, vec![chacha.to_owned(), gcm.to_owned()]));
    // Neither what is short nor who has nothing else is asked to.
    let (_, seen) = ciphers(&[], 1 << 20, "cat");
    assert_eq!(seen, [chacha]);
    let (counted, seen) = ciphers(&["-c", chacha], long, "wc -c");
    assert_eq!((counted.trim(), seen), (&*long.to_string(), vec![chacha.to_owned()]));
    // Keys that the client changes bring back no other cipher.
    let (_, seen) = ciphers(&["-o", "RekeyLimit=8M"], long, "wc -c");
    assert!(seen.len() > 3 && seen.iter().skip(1).all(|cipher| cipher == gcm), "{seen:?}");
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
