//! A door to a real sshd, and OpenSSH's clients set up for it.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{World, forwarding, managed};
use access::{Kind, Login, SshTerms, Terms};
use russh::keys::{HashAlg, PublicKey};
use tempfile::TempDir;
use testkit::{Output, Sshd};
use tokio::runtime::Runtime;

pub(crate) struct Bench {
    pub(crate) world: Fakes,
    pub(crate) sshd: Sshd,
    pub(crate) token: String,
    pub(crate) dir: TempDir,
}

pub(crate) struct Fakes {
    pub(crate) world: World,
    pub(crate) fingerprint: String,
    pub(crate) _runtime: Runtime,
}

/// Ended when dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Bench {
    /// A door to one sshd: `web1` managed, `own` transparent; a registered key in the configuration.
    pub(crate) fn start() -> Self {
        Self::with(&forwarding())
    }

    /// The same under these terms.
    pub(crate) fn with(terms: &Terms) -> Self {
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
    pub(crate) fn of(ssh: SshTerms) -> Self {
        Self::with(&Terms { ssh, ..Terms::default() })
    }

    pub(crate) fn noted(&self, action: &str) {
        let noted =
            || self.world.world.audit.actions().iter().any(|noted| noted.trim_end() == action);
        testkit::eventually(SOON, action, noted).unwrap();
    }

    pub(crate) fn sftp(&self, lines: &str) -> Output {
        std::fs::write(self.path("batch"), lines).unwrap();
        let mut sftp = Command::new("sftp");
        let batch = self.path("batch").display().to_string();
        sftp.args(self.with_config(&["-b".into(), batch, "x+web1@127.0.0.1".into()]));
        testkit::run(&mut sftp, SOON).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn port(&self) -> String {
        self.world.world.address.port().to_string()
    }

    pub(crate) fn with_config(&self, arguments: &[String]) -> Vec<String> {
        let mut all = vec!["-F".to_owned(), self.path("config").display().to_string()];
        all.extend_from_slice(arguments);
        all
    }

    pub(crate) fn ssh(&self, options: &[&str], command: &str) -> Output {
        testkit::run(&mut self.command(options, command), SOON).unwrap()
    }

    pub(crate) fn spawn(&self, options: &[&str], command: &str) -> Running {
        let mut ssh = self.command(options, command);
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        Running(ssh.spawn().unwrap())
    }

    pub(crate) fn command(&self, options: &[&str], command: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(self.path("config")).args(options).arg("x+web1@127.0.0.1");
        if !command.is_empty() {
            ssh.arg(command);
        }
        ssh
    }

    /// How long some keystrokes take there and back, sorted.
    pub(crate) fn answers(&self, control: &str) -> Vec<Duration> {
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

pub(crate) const SOON: Duration = Duration::from_secs(30);
