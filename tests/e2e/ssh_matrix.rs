//! Implementations of SSH with what people do with them: run a command, have a terminal, copy a file
//! there and back, forward a port, and change keys under way, where they have a way to ask for that.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use testkit::{node_with, python_with, run};

use crate::clients::putty_fingerprint;
use crate::support::World;
use crate::transfer::random_file;

#[test]
fn each_client_does_what_it_can() -> Result<()> {
    let world = World::start()?;
    let (token, echo) = (world.token("web1")?, world.echo.address());
    let (_, echo) = echo.rsplit_once(':').context("a port")?;
    let dir = tempfile::tempdir()?;
    // The account at the target writes there too.
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777))?;
    random_file(&dir.path().join("up"), 8 << 20)?;
    let (fingerprint, askpass) = (putty_fingerprint(&world)?, world.askpass()?);
    let mut wrong = Vec::new();
    for client in CLIENTS {
        let mut command = client.command()?;
        command.env("PORT", world.ssh_port()).env("LOGIN", world.at("web1")).env("TOKEN", &token);
        command.env("DIR", dir.path()).env("HOME", dir.path()).env("ECHO", echo);
        command.env("KNOWN", world.known_hosts()).env("FINGERPRINT", &fingerprint);
        command.env("ASKPASS", &askpass).env_remove("SSH_AUTH_SOCK");
        let said = run(&mut command, LONG)?.both();
        for case in client.cases {
            // Behind what the door says above its prompt, where a client ends no line there.
            if !said.lines().any(|line| line.trim().ends_with(&format!("{case} ok"))) {
                wrong.push(format!("{} × {case}: {said}", client.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// An implementation, and a program that uses it for each case that it can do.
struct Client {
    name: &'static str,
    way: Way,
    program: &'static str,
    cases: &'static [&'static str],
}

/// What runs a program.
enum Way {
    Shell,
    /// Debian's own python, which has Debian's packages.
    Python,
    /// Python with this package of PyPI.
    With(&'static str),
    /// Node with this package of npm.
    Node(&'static str),
    Ruby,
    Php,
}

impl Client {
    fn command(&self) -> Result<Command> {
        let by = |program: &str, flag: &str| {
            let mut command = Command::new(program);
            command.args([flag, self.program]);
            command
        };
        Ok(match self.way {
            Way::Shell => by("sh", "-c"),
            Way::Python => by("/usr/bin/python3", "-c"),
            Way::With(package) => {
                let python = python_with(package)?.join("python");
                by(python.to_str().context("a path that is text")?, "-c")
            }
            Way::Node(package) => {
                let mut node = Command::new("node");
                node.args(["--input-type=module", "-e", self.program]).arg(node_with(package)?);
                node
            }
            Way::Ruby => by("ruby", "-e"),
            Way::Php => by("php", "-r"),
        })
    }
}

const ALL: &[&str] = &["exec", "pty", "sftp", "forward", "rekey"];
const NO_REKEY: &[&str] = &["exec", "pty", "sftp", "forward"];
const NO_FORWARD: &[&str] = &["exec", "pty", "sftp"];

const CLIENTS: [Client; 10] = [
    Client {
        name: "OpenSSH",
        way: Way::Shell,
        program: include_str!("ssh_matrix/openssh.sh"),
        cases: ALL,
    },
    Client {
        name: "Dropbear",
        way: Way::Shell,
        program: include_str!("ssh_matrix/dropbear.sh"),
        cases: NO_REKEY,
    },
    Client {
        name: "PuTTY",
        way: Way::Shell,
        program: include_str!("ssh_matrix/putty.sh"),
        cases: ALL,
    },
    Client {
        name: "paramiko",
        way: Way::Python,
        program: include_str!("ssh_matrix/paramiko.py"),
        cases: ALL,
    },
    Client {
        name: "AsyncSSH",
        way: Way::Python,
        program: include_str!("ssh_matrix/asyncssh.py"),
        cases: ALL,
    },
    Client {
        name: "libssh",
        way: Way::With("ansible-pylibssh==1.4.0"),
        program: include_str!("ssh_matrix/libssh.py"),
        cases: NO_FORWARD,
    },
    Client {
        name: "libssh2",
        way: Way::With("ssh2-python==1.2.0.post1"),
        program: include_str!("ssh_matrix/libssh2.py"),
        cases: NO_REKEY,
    },
    Client {
        name: "ssh2",
        way: Way::Node("ssh2@1.17.0"),
        program: include_str!("ssh_matrix/ssh2.mjs"),
        cases: NO_REKEY,
    },
    Client {
        name: "Net::SSH",
        way: Way::Ruby,
        program: include_str!("ssh_matrix/net-ssh.rb"),
        cases: NO_REKEY,
    },
    Client {
        name: "phpseclib",
        way: Way::Php,
        program: include_str!("ssh_matrix/phpseclib.php"),
        cases: NO_FORWARD,
    },
];

const LONG: Duration = Duration::from_secs(120);
