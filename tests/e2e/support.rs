//! A deployment with the applications most tests use, and clients that answer prompts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use rcgen::{CertificateParams, IsCa, Issuer, KeyPair};
use testkit::{Account, Deployment, Echo, Output, Sshd, SshdOptions, run};

/// How long a client may take for something that takes it well under a second.
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// A deployment, an sshd and an echo service behind it, and the user `alice` who may reach them:
/// `web1` (managed), `web2` (the same host, transparent) and `echo`.
pub(crate) struct World {
    pub(crate) deployment: Deployment,
    pub(crate) sshd: Sshd,
    pub(crate) echo: Echo,
}

impl World {
    pub(crate) fn start() -> Result<Self> {
        Self::with_sshd(SshdOptions::default())
    }

    pub(crate) fn with_sshd(options: SshdOptions) -> Result<Self> {
        Self::on(Deployment::start()?, Sshd::start_with(options)?)
    }

    /// Of a deployment that was started otherwise.
    pub(crate) fn on(deployment: Deployment, sshd: Sshd) -> Result<Self> {
        let world = Self { deployment, sshd, echo: Echo::start(None)? };
        world.deployment.apply(&world.document()?)?.ok()?;
        Ok(world)
    }

    fn document(&self) -> Result<String> {
        let (sshd, key) = (self.sshd.address(), self.sshd.client_key());
        let (account, host_key) = (self.sshd.account(), self.sshd.host_key()?);
        let managed =
            format!("account = {account:?}\nkey_file = {key:?}\nhost_key = {host_key:?}\n");
        Ok([
            "[[user]]\nname = \"alice\"\n[[user]]\nname = \"bob\"\n".to_owned(),
            application("web1", "ssh", &sshd) + &managed,
            application("web2", "ssh", &sshd),
            application("echo", "tcp", &self.echo.address()) + "allow_api = true\n",
            grant("alice", "web1") + "forwarding = true\n",
            grant("alice", "web2"),
            grant("alice", "echo"),
        ]
        .concat())
    }

    /// A token for many uses.
    pub(crate) fn token(&self, application: &str) -> Result<String> {
        self.deployment.token("alice", application, &["--uses", "10000"])
    }

    /// The account of `web1`, with the application: what stands before the `@`.
    pub(crate) fn at(&self, application: &str) -> String {
        format!("{}+{application}", self.sshd.account())
    }

    /// OpenSSH's client towards the SSH door, which answers the token prompt with `token`.
    pub(crate) fn ssh(&self, login: &str, token: &str) -> Result<Command> {
        let mut ssh = self.openssh("ssh", token)?;
        ssh.arg("-p").arg(self.ssh_port()).arg(format!("{login}@127.0.0.1"));
        Ok(ssh)
    }

    /// `ssh`, `scp` or `sftp` with the options that make them independent of this machine's own
    /// configuration. Prompts are answered by a program: a target's password from `PASSWORD`.
    pub(crate) fn openssh(&self, program: &str, token: &str) -> Result<Command> {
        let mut command = Command::new(program);
        command.args(["-F", "none", "-o", "ConnectTimeout=20"]);
        command.args(["-o", "PreferredAuthentications=keyboard-interactive,password"]);
        command.arg("-o").arg(format!("UserKnownHostsFile={}", self.known_hosts()));
        // At the second prompt the door says what was wrong with the first answer.
        command.args(["-o", "StrictHostKeyChecking=yes", "-o", "NumberOfPasswordPrompts=2"]);
        command.env("SSH_ASKPASS", self.askpass()?).env("SSH_ASKPASS_REQUIRE", "force");
        command.env("TOKEN", token).env_remove("SSH_AUTH_SOCK");
        Ok(command)
    }

    /// Runs a command at an application with a token of many uses.
    pub(crate) fn exec(&self, application: &str, command: &str) -> Result<Output> {
        let token = self.token(application)?;
        run(self.ssh(&self.at(application), &token)?.arg(command), SOON)
    }

    pub(crate) fn ssh_port(&self) -> String {
        self.deployment.doors().ssh.to_string()
    }

    pub(crate) fn known_hosts(&self) -> String {
        self.deployment.known_hosts().display().to_string()
    }

    pub(crate) fn askpass(&self) -> Result<PathBuf> {
        let file = self.deployment.dir().join("askpass");
        if !file.exists() {
            let fresh = file.with_extension(format!("{:?}", std::thread::current().id()));
            fs::write(&fresh, ASKPASS)?;
            fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755))?;
            fs::rename(&fresh, &file)?;
        }
        Ok(file)
    }
}

const ASKPASS: &str = r#"#!/bin/sh
case "$1" in
  *oken*) printf '%s\n' "$TOKEN" ;;
  *"@127.0.0.1's password"*) printf '%s\n' "$TOKEN" ;;
  *) printf '%s\n' "$PASSWORD" ;;
esac
"#;

/// An `[[application]]` of the deployment's first site; more keys may follow.
pub(crate) fn application(name: &str, kind: &str, address: &str) -> String {
    let site = Deployment::SITE;
    format!(
        "[[application]]\nname = {name:?}\nsite = {site:?}\nkind = {kind:?}\naddress = {address:?}\n"
    )
}

/// A `[[grant]]`; more keys may follow.
pub(crate) fn grant(user: &str, application: &str) -> String {
    format!("[[grant]]\nuser = {user:?}\napplication = {application:?}\n")
}

/// An account's password as the answer to a target's prompt.
pub(crate) fn with_password(command: &mut Command, account: &Account) {
    command.env("PASSWORD", account.password());
}

/// Fails with all the client said unless it said this.
#[track_caller]
pub(crate) fn assert_says(output: &Output, text: &str) {
    assert!(output.both().contains(text), "no {text:?} in {} of {}", output.both(), output.command);
}

/// How many statements are compared with a server's own log, and for how long that may take: a
/// thousand, or as many as `ADIT_STATEMENTS` says.
pub(crate) fn compared() -> (usize, Duration) {
    let said = std::env::var("ADIT_STATEMENTS").ok().and_then(|count| count.parse().ok());
    let thousands: u32 = said.map_or(1, |count: u32| count.div_ceil(1000));
    (thousands as usize * 1000, SOON * thousands)
}

/// A CA, and what it vouches for: `localhost`.
pub(crate) fn certificates(dir: &Path) -> Result<()> {
    let (ca_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    fs::write(dir.join("ca.pem"), ca.self_signed(&ca_key)?.pem())?;
    let own = CertificateParams::new(vec!["localhost".to_owned()])?;
    let own = own.signed_by(&key, &Issuer::new(ca, ca_key))?;
    fs::write(dir.join("cert.pem"), own.pem())?;
    fs::write(dir.join("key.pem"), key.serialize_pem())?;
    Ok(())
}
